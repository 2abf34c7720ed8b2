"""Promotion: trials run to a rung and wait there, the best go on from their checkpoints, and who waits may still do so.

What `hpsearch.policy.successive_halving` and `hpsearch.policy.racing` have in common. Asynchronous promotion is that of
Li et al. 2020, "A System for Massively Parallel Hyperparameter Tuning", algorithm 2.
"""

import math
import operator
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeAlias

from hpsearch.policy.axis import RUNGS_PER_RUN, first_judged_step, reports_at_end, steps_reached
from hpsearch.policy.pruner import Pruner
from hpsearch.records import Evaluation, History, Origin, Trial, TrialState


@dataclass(frozen=True)
class Group:
    """Trials that are compared with each other: a bracket, or one cohort of it.

    Attributes:
        rungs: Their rungs, lowest first, without the end.
        size: Trials that the group shall have in the end; None where it grows without end.
        trials: Those that it has.
    """

    rungs: tuple[int, ...]
    size: int | None
    trials: list[Trial] = field(default_factory=list)


@dataclass(frozen=True)
class Standing:
    """Who may go on past which rung, and where each stands there, from 1, among how many."""

    passes: frozenset[tuple[int, int]]
    places: Mapping[tuple[int, int], tuple[int, int]]


@dataclass(frozen=True)
class Shown:
    """What a trial has shown, and what that was read from.

    Attributes:
        steps: Step to (value, minus validation loss): where values are equal, as those of models that predict one class
            for every row are, the loss tells who has learnt more.
    """

    evaluations: tuple[tuple[Evaluation, ...], ...]
    stop: int | None
    state: TrialState
    steps: Mapping[int, tuple[float, float]]

    @cached_property
    def last_step(self) -> int:
        return max(self.steps, default=0)

    def at(self, rung: int) -> tuple[float, float] | None:
        """Return what a rung ranks by, or None before it; a run of few evaluation points may step over a rung."""
        step = min((step for step in self.steps if step >= rung), default=None)
        return None if step is None else self.steps[step]

    def is_beyond(self, rung: int) -> bool:
        return self.last_step > min((step for step in self.steps if step >= rung), default=self.last_step)


Facts: TypeAlias = tuple[
    tuple[int, TrialState | None, float | None, int | None, Mapping[int, tuple[float, float]]], ...
]
"""Of each trial its number, its state if it has ended, its value, its stop, and what it has shown at which step."""


@dataclass(frozen=True)
class Rung:
    """Who came to a rung, the best first, equal configurations together.

    Attributes:
        step: The step.
        ranked: The trials that came, those of equal configurations as one.
        values: What each of `ranked` has shown.
        all_came: Whether nobody else can come.
    """

    step: int
    ranked: Sequence[Sequence[Trial]]
    values: Sequence[tuple[float, float]]
    all_came: bool


