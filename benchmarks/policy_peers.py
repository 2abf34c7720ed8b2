"""Optuna's pruners as a careful user runs them: TPE, one worker a trial, its folds in turn, a report a point.

Reported is the mean over the folds begun of the best each has shown, on the folds-by-epochs axis; a trial that has all
of its folds is told its value over them, the same as ours. The Wilcoxon pruner is used as its documentation says: it is
given scores, not means, and a trial that it stops is told the mean of what it has.
"""

import warnings
from dataclasses import dataclass

import optuna

import hpsearch as hp
from benchmarks import exact_wilcoxon
from benchmarks.grid_table import GridTable, Untried
from benchmarks.policy_replay import Replayed, Until
from benchmarks.policy_walk import Axis, Reached, Verdict, Walk, longest, simulated
from hpsearch.policy.projection import distribution


@dataclass(frozen=True)
class Halving:
    """Optuna's SuccessiveHalvingPruner."""

    reduction_factor: int = 4
    min_resource: int = 1
    axis: Axis = "points"

    def pruner(self, table: GridTable) -> optuna.pruners.BasePruner:
        return optuna.pruners.SuccessiveHalvingPruner(self.min_resource, self.reduction_factor)


@dataclass(frozen=True)
class Hyperband:
    """Optuna's HyperbandPruner, told the longest trial there is."""

    reduction_factor: int = 3
    min_resource: int = 1
    axis: Axis = "points"

    def pruner(self, table: GridTable) -> optuna.pruners.BasePruner:
        return optuna.pruners.HyperbandPruner(self.min_resource, longest(table, self.axis), self.reduction_factor)


@dataclass(frozen=True)
class Median:
    """Optuna's MedianPruner."""

    warmup_steps: int = 0
    axis: Axis = "points"

    def pruner(self, table: GridTable) -> optuna.pruners.BasePruner:
        return optuna.pruners.MedianPruner(n_warmup_steps=self.warmup_steps)


@dataclass(frozen=True)
class Wilcoxon:
    """Optuna's WilcoxonPruner, over folds (`axis=None`) or over the points of all folds."""

    p_threshold: float = 0.1
    startup_steps: int = 2
    axis: Axis | None = None

    def pruner(self, table: GridTable) -> optuna.pruners.BasePruner:
        return optuna.pruners.WilcoxonPruner(p_threshold=self.p_threshold, n_startup_steps=self.startup_steps)


Rule = Halving | Hyperband | Median | Wilcoxon


@dataclass(frozen=True)
class OptunaPeer:
    """A study of Optuna's: TPE, and a pruner."""

    rule: Rule

    def replay(self, table: GridTable, seed: int, workers: int, trials: int | None, until: Until) -> Replayed:
        with warnings.catch_warnings(), exact_wilcoxon.in_optuna():
            warnings.simplefilter("ignore")  # what is experimental; steps that the best trial has not
            study = _Study(self.rule, table, seed, trials)
            return simulated(study, table, seed, workers, until, study.tried)


class _Study:
    """An Optuna study, asked and told.

    Attributes:
        tried: The configurations that were begun.
    """

    def __init__(self, rule: Rule, table: GridTable, seed: int, trials: int | None) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._rule = rule
        self._table = table
        self._trials = len(table.params) if trials is None else min(trials, len(table.params))
        self._untried = Untried(table, seed)
        self._distributions = {
            name: distribution(parameter)
            for name, parameter in table.space.parameters.items()
            if isinstance(parameter, hp.Float | hp.Int | hp.Categorical)
        }
        sampler = optuna.samplers.TPESampler(seed=seed)
        self._study = optuna.create_study(
            direction="maximize", study_name=f"{table.name}-{seed}", sampler=sampler, pruner=rule.pruner(table)
        )
        if table.default is not None:
            self._study.enqueue_trial(table.proposal(table.default))
        self.tried: set[int] = set()

    def begin(self) -> Walk | None:
        if len(self.tried) >= self._trials:
            return None
        trial = self._study.ask(self._distributions)
        chosen = self._untried.nearest(trial.params, self.tried)
        if chosen is None:
            return None
        self._become(trial, chosen)
        self.tried.add(chosen)
        return Walk(trial, chosen)

    def report(self, walk: Walk, reached: Reached) -> Verdict:
        trial = walk.trial
        if isinstance(self._rule, Wilcoxon):
            step = reached.steps[self._rule.axis] if self._rule.axis is not None else self._fold(reached)
            value = reached.score if self._rule.axis is not None else reached.best
        else:
            step, value = reached.steps[self._rule.axis], reached.value
        if step is not None:
            trial.report(value, step)
        if reached.is_last:
            self._study.tell(trial, self._table.values[walk.configuration])
            return Verdict.ENDS
        if step is None or not trial.should_prune():
            return Verdict.GOES_ON
        if isinstance(self._rule, Wilcoxon):
            self._study.tell(trial, reached.value)
        else:
            self._study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        return Verdict.ENDS

    @staticmethod
    def _fold(reached: Reached) -> int | None:
        return reached.fold if reached.ends_fold else None

    def _become(self, trial: optuna.Trial, configuration: int) -> None:
        """Write into the trial the configuration that is tried in the place of the proposed one."""
        for name, value in self._table.proposal(configuration).items():
            if trial.params[name] != value:
                searched = self._distributions[name]
                internal = searched.to_internal_repr(value)
                self._study._storage.set_trial_param(trial._trial_id, name, internal, searched)
