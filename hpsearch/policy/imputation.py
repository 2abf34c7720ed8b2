"""The values that samplers are given for trials that were not trained to their end.

A Gaussian process learns from complete trials alone, and a Parzen estimator puts every pruned trial behind every
complete one, so that the better half of the waiting trials looks bad. Without the pruned trials, half of a study or
more and nearly all of its bad half, a model would keep proposing regions that the pruner has found to be bad. With
their partial values, a trial that was pruned early would look worse than one pruned late for that alone.

So a pruned or waiting trial gets the value that it would have if it gained as much as complete trials gained from its
last step on: their median gain, which one late bloomer does not move. It never exceeds the best complete trial, for an
extrapolation must not become the incumbent that improvements are counted from. A trial that diverged or ran out of
memory gets the worst value of all (the floor padding of Wakabayashi et al. 2022, npj Computational Materials 8): bad
enough to keep away, and no outlier that would flatten everything else.
"""

import copy
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence

from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState


def imputed_values(trials: Iterable[FrozenTrial]) -> dict[int, float]:
    """Return trial number to value, measured or imputed, of every trial that has one.

    Args:
        trials: As `hpsearch.policy.projection` shows them: complete ones with all their steps, pruned and waiting
            ones with their last, diverged ones with none.

    A trial in flight has no value, nor has one that failed. Where no trial has a value or a partial one, there is no
    worst one either, and those that diverged have none.
    """
    trials = list(trials)
    complete = [trial for trial in trials if trial.state is OptunaState.COMPLETE and trial.value is not None]
    values = {trial.number: float(trial.value) for trial in complete if trial.value is not None}
    best = max(values.values(), default=math.inf)
    gains: dict[int, float] = {}
    crashed = []
    for trial in trials:
        if trial.state is not OptunaState.PRUNED:
            continue
        if not trial.intermediate_values:
            crashed.append(trial.number)
            continue
        step = max(trial.intermediate_values)
        if step not in gains:
            gains[step] = _median_gain(complete, step)
        values[trial.number] = min(trial.intermediate_values[step] + gains[step], best)
    if values:
        values |= dict.fromkeys(crashed, min(values.values()))
    return values


def imputed(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Return the trials, each that has a value, measured or imputed, as a complete one."""
    values = imputed_values(trials)
    return [
        _completed(trial, values[trial.number])
        if trial.state is OptunaState.PRUNED and trial.number in values
        else trial
        for trial in trials
    ]


def _median_gain(complete: Sequence[FrozenTrial], step: int) -> float:
    """Return by how much complete trials grew from a step to their end, in the median; 0 where there are none."""
    gains = []
    for trial in complete:
        partial = _partial(trial.intermediate_values, step)
        if partial is not None and trial.value is not None:
            gains.append(trial.value - partial)
    return statistics.median(gains) if gains else 0.0


def _partial(steps: Mapping[int, float], step: int) -> float | None:
    """Return the value at a step, or at the last before it: a trial that stopped early jumps over some."""
    reached = [earlier for earlier in steps if earlier <= step]
    return steps[max(reached)] if reached else None


def _completed(trial: FrozenTrial, value: float) -> FrozenTrial:
    complete = copy.copy(trial)
    complete.state, complete.values = OptunaState.COMPLETE, [value]
    return complete
