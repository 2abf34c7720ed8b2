"""Virtual time: the order in which a study decides on what was measured, whenever that arrives.

Without it an asynchronous search depends on which worker was faster: of 27 fixed values successive halving promoted 51
different sets in 200 orders of arrival. Here some virtual slots train segments one after another. A segment begins when
a slot is free and takes its planned cost (`hpsearch.policy.planned_cost`), never what it took. What a study decides on
next is the first event of all open segments by (virtual time, trial, repeat, fold, point); until that is measured it
decides nothing. So all decisions, and what begins after them, follow from the seed. Real workers train the open
segments in whatever way they can.

Conservative discrete-event simulation (Chandy and Misra 1979): no event is taken before all that may come earlier.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from hpsearch.records import Segment

Key = tuple[int, int, int, int, int]
"""(virtual time, trial, repeat, fold, point): no two events have the same."""


@dataclass(frozen=True)
class Open:
    """A segment that a virtual slot trains.

    Attributes:
        trial: The first trial that it is trained for.
        began: The virtual time at which it began.
        cost: Planned cost of one evaluation point.
        overhead: Planned cost of a segment, whatever it trains.
        is_whole: Whether its evaluations are decided on together, at its end: nothing can be decided before.
    """

    segment: Segment
    trial: int
    began: int
    cost: int
    overhead: int
    is_whole: bool = False

    def __post_init__(self) -> None:
        if self.cost < 1 or self.overhead < 0:
            raise ValueError(f"a segment of cost {self.cost} and overhead {self.overhead}: time would stand still")

    def time(self, point: int) -> int:
        """Return the virtual time of an evaluation point."""
        return self.began + self.overhead + self.cost * (point - self.segment.start)

    @property
    def end(self) -> int:
        return self.time(self.segment.stop)

    def next_point(self, admitted: int) -> int:
        """Return the point that is decided on next, after so many were."""
        return self.segment.stop if self.is_whole else max(admitted, self.segment.start) + 1

    def key(self, point: int) -> Key:
        run = self.segment.run
        return self.time(point), self.trial, run.repeat, run.fold, point


@dataclass(frozen=True)
class Event:
    """What is decided on next: the evaluation of an open segment at a point, or that it got no further."""

    open: Open
    point: int

    @property
    def time(self) -> int:
        return self.open.time(self.point)


@dataclass(frozen=True)
class Order:
    """The state of virtual time.

    Attributes:
        slots: How many segments are open at a time.
        now: The virtual time of the last event.
        open: Run key to the segment of it that a virtual slot trains.
    """

    slots: int
    now: int = 0
    open: Mapping[str, Open] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def has_room(self) -> bool:
        """Whether a virtual slot is free."""
        return len(self.open) < self.slots

    def begun(self, opened: Open) -> "Order":
        """Return the order with one more open segment."""
        key = opened.segment.run.key
        if key in self.open or opened.began != self.now:
            raise ValueError(f"run {key} begins at {opened.began}, now is {self.now}, or it is open")
        return replace(self, open=MappingProxyType({**self.open, key: opened}))

    def without(self, runs: Iterable[str]) -> "Order":
        """Return the order after the segments of some runs have ended."""
        gone = set(runs)
        if gone.isdisjoint(self.open):
            return self
        return replace(self, open=MappingProxyType({key: each for key, each in self.open.items() if key not in gone}))

    def at(self, time: int) -> "Order":
        """Return the order at a later time."""
        if time < self.now:
            raise ValueError(f"virtual time {time} is before now, {self.now}")
        return replace(self, now=time)

    def next(self, admitted: Callable[[str], int]) -> Event | None:
        """Return what is decided on next, whether it is measured or not; None where no segment is open.

        `admitted` returns how many points of a run have been decided on, by its key.
        """
        events = [Event(each, each.next_point(admitted(key))) for key, each in self.open.items()]
        return min(events, key=lambda event: event.open.key(event.point), default=None)

    def to_train(self) -> Sequence[Open]:
        """Return the open segments, the one first whose virtual end comes first: it holds up the others."""
        return sorted(self.open.values(), key=lambda each: each.key(each.segment.stop))
