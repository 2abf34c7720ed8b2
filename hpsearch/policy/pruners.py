"""Which pruner judges a study: one by name, by its settings, an object of Optuna's, or the user's own."""

import copy
import warnings
from collections.abc import Iterator

import optuna
from optuna.pruners import BasePruner
from optuna.trial import FrozenTrial

from hpsearch.errors import UsageError
from hpsearch.metrics.direction import Direction, Objective
from hpsearch.policy.projection import Projection
from hpsearch.policy.pruner import Pruner
from hpsearch.policy.pruning_steps import RUNGS_PER_RUN, running_best
from hpsearch.policy.racing import Racing, RacingPruner
from hpsearch.policy.rule_names import LEAST_FOLDS, PRUNERS, unknown
from hpsearch.policy.successive_halving import PromotingHalving, SuccessiveHalving
from hpsearch.provenance.modules import imported
from hpsearch.records import History, Trial
from hpsearch.space import Space

P_THRESHOLD = 0.1
"""Of the signed-rank test: Optuna's own default."""

MEDIAN_STARTUP_TRIALS = 4
"""Complete trials that the median pruner waits for; the literature default is one of them."""

MEDIAN_FIRST_STEP = 2
"""The first step that the median pruner judges: half of the first fold, on an axis that begins at 1.

Optuna calls it warmup steps and prunes where `step < n_warmup_steps` is false, so the warmup of 1 would judge step 1.
"""

_MEMORYLESS = (
    optuna.pruners.MedianPruner,
    optuna.pruners.NopPruner,
    optuna.pruners.PercentilePruner,
    optuna.pruners.ThresholdPruner,
    optuna.pruners.WilcoxonPruner,
)
"""Optuna's pruners whose answer depends on the values and states of trials alone."""

_INSTEAD = {
    optuna.pruners.SuccessiveHalvingPruner: "pruner='asha' or hp.SuccessiveHalving(...)",
    optuna.pruners.HyperbandPruner: "pruner='hyperband' or hp.SuccessiveHalving(brackets=None)",
}
"""Optuna's pruners that write into the trials which rung these have reached, and what does the same here."""


class OptunaPruning(Pruner):
    """One of Optuna's memoryless pruners, asked at steps that are quarters of a trial's own runs.

    Raises:
        UsageError: The pruner remembers what it was asked.
    """

    def __init__(self, pruner: BasePruner, space: Space, objective: Objective, name: str) -> None:
        _require_memoryless(pruner)
        self._pruner = pruner if objective.direction is Direction.MAXIMIZE else _mirrored(pruner)
        self._projection = Projection(space, objective)
        self._direction = objective.direction
        self._name = name

    def reason_to_prune(self, history: History, trial: Trial) -> str | None:
        frozen = self._projection.reporting(history, trial)
        if not frozen.intermediate_values or not self._would_prune(history, frozen):
            return None
        step = max(frozen.intermediate_values)
        run, quarter = divmod(step - 1, RUNGS_PER_RUN)
        value = self._direction.score(frozen.intermediate_values[step])
        return (
            f"{self._name}: partial value {value:.4g} after "
            f"{quarter + 1}/{RUNGS_PER_RUN} of run {run + 1} of {len(trial.runs)}"
        )

    def _would_prune(self, history: History, frozen: FrozenTrial) -> bool:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return self._pruner.prune(self._projection.study(history), frozen)


class FoldWilcoxon(OptunaPruning):
    """Optuna's WilcoxonPruner over whole folds: the score of a fold is the best that its run has shown.

    All configurations share folds, seeds and data order, so scores are paired by fold. A signed-rank test over the
    folds so far (Wilcoxon 1945) asks whether this trial is worse than the best complete one. It judges from four folds
    on, so it saves the folds from the fifth on.
    """

    def __init__(self, space: Space, objective: Objective) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            super().__init__(optuna.pruners.WilcoxonPruner(p_threshold=P_THRESHOLD), space, objective, "wilcoxon")
        self._projection = Projection(space, objective, steps=_fold_scores)

    def reason_to_prune(self, history: History, trial: Trial) -> str | None:
        frozen = self._projection.reporting(history, trial)
        scores = list(frozen.intermediate_values.values())
        if len(scores) < LEAST_FOLDS or len(scores) == len(trial.runs) or not self._would_prune(history, frozen):
            return None
        mean = self._direction.score(sum(scores) / len(scores))
        return f"wilcoxon: mean {mean:.4g} over {len(scores)} of {len(trial.runs)} folds, worse than the best trial's"


