"""When to give a trial up: pure functions of History."""

import warnings

import optuna

from hpsearch.policy.axis import RUNGS_PER_RUN
from hpsearch.policy.names import unknown
from hpsearch.policy.projection import Projection
from hpsearch.policy.pruner import Pruner
from hpsearch.policy.racing import Racing, RacingPruner
from hpsearch.policy.replay import Replay
from hpsearch.policy.successive_halving import PromotingHalving, SuccessiveHalving
from hpsearch.policy.wilcoxon import FoldWilcoxon
from hpsearch.records import History, Trial
from hpsearch.space import Space


class NoPruning(Pruner):
    """Every trial trains every fold to its end."""


class OptunaPruning(Pruner):
    """Any of Optuna's pruners, asked on the axis of `hpsearch.policy.axis`: quarters of a trial's own runs.

    What a pruner remembers from question to question is worked out from History by `hpsearch.policy.replay`, so that
    a resumed study decides as if nothing had been.

    Raises:
        UsageError: The pruner cannot be replayed.
    """

    def __init__(self, pruner: optuna.pruners.BasePruner, space: Space, objective: str, name: str) -> None:
        self._projection = Projection(space, objective)
        self._replay = Replay(pruner, self._projection)
        self._name = name

    def reason_to_prune(self, history: History, trial: Trial) -> str | None:
        frozen = self._projection.reporting(history, trial)
        if not frozen.intermediate_values:
            return None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            if not self._replay.prunes(history, trial):
                return None
        step = max(frozen.intermediate_values)
        run, quarter = divmod(step - 1, RUNGS_PER_RUN)
        return (
            f"{self._name}: partial value {frozen.intermediate_values[step]:.4g} after "
            f"{quarter + 1}/{RUNGS_PER_RUN} of run {run + 1} of {len(trial.runs)}"
        )


MEDIAN_STARTUP_TRIALS = 4
"""Complete trials that the median pruner wants to see first; the literature default is one of them."""

MEDIAN_FIRST_STEP = 2
"""The first step that the median pruner judges, of an axis that begins at 1: half of the first fold.

Optuna calls it warmup steps and prunes where `step < n_warmup_steps` is false, so the warmup of 1 would judge step 1.
"""


def resolve_pruner(
    pruner: str | optuna.pruners.BasePruner | Racing | SuccessiveHalving | None,
    space: Space,
    objective: str,
    runs: int | None,
    rows: int | None = None,
) -> Pruner:
    """Return the pruner that a study was asked for.

    "racing" is the default (`hpsearch.policy.racing`). "asha" and "hyperband" let trials wait at rungs and promote them
    from their checkpoints (`hpsearch.policy.successive_halving`). "median" never judges on the first quarter of the
    first fold, where every curve is still on its plateau. "wilcoxon" compares fold by fold
    (`hpsearch.policy.wilcoxon`).

    Args:
        pruner: A name, a `Racing`, a `SuccessiveHalving`, a pruner object of Optuna's, or None.
        space: What is searched.
        objective: Name of the objective among the metrics.
        runs: Runs of a trial, folds times repeats; None where that is not known yet.
        rows: Training rows of a fold; None where that is not known yet.

    Raises:
        UsageError: The name is unknown, a pruner object cannot be replayed, or so few runs leave it nothing to do.
    """
    if isinstance(pruner, optuna.pruners.BasePruner):
        return OptunaPruning(pruner, space, objective, type(pruner).__name__)
    if isinstance(pruner, Racing):
        return RacingPruner(pruner, objective, rows)
    if isinstance(pruner, SuccessiveHalving):
        return PromotingHalving(pruner, objective, "successive halving")
    match pruner:
        case None | "none":
            return NoPruning()
        case "racing":
            return RacingPruner(Racing(), objective, rows)
        case "asha":
            return PromotingHalving(SuccessiveHalving(), objective, "asha")
        case "hyperband":
            return PromotingHalving(SuccessiveHalving(brackets=None), objective, "hyperband")
        case "wilcoxon":
            return FoldWilcoxon(space, objective, runs)
        case "median":
            median = optuna.pruners.MedianPruner(
                n_startup_trials=MEDIAN_STARTUP_TRIALS, n_warmup_steps=MEDIAN_FIRST_STEP
            )
            return OptunaPruning(median, space, objective, "median")
    raise unknown("pruner", pruner)
