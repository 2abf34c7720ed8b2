"""The pool of one slot, in the calling process, where a debugger sees everything."""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from hpsearch.errors import HpsearchError
from hpsearch.policy.failures import last_words
from hpsearch.records import Slot
from hpsearch.runtime.devices import Devices, inventory, slots
from hpsearch.runtime.messages import Ended, Event, Probe, Probed, Stop, Train, Workload
from hpsearch.runtime.pools.base import Pool, PoolChoice, with_whole_rows
from hpsearch.runtime.pools.failing_devices import broken_process
from hpsearch.runtime.pools.places import is_cpu
from hpsearch.runtime.worker import Worker
from hpsearch.training.numerics import detect_environment, kept_flags

INLINE = "inline"
"""The value of `devices` that trains in the calling process, for debugging."""


class InlinePool:
    """Runs one order at a time in this process; each wait trains, up to the next event."""

    def __init__(self, slot: Slot) -> None:
        self.deadline: float | None = None
        self._slot = slot
        self._worker = Worker(slot.devices[0])
        self._flags = contextlib.ExitStack()
        self._flags.enter_context(kept_flags())
        self._order: Train | None = None
        self._events: Iterator[Event | None] | None = None
        self._stop: Stop | None = None
        self._broken = ""

    def environment(self) -> Mapping[str, Any]:
        return detect_environment(self._worker.device)

    def prepare(self, workload: Workload) -> None:
        with_whole_rows(workload, lambda: self._worker.prepare(workload))

    def probe(self, order: Probe, slot: Slot | None = None) -> Probed:
        return self._worker.probe(order)

    def slots(self) -> Sequence[Slot]:
        return [self._slot]

    def idle(self) -> Sequence[Slot]:
        return [] if self.busy() or self._broken else [self._slot]

    def busy(self) -> bool:
        return self._events is not None

    def training(self) -> Sequence[tuple[Slot, Train]]:
        order = self._order  # read once: any thread may ask
        return [] if order is None else [(self._slot, order)]

    def submit(self, slot: Slot, order: Train) -> None:
        self._stop = None
        self._order = order
        self._events = self._worker.train(order, lambda: self._stop)

    def completed(self, timeout: float) -> Iterator[Event]:
        if self._broken:
            raise HpsearchError(self._broken)
        until = time.monotonic() + timeout
        while self._events is not None:
            event = next(self._events)
            if isinstance(event, Ended):
                self._events = self._order = None
                if event.blame is not None and not is_cpu(self._slot.devices[0]):
                    self._broken = broken_process(self._slot.devices[0], last_words(event.result.log))
            if event is not None:
                yield event
                return
            if time.monotonic() >= until:
                return

    def cancel(self, study: str, run: str) -> None:
        if self._order is not None and (self._order.study, self._order.segment.run.key) == (study, run):
            self._stop = Stop(checkpoint=False)

    def interrupt(self, study: str) -> None:
        if self._stop is None and self._order is not None and self._order.study == study:
            self._stop = Stop(checkpoint=True)

    def rest(self, slot: Slot) -> None:
        self._worker.rest()

    def close(self) -> None:
        self._events = self._order = None
        self._flags.close()


def _opening(_: Devices) -> Callable[[], Pool]:
    """Return what starts the pool, on the best device of this machine."""
    best = slots("auto", inventory())[0]
    return lambda: InlinePool(best)


inline_pool = PoolChoice(
    values=(INLINE,), claims=lambda devices: devices == INLINE, opening=_opening, is_in_process=True, takes_turns=True
)
