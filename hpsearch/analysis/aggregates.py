"""The result of a trial, over its folds."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hpsearch.analysis.significance import corrected_interval
from hpsearch.metrics.direction import Direction
from hpsearch.metrics.known import bounds
from hpsearch.records import Evaluation, History, Origin, Trial, TrialState
from hpsearch.records.objective_values import best_common_point, mean_value, objective_curve
from hpsearch.records.run_length import run_epochs, whole_up


@dataclass(frozen=True)
class TrialSummary:
    """One trial in numbers.

    Attributes:
        value: The cross-validated objective (COMPLETE), the partial mean that judged it (PRUNED), the best so far
            (unfinished, failed, or pruned without one); None where nothing, or no number, was measured.
        point: The evaluation point of the other numbers, common to all folds; None where nothing was measured.
        epoch: The same point as passes over the training rows.
        folds: The objective of each run that reached `point`, in the order of the trial's runs.
        runs: How many runs the trial has when whole: folds times repeats.
        interval: 95% interval of the cross-validated mean, corrected for overlapping folds; None until every
            fold has been measured, with a single fold, or where the folds do not differ.
        metrics: Mean over `folds` of every metric recorded at `point`.
        std: Standard deviation of `folds` (k - 1 in the denominator), or None with fewer than two.
        seconds: Training and evaluation of all its runs; a run that it shares with an equal trial counts in both.
        peak_memory_bytes: The most that any of its runs took.
        reason: Why it ended, in words, or None.
        note: What its configuration made of its training, where that is hardly meant, or None.
        ended_runs: How many of its runs, from the first on, were trained to the end; 0 where it was pruned without a
            value (it diverged, or ran out of memory).
    """

    number: int
    state: TrialState
    origin: Origin
    config: Mapping[str, Any]
    value: float | None
    point: int | None
    epoch: float | None
    folds: tuple[float, ...]
    runs: int
    interval: tuple[float, float] | None
    metrics: Mapping[str, float]
    std: float | None
    seconds: float
    peak_memory_bytes: int
    reason: str | None
    note: str | None
    ended_runs: int


def summarize(
    trial: Trial, history: History, objective: str, test_shares: Sequence[float] | None = None
) -> TrialSummary:
    """Return the numbers of a trial in any state.

    The interval says how far the mean would move on other rows, cut off where no score can lie. It does not know that
    this trial and its epoch were chosen among many: the mean of a search's winner is itself optimistic.

    Args:
        test_shares: By fold, held-out rows over all rows of the split; None leaves the interval out.
    """
    point, value = _point_and_value(trial, history, objective)
    measured = () if point is None else tuple(run for run in trial.runs if history.point(run) >= point)
    evaluations = [] if point is None else [history.of(run.key)[point - 1] for run in measured]
    folds = tuple(evaluation.metrics[objective] for evaluation in evaluations)
    interval = None
    if test_shares is not None and len(folds) == len(trial.runs):
        shares = [test_shares[run.fold] for run in measured]
        interval = corrected_interval(folds, shares, folds=[run.fold for run in measured])
        interval = _possible(interval, folds, objective)
    everything = [evaluation for run in trial.runs for evaluation in history.of(run.key)]
    return TrialSummary(
        number=trial.number,
        state=trial.state,
        origin=trial.origin,
        config=trial.config,
        value=value,
        point=point,
        epoch=evaluations[0].epoch if evaluations else None,
        folds=folds,
        runs=len(trial.runs),
        interval=interval,
        metrics=_mean_metrics(evaluations),
        std=_standard_deviation(folds),
        seconds=math.fsum(evaluation.seconds for evaluation in everything),
        peak_memory_bytes=max((evaluation.peak_memory_bytes for evaluation in everything), default=0),
        reason=trial.reason,
        note=_note(trial),
        ended_runs=_ended_runs(trial, history),
    )


def _possible(
    interval: tuple[float, float] | None, folds: Sequence[float], objective: str
) -> tuple[float, float] | None:
    """Cut an interval off at the metric's bounds: Student's t knows of none, and three folds make a wide one."""
    low, high = bounds(objective)
    if interval is None or not all(low <= score <= high for score in folds):
        return interval
    return max(interval[0], low), min(interval[1], high)


def summarize_all(
    history: History, objective: str, test_shares: Sequence[float] | None = None
) -> tuple[TrialSummary, ...]:
    """Return every trial in numbers, by number."""
    trials = sorted(history.trials.values(), key=lambda trial: trial.number)
    return tuple(summarize(trial, history, objective, test_shares) for trial in trials)


def best_trial(history: History) -> Trial | None:
    """Return the complete trial of the best value, ties to the lowest number, or None where none is complete.

    A pruned trial is never the best: its partial value comes from fewer folds.
    """
    complete = [
        trial
        for trial in history.finished(TrialState.COMPLETE)
        if trial.value is not None and not math.isnan(trial.value)
    ]
    return max(complete, key=lambda trial: (history.direction.score(trial.value or 0.0), -trial.number), default=None)


def default_trial(history: History) -> Trial | None:
    """Return the trial of the space's literature default, whatever its state, or None where there is none."""
    return next((trial for trial in history.trials.values() if trial.origin is Origin.DEFAULT), None)