class PromotingPruner(Pruner):
    """Says how far each trial may go; a pure function of History."""

    def __init__(self, objective: str, name: str, reduction_factor: int) -> None:
        self._objective = objective
        self._name = name
        self._reduction_factor = reduction_factor
        self._shown: dict[int, Shown] = {}
        self._known: tuple[History, Facts] | None = None
        self._standings: tuple[Facts, dict[bool, Standing]] | None = None

    @abstractmethod
    def rungs(self, trial: Trial) -> tuple[int, ...]:
        """Return the rungs that a trial may have to wait at, lowest first, without its end."""

    @abstractmethod
    def groups(self, trials: Iterable[Trial]) -> Iterable[Group]:
        """Return who is compared with whom."""

    @abstractmethod
    def promoted(self, history: History, rung: Rung) -> list[Trial]:
        """Return who goes on past a rung."""

    def first_judged(self, trial: Trial) -> int:
        """Return the first step at which a trial may have to wait."""
        return first_judged_step(trial)

    def limit(self, history: History, trial: Trial, *, closing: bool) -> int | None:
        """Return the step that the trial may go to for now, or None when it may go to its end.

        Args:
            history: Everything so far.
            trial: An unfinished trial of it.
            closing: Whether no further trials are coming.
        """
        if trial.origin is Origin.DEFAULT:
            return None
        standing = self._standing(history, closing)
        for rung in self.rungs(trial):
            if (trial.number, rung) not in standing.passes and rung >= self.first_judged(trial):
                return rung
        return None

    def reason_to_wait(self, history: History, trial: Trial, limit: int) -> str:
        place = self._standing(history, closing=False).places.get((trial.number, limit))
        where = f"after step {limit} of {steps_of(trial)}"
        if place is None:
            return f"{self._name}: not promoted {where}"
        return f"{self._name}: place {place[0]} of {place[1]} {where}, where 1 of {self._reduction_factor} goes on"

    def _standing(self, history: History, closing: bool) -> Standing:
        """Return who may go on; worked out once for the same facts."""
        facts = self.facts(history)
        if self._standings is None or self._standings[0] is not facts:
            self._standings = (facts, {})
        known = self._standings[1]
        if closing not in known:
            passes: set[tuple[int, int]] = set()
            places: dict[tuple[int, int], tuple[int, int]] = {}
            for group in self.groups(history.trials.values()):
                self._judge(history, group, closing, passes, places)
            known[closing] = Standing(frozenset(passes), places)
        return known[closing]

    def facts(self, history: History) -> "Facts":
        """Return what all else follows from, one and the same object as long as it is the same.

        Most of what is recorded, evaluations between two steps and ends of segments, changes nothing of it.
        """
        if self._known is None or self._known[0] is not history:
            now = tuple(
                [
                    (trial.number, trial.state if trial.state.is_finished else None, trial.value, trial.stop,
                     self.shown(history, trial).steps)
                    for trial in history.trials.values()
                ]
            )  # fmt: skip
            self._known = (history, self._known[1] if self._known is not None and self._known[1] == now else now)
        return self._known[1]

    def _judge(
        self,
        history: History,
        group: Group,
        closing: bool,
        passes: set[tuple[int, int]],
        places: dict[tuple[int, int], tuple[int, int]],
    ) -> None:
        """Add who of a group goes past each of its rungs, from the lowest upwards.

        The literature default goes on in any case, and takes nobody's place. Equal configurations, which share their
        runs, take one place together.
        """
        climbing = [trial for trial in group.trials if trial.origin is not Origin.DEFAULT]
        all_came = closing or len(group.trials) == group.size
        for step in group.rungs:
            came: list[tuple[tuple[float, float], Trial]] = []
            free: list[Trial] = []
            for trial in climbing:
                shown = self.shown(history, trial).at(step)
                if step < self.first_judged(trial):
                    free.append(trial)
                elif shown is not None:
                    came.append((shown, trial))
                elif not trial.state.is_finished:
                    all_came = False
                elif trial.state is TrialState.PRUNED and trial.value is None:
                    came.append(((-math.inf, -math.inf), trial))  # diverged or out of memory: the worst that came
            rung = _ranked(step, came, all_came)
            going = self.promoted(history, rung)
            passes.update((trial.number, step) for trial in going)
            places.update(
                {
                    (trial.number, step): (at, len(rung.ranked))
                    for at, some in enumerate(rung.ranked, 1)
                    for trial in some
                }
            )
            climbing = [*free, *going]

    def going_by_rank(self, history: History, rung: Rung, count: int) -> list[Trial]:
        """Return the `count` best of a rung that still can go on, and who is further already.

        One that went on and then failed or diverged takes no place: otherwise nobody would be left at the end.
        """
        going: list[Trial] = []
        for equals in rung.ranked:
            is_beyond = any(self.shown(history, trial).is_beyond(rung.step) for trial in equals)
            is_able = is_beyond or any(not trial.state.is_finished for trial in equals)
            if is_beyond or (is_able and count > 0):
                going += equals
            count -= is_able and not all(map(_ended_badly, equals))
        return going

    def shown(self, history: History, trial: Trial) -> Shown:
        """Return what a trial has shown; that of one that has not moved since the last time is kept."""
        known = self._shown.get(trial.number)
        if known is not None and self._known is not None and self._known[0] is history:
            return known  # all were looked at for the facts
        evaluations = tuple([history.of(run.key) for run in trial.runs])
        if (
            known is None
            or known.stop != trial.stop
            or known.state is not trial.state
            or not all(map(operator.is_, known.evaluations, evaluations))
            or len(known.evaluations) != len(evaluations)
        ):
            steps: Mapping[int, tuple[float, float]] = {
                step: (value, -at.loss) for step, value, at in steps_reached(history, trial, self._objective)
            }
            if trial.state.is_finished:  # an equal trial may take its runs further
                steps = {step: steps[step] for step, _ in reports_at_end(history, trial, self._objective)}
            if known is not None and known.steps == steps:
                steps = known.steps  # the same object is compared at once
            known = self._shown[trial.number] = Shown(evaluations, trial.stop, trial.state, steps)
        return known


def steps_of(trial: Trial) -> int:
    """Return the steps of a trial's axis, quarters of its runs."""
    return RUNGS_PER_RUN * len(trial.runs)


def _ended_badly(trial: Trial) -> bool:
    """Return whether a trial has failed, diverged or run out of memory."""
    return trial.state is TrialState.FAIL or (trial.state is TrialState.PRUNED and trial.value is None)


def _ranked(step: int, came: list[tuple[tuple[float, float], Trial]], all_came: bool) -> Rung:
    came.sort(key=lambda each: (-each[0][0], -each[0][1], each[1].number))
    equals: dict[str, list[Trial]] = {}
    values: dict[str, tuple[float, float]] = {}
    for value, trial in came:
        equals.setdefault(trial.runs[0].key, []).append(trial)
        values.setdefault(trial.runs[0].key, value)
    return Rung(step, list(equals.values()), list(values.values()), all_came)
