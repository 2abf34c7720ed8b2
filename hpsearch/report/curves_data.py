"""All measurements of every trial, in the smallest form from which page.js draws curves and fills tables."""

from collections.abc import Sequence
from typing import Any

from hpsearch.analysis.aggregates import TrialSummary
from hpsearch.records import LOSS, Evaluation, TrialState
from hpsearch.records.objective_values import mean_value
from hpsearch.report.content import Content
from hpsearch.report.document import rounded
from hpsearch.report.theme import OTHERS, role_color
from hpsearch.report.wording import ended, escaped

MOST_NUMBERS = 150_000
"""Up to this many numbers, about a megabyte, the page keeps a trial's folds apart; later trials have means."""


def curves_data(content: Content, first: Sequence[int], most: int = MOST_NUMBERS) -> dict[str, Any]:
    """Return the measurements of all trials that have any.

    Each run has its training loss, seconds and metrics by evaluation point; epoch and learning rate are the same for
    all runs of a trial, which has them once. The least promising trials, beyond `most` numbers, have one run: the mean
    of theirs. `first` are the numbers of the trials drawn at first.
    """
    names = content.all_metrics
    left = most
    by_number: dict[int, dict[str, Any]] = {}
    for number in content.leading(len(content.summaries)):
        summary = content.summary(number)
        runs = _runs(content, summary)
        if not runs:
            continue
        left -= sum(len(evaluations) for _, _, evaluations in runs) * (2 + len(names))
        by_number[number] = _trial(content, summary, runs, names, apart=left >= 0 or number in first)
    return {
        "metrics": list(names),
        "titles": [escaped(name) for name in names],
        "loss": names.index(LOSS) if LOSS in names else -1,
        "objective": names.index(content.objective),
        "colors": list(OTHERS),
        "first": [number for number in first if number in by_number],
        "trials": [by_number[number] for number in sorted(by_number)],
    }


Runs = list[tuple[int, int, tuple[Evaluation, ...]]]


def _runs(content: Content, summary: TrialSummary) -> Runs:
    """Return (fold, repeat, evaluations) of each run that has begun."""
    trial = content.history.trials[summary.number]
    runs = [(run.fold, run.repeat, content.history.of(run.key)) for run in trial.runs]
    return sorted([run for run in runs if run[2]], key=lambda run: run[:2])


def _trial(content: Content, summary: TrialSummary, runs: Runs, names: Sequence[str], *, apart: bool) -> dict[str, Any]:
    longest = max((evaluations for _, _, evaluations in runs), key=len)
    measured = [_run(fold, repeat, evaluations, names) for fold, repeat, evaluations in runs] if apart else []
    return {
        "number": summary.number,
        "label": content.label(summary.number),
        "state": ended(summary.state),
        "value": rounded(summary.value),
        "color": role_color(content, summary.number),
        "point": summary.point if summary.state is TrialState.COMPLETE else None,
        "epoch": rounded([evaluation.epoch for evaluation in longest]),
        "rate": rounded([evaluation.learning_rate for evaluation in longest]),
        "runs": measured or [_mean_run(runs, names)],
    }


def _run(fold: int, repeat: int, evaluations: Sequence[Evaluation], names: Sequence[str]) -> dict[str, Any]:
    return {
        "fold": fold,
        "repeat": repeat,
        "train": rounded([evaluation.train_loss for evaluation in evaluations]),
        "seconds": rounded([evaluation.seconds for evaluation in evaluations]),
        "metrics": [rounded([evaluation.metrics.get(name) for evaluation in evaluations]) for name in names],
    }


def _mean_run(runs: Runs, names: Sequence[str]) -> dict[str, Any]:
    """Return the mean of the runs, up to the last point that all of them have reached."""
    points = list(zip(*(evaluations for _, _, evaluations in runs), strict=False))
    return {
        "fold": None,
        "of": len(runs),
        "train": rounded([mean_value([evaluation.train_loss for evaluation in point]) for point in points]),
        "seconds": rounded([mean_value([evaluation.seconds for evaluation in point]) for point in points]),
        "metrics": [[_mean_metric(point, name) for point in points] for name in names],
    }


def _mean_metric(point: Sequence[Evaluation], name: str) -> Any:
    """Return the mean of a metric, or None where one of the evaluations lacks it."""
    values = [evaluation.metrics.get(name) for evaluation in point]
    numbers = [value for value in values if value is not None]
    return rounded(mean_value(numbers)) if len(numbers) == len(values) else None
