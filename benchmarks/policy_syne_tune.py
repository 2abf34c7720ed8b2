"""Syne Tune's successive halving on the same table: its scheduler, its random searcher, its decisions.

    pip install --no-deps syne-tune==0.13.0     (and what it asks for: dill, sortedcontainers)

0.13.0 is the last version whose ASHA promotes paused trials; that of 0.16.0 only stops. The scheduler is asked and told
as Syne Tune's own loop does it, `suggest`, `on_trial_add`, `on_trial_result`, and a trial that it resumes goes on from
where it paused. Each level of its resource is reported, as it demands: a trial that passes several at once, as one of
two points a fold does on the axis of quarters, reports them one after the other.
"""

import datetime
import importlib.metadata
import logging
import warnings
from dataclasses import dataclass
from typing import Any, Literal

import hpsearch as hp
from benchmarks.grid_table import GridTable, Untried
from benchmarks.policy_replay import Replayed, Until
from benchmarks.policy_walk import Axis, Reached, Verdict, Walk, longest, simulated

METRIC, RESOURCE = "value", "step"


def is_installed() -> bool:
    """Whether a version is here that can promote."""
    try:
        return importlib.metadata.version("syne-tune").startswith("0.13.")
    except importlib.metadata.PackageNotFoundError:
        return False


@dataclass(frozen=True)
class SyneTune:
    """Syne Tune's ASHA, or PASHA.

    Attributes:
        kind: Its `type`.
        reduction_factor: eta.
        grace_period: The first rung.
        axis: What its resource counts.
    """

    kind: Literal["promotion", "stopping", "pasha"] = "promotion"
    reduction_factor: int = 3
    grace_period: int = 1
    axis: Axis = "points"

    def replay(self, table: GridTable, seed: int, workers: int, trials: int | None, until: Until) -> Replayed:
        logging.getLogger("syne_tune").setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            scheduler = _Scheduler(self, table, seed, trials)
            return simulated(scheduler, table, seed, workers, until, scheduler.tried)


@dataclass
class _Owed:
    """Levels that a paused trial has reached already and has not reported."""

    levels: range
    value: float


class _Scheduler:
    """Asks and tells a scheduler of Syne Tune's.

    Attributes:
        tried: The configurations that were begun.
    """

    def __init__(self, given: SyneTune, table: GridTable, seed: int, trials: int | None) -> None:
        from syne_tune.config_space import choice, randint
        from syne_tune.optimizer.schedulers import HyperbandScheduler

        space: dict[str, Any] = {}
        for name, parameter in table.space.parameters.items():
            if isinstance(parameter, hp.Categorical):
                space[name] = choice(list(parameter.choices))
            elif isinstance(parameter, hp.Int):
                space[name] = randint(parameter.low, parameter.high)
        first = [] if table.default is None else [table.proposal(table.default)]
        self._scheduler = HyperbandScheduler(
            space, searcher="random", metric=METRIC, mode="max", resource_attr=RESOURCE, type=given.kind,
            max_t=longest(table, given.axis), grace_period=given.grace_period,
            reduction_factor=given.reduction_factor, random_seed=seed, points_to_evaluate=first,
            search_options={"debug_log": False},
        )  # fmt: skip
        self._axis = given.axis
        self._trials = len(table.params) if trials is None else min(trials, len(table.params))
        self._table = table
        self._untried = Untried(table, seed)
        self._walks: dict[int, Walk] = {}
        self._levels: dict[int, int] = {}
        self._owed: dict[int, _Owed] = {}
        self._whole: set[int] = set()
        self._asked = 0
        self.tried: set[int] = set()

    def begin(self) -> Walk | None:
        while True:
            suggestion = self._scheduler.suggest(self._asked)
            if suggestion is None:
                return None
            if suggestion.spawn_new_trial_id:
                return self._new(suggestion.config)
            walk = self._walks[suggestion.checkpoint_trial_id]
            if walk.configuration in self._whole:  # paused at its own last point: resumed, it has nothing to train
                self._complete(walk)
                continue
            owed = self._owed.pop(walk.trial.trial_id, None)
            if owed is None or self._tell(walk, owed.levels, owed.value) is Verdict.GOES_ON:
                return walk

    def report(self, walk: Walk, reached: Reached) -> Verdict:
        step = reached.steps[self._axis]
        if step is None:
            return Verdict.GOES_ON
        value = self._table.values[walk.configuration] if reached.is_last else reached.value
        levels = range(self._levels[walk.trial.trial_id] + 1, step + 1)
        verdict = self._tell(walk, levels, value)
        if reached.is_last:
            self._whole.add(walk.configuration)
            if verdict is Verdict.GOES_ON:
                self._complete(walk)
        return verdict

    def _complete(self, walk: Walk) -> None:
        number = walk.trial.trial_id
        result = {METRIC: self._table.values[walk.configuration], RESOURCE: self._levels[number]}
        self._scheduler.on_trial_complete(walk.trial, result)

    def _new(self, config: dict[str, Any]) -> Walk | None:
        from syne_tune.backend.trial_status import Trial

        number, self._asked = self._asked, self._asked + 1
        chosen = self._untried.nearest(config, self.tried) if len(self.tried) < self._trials else None
        if chosen is None:  # the study has its trials: only those that it resumes are trained
            self._scheduler.on_trial_remove(Trial(number, config, datetime.datetime(2000, 1, 1)))
            return None
        trial = Trial(number, self._table.proposal(chosen), datetime.datetime(2000, 1, 1))
        self._scheduler.on_trial_add(trial)
        self.tried.add(chosen)
        self._walks[number], self._levels[number] = Walk(trial, chosen), 0
        return self._walks[number]

    def _tell(self, walk: Walk, levels: range, value: float) -> Verdict:
        number = walk.trial.trial_id
        for level in levels:
            self._levels[number] = level
            decision = self._scheduler.on_trial_result(walk.trial, {METRIC: value, RESOURCE: level})
            if decision == "PAUSE":
                if level < levels.stop - 1:
                    self._owed[number] = _Owed(range(level + 1, levels.stop), value)
                return Verdict.PAUSES
            if decision == "STOP":
                return Verdict.ENDS
        return Verdict.GOES_ON
