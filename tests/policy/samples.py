"""Small histories, made by hand."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from hpsearch.metrics.direction import Direction, Objective
from hpsearch.records import Evaluation, History, Origin, Outcome, Run, Segment, SegmentResult, Trial, TrialState

F1 = Objective("f1")
MIRRORED = Objective("f1", Direction.MINIMIZE)
"""The same search seen in a mirror: the objective is negated, and less of it is better."""


def trial(number: int, config: Mapping[str, Any] | None = None, *, horizon: int = 4, folds: int = 3) -> Trial:
    whole = {"learning_rate": 1e-3 * (number + 1), "epochs": horizon // 2, "warmup_ratio": 0.0, **(config or {})}
    runs = tuple(Run(f"{number}-{fold}", whole, fold, 0, horizon) for fold in range(folds))
    params = {"learning_rate": whole["learning_rate"]}
    return Trial(number, whole, params, TrialState.RUNNING, Origin.SAMPLER, runs)


def measured(
    history: History, number: int, fold: int, scores: Sequence[float], losses: Sequence[float] = ()
) -> History:
    """Append evaluations of one run; the loss falls unless given."""
    key = history.trials[number].runs[fold].key
    start = len(history.of(key))
    for offset, score in enumerate(scores, 1):
        loss = losses[offset - 1] if losses else 1.0 / (start + offset)
        point = start + offset
        history = history.with_evaluation(
            Evaluation(key, point, point / 2, 1.0, {"f1": score, "loss": loss}, 1e-3, point)
        )
    return history


def stopped(history: History, number: int, stop: int) -> History:
    return history.with_trial(replace(history.trials[number], stop=stop))


def mirrored(history: History, metric: str = "f1") -> History:
    """Return a history with the objective negated, to be minimized: its mirror image."""
    evaluations = {
        key: tuple(replace(each, metrics={**each.metrics, metric: -each.metrics[metric]}) for each in of_run)
        for key, of_run in history.evaluations.items()
    }
    trials = {
        number: each if each.value is None else replace(each, value=-each.value)
        for number, each in history.trials.items()
    }
    return replace(history, trials=trials, evaluations=evaluations, direction=Direction.MINIMIZE)


def ended(history: History, number: int, fold: int, outcome: Outcome, log: str = "") -> History:
    run = history.trials[number].runs[fold]
    return history.with_result(SegmentResult(Segment(run, 0, run.horizon), outcome, history.point(run), log))
