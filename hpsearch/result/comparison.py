"""Several studies side by side: samplers, models or strategies, with evidence of which winner is better."""

import logging
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpsearch.errors import HpsearchError, UsageError, nearest
from hpsearch.provenance.definitions import is_same
from hpsearch.records import TrialState

if TYPE_CHECKING:
    import pandas

    from hpsearch.plan.description import Description
    from hpsearch.report.comparison_content import ComparisonContent, Judgement
    from hpsearch.report.comparison_figures import ComparisonFigures
    from hpsearch.result.result import Result

logger = logging.getLogger("hpsearch")

SEARCHED = "on the folds that each study used to choose its winner, which favours the study that tried more"


def compare(results: "Sequence[Result]", *, against: str | None = None) -> "Comparison":
    """Compare the winners of several studies.

    Args:
        results: Two or more results of different studies.
        against: Name of the study that the others are tested against; the first by default. "best" takes the one with
            the best value. Its p-values are then too small, because the question depends on the answer.

    Raises:
        UsageError: Fewer than two are given, one is not a result, one is given twice, or `against` names none of them.
    """
    return Comparison(results, against=against)


class Comparison:
    """Several studies side by side. Make one with `hp.compare`."""

    def __init__(self, results: "Sequence[Result]", *, against: str | None = None) -> None:
        self.results: Mapping[str, Result] = _named(results)
        self.reference = self._reference(against)
        self._is_best = against == "best" and "best" not in self.results

    def table(self) -> "pandas.DataFrame":
        """Return one row per study: its winner, the winner's scores, trials by state, and what it took.

        Columns: `study`, `objective`, `trial`, `value`, `interval_low`, `interval_high`, `test_<metric>` of the winner
        (where there are test rows and the study has ended; the first call trains the winner once), `trials` and one
        column per state, `epochs` (passes over one fold's training rows), `seconds` of training over all workers,
        `elapsed_seconds` of wall-clock time in which something was trained.
        """
        import pandas

        rows = []
        for study in self._content.studies:
            content, best = study.content, study.content.best
            low, high = best.interval if best is not None and best.interval is not None else (None, None)
            row: dict[str, Any] = {
                "study": study.name,
                "objective": content.objective,
                "trial": None if best is None else best.number,
                "value": None if best is None else best.value,
                "interval_low": low,
                "interval_high": high,
            }
            row |= {f"test_{name}": value for name, value in study.test_scores.items()}
            row |= {"trials": len(content.summaries)}
            row |= {state.value: content.count(state) for state in TrialState}
            row |= {"epochs": study.compute.epochs, "seconds": study.compute.seconds}
            rows.append({**row, "elapsed_seconds": study.compute.elapsed})
        frame = pandas.DataFrame(rows)
        tests = [name for name in frame.columns if name.startswith("test_")]
        others = [name for name in frame.columns if name not in tests]
        return frame[[*others[:6], *tests, *others[6:]]]

    def evidence(self) -> "tuple[Judgement, ...]":
        """Return what can be said of each other study's winner against the reference's.

        Two judgements per study. On the test rows, if both studies have the same ones and have ended: a paired
        bootstrap, after one training of each winner. This one is primary, because the test rows had no part in
        choosing the winners. On the folds, if data and folds are the same: the corrected paired t test, which favours
        the study that tried more. With more than two studies, the p-values on each ground are corrected by Holm's
        procedure. With `against="best"` they are too small on either ground.
        Where two cannot be compared, the judgement says why.
        """
        return tuple(self._content.judgements)

    @property
    def figures(self) -> "ComparisonFigures":
        """The plots: `best_so_far(by="trials")`, `best_so_far(by="compute")`, `winners()`, `learning_curves()`."""
        from hpsearch.report.comparison_figures import ComparisonFigures

        return ComparisonFigures(self._content)

    def report(self, path: str | Path = "compare.html") -> Path:
        """Write the comparison as one self-contained page that opens offline."""
        from hpsearch.report.comparison_page import write_comparison

        return write_comparison(Path(path), self._content)

    def __repr__(self) -> str:
        return f"<Comparison of {', '.join(map(repr, self.results))} against {self.reference!r}>"

    # ------------------------------------------------------------------ inside

    def _reference(self, against: str | None) -> str:
        names = list(self.results)
        if against is None:
            return names[0]
        if against == "best" and "best" not in names:
            aims = {result.plan.aim for result in self.results.values()}
            objectives = {f"{aim.name} ({aim.direction})" for aim in aims}
            if len(objectives) > 1:
                raise UsageError(
                    f'against="best" needs studies of one objective, and these have {", ".join(sorted(objectives))}; '
                    "name one of the studies instead."
                )
            complete = [name for name in names if self.results[name].history.finished(TrialState.COMPLETE)]
            score = self.results[names[0]].history.direction.score
            return max(complete, key=lambda name: score(self.results[name].best.value), default=names[0])
        if against not in names:
            raise UsageError(f"against={against!r} is not one of the studies {names}.{nearest(against, names)}")
        return against

    @cached_property
    def _content(self) -> "ComparisonContent":
        from hpsearch.report.comparison_content import ComparedStudy, ComparisonContent

        studies = [
            ComparedStudy(name, result.content(with_test=False), _test_scores(result))
            for name, result in self.results.items()
        ]
        return ComparisonContent(studies, self.reference, self._judgements(), reference_is_best=self._is_best)

    def _judgements(self) -> "list[Judgement]":
        from dataclasses import replace

        from hpsearch.analysis.significance import corrected_for_several

        judgements: list[Judgement] = []
        for ground in ("test rows", "folds"):
            asked = [self._judgement(name, ground) for name in self.results if name != self.reference]
            places = [index for index, judgement in enumerate(asked) if judgement.evidence is not None]
            corrected = corrected_for_several([it.evidence for it in asked if it.evidence is not None])
            for index, evidence in zip(places, corrected, strict=True):
                asked[index] = replace(asked[index], evidence=evidence)
            judgements += asked
        return judgements

    def _judgement(self, name: str, ground: str) -> "Judgement":
        from hpsearch.report.comparison_content import Judgement

        study, reference = self.results[name], self.results[self.reference]
        why_not = _why_not(study, reference, ground)
        if why_not is not None:
            return Judgement(name, self.reference, ground, why_not=why_not)
        try:
            evidence = study.test_evidence(reference) if ground == "test rows" else _on_folds(study, reference)
        except HpsearchError as error:  # the data of one are gone, for instance
            return Judgement(name, self.reference, ground, why_not=str(error))
        return Judgement(name, self.reference, ground, evidence)