def best_so_far(
    summaries: Sequence[TrialSummary], direction: Direction = Direction.MAXIMIZE
) -> tuple[float | None, ...]:
    """Return, for each trial, the best value among the complete ones up to it."""
    best: float | None = None
    values = []
    for summary in summaries:
        value = summary.value
        if summary.state is TrialState.COMPLETE and value is not None:
            best = value if best is None or direction.score(value) > direction.score(best) else best
        values.append(best)
    return tuple(values)


def _point_and_value(trial: Trial, history: History, objective: str) -> tuple[int | None, float | None]:
    """Return what the policy recorded for a finished trial, else the best so far of its ended runs, or of its first."""
    if trial.point is not None and trial.value is not None and not math.isnan(trial.value):
        return trial.point, trial.value
    started = [run for run in trial.runs if history.point(run) > 0]
    if not started:
        return None, trial.value
    ended = [run for run in started if history.point(run) >= (run.horizon if trial.stop is None else trial.stop)]
    chosen = ended or started[:1]
    curves = [objective_curve(history, run, objective) for run in chosen]
    point, value = best_common_point(curves, trial.stop, history.direction)
    return point, None if math.isnan(value) else value


def _note(trial: Trial) -> str | None:
    """Say of a trial that its first run ends in its warmup, if it does, and how far the learning rate rises."""
    run = next(iter(trial.runs), None)
    if run is None or not run.steps_per_epoch:
        return None
    steps = whole_up(run.steps_per_epoch * run_epochs(run))
    given = run.config.get("warmup_steps")
    warmup = math.ceil((run.config.get("warmup_ratio") or 0.0) * steps) if given is None else int(given)
    if warmup < steps:
        return None
    return (
        f"ends in its warmup: the learning rate rises to {(steps - 1) / warmup:.2g} of learning_rate in {steps} steps"
    )


def _ended_runs(trial: Trial, history: History) -> int:
    """Count the runs, from the first on, that reached the point where the trial's runs stop."""
    if trial.stop is None or (trial.state is TrialState.PRUNED and trial.value is None):
        return 0
    reached = [history.point(run) >= trial.stop for run in trial.runs]
    return reached.index(False) if False in reached else len(reached)


def _mean_metrics(evaluations: Sequence[Evaluation]) -> Mapping[str, float]:
    """Return the mean of every metric that all evaluations recorded; NaN where one value is."""
    if not evaluations:
        return {}
    names = [name for name in evaluations[0].metrics if all(name in other.metrics for other in evaluations)]
    return {name: mean_value([evaluation.metrics[name] for evaluation in evaluations]) for name in names}


def _standard_deviation(folds: Sequence[float]) -> float | None:
    if len(folds) < 2:
        return None
    mean = mean_value(folds)
    return math.sqrt(sum((fold - mean) ** 2 for fold in folds) / (len(folds) - 1))
