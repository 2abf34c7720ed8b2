"""Hand-made Histories."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from hpsearch.records import Evaluation, History, Origin, Run, Trial, TrialState

OBJECTIVE = "f1_macro"
HORIZON = 4


def evaluation(
    run: Run, point: int, value: float, *, points_per_epoch: int = 2, metrics: Mapping[str, float] | None = None
) -> Evaluation:
    """Return an evaluation whose loss falls as its objective rises."""
    loss = 1.5 - value if math.isfinite(value) else math.nan
    return Evaluation(
        run=run.key,
        point=point,
        epoch=point / points_per_epoch,
        train_loss=loss - 0.1,
        metrics={OBJECTIVE: value, "accuracy": value + 0.05, "loss": loss, **(metrics or {})},
        learning_rate=1e-4 / point,
        rows_seen=100 * point,
        seconds=2.0,
        peak_memory_bytes=1000 * point,
    )


def with_trial(
    history: History,
    number: int,
    curves: Sequence[Sequence[float]],
    *,
    state: TrialState = TrialState.COMPLETE,
    value: float | None = None,
    point: int | None = None,
    stop: int | None = None,
    config: Mapping[str, Any] | None = None,
    origin: Origin = Origin.SAMPLER,
    reason: str | None = None,
    horizon: int = HORIZON,
    repeats: int = 1,
    metrics: Mapping[str, float] | None = None,
) -> History:
    """Return the history with one trial more: a run a curve, an evaluation a value of it."""
    config = config or {"learning_rate": 1e-4 * (number + 1), "epochs": 2}
    folds = len(curves) // repeats
    runs = tuple(
        Run(f"trial {number} run {index}", config, fold=index % folds, repeat=index // folds, horizon=horizon)
        for index in range(len(curves))
    )
    trial = Trial(number, config, config, state, origin, runs, value, point, stop, reason)
    history = history.with_trial(trial)
    for run, curve in zip(runs, curves, strict=True):
        for index, score in enumerate(curve):
            history = history.with_evaluation(evaluation(run, index + 1, score, metrics=metrics))
    return history
