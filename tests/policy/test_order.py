"""The order of decisions in pure form: a made-up study whose segments begin by what was decided on before them."""

import hashlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpsearch.policy.order import Event, Key, Open, Order
from hpsearch.records import Run, Segment


@dataclass(frozen=True)
class Planned:
    """A segment that begins sooner or later.

    Attributes:
        fails: The point at which its run fails, if it does; it measures those before.
        stops: The point after which the study wants no more of it, if there is one.
    """

    points: int
    start: int
    cost: int
    overhead: int
    is_whole: bool
    fails: int | None
    stops: int | None


PLANNED = st.builds(
    Planned,
    points=st.integers(1, 4),
    start=st.integers(0, 2),
    cost=st.integers(1, 5),
    overhead=st.integers(0, 3),
    is_whole=st.booleans(),
    fails=st.none() | st.integers(1, 6),
    stops=st.none() | st.integers(1, 6),
)


@dataclass
class Study:
    """What begins next depends on all that was decided on so far; what is measured when does not.

    Attributes:
        decided: (key, whether it failed) of each event, in the order of decisions.
        most: How many segments were open at a time.
    """

    planned: Sequence[Planned]
    slots: int
    decided: list[tuple[Key, bool]] = field(default_factory=list)
    most: int = 0

    def __post_init__(self) -> None:
        self.order = Order(self.slots)
        self.left = list(enumerate(self.planned))
        self.plans: dict[str, Planned] = {}
        self.admitted: dict[str, int] = {}
        self.measured: dict[str, int] = {}
        self.ended: list[str] = []
        self._fill()

    def _fill(self) -> None:
        while self.order.has_room and self.left:
            seed = hashlib.sha256(repr(self.decided).encode()).digest()
            number, plan = self.left.pop(seed[0] % len(self.left))
            run = Run(f"run {number}", {}, number % 2, 0, plan.start + plan.points)
            segment = Segment(run, plan.start, run.horizon)
            self.order = self.order.begun(
                Open(segment, number // 2, self.order.now, plan.cost, plan.overhead, plan.is_whole)
            )
            self.plans[run.key] = plan
            self.admitted[run.key] = self.measured[run.key] = plan.start
            self.most = max(self.most, len(self.order.open))

    def furthest(self, run: str) -> int:
        """Return the last point that a run will measure."""
        plan = self.plans[run]
        stop = plan.start + plan.points
        return stop if plan.fails is None else max(plan.start, min(stop, plan.start + plan.fails - 1))

    def trainable(self) -> list[str]:
        """Return the runs of open segments of which more can be measured, what is to be trained first at the front."""
        keys = [each.segment.run.key for each in self.order.to_train()]
        return [key for key in keys if self.measured[key] < self.furthest(key)]

    def decide(self) -> bool:
        """Decide on all that may be decided on; return whether anything was."""
        before = len(self.decided)
        while (event := self.order.next(self.admitted.__getitem__)) is not None and self._is_there(event):
            run = event.open.segment.run.key
            failed = self.measured[run] < event.point
            self.order = self.order.at(event.time)
            self.admitted[run] = min(event.point, self.measured[run])
            self.decided.append((event.open.key(event.point), failed))
            stops = self.plans[run].stops
            if failed or self.admitted[run] >= min(event.open.segment.stop, stops or event.open.segment.stop):
                self.order = self.order.without([run])
                self.ended.append(run)
            self._fill()
        return len(self.decided) > before

    def _is_there(self, event: Event) -> bool:
        run = event.open.segment.run.key
        return self.measured[run] >= min(event.point, self.furthest(run))

    def run(self, choose: Callable[[Sequence[str]], str]) -> "Study":
        """Run to the end; `choose` says which of some runs measures its next point first."""
        while self.order.open:
            if not self.decide():
                self.measured[choose(self.trainable())] += 1
        return self


STUDIES = st.builds(Study, st.lists(PLANNED, max_size=12), st.integers(1, 5))


def again(study: Study) -> Study:
    return Study(study.planned, study.slots)


@given(STUDIES, st.randoms(use_true_random=False))
def test_what_is_decided_on_when_never_depends_on_arrival(study: Study, luck: random.Random) -> None:
    study.run(lambda runs: runs[0])
    for choose in (luck.choice, lambda runs: runs[-1], min):
        other = again(study).run(choose)
        assert other.decided == study.decided
        assert other.ended == study.ended


@given(STUDIES, st.randoms(use_true_random=False))
def test_events_come_in_the_order_of_their_keys_each_once(study: Study, luck: random.Random) -> None:
    keys = [key for key, _ in study.run(luck.choice).decided]
    assert all(one < other for one, other in pairwise(keys))
    assert study.most <= study.slots


@given(STUDIES)
def test_what_is_to_be_trained_first_lets_the_next_event_come(study: Study) -> None:
    """No deadlock: while anything is open, training the open segments in their order brings a decision."""
    while study.order.open:
        if study.decide():
            continue
        for key in study.trainable():
            study.measured[key] = study.furthest(key)
            if study.decide():
                break
        else:
            pytest.fail(f"nothing is decided on, and nothing can be measured: {study.order}")
    assert sorted(study.ended) == sorted(study.plans)
    assert len(study.plans) == len(study.planned)


@given(STUDIES, st.randoms(use_true_random=False))
def test_nothing_is_hidden_for_ever(study: Study, luck: random.Random) -> None:
    """All that is measured of a segment is decided on by its end, up to where the study wants no more of it."""
    study.run(luck.choice)
    for run, plan in study.plans.items():
        if plan.is_whole or plan.stops is None or plan.stops > study.furthest(run):
            assert study.admitted[run] == study.measured[run] == study.furthest(run)
        else:
            assert study.admitted[run] == min(study.furthest(run), max(plan.start + 1, plan.stops))


# ---------------------------------------------------------------------- one by one


def opened(key: str, trial: int = 0, fold: int = 0, repeat: int = 0, **changes: int | bool) -> Open:
    segment = Segment(Run(key, {}, fold, repeat, 8), int(changes.pop("start", 0)), int(changes.pop("stop", 4)))
    values = {"began": 0, "cost": 2, "overhead": 1, **changes}
    return Open(segment, trial, **values)  # type: ignore[arg-type]  # whole numbers and one truth value


def test_a_segment_takes_its_overhead_and_its_points() -> None:
    each = opened("a", began=10, start=2, stop=5)
    assert [each.time(point) for point in (3, 4, 5)] == [13, 15, 17]
    assert each.end == 17


def test_what_is_decided_on_together_comes_at_the_end() -> None:
    order = Order(2).begun(opened("apart", trial=1)).begun(opened("whole", is_whole=True))
    event = order.next({"apart": 3, "whole": 0}.__getitem__)
    assert event is not None
    assert (event.open.segment.run.key, event.point, event.time) == ("whole", 4, 9)
    event = order.next({"apart": 2, "whole": 0}.__getitem__)
    assert event is not None
    assert (event.open.segment.run.key, event.point, event.time) == ("apart", 3, 7)


@pytest.mark.parametrize("first", range(4))
def test_of_one_time_the_first_trial_repeat_and_fold_come_first(first: int) -> None:
    places = [(0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0)][first:]  # (trial, repeat, fold)
    order = Order(4)
    for place in reversed(places):
        order = order.begun(opened(str(place), place[0], place[2], place[1]))
    event = order.next(lambda _: 0)
    assert event is not None
    assert event.open.segment.run.key == str(places[0])
    assert [each.segment.run.key for each in order.to_train()] == [str(place) for place in places]


def test_what_ends_first_is_trained_first() -> None:
    order = Order(3).begun(opened("long", stop=8)).begun(opened("dear", cost=9)).begun(opened("short", trial=5, stop=1))
    assert [each.segment.run.key for each in order.to_train()] == ["short", "long", "dear"]


def test_nothing_is_open_nothing_comes() -> None:
    order = Order(1)
    assert order.next(lambda _: 0) is None
    assert list(order.to_train()) == []
    assert order.has_room
    one = order.begun(opened("a"))
    assert not one.has_room
    assert one.without(["another"]) is one
    assert one.without(["a"]) == order


def test_time_neither_stands_still_nor_goes_back() -> None:
    with pytest.raises(ValueError, match="time would stand still"):
        opened("a", cost=0)
    with pytest.raises(ValueError, match="time would stand still"):
        opened("a", overhead=-1)
    order = Order(2).begun(opened("a")).at(5)
    with pytest.raises(ValueError, match="before now"):
        order.at(4)
    with pytest.raises(ValueError, match="run a begins at 5"):
        order.begun(opened("a", began=5))
    with pytest.raises(ValueError, match="run b begins at 0, now is 5"):
        order.begun(opened("b"))
