"""When to give a trial up: pure functions of History."""

import warnings
from typing import Protocol

import optuna

from hpsearch.errors import UsageError, nearest
from hpsearch.policy.axis import RUNGS_PER_RUN
from hpsearch.policy.projection import Projection
from hpsearch.records import History, Trial
from hpsearch.space import Space


class Pruner(Protocol):
    """The seam of the pruners."""

    def reason_to_prune(self, history: History, trial: Trial) -> str | None:
        """Return why the trial should end now, in words, or None when it should go on."""


class NoPruning:
    """Every trial trains every fold to its end."""

    def reason_to_prune(self, history: History, trial: Trial) -> str | None:
        return None


class OptunaPruning:
    """Any of Optuna's pruners, asked on the axis of `hpsearch.policy.axis`: quarters of a trial's own runs."""

    def __init__(self, pruner: optuna.pruners.BasePruner, space: Space, objective: str, name: str) -> None:
        self._pruner = pruner
        self._projection = Projection(space, objective)
        self._name = name

    def reason_to_prune(self, history: History, trial: Trial) -> str | None:
        frozen = self._projection.trial(history, trial)
        if not frozen.intermediate_values:
            return None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            if not self._pruner.prune(self._projection.study(history), frozen):
                return None
        step = max(frozen.intermediate_values)
        run, quarter = divmod(step - 1, RUNGS_PER_RUN)
        return (
            f"{self._name}: partial value {frozen.intermediate_values[step]:.4g} after "
            f"{quarter + 1}/{RUNGS_PER_RUN} of run {run + 1} of {len(trial.runs)}"
        )


MEDIAN_STARTUP_TRIALS = 4
"""Complete trials that the median pruner wants to see first; the literature default is one of them."""


def resolve_pruner(pruner: str | optuna.pruners.BasePruner | None, space: Space, objective: str) -> Pruner:
    """Return the pruner that a study was asked for.

    "median" never judges on the first quarter of the first fold, where every curve is still on its plateau.

    Raises:
        UsageError: The name is unknown.
    """
    if isinstance(pruner, optuna.pruners.BasePruner):
        return OptunaPruning(pruner, space, objective, type(pruner).__name__)
    if pruner is None or pruner == "none":
        return NoPruning()
    if pruner == "median":
        median = optuna.pruners.MedianPruner(n_startup_trials=MEDIAN_STARTUP_TRIALS, n_warmup_steps=1)
        return OptunaPruning(median, space, objective, "median")
    known = ["median", "none"]
    raise UsageError(
        f"There is no pruner {pruner!r}.{nearest(str(pruner), known)} The pruners are {', '.join(known)}, "
        "or any pruner object of Optuna's."
    )
