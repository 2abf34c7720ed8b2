"""The outcome of a study as a terminal shows it: one row per trial, then the best one."""

from collections.abc import Iterable, Sequence
from typing import Any

from hpsearch.analysis.aggregates import TrialSummary
from hpsearch.analysis.repeatability import HEADING
from hpsearch.errors import printable
from hpsearch.policy.budget import EXPECTED, Ending
from hpsearch.records import History, Origin
from hpsearch.space.wording import spelled


def outcome_text(
    history: History,
    objective: str,
    test_shares: Sequence[float] | None,
    searched: Iterable[str],
    warnings: Sequence[str] = (),
    pos_label: Any = None,
    ending: Ending | None = None,
    disturbances: Sequence[str] = (),
) -> str:
    """Return the trials and the best of them as lines of text.

    Args:
        history: Everything so far.
        objective: Name of the objective among the metrics.
        test_shares: By fold, held-out rows over all rows of the split; None leaves the interval out.
        searched: Names of the searched hyperparameters; fixed ones are shown for the best trial only.
        warnings: What was warned of when the study was run.
        pos_label: The class that metrics of one class are of, or None.
        ending: What ended the last run, or None.
        disturbances: What another run of the same script may lack (repeatability.py).
    """
    from hpsearch.analysis.aggregates import best_trial, summarize, summarize_all

    if not history.trials:
        return "No trial has started yet."
    names = list(searched)
    rows = [["trial", "state", objective, "std", "folds", *names, "why it ended"]]
    for summary in summarize_all(history, objective):
        origin = "" if summary.origin is Origin.SAMPLER else f" ({summary.origin.value})"
        measured = [_number(summary.value), _number(summary.std), f"{len(summary.folds)}/{summary.runs}"]
        params = [spelled(summary.config[name], digits=3) if name in summary.config else "" for name in names]
        rows.append([f"{summary.number}{origin}", summary.state.value, *measured, *params, _ended(summary)])
    lines = [*aligned(rows), *(f"warning: {text}" for text in warnings)]
    lines += [] if pos_label is None else [f"positive class: {pos_label}"]
    trials, repeats = len(history.trials), history.repeats()
    if repeats:
        lines.append(f"{trials} trials, {trials - repeats} different configurations: {repeats} repeat an earlier one.")
    lines += [] if ending is None or ending.limit in EXPECTED else [f"ended by {ending.limit}: {ending.reason}"]
    lines += [HEADING, *(f"  {each}" for each in disturbances)] if disturbances else []
    trial = best_trial(history)
    if trial is None:
        return "\n".join([*lines, "No trial is complete."])
    best = summarize(trial, history, objective, test_shares)
    interval = "" if best.interval is None else f", 95% interval {best.interval[0]:.4f} to {best.interval[1]:.4f}"
    lines.append(f"best: trial {best.number}, {objective} {best.value:.4f}{interval}, at epoch {best.epoch:g}")
    lines += [f"  {name} = {spelled(value)}" for name, value in best.config.items()]
    return printable("\n".join(lines))


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows of cells as lines of left-aligned columns, printable."""
    rows = [[printable(cell) for cell in row] for row in rows]
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _ended(summary: TrialSummary) -> str:
    return "; ".join(text for text in (summary.reason, summary.note) if text)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