def _named(results: "Sequence[Result]") -> "dict[str, Result]":
    """Return the results by name; equal names are told apart by their folders."""
    from hpsearch.result.result import Result

    given: list[Any] = list(results) if isinstance(results, (list, tuple)) else [results]
    for result in given:
        if not isinstance(result, Result):
            raise UsageError(
                f"hp.compare takes a list of results, and {type(result).__name__} is not one: give study.result, or "
                "what study.run returned."
            )
    if len(given) < 2:
        raise UsageError(f"A comparison needs two or more results, and {len(given)} was given.")
    names = [result.plan.name for result in given]
    if len(set(names)) < len(names):
        names = [f"{result.plan.folder.parent.name}/{result.plan.name}" for result in given]
    if len(set(names)) < len(names):
        names = [str(result.plan.folder) for result in given]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"The study {twice!r} is there twice; give each study once.")
    return dict(zip(names, given, strict=True))


def _test_scores(result: "Result") -> Mapping[str, float]:
    """Return the winner's scores on the test rows; none before the study has ended, so that none steers it by them."""
    if result.plan.rows.test_rows == 0 or not result.has_ended:
        return {}
    if not result.history.finished(TrialState.COMPLETE):
        return {}
    try:
        return result.test_scores()
    except HpsearchError as error:
        logger.warning("The test rows of %r could not be scored here: %s", result.plan.name, error)
        return {}


def _why_not(study: "Result", reference: "Result", ground: str) -> str | None:
    """Return why two winners cannot be compared on a ground, in words, or None where they can."""
    for result in (study, reference):
        if not result.history.finished(TrialState.COMPLETE):
            return f"no trial of {result.plan.name} is complete"
    one, other = (result.record.description for result in (study, reference))
    if one.metric != other.metric:
        return f"the objectives differ ({one.metric} and {other.metric})"
    if one.direction != other.direction:
        return f"one study is to {one.direction} {one.metric}, the other to {other.direction} it"
    if not (_computes(study, other) or _computes(reference, one)):
        return f"the objective {one.metric} is computed otherwise"
    if ground == "folds":
        if not _same_rows(study, reference, "train"):
            return "the training data differ"
        return "the folds differ" if one.folds != other.folds else None
    for result in (study, reference):
        if result.plan.rows.test_rows == 0:
            return f"{result.plan.name} has no test rows"
        if not result.has_ended:
            return f"{result.plan.name} has not ended, and a search must not be steered by its test rows"
    return None if _same_rows(study, reference, "test") else "the test rows differ"


def _computes(result: "Result", description: "Description") -> bool:
    """Return whether the objective computes what was described, by whichever version of hpsearch."""
    name, function = description.metric, result.plan.named_metric
    digest, own = description.definitions.get(name), result.record.description.definitions.get(name)
    if digest == own or digest is None or not callable(function):
        return digest == own
    return is_same(function, digest, description.state.get(name, ()))


def _same_rows(one: "Result", other: "Result", role: str) -> bool:
    """Whether both studies have the same rows with the same labels.

    Their digests are those of the rows as the model sees them, so two tokenizers give two. Then the digests of what was
    read of the rows are compared, wherever they were read from, and the labels row by row.
    """
    import numpy as np

    from hpsearch.data.dataset import open_dataset

    prepared = [result.plan.rows for result in (one, other)]
    if prepared[0].judge.to_json() != prepared[1].judge.to_json():
        return False
    digests = [rows.data_digest if role == "train" else rows.test_digest for rows in prepared]
    if digests[0] == digests[1]:
        return True
    contents = [rows.content.get(role) for rows in prepared]
    if contents[0] is None or contents[0] != contents[1]:
        return False
    folders = [rows.folder if role == "train" else rows.test_folder for rows in prepared]
    targets = [open_dataset(folder)["targets"] for folder in folders if folder is not None]
    return len(targets) == 2 and np.array_equal(targets[0], targets[1])


def _on_folds(study: "Result", reference: "Result") -> Any:
    """Return the corrected paired test of the two winners over the folds, each at its own point."""
    from dataclasses import replace

    from hpsearch.analysis.significance import paired_folds

    scores = [result.scores_by_fold() for result in (study, reference)]
    common = [place for place in scores[0] if place in scores[1]]
    shares = [study.plan.folds.test_share(fold) for fold, _ in common]
    evidence = paired_folds(
        [scores[0][place] for place in common],
        [scores[1][place] for place in common],
        shares,
        folds=[fold for fold, _ in common],
        direction=study.plan.aim.direction,
    )
    return replace(evidence, method=f"{evidence.method}; {SEARCHED}")
