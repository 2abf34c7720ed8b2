"""Many slots that train nothing: how busy the coordinator keeps them, and what it spends its time on."""

import heapq
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from hpsearch.policy.policy import Policy
from hpsearch.records import Evaluation, Outcome, Run, SegmentResult, Slot
from hpsearch.records.store import Store
from hpsearch.runtime.messages import Ended, Evaluated, Event, Train
from hpsearch.runtime.scheduler import Scheduler

PARTS: Sequence[tuple[str, Any, str]] = (
    ("adding trials", Store, "add_trial"),
    ("evaluations", Store, "record_evaluation"),
    ("ends of segments", Store, "record_result"),
    ("decisions", Store, "apply"),
    ("states", Store, "set_state"),
    ("the queue", Store, "queued"),
    ("the lease", Store, "renew"),
    ("the policy", Policy, "decide"),
    ("the policy", Policy, "target"),
    ("the scheduler", Scheduler, "next_segment"),
    ("the scheduler", Scheduler, "has_work"),
)
"""What a coordinator spends its time on, and where that is done."""


class Parts:
    """Keeps the seconds of each part of the coordinator's work; what one part calls of another counts there."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._stack: list[str] = []
        self._since = time.perf_counter()

    @contextmanager
    def during(self, part: str) -> Iterator[None]:
        self._switch()
        self._stack.append(part)
        try:
            yield
        finally:
            self._switch()
            self._stack.pop()

    def _switch(self) -> None:
        now = time.perf_counter()
        part = self._stack[-1] if self._stack else "the rest"
        self.seconds[part] = self.seconds.get(part, 0.0) + now - self._since
        self._since = now

    def timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that does the same, and whose time counts for a part."""

        def timed(*arguments: Any, **named: Any) -> Any:
            with self.during(part):
                return function(*arguments, **named)

        return timed

    @contextmanager
    def of_the_coordinator(self) -> Iterator[None]:
        """Keep the time of `PARTS` meanwhile."""
        before = [(owner, name, getattr(owner, name)) for _, owner, name in PARTS]
        for part, owner, name in PARTS:
            setattr(owner, name, self.timed(part, getattr(owner, name)))
        try:
            yield
        finally:
            for owner, name, function in before:
                setattr(owner, name, function)


@dataclass
class SimulatedSlots:
    """A pool whose segments take so many seconds of the clock: evaluations come when they are due.

    Attributes:
        seconds: What a segment takes.
        measured: What a run measures at a point, and what is kept of its outputs.
        on_turn: Called each time that the coordinator asks for events.
        spans: When each segment began and when it was due to end.
    """

    slots_count: int
    seconds: float
    measured: Callable[[Run, int], tuple[Evaluation, Any]]
    parts: Parts
    on_turn: Callable[[], None] = lambda: None
    spans: list[tuple[float, float]] = field(default_factory=list)
    _orders: dict[int, tuple[Train, float]] = field(default_factory=dict)
    _due: list[tuple[float, int, int, int]] = field(default_factory=list)
    _count: Iterator[int] = field(default_factory=itertools.count)

    def slots(self) -> Sequence[Slot]:
        return [Slot(index, ("cpu",)) for index in range(self.slots_count)]

    def idle(self) -> Sequence[Slot]:
        return [slot for slot in self.slots() if slot.index not in self._orders]

    def busy(self) -> bool:
        return bool(self._orders)

    def training(self) -> Sequence[tuple[Slot, Train]]:
        return [(Slot(index, ("cpu",)), order) for index, (order, _) in self._orders.items()]

    def submit(self, slot: Slot, order: Train) -> None:
        now, segment = time.perf_counter(), order.segment
        self._orders[slot.index] = order, now
        for point in range(segment.start + 1, segment.stop + 1):
            due = now + self.seconds * (point - segment.start) / (segment.stop - segment.start)
            heapq.heappush(self._due, (due, next(self._count), slot.index, point))

    def completed(self, timeout: float) -> Iterator[Event]:
        self.on_turn()
        with self.parts.during("waiting for events"):
            until = time.perf_counter() + timeout
            if self._due:
                until = min(until, self._due[0][0])
            time.sleep(max(0.0, until - time.perf_counter()))
            events = list(self._come(time.perf_counter()))
        yield from events

    def _come(self, now: float) -> Iterator[Event]:
        while self._due and self._due[0][0] <= now:
            due, _, index, point = heapq.heappop(self._due)
            order = self._orders[index][0]
            evaluation, outputs = self.measured(order.segment.run, point)
            yield Evaluated(order.study, evaluation, outputs)
            if point == order.segment.stop:
                yield self._end(index, Outcome.OK, point, due)

    def _end(self, index: int, outcome: Outcome, point: int, due: float) -> Ended:
        order, began = self._orders.pop(index)
        self.spans.append((began, due))
        return Ended(order.study, SegmentResult(order.segment, outcome, point))

    def cancel(self, study: str, run: str) -> None:
        """Nothing: a segment that is not wanted any more trains on to its end."""

    def interrupt(self, study: str) -> None:
        """Nothing likewise; the benchmark leaves the loop."""

    def busy_share(self, began: float, ended: float) -> float:
        """Return which share of the slots' time between two moments they trained."""
        spans = [*self.spans, *((began, began + self.seconds) for _, began in self._orders.values())]
        trained = sum(max(0.0, min(end, ended) - max(begin, began)) for begin, end in spans)
        return trained / (self.slots_count * (ended - began))