def _fold_scores(history: History, trial: Trial, objective: Objective) -> Iterator[tuple[int, float]]:
    """Yield (run, its best value) of a trial's whole runs, in order, up to the first that is not whole."""
    if trial.stop is None:
        return
    for index, run in enumerate(trial.runs):
        evaluations = history.of(run.key)[: trial.stop]
        if len(evaluations) < trial.stop:
            return
        yield index, running_best(evaluations, objective)


def resolve_pruner(
    pruner: str | BasePruner | Pruner | Racing | SuccessiveHalving | None, space: Space, objective: Objective
) -> Pruner:
    """Return the pruner that a study asks for.

    "racing" is the default (`hpsearch.policy.racing`). "asha" and "hyperband" let trials wait at rungs and promote them
    from their checkpoints (`hpsearch.policy.successive_halving`). "median" skips the first quarter of the first fold,
    where every curve is still on its plateau. "wilcoxon" compares fold by fold.

    Raises:
        UsageError: There is no such pruner, or a pruner object of Optuna's remembers what it was asked.
    """
    if isinstance(pruner, Pruner):
        return pruner
    if isinstance(pruner, BasePruner):
        return OptunaPruning(pruner, space, objective, type(pruner).__name__)
    if isinstance(pruner, Racing):
        return RacingPruner(pruner, objective)
    if isinstance(pruner, SuccessiveHalving):
        return PromotingHalving(pruner, objective, "successive halving")
    name = "none" if pruner is None else pruner
    if not isinstance(name, str) or name not in PRUNERS:
        raise unknown("pruner", pruner)
    made: Pruner = imported(PRUNERS[name])(space, objective)
    return made


# What makes the pruners that rule_names.py lists.


def no_pruning(_space: Space, _objective: Objective) -> Pruner:
    return Pruner()


def racing(_space: Space, objective: Objective) -> Pruner:
    return RacingPruner(Racing(), objective)


def asha(_space: Space, objective: Objective) -> Pruner:
    return PromotingHalving(SuccessiveHalving(), objective, "asha")


def hyperband(_space: Space, objective: Objective) -> Pruner:
    return PromotingHalving(SuccessiveHalving(brackets=None), objective, "hyperband")


def median(space: Space, objective: Objective) -> Pruner:
    rule = optuna.pruners.MedianPruner(n_startup_trials=MEDIAN_STARTUP_TRIALS, n_warmup_steps=MEDIAN_FIRST_STEP)
    return OptunaPruning(rule, space, objective, "median")


# Pruner objects of Optuna's.


def _mirrored(pruner: BasePruner) -> BasePruner:
    """Return a pruner as it judges scores of an objective that is minimized: bounds are of values as measured."""
    mirrored = copy.copy(pruner)
    if isinstance(mirrored, optuna.pruners.ThresholdPruner):
        mirrored._lower, mirrored._upper = -mirrored._upper, -mirrored._lower
    if isinstance(mirrored, optuna.pruners.PatientPruner) and mirrored._wrapped_pruner is not None:
        mirrored._wrapped_pruner = _mirrored(mirrored._wrapped_pruner)
    return mirrored


def _require_memoryless(pruner: BasePruner) -> None:
    """Refuse a pruner that remembers what it was asked: a resumed study has only the results of trials."""
    kind = type(pruner)
    if isinstance(pruner, optuna.pruners.PatientPruner) and kind is optuna.pruners.PatientPruner:
        if pruner._wrapped_pruner is not None:
            _require_memoryless(pruner._wrapped_pruner)
    elif kind in _INSTEAD:
        raise UsageError(
            f"Optuna's {kind.__name__} writes into the trials which rung they have reached, and a resumed study would "
            f"lack that, so it cannot be used here. Use {_INSTEAD[kind]}, which decide from the results alone and "
            "promote trials from their checkpoints."
        )
    elif kind not in _MEMORYLESS:
        raise UsageError(
            f"The pruner {kind.__name__} is not one of Optuna's own that are known to decide from the results of "
            "trials alone. What it remembers would be lost when the study is resumed, so it cannot be used here. "
            "Derive it from hp.Pruner instead, whose methods are given all results so far."
        )
