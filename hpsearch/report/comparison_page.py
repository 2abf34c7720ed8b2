"""The comparison of several studies: one HTML page that opens offline."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from hpsearch.records import TrialState
from hpsearch.report.comparison_content import ComparedStudy, ComparisonContent, Judgement
from hpsearch.report.comparison_figures import ComparisonFigures
from hpsearch.report.document import document, figures_data, write_document
from hpsearch.report.figure_sections import card, place
from hpsearch.report.sections import facts, grid_table
from hpsearch.report.wording import MISSING, brief, duration, ended, escaped, score, signed


def write_comparison(path: str | Path, content: ComparisonContent) -> Path:
    """Write the comparison, whole or not at all.

    Raises:
        UsageError: The path is a folder.
    """
    return write_document(path, comparison_page(content))


def comparison_page(content: ComparisonContent) -> str:
    """Return the page as text."""
    figures = ComparisonFigures(content)
    drawn = {
        "winners": figures.winners(),
        "by-trials": figures.best_so_far("trials"),
        "by-compute": figures.best_so_far("compute"),
        "winner-curves": figures.learning_curves(),
    }
    names = ", ".join(study.name for study in content.studies)
    body = "\n".join(
        [
            f'<header><p class="overline">hpsearch comparison</p><h1>{escaped(names)}</h1></header>',
            _answers(content),
            _studies(content),
            _figures(content),
            _winners(content),
            _facts(content),
        ]
    )
    return document(names, body, {**figures_data(drawn), "curves": None})


def _answers(content: ComparisonContent) -> str:
    """Return what was tested between the winners, and what came out, a row a test."""
    rows = [_judgement_row(judgement) for judgement in content.judgements]
    heads = ["study", "against", "on", "difference", "95% interval", "p-value", "verdict"]
    tests = [judgement.evidence for judgement in content.judgements if judgement.evidence is not None]
    methods = dict.fromkeys(evidence.method for evidence in tests)
    said = "".join(f"<li>{escaped(method)}</li>" for method in methods)
    note = f'<p class="muted">What was tested: the winner of each study against that of {escaped(content.reference)}.'
    if len(content.studies) > 2:
        note += (
            " There is more than one such question, so p-values and verdicts on the same ground are corrected by "
            "Holm's procedure; each interval is that of its comparison alone."
        )
    note += (
        " A winner on its own folds leans upwards, the more so the more trials its study had; test rows do not. Where "
        "two studies share their test rows, the verdict on these is the answer, and the folds only add to it.</p>"
    )
    words = _caution(content) + _in_words(content)
    return f"""<section class="card"><h2>Is one of the winners better than that of {escaped(content.reference)}?</h2>
{words}{grid_table(heads, rows)}{note}{f"<ul class=muted>{said}</ul>" if said else ""}</section>"""


def _caution(content: ComparisonContent) -> str:
    """Return what has to be known before any number is read: that the reference was chosen by its result."""
    if not content.reference_is_best:
        return ""
    return (
        f"<p><b>These numbers lean.</b> {escaped(content.reference)} is the reference because its value is the highest "
        "of these studies: chance had a part in that choice, and it makes differences too large and p-values too "
        "small, those on the folds above all. For a question settled beforehand, name the reference.</p>"
    )


def _in_words(content: ComparisonContent) -> str:
    """Return a sentence a study: by the test rows where they tell, else by the folds."""
    lines = []
    for name in dict.fromkeys(judgement.study for judgement in content.judgements):
        own = [judgement for judgement in content.judgements if judgement.study == name]
        known = next((judgement for judgement in own if judgement.evidence is not None), None)
        if known is None or known.evidence is None:
            lines.append(f"<b>{escaped(name)}</b>: not comparable.")
            continue
        lines.append(
            f"<b>{escaped(name)}</b>: {known.evidence.verdict}, {signed(known.evidence.difference)} on the "
            f"{known.ground}."
        )
    return "".join(f"<p>{line}</p>" for line in lines)


def _judgement_row(judgement: Judgement) -> list[str]:
    start = [escaped(judgement.study), escaped(judgement.reference), escaped(judgement.ground)]
    evidence = judgement.evidence
    if evidence is None:
        why = f'<span class="wide">not comparable: {escaped(judgement.why_not or "")}</span>'
        return [*start, MISSING, MISSING, MISSING, why]
    interval, p_value = MISSING, MISSING
    if evidence.interval is not None and evidence.p_value is not None:
        interval = f"{signed(evidence.interval[0])} to {signed(evidence.interval[1])}"
        p_value = "&lt;&nbsp;0.001" if evidence.p_value < 0.001 else f"{evidence.p_value:.2g}"
    return [*start, signed(evidence.difference), interval, p_value, f"<b>{evidence.verdict}</b>"]


def _studies(content: ComparisonContent) -> str:
    """Return a row a study: its winner, its trials, what it took."""
    tested = any(study.test_scores for study in content.studies)
    heads = ["study", "objective", "winner", "95% interval", *(["test rows"] if tested else [])]
    heads += ["trials", "epochs of one fold", "training", "by the clock"]
    rows = [_study_row(study, tested=tested) for study in content.studies]
    return f'<section class="card"><h2>The studies</h2>{grid_table(heads, rows)}</section>'


def _study_row(study: ComparedStudy, *, tested: bool) -> list[str]:
    content, best = study.content, study.content.best
    counts = ", ".join(f"{content.count(state)} {ended(state)}" for state in TrialState if content.count(state))
    interval = MISSING
    if best is not None and best.interval is not None:
        interval = f"{score(best.interval[0])} to {score(best.interval[1])}"
    return [
        f"<b>{escaped(study.name)}</b>",
        escaped(content.objective),
        "none yet" if best is None else f'{score(best.value)} <span class="muted">trial {best.number}</span>',
        interval,
        *([score(study.test_scores.get(content.objective))] if tested else []),
        counts or "none",
        f"{study.compute.epochs:.4g}",
        duration(study.compute.seconds),
        MISSING if study.compute.elapsed is None else duration(study.compute.elapsed),
    ]


def _figures(content: ComparisonContent) -> str:
    left_out = [study.name for study in content.studies if study not in content.alike]
    omitted = f" Left out, for their objective is another: {escaped(', '.join(left_out))}." if left_out else ""
    ends = "; ".join(
        f"{study.name} {score(study.content.best.value)}" for study in content.alike if study.content.best is not None
    )
    objective = escaped(content.objective)
    return "\n".join(
        [
            card(
                "winners",
                "The winners",
                f"Cross-validated mean of {objective} with its 95% interval, corrected for shared training rows; ticks "
                f"below are folds, diamonds above the test rows.{omitted}",
                place("winners", f"Winners' {content.objective}: {ends}.", fits=True),
            ),
            card(
                "by-trials",
                "Best so far, by trials",
                "The higher a line at the same place, the better the search used its trials.",
                place("by-trials", f"Best {content.objective} by trials; at the end {ends}."),
            ),
            card(
                "by-compute",
                "Best so far, by compute",
                "The same over the passes through the training rows of one fold, which is what trials cost; a step "
                "lies where the trial was complete.",
                place("by-compute", f"Best {content.objective} by epochs of one fold trained; at the end {ends}."),
            ),
            card(
                "winner-curves",
                "The winners' learning curves",
                "Mean over folds by epoch; a ring marks where the value is read.",
                place("winner-curves", f"Learning curves of the winners; they are read at {ends}."),
            ),
        ]
    )


def _winners(content: ComparisonContent) -> str:
    """Return the winners' configurations side by side."""
    shown = [(study.name, study.content.best) for study in content.studies if study.content.best is not None]
    if not shown:
        return ""
    names = dict.fromkeys(name for _, best in shown for name in best.config)
    rows = []
    for name in names:
        cells = [
            f'<span title="{escaped(best.config[name])}">{escaped(brief(best.config[name]))}</span>'
            if name in best.config
            else '<span class="muted">not used</span>'
            for _, best in shown
        ]
        bold = len(set(cells)) > 1
        rows.append([f"<code>{escaped(name)}</code>", *(f"<b>{cell}</b>" if bold else cell for cell in cells)])
    heads = ["hyperparameter", *(name for name, _ in shown)]
    return f'<section class="card"><h2>The winners\' configurations</h2>{grid_table(heads, rows)}</section>'


def _facts(content: ComparisonContent) -> str:
    """Return the facts in which the studies differ, a column a study, and those that they share."""
    every: Sequence[Mapping[str, object]] = [{"task": s.content.task, **s.content.facts} for s in content.studies]
    names = dict.fromkeys(name for known in every for name in known)
    differing = [name for name in names if len({repr(known.get(name)) for known in every}) > 1]
    rows = [[f"{escaped(name)}", *(escaped(known.get(name, MISSING)) for known in every)] for name in differing]
    table = grid_table(["in which they differ", *(study.name for study in content.studies)], rows) if rows else ""
    shared = facts({name: every[0][name] for name in names if name not in differing})
    return f'<section class="card"><h2>Data and search</h2>{table}{shared}</section>'
