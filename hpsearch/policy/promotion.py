"""Promotion: trials run to a rung and wait; the best continue from their checkpoints, and the others still may later.

`hpsearch.policy.successive_halving` and `hpsearch.policy.racing` share this. Asynchronous promotion is that of Li et
al. 2020, "A System for Massively Parallel Hyperparameter Tuning", algorithm 2.
"""

import operator
from abc import abstractmethod
from collections import defaultdict
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import takewhile
from typing import Any

from hpsearch.metrics.direction import Objective
from hpsearch.policy.ladder import Ladder, Rung
from hpsearch.policy.progress import Progress
from hpsearch.policy.pruner import Pruner
from hpsearch.policy.pruning_steps import (
    RUNGS_PER_RUN,
    first_judged_step,
    furthest_point,
    reports_at_end,
    running_best,
    steps_reached,
)
from hpsearch.records import History, Trial


@dataclass
class _Standing:
    """Who has to wait where, while further trials are coming or not.

    Attributes:
        ladders: The rungs of each group.
        limits: Trial number to the rung that it has to wait at.
        moved: Trials that have come further or ended since.
        basis: What promotions went by besides.
    """

    ladders: dict[Hashable, Ladder] = field(default_factory=dict)
    limits: Mapping[int, int] = field(default_factory=dict)
    moved: set[int] = field(default_factory=set)
    basis: Any = None


