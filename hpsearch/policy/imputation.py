"""The values that samplers see for trials that were not trained to their end.

A Gaussian process learns from complete trials alone. A Parzen estimator ranks every pruned trial below every complete
one, so the better half of the waiting trials looks bad. Without the pruned trials, nearly all of a study's bad half, a
model would keep proposing regions that the pruner has found to be bad. With their partial values, a trial pruned early
would look worse than one pruned late for that alone.

So a pruned or waiting trial gets its last value plus the median gain of complete trials from that step on; one late
bloomer does not move a median. The value never exceeds the best complete trial: an extrapolation must not become the
incumbent that improvements are counted from. A trial that diverged or ran out of memory gets the worst value of all
(the floor padding of Wakabayashi et al. 2022, npj Computational Materials 8): it keeps samplers away without being an
outlier that flattens everything else.
"""

import copy
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence

from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState


def imputed_values(trials: Iterable[FrozenTrial]) -> dict[int, float]:
    """Return trial number to value, measured or imputed.

    A trial in flight or failed has none. Nor has a diverged one where no other trial has a value.

    Args:
        trials: As `hpsearch.policy.projection` shows them: complete ones with all their steps, pruned and waiting
            ones with their last, diverged ones with none.
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
    """Return the trials; those that have a value, measured or imputed, are complete."""
    values = imputed_values(trials)
    return [
        _completed(trial, values[trial.number])
        if trial.state is OptunaState.PRUNED and trial.number in values
        else trial
        for trial in trials
    ]


def _median_gain(complete: Sequence[FrozenTrial], step: int) -> float:
    """Return the median gain of complete trials from a step to their end; 0 where there are none."""
    gains = []
    for trial in complete:
        partial = _partial(trial.intermediate_values, step)
        if partial is not None and trial.value is not None:
            gains.append(trial.value - partial)
    return statistics.median(gains) if gains else 0.0


def _partial(steps: Mapping[int, float], step: int) -> float | None:
    """Return the value at a step, or at the last before it: a trial that stopped early skips some."""
    reached = [earlier for earlier in steps if earlier <= step]
    return steps[max(reached)] if reached else None


def _completed(trial: FrozenTrial, value: float) -> FrozenTrial:
    complete = copy.copy(trial)
    complete.state, complete.values = OptunaState.COMPLETE, [value]
    return complete
