"""A study as pandas reads it: one row per trial, and the curves in long form."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from hpsearch.analysis.aggregates import TrialSummary, summarize_all
from hpsearch.records import LOSS, History

if TYPE_CHECKING:
    import pandas

BEFORE = ("number", "state", "origin", "value", "std", "interval_low", "interval_high", "epoch")
AFTER = ("folds", "seconds", "reason", "note")
_ABSENT = object()


def table(history: History, objective: str, test_shares: Sequence[float] | None = None) -> pandas.DataFrame:
    """Return one row per trial, by number.

    Columns are `number`, `state`, `origin`, `value`, `std`, `interval_low`, `interval_high`, `epoch`, then every
    hyperparameter by its name, then the mean of every metric by its name, then `folds` (how many were measured at
    that epoch), `seconds`, `reason` and `note` (what its configuration made of its training). A hyperparameter whose
    name is already a column is prefixed `config_`, a metric `metric_`. The cell of a hyperparameter that a trial does
    not have is missing.

    Args:
        test_shares: By fold, held-out rows over all rows of the split; None leaves the intervals missing.
    """
    import pandas

    floats = partial(pandas.Series, dtype="float64")  # of None it makes NaN
    summaries = summarize_all(history, objective, test_shares)
    columns: dict[str, Any] = {
        "number": pandas.Series([summary.number for summary in summaries], dtype="int64"),
        "state": [summary.state.value for summary in summaries],
        "origin": [summary.origin.value for summary in summaries],
        "value": floats([summary.value for summary in summaries]),
        "std": floats([summary.std for summary in summaries]),
        "interval_low": floats([summary.interval[0] if summary.interval else None for summary in summaries]),
        "interval_high": floats([summary.interval[1] if summary.interval else None for summary in summaries]),
        "epoch": floats([summary.epoch for summary in summaries]),
    }
    taken = {*BEFORE, *AFTER}
    for name in config_names(summaries):
        column = f"config_{name}" if name in taken else name
        columns[column] = _column([summary.config.get(name, _ABSENT) for summary in summaries])
    taken |= columns.keys()
    for name in metric_names(summaries):
        column = f"metric_{name}" if name in taken else name
        columns[column] = floats([summary.metrics.get(name) for summary in summaries])
    columns["folds"] = pandas.Series([len(summary.folds) for summary in summaries], dtype="int64")
    columns["seconds"] = floats([summary.seconds for summary in summaries])
    columns["reason"] = [summary.reason for summary in summaries]
    columns["note"] = [summary.note for summary in summaries]
    return pandas.DataFrame(columns)


def curves(history: History) -> pandas.DataFrame:
    """Return every evaluation of every metric in long form: one row per (trial, fold, repeat, point, metric).

    Columns are `trial`, `fold`, `repeat`, `point`, `epoch`, `metric`, `value`, `train_loss` and `learning_rate`.
    A run that two trials share appears under both.
    """
    import pandas

    rows = [
        (
            trial.number,
            run.fold,
            run.repeat,
            evaluation.point,
            evaluation.epoch,
            metric,
            value,
            evaluation.train_loss,
            evaluation.learning_rate,
        )
        for trial in history.trials.values()
        for run in trial.runs
        for evaluation in history.of(run.key)
        for metric, value in evaluation.metrics.items()
    ]
    names = ["trial", "fold", "repeat", "point", "epoch", "metric", "value", "train_loss", "learning_rate"]
    return pandas.DataFrame(rows, columns=names)


def mean_curves(curves: pandas.DataFrame) -> pandas.DataFrame:
    """Return each trial's mean curves over its runs: one row per (trial, point, metric), epochs rising.

    A point counts only if every begun run of the trial reached it: otherwise the mean would jump where it loses a fold.

    Args:
        curves: As `curves` returns them, or some of its rows.

    Returns:
        Columns `trial`, `point`, `epoch`, `metric`, `value`, `train_loss` and `runs` (how many it is the mean of).
        The mean is NaN where one value is.
    """
    by_run = curves.groupby(["trial", "fold", "repeat"])["point"].max()
    reached = by_run.groupby("trial").min().rename("reached")
    common = curves.join(reached, on="trial").query("point <= reached")
    grouped = common.groupby(["trial", "point", "metric"], sort=True)
    means = grouped.agg(
        epoch=("epoch", "first"),
        value=("value", lambda values: values.mean(skipna=False)),
        train_loss=("train_loss", lambda values: values.mean(skipna=False)),
        runs=("value", "size"),
    )
    return means.reset_index()[["trial", "point", "epoch", "metric", "value", "train_loss", "runs"]]


def config_names(summaries: Sequence[TrialSummary]) -> tuple[str, ...]:
    """Return the hyperparameters of any trial, in the order in which they first appear."""
    return tuple(dict.fromkeys(name for summary in summaries for name in summary.config))


def metric_names(summaries: Sequence[TrialSummary]) -> tuple[str, ...]:
    """Return the metrics of any trial in the order in which they first appear, the loss last."""
    names = dict.fromkeys(name for summary in summaries for name in summary.metrics)
    return (*(name for name in names if name != LOSS), *(name for name in names if name == LOSS))


def _column(values: Sequence[Any]) -> pandas.Series:
    """Return a hyperparameter's column; whole numbers stay whole when some are missing."""
    import pandas

    present = [value for value in values if value is not _ABSENT]
    none = "None" if "none" in present else "none"
    cells = [None if value is _ABSENT else none if value is None else value for value in values]
    if present and len(present) < len(values) and all(type(value) is int for value in present):
        return pandas.Series(cells, dtype="Int64")
    return pandas.Series(cells)
