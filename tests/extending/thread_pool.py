import contextlib
import queue
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from hpsearch.errors import UsageError
from hpsearch.records import Slot
from hpsearch.runtime.devices import Devices
from hpsearch.runtime.messages import Ended, Event, Probe, Probed, Stop, Train, Workload
from hpsearch.runtime.pools.base import Pool, PoolChoice, with_whole_rows
from hpsearch.runtime.worker import Worker
from hpsearch.training.numerics import detect_environment, kept_flags


class ThreadPool:
    """Trains in a thread of this process, while the coordinator waits for what it reports."""

    def __init__(self, slot: Slot) -> None:
        self.deadline: float | None = None
        self._slot = slot
        self._flags = contextlib.ExitStack()
        self._flags.enter_context(kept_flags())  # torch's, which the numerics of a study set
        self._worker = Worker(slot.devices[0])
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._order: Train | None = None
        self._stop: Stop | None = None

    def environment(self) -> Mapping[str, Any]:
        return detect_environment(self._worker.device)

    def prepare(self, workload: Workload) -> None:
        with_whole_rows(workload, lambda: self._thread.submit(self._worker.prepare, workload).result())

    def probe(self, order: Probe, slot: Slot | None = None) -> Probed:
        return self._thread.submit(self._worker.probe, order).result()

    def slots(self) -> Sequence[Slot]:
        return [self._slot]

    def idle(self) -> Sequence[Slot]:
        return [] if self.busy() else [self._slot]

    def busy(self) -> bool:
        return self._order is not None

    def training(self) -> Sequence[tuple[Slot, Train]]:
        order = self._order  # read once: any thread may ask
        return [] if order is None else [(self._slot, order)]

    def submit(self, slot: Slot, order: Train) -> None:
        self._order, self._stop = order, None
        self._thread.submit(self._train, order)

    def _train(self, order: Train) -> None:
        for event in self._worker.train(order, lambda: self._stop):
            if event is not None:
                self._events.put(event)

    def completed(self, timeout: float) -> Iterator[Event]:
        with contextlib.suppress(queue.Empty):
            event = self._events.get(timeout=timeout)
            if isinstance(event, Ended):
                self._order = None
            yield event

    def cancel(self, study: str, run: str) -> None:
        if self._order is not None and (self._order.study, self._order.segment.run.key) == (study, run):
            self._stop = Stop(checkpoint=False)

    def interrupt(self, study: str) -> None:
        if self._order is not None and self._order.study == study:
            self._stop = self._stop or Stop(checkpoint=True)

    def rest(self, slot: Slot) -> None:
        self._thread.submit(self._worker.rest)

    def close(self) -> None:
        self._stop = Stop(checkpoint=False)
        self._thread.shutdown()
        self._flags.close()


def opening(devices: Devices) -> Callable[[], Pool]:
    """Return what starts the pool on the device after the colon, "cpu" where there is none."""
    device = str(devices).partition(":")[2] or "cpu"
    if device != "cpu":
        raise UsageError(
            f"devices={devices!r}: the pool of one thread trains on the CPU; give 'thread' or 'thread:cpu'."
        )
    return lambda: ThreadPool(Slot(0, (device,)))


thread_pool = PoolChoice(
    values=("thread",),
    claims=lambda devices: str(devices).partition(":")[0] == "thread",
    opening=opening,
    is_in_process=True,
)
