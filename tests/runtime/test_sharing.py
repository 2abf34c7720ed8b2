"""Who gets the next slot: in virtual time, with studies that only sleep."""

import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from orders import run_of

from hpsearch.records import Outcome, Segment, SegmentResult, Slot
from hpsearch.runtime.messages import Ended, Event, Train
from hpsearch.runtime.several_runs import share
from hpsearch.runtime.sharing import Shares

AHEAD = 8
"""As many as are asked for ahead of time for two workers."""


@dataclass
class SleepingPool:
    """Slots whose orders take the seconds that their run's key names, in virtual time."""

    count: int
    now: float = 0.0
    slept: Counter[str] = field(default_factory=Counter)
    _due: dict[int, tuple[float, Train]] = field(default_factory=dict)

    def slots(self) -> Sequence[Slot]:
        return [Slot(index, ("cpu",)) for index in range(self.count)]

    def idle(self) -> Sequence[Slot]:
        return [slot for slot in self.slots() if slot.index not in self._due]

    def busy(self) -> bool:
        return bool(self._due)

    def submit(self, slot: Slot, order: Train) -> None:
        self._due[slot.index] = (self.now + float(order.segment.run.key.split()[1]), order)

    def training(self) -> Sequence[tuple[Slot, Train]]:
        return [(Slot(index, ("cpu",)), order) for index, (_, order) in self._due.items()]

    def completed(self, timeout: float) -> Iterator[Event]:
        index = min(self._due, key=lambda each: self._due[each][0])
        due, order = self._due.pop(index)
        self.now = due
        self.slept[order.study] += float(order.segment.run.key.split()[1])
        yield Ended(order.study, SegmentResult(order.segment, Outcome.OK, 1))


@dataclass
class Sleeper:
    """A study that sleeps so many seconds a segment; it has nothing to do while `rests` says so of the time.

    Of its last `AHEAD` segments it knows how long they take, as a study does of trials that it has asked for.
    """

    label: str
    seconds: list[float]
    pool: SleepingPool
    rests: Callable[[float], bool] = field(default=lambda now: False)
    is_over: bool = False
    _in_flight: int = 0

    @property
    def coordinator(self) -> Any:
        return self

    def begin(self) -> None:
        pass

    def leave(self) -> None:
        pass

    def train_on(self, slot: Slot) -> bool:
        if not self.seconds or self.rests(self.pool.now):
            return False
        if self.longest_left() is not None:
            self.seconds.sort()
        run = run_of(f"{len(self.seconds)} {self.seconds.pop()}", epochs=1)
        self.pool.submit(slot, Train(self.label, Segment(run, 0, 1)))
        self._in_flight += 1
        return True

    def longest_left(self) -> float | None:
        return None if len(self.seconds) > AHEAD else max(self.seconds, default=0.0)

    def training(self) -> Any:
        return [(slot, order.segment) for slot, order in self.pool.training() if order.study == self.label]

    def take(self, event: Event) -> None:
        self._in_flight -= 1

    def check(self) -> None:
        self.is_over = not self.seconds and not self._in_flight


def lengths(count: int, longest: float, seed: int) -> list[float]:
    draw = random.Random(seed)
    return [round(draw.uniform(0.2, 1.0) * longest, 3) for _ in range(count)]


def run_for(seconds: float, sleepers: Sequence[Sleeper], pool: SleepingPool, weights: Sequence[float]) -> None:
    """Share the pool, and drop what is left when the time is up."""

    def clock() -> float:
        if pool.now >= seconds:
            for sleeper in sleepers:
                sleeper.seconds.clear()
        return pool.now

    named = {sleeper.label: weight for sleeper, weight in zip(sleepers, weights, strict=True)}
    share(sleepers, pool, Shares(named), clock)  # type: ignore[arg-type]


@pytest.mark.parametrize("weights", [(1, 1, 1), (1, 1, 2), (0.5, 0.2, 0.3)], ids=str)
@pytest.mark.parametrize("seed", range(3))
def test_three_studies_share_two_slots_within_a_tenth_of_fair(weights, seed):
    pool = SleepingPool(2)
    longest = [2.0, 6.0, 20.0]
    random.Random(seed).shuffle(longest)
    sleepers = [Sleeper("abc"[i], lengths(5000, longest[i], 10 * seed + i), pool) for i in range(3)]
    run_for(1000.0, sleepers, pool, weights)
    for sleeper, weight in zip(sleepers, weights, strict=True):
        fair = sum(pool.slept.values()) * weight / sum(weights)
        assert abs(pool.slept[sleeper.label] - fair) < 0.1 * fair, pool.slept


def test_uneven_studies_end_within_a_twentieth_of_the_ideal_packing():
    """8 to 60 segments each, of up to 2, 5 or 20 seconds; the ideal is two slots that end at the same moment."""
    for seed in range(200):
        draw, pool = random.Random(seed), SleepingPool(2)
        sizes = [(draw.randint(8, 60), draw.choice([2.0, 5.0, 20.0])) for _ in range(3)]
        sleepers = [Sleeper("abc"[i], lengths(*sizes[i], 7 * seed + i), pool) for i in range(3)]
        every = [seconds for sleeper in sleepers for seconds in sleeper.seconds]
        ideal = max(sum(every) / 2, *every)
        share(sleepers, pool, Shares(dict.fromkeys("abc", 1.0)), lambda at=pool: at.now)  # type: ignore[arg-type]
        assert ideal - 1e-9 <= pool.now <= 1.05 * ideal, (seed, sizes)


def test_two_slots_that_are_free_at_once_go_to_two_studies():
    shares = Shares({"a": 1.0, "b": 1.0, "c": 1.0})
    assert shares.in_order(0.0) == ["a", "b", "c"]
    shares.began("a", "first", 0.0)
    assert shares.in_order(0.0) == ["b", "c", "a"]
    shares.began("b", "first", 0.0)
    shares.ended("a", "first", 10.0)
    shares.ended("b", "first", 10.0)
    assert shares.in_order(10.0)[0] == "c"
    shares.began("c", "first", 10.0)
    shares.ended("c", "first", 20.0)
    shares.began("c", "second", 20.0)  # counts as the ten seconds that the first has taken
    assert shares.in_order(20.0) == ["a", "b", "c"]


def test_what_a_study_without_work_leaves_to_others_is_not_owed_to_it():
    pool = SleepingPool(2)
    sleepers = [Sleeper(label, [1.0] * 5000, pool) for label in "abc"]
    sleepers[0].rests = lambda now: now < 500.0
    run_for(500.0, sleepers, pool, (1, 1, 1))
    assert pool.slept["a"] == 0
    pool = SleepingPool(2)
    for sleeper in sleepers:
        sleeper.seconds, sleeper.pool, sleeper.is_over = [1.0] * 5000, pool, False
    run_for(800.0, sleepers, pool, (1, 1, 1))
    assert pool.slept["b"] - 500.0 == pytest.approx(200.0, rel=0.1)
    assert pool.slept["a"] == pytest.approx(200.0, rel=0.1)


def test_a_slot_of_two_devices_counts_twice():
    shares = Shares({"a": 1.0, "b": 1.0})
    shares.began("a", "run", 0.0, devices=2.0)
    shares.began("b", "run", 0.0, devices=1.0)
    assert shares.in_order(5.0) == ["b", "a"]
    shares.ended("a", "run", 5.0)
    shares.ended("b", "run", 5.0)
    assert shares.in_order(5.0) == ["b", "a"]
