"""The comparison of several studies: one HTML page that opens offline."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hpsearch.records import TrialState
from hpsearch.report.comparison_content import ComparedStudy, ComparisonContent, Judgement
from hpsearch.report.comparison_figures import ComparisonFigures
from hpsearch.report.document import document, figures_data, write_document
from hpsearch.report.tables import flat, setting_rows
from hpsearch.report.wording import MISSING, ended, score


def write_comparison(path: str | Path, content: ComparisonContent) -> Path:
    """Write the comparison, as `write_document` does."""
    return write_document(path, comparison_page(content))


def comparison_page(content: ComparisonContent) -> str:
    figures = ComparisonFigures(content)
    drawn = {
        "winners": figures.winners(),
        "by-trials": figures.best_so_far("trials"),
        "by-compute": figures.best_so_far("compute"),
        "winner-curves": figures.learning_curves(),
    }
    winners = {study.name: study.content.best for study in content.studies if study.content.best is not None}
    values = [f"{study.name} {score(winners[study.name].value)}" for study in content.alike if study.name in winners]
    tests = [judgement.evidence for judgement in content.judgements if judgement.evidence is not None]
    return document(
        "comparison.html",
        {**figures_data(drawn), "curves": None},
        content=content,
        names=", ".join(study.name for study in content.studies),
        study_names=[study.name for study in content.studies],
        answers=_answers(content.judgements),
        methods=list(dict.fromkeys(evidence.method for evidence in tests)),
        has_test=any(study.test_scores for study in content.studies),
        trial_counts={study.name: _trial_counts(study) for study in content.studies},
        left_out=", ".join(study.name for study in content.studies if study not in content.alike),
        final_values="; ".join(values) + ".",
        winners=list(winners),
        settings=setting_rows([best.config for best in winners.values()]),
        **_facts(content),
    )


def _answers(judgements: Sequence[Judgement]) -> dict[str, Judgement | None]:
    """Return each study's judgement: on the test rows if there is evidence, else on the folds."""
    told = {judgement.study: judgement for judgement in reversed(judgements) if judgement.evidence is not None}
    return {judgement.study: told.get(judgement.study) for judgement in judgements}


def _trial_counts(study: ComparedStudy) -> str:
    counts = [(study.content.count(state), ended(state)) for state in TrialState]
    return ", ".join(f"{count} {words}" for count, words in counts if count)


def _facts(content: ComparisonContent) -> dict[str, Any]:
    """Return the facts in which the studies differ, with a value for each, and those that they share."""
    of_studies: Sequence[Mapping[str, object]] = [{"task": s.content.task, **s.content.facts} for s in content.studies]
    names = dict.fromkeys(name for facts in of_studies for name in facts)
    different = [name for name in names if len({repr(facts.get(name)) for facts in of_studies}) > 1]
    return {
        "different_facts": [(name, [facts.get(name, MISSING) for facts in of_studies]) for name in different],
        "shared_facts": flat({name: of_studies[0][name] for name in names if name not in different}),
    }
