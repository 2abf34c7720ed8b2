"""Promotion: trials run to a rung and wait; the best continue from their checkpoints, and the others still may later.

`hpsearch.policy.successive_halving` and `hpsearch.policy.racing` share this. Asynchronous promotion is that of Li et
al. 2020, "A System for Massively Parallel Hyperparameter Tuning", algorithm 2.
"""

import math
import operator
from abc import abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import takewhile

from hpsearch.metrics.direction import Objective
from hpsearch.policy.pruner import Pruner
from hpsearch.policy.pruning_steps import RUNGS_PER_RUN, first_judged_step, reports_at_end, running_best, steps_reached
from hpsearch.records import Evaluation, History, Origin, Run, Trial, TrialState


@dataclass(frozen=True)
class Group:
    """Trials that are compared with each other: a bracket, or one cohort of it.

    Attributes:
        rungs: Their rungs, lowest first, without the end.
        size: How many trials it will have; None where it grows without end.
    """

    rungs: tuple[int, ...]
    size: int | None
    trials: list[Trial] = field(default_factory=list)


@dataclass(frozen=True)
class Rankings:
    """Which trials may go past which rung, as (trial, step), and their places there: (place from 1, of how many)."""

    passes: set[tuple[int, int]] = field(default_factory=set)
    places: dict[tuple[int, int], tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Progress:
    """How far a trial has come, and what that was read from.

    Attributes:
        group: The group that it is compared with: key, rungs and size.
        first: The first step at which it may have to wait.
        steps: Step to (score of the partial value, minus validation loss). The loss breaks ties: models that predict
            one class for every row have equal scores, and it tells which has learnt more.
        folds: The best score of each of its whole runs, in order, up to the first that is not whole.
    """

    group: tuple[Hashable, tuple[int, ...], int | None]
    first: int
    runs: tuple[Run, ...]
    evaluations: tuple[tuple[Evaluation, ...], ...]
    stop: int | None
    state: TrialState
    steps: Mapping[int, tuple[float, float]]
    folds: tuple[float, ...]

    @cached_property
    def last_step(self) -> int:
        return max(self.steps, default=0)

    @cached_property
    def _reached(self) -> dict[int, int | None]:
        return {}

    def _step(self, rung: int) -> int | None:
        """Return the step at which it came to a rung; a thousand trials are asked at each decision."""
        if rung not in self._reached:
            self._reached[rung] = min((step for step in self.steps if step >= rung), default=None)
        return self._reached[rung]

    def at(self, rung: int) -> tuple[float, float] | None:
        """Return what a rung ranks by, or None before it; a run of few evaluation points may skip a rung."""
        step = self._step(rung)
        return None if step is None else self.steps[step]

    def is_beyond(self, rung: int) -> bool:
        step = self._step(rung)
        return step is not None and self.last_step > step

    def tells_the_same_as(self, other: "Progress | None") -> bool:
        """Return whether no ranking can tell the two apart: none asks whether an unfinished trial waits."""
        if other is None or other.runs is not self.runs:
            return False
        is_as_ended = self.state is other.state or not (self.state.is_finished or other.state.is_finished)
        return is_as_ended and (self.steps, self.folds) == (other.steps, other.folds)


@dataclass(frozen=True)
class Rung:
    """The trials that came to a rung, the best first, equal configurations together.

    Attributes:
        scores: What each of `ranked` has shown.
        all_came: Whether no other trial can come.
    """

    step: int
    ranked: Sequence[Sequence[Trial]]
    scores: Sequence[tuple[float, float]]
    all_came: bool


class PromotingPruner(Pruner):
    """Says how far each trial may go; a pure function of History. It compares scores, greater for the better."""

    def __init__(self, objective: Objective, name: str, reduction_factor: int) -> None:
        self._objective = objective
        self._name = name
        self._reduction_factor = reduction_factor
        self._history: History | None = None  # what the others were computed from
        self._revision = 0  # grows when some trial's progress says something else
        self._progress: dict[int, Progress] = {}
        self._standings: dict[bool, Rankings] = {}

    @abstractmethod
    def rungs(self, trial: Trial) -> tuple[int, ...]:
        """Return the rungs that a trial may have to wait at, lowest first, without its end."""

    @abstractmethod
    def group_of(self, trial: Trial) -> tuple[Hashable, tuple[int, ...], int | None]:
        """Return the key of the group that a trial is compared with, and that group's rungs and size."""

    @abstractmethod
    def promoted(self, history: History, rung: Rung) -> list[Trial]:
        """Return the trials that go on past a rung."""

    def first_judged(self, trial: Trial) -> int:
        """Return the first step at which a trial may have to wait."""
        return first_judged_step(trial)

    def limit(self, history: History, trial: Trial, *, closing: bool) -> int | None:
        if trial.origin is Origin.DEFAULT:
            return None
        passes = self._standing(history, closing).passes
        first = self._progress[trial.number].first
        return next((rung for rung in self.rungs(trial) if rung >= first and (trial.number, rung) not in passes), None)

    def reason_to_wait(self, history: History, trial: Trial, limit: int) -> str:
        place = self._standing(history, closing=False).places.get((trial.number, limit))
        where = f"after step {limit} of {steps_of(trial)}"
        if place is None:
            return f"{self._name}: not promoted {where}"
        return f"{self._name}: place {place[0]} of {place[1]} {where}, where 1 of {self._reduction_factor} continues"

    def _standing(self, history: History, closing: bool) -> Rankings:
        """Return which trials may continue; computed again where a trial has come further or ended."""
        self.look_at(history)
        if closing not in self._standings:
            groups: dict[Hashable, Group] = {}
            for trial in history.trials.values():
                key, rungs, size = self._progress[trial.number].group
                groups.setdefault(key, Group(rungs, size)).trials.append(trial)
            standing = Rankings()
            for group in groups.values():
                self._judge(history, group, closing, standing)
            self._standings[closing] = standing
        return self._standings[closing]

    def look_at(self, history: History) -> None:
        """Read from a new History how far each trial has come: those that have moved on since the last, if it grew."""
        if self._history is history:
            return
        changed = None if self._history is None else history.changed_since(self._history)
        is_news = changed is None
        for number in history.trials if changed is None else changed:
            progress = self._read(history, history.trials[number])
            is_news = is_news or not progress.tells_the_same_as(self._progress.get(number))
            self._progress[number] = progress
        self._history = history
        if is_news:
            self._standings = {}
            self._revision += 1

    def _judge(self, history: History, group: Group, closing: bool, standing: Rankings) -> None:
        """Add which trials of a group go past each of its rungs, from the lowest upwards.

        The literature default always continues, and takes no other trial's place. Equal configurations share their
        runs, and take one place together.
        """
        climbing = [trial for trial in group.trials if trial.origin is not Origin.DEFAULT]
        all_came = closing or len(group.trials) == group.size
        for step in group.rungs:
            came: list[tuple[tuple[float, float], Trial]] = []
            free: list[Trial] = []
            for trial in climbing:
                progress = self._progress[trial.number]
                if step < progress.first:
                    free.append(trial)
                elif (score := progress.at(step)) is not None:
                    came.append((score, trial))
                elif not trial.state.is_finished:
                    all_came = False
                elif trial.state is TrialState.PRUNED and trial.value is None:
                    came.append(((-math.inf, -math.inf), trial))  # diverged or out of memory: the worst that came
            rung = _ranked(step, came, all_came)
            going = self.promoted(history, rung)
            standing.passes.update((trial.number, step) for trial in going)
            for place, equals in enumerate(rung.ranked, 1):
                standing.places.update({(trial.number, step): (place, len(rung.ranked)) for trial in equals})
            climbing = [*free, *going]

    def going_by_rank(self, history: History, rung: Rung, count: int) -> list[Trial]:
        """Return the `count` best of a rung that can still continue, and those that are further already.

        One that continued and then failed or diverged takes no place: otherwise none might be left at the end.
        """
        self.look_at(history)
        going: list[Trial] = []
        for equals in rung.ranked:
            is_beyond = any(self._progress[trial.number].is_beyond(rung.step) for trial in equals)
            is_able = is_beyond or any(not trial.state.is_finished for trial in equals)
            if is_beyond or (is_able and count > 0):
                going += equals
            count -= is_able and not all(map(_ended_badly, equals))
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


def _ended_badly(trial: Trial) -> bool:
    return trial.state is TrialState.FAIL or (trial.state is TrialState.PRUNED and trial.value is None)


def _ranked(step: int, came: list[tuple[tuple[float, float], Trial]], all_came: bool) -> Rung:
    came.sort(key=lambda pair: (-pair[0][0], -pair[0][1], pair[1].number))
    equals: dict[str, list[Trial]] = {}
    scores: dict[str, tuple[float, float]] = {}
    for score, trial in came:
        equals.setdefault(trial.runs[0].key, []).append(trial)
        scores.setdefault(trial.runs[0].key, score)
    return Rung(step, list(equals.values()), list(scores.values()), all_came)
