"""The rungs of one group of trials, kept sorted: where a trial has moved, only what that changes is ranked anew."""

import math
from bisect import bisect_left, insort
from collections.abc import Callable, Collection, Mapping, Sequence, Set
from dataclasses import dataclass, field

from hpsearch.policy.progress import Progress
from hpsearch.records import Origin, Trial, TrialState

WORST = (-math.inf, -math.inf)
"""The place of a trial that diverged or ran out of memory: the worst that came."""


@dataclass(frozen=True)
class Rung:
    """The trials that came to a rung, by their numbers.

    Attributes:
        ranked: The best first, equal configurations together.
        scores: What each of `ranked` has shown.
        beyond: Those that are further already.
        able: Those that have not ended.
        failed: Those that failed, diverged or ran out of memory.
        all_came: Whether no other trial can come.
    """

    step: int
    ranked: Sequence[Sequence[int]]
    scores: Sequence[float]
    beyond: Set[int]
    able: Set[int]
    failed: Set[int]
    all_came: bool


@dataclass
class _Step:
    """A rung as it is kept.

    Attributes:
        climbing: The trials that went past the rung below.
        free: Those of them that need not wait here.
        coming: Those that have not come here yet and still can.
        shown: Those that came: (minus score, minus tie-break, number), by which they are ordered.
        order: The same, the best first.
        equals: Those that came, by the run that they share with others.
        passing: Those that go on to the next rung.
    """

    step: int
    climbing: Set[int] = field(default_factory=frozenset)
    free: set[int] = field(default_factory=set)
    coming: set[int] = field(default_factory=set)
    shown: dict[int, tuple[float, float, int]] = field(default_factory=dict)
    order: list[tuple[float, float, int]] = field(default_factory=list)
    equals: dict[str, set[int]] = field(default_factory=dict)
    beyond: set[int] = field(default_factory=set)
    able: set[int] = field(default_factory=set)
    failed: set[int] = field(default_factory=set)
    passing: Set[int] = field(default_factory=frozenset)
    all_came: bool | None = None

    def put(self, trial: Trial, progress: Progress) -> None:
        """Put a climbing trial where it belongs."""
        score = progress.at(self.step)
        diverged = trial.state is TrialState.PRUNED and trial.value is None
        if self.step < progress.first:
            self.free.add(trial.number)
        elif score is None and not trial.state.is_finished:
            self.coming.add(trial.number)
        elif score is not None or diverged:
            self._enter(trial, WORST if score is None else score)
            if progress.is_beyond(self.step):
                self.beyond.add(trial.number)
            if not trial.state.is_finished:
                self.able.add(trial.number)
            if diverged or trial.state is TrialState.FAIL:
                self.failed.add(trial.number)

    def _enter(self, trial: Trial, score: tuple[float, float]) -> None:
        tie = math.inf if math.isnan(score[1]) else -score[1]
        self.shown[trial.number] = (-score[0], tie, trial.number)
        insort(self.order, self.shown[trial.number])
        self.equals.setdefault(trial.runs[0].key, set()).add(trial.number)

    def take_out(self, trial: Trial) -> None:
        for some in (self.free, self.coming, self.beyond, self.able, self.failed):
            some.discard(trial.number)
        place = self.shown.pop(trial.number, None)
        if place is not None:
            del self.order[bisect_left(self.order, place)]
            key = trial.runs[0].key
            self.equals[key].remove(trial.number)
            if not self.equals[key]:
                del self.equals[key]

    def rung(self) -> Rung:
        ranked: list[Sequence[int]] = [[number] for _, _, number in self.order]
        scores = [-minus for minus, _, _ in self.order]
        if len(self.equals) < len(ranked):
            first = {min(self.shown[number] for number in equals): equals for equals in self.equals.values()}
            ranked = [sorted(first[place], key=self.shown.__getitem__) for place in self.order if place in first]
            scores = [-place[0] for place in self.order if place in first]
        return Rung(self.step, ranked, scores, self.beyond, self.able, self.failed, bool(self.all_came))


class Ladder:
    """The rungs of trials that are compared with each other: a bracket, or one cohort of it.

    The literature default always continues, and takes no other trial's place. Equal configurations share their runs,
    and take one place together.

    Args:
        rungs: Its rungs, lowest first, without the end.
        size: How many trials it will have; None where it grows without end.
        closing: Whether no further trials are coming.
    """

    def __init__(self, rungs: tuple[int, ...], size: int | None, *, closing: bool) -> None:
        self._size, self._closing = size, closing
        self._steps = [_Step(step) for step in rungs]
        self._trials: set[int] = set()
        self._climbing: set[int] = set()
        self.limits: Mapping[int, int] = {}

    def move(
        self,
        moved: Collection[int],
        trials: Mapping[int, Trial],
        progress: Mapping[int, Progress],
        promoted: Callable[[Rung], Collection[int]],
        *,
        anew: bool,
    ) -> None:
        """Take note of trials of the group that are new, or have come further or ended.

        `limits` then has the rung that each trial has to wait at; one that is not in it may go to its end.

        Args:
            moved: Their numbers.
            trials: All trials by number.
            progress: How far each has come.
            promoted: Returns the trials that go on past a rung.
            anew: Whether what `promoted` goes by has changed, besides what a rung shows.
        """
        self._trials.update(moved)
        self._climbing.update(number for number in moved if trials[number].origin is not Origin.DEFAULT)
        all_came = self._closing or len(self._trials) == self._size
        climbing: Set[int] = frozenset(self._climbing)
        for rung in self._steps:
            touched = (rung.climbing ^ climbing) | (climbing & set(moved))
            for number in touched:
                rung.take_out(trials[number])
                if number in climbing:
                    rung.put(trials[number], progress[number])
            rung.climbing = climbing
            all_came = all_came and not rung.coming
            if touched or anew or rung.all_came is not all_came:
                rung.all_came = all_came
                rung.passing = rung.free.union(promoted(rung.rung()))
            climbing = rung.passing
        self.limits = {number: rung.step for rung in self._steps for number in rung.climbing - rung.passing}

    def place(self, number: int, step: int) -> tuple[int, int] | None:
        """Return a trial's place at a rung, from 1, and of how many; None where it has not come there."""
        for rung in self._steps:
            if rung.step == step and number in rung.shown:
                ranked = rung.rung().ranked
                return next(at for at, equals in enumerate(ranked, 1) if number in equals), len(ranked)
        return None