class PromotingPruner(Pruner):
    """Says how far each trial may go; a pure function of History. It compares scores, greater for the better."""

    def __init__(self, objective: Objective, name: str, reduction_factor: int) -> None:
        self._objective = objective
        self._name = name
        self._reduction_factor = reduction_factor
        self._history: History | None = None  # what the others were computed from
        self._progress: dict[int, Progress] = {}
        self._ends = 0  # grows when a fold or a trial has ended
        self._standings: dict[bool, _Standing] = {}

    @abstractmethod
    def rungs(self, trial: Trial) -> tuple[int, ...]:
        """Return the rungs that a trial may have to wait at, lowest first, without its end."""

    @abstractmethod
    def group_of(self, trial: Trial) -> tuple[Hashable, tuple[int, ...], int | None]:
        """Return the key of the group that a trial is compared with, and that group's rungs and size."""

    @abstractmethod
    def promoted(self, history: History, rung: Rung) -> list[int]:
        """Return the trials that go on past a rung, by their numbers."""

    def first_judged(self, trial: Trial) -> int:
        """Return the first step at which a trial may have to wait."""
        return first_judged_step(trial)

    def basis(self, history: History) -> Any:
        """Return what `promoted` goes by besides a rung and the progress of its trials: the same object while it is."""
        return None

    def trained_share(self, trial: Trial, going: float | None = None) -> float:
        """Return the share of a trial's runs that is trained in the mean, where of those that came to a rung the share
        `going` goes on: by default the least by the rule."""
        going, horizon = 1 / self._reduction_factor if going is None else going, trial.runs[0].horizon
        ends = [rung for rung in self.rungs(trial) if rung >= self.first_judged(trial)]
        trained, before, left = 0.0, 0, 1.0
        for step in (*ends, steps_of(trial)):
            points = sum([furthest_point(index, horizon, step) for index in range(len(trial.runs))])
            trained, before, left = trained + left * (points - before), points, left * going
        return trained / (horizon * len(trial.runs))

    def limit(self, history: History, trial: Trial, *, closing: bool) -> int | None:
        return self._standing(history, closing).limits.get(trial.number)

    def limits_of_all(self, history: History, *, closing: bool) -> Mapping[int, int]:
        return self._standing(history, closing).limits

    def reason_to_wait(self, history: History, trial: Trial, limit: int) -> str:
        ladders = self._standing(history, closing=False).ladders
        place = ladders[self._progress[trial.number].group[0]].place(trial.number, limit)
        where = f"after step {limit} of {steps_of(trial)}"
        if place is None:
            return f"{self._name}: not promoted {where}"
        return f"{self._name}: place {place[0]} of {place[1]} {where}, where 1 of {self._reduction_factor} continues"

    def _standing(self, history: History, closing: bool) -> _Standing:
        """Return which trials have to wait; where trials have come further or ended, only their groups are judged."""
        self.look_at(history)
        standing = self._standings.get(closing)
        if standing is None:
            standing = self._standings[closing] = _Standing(moved=set(history.trials))
        if not standing.moved:
            return standing
        basis = self.basis(history)
        anew, standing.basis = basis is not standing.basis, basis
        moved: dict[Hashable, set[int]] = defaultdict(set)
        for number in standing.moved:
            key, rungs, size = self._progress[number].group
            moved[key].add(number)
            if key not in standing.ladders:
                standing.ladders[key] = Ladder(rungs, size, closing=closing)
        standing.moved = set()
        promoted = partial(self.promoted, history)
        for key in standing.ladders if anew else moved:
            standing.ladders[key].move(moved.get(key, ()), history.trials, self._progress, promoted, anew=anew)
        standing.limits = {number: at for each in standing.ladders.values() for number, at in each.limits.items()}
        return standing

    def look_at(self, history: History) -> None:
        """Read from a new History how far each trial has come: those that have moved on since the last, if it grew."""
        if self._history is history:
            return
        changed = None if self._history is None else history.changed_since(self._history)
        if changed is None:
            self._standings, self._ends = {}, self._ends + 1
        for number in history.trials if changed is None else changed:
            progress, before = self._read(history, history.trials[number]), self._progress.get(number)
            if before is not None and before.runs is not progress.runs:
                self._standings = {}  # it may be of another group
            if not progress.tells_the_same_as(before):
                is_end = before is None or before.folds != progress.folds or before.state is not progress.state
                self._ends += is_end
                for standing in self._standings.values():
                    standing.moved.add(number)
            self._progress[number] = progress
        self._history = history

    def going_by_rank(self, rung: Rung, count: int) -> list[int]:
        """Return the `count` best of a rung that can still continue, and those that are further already.

        One that continued and then failed or diverged takes no place: otherwise none might be left at the end.
        """
        going: list[int] = []
        for equals in rung.ranked:
            if not rung.beyond.isdisjoint(equals):
                going += equals
                count -= not set(equals) <= rung.failed
            elif count > 0 and not rung.able.isdisjoint(equals):
                going += equals
                count -= 1
        return going

    def progress(self, history: History, trial: Trial) -> Progress:
        """Return how far a trial has come."""
        self.look_at(history)
        return self._progress[trial.number]

    def _read(self, history: History, trial: Trial) -> Progress:
        """Read how far a trial has come; one that has not moved since the last time keeps its progress."""
        last = self._progress.get(trial.number)
        evaluations = tuple([history.of(run.key) for run in trial.runs])
        if last is not None and last.runs is not trial.runs:
            last = None
        is_same = last is not None and last.stop == trial.stop and last.state is trial.state
        if last is not None and is_same and all(map(operator.is_, last.evaluations, evaluations)):
            return last
        score = self._objective.direction.score
        reached = steps_reached(history, trial, self._objective)
        steps = {step: (score(value), -at.loss) for step, value, at in reached}
        if trial.state.is_finished:  # an equal trial may take its runs further
            steps = {step: steps[step] for step, _ in reports_at_end(history, trial, self._objective)}
        stop = trial.stop
        whole = () if stop is None else takewhile(lambda measured: len(measured) >= stop, evaluations)
        folds = tuple([score(running_best(measured[:stop], self._objective)) for measured in whole])
        group, first = (self.group_of(trial), self.first_judged(trial)) if last is None else (last.group, last.first)
        return Progress(group, first, trial.runs, evaluations, stop, trial.state, steps, folds)


def steps_of(trial: Trial) -> int:
    """Return how many steps a trial's axis has."""
    return RUNGS_PER_RUN * len(trial.runs)
