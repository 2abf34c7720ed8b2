"""The pool of this machine: one long-lived worker process per slot."""

import contextlib
import logging
import os
import pickle
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection, wait
from typing import Any

import cloudpickle
import psutil

from hpsearch.errors import HpsearchError, PreparedDataError, TaskError
from hpsearch.records import Outcome, SegmentResult, Slot
from hpsearch.runtime.devices import KINDS, Devices, inventory, slots, worker_device, worker_environment
from hpsearch.runtime.messages import (
    Checkpointed,
    Ended,
    Evaluated,
    Event,
    Heartbeat,
    Prepare,
    Probe,
    Probed,
    Ready,
    Refused,
    Stop,
    Train,
    Workload,
)
from hpsearch.runtime.pools.base import Pool, PoolChoice, TimeIsUpError, prepare_again
from hpsearch.runtime.pools.worker_listener import WorkerListener
from hpsearch.runtime.worker_process import WorkerProcess, serve

logger = logging.getLogger("hpsearch")

HANG_SECONDS = 1800.0
"""How long a busy worker may show no progress: no batch trained on or evaluated, no metric begun or ended.

It must be longer than the slowest single metric, within which a worker shows none.
"""

START_SECONDS = 600.0
"""How long a worker may take to start; a process that ends first is noticed at once."""

PROBES_LIMIT = 3
"""How many workers may be killed while they try a model, before its memory is to blame and not somebody who kills."""

STARTS_LIMIT = 3
"""How often in a row a slot's worker may end before it is ready."""


@dataclass
class _Worker:
    """A worker as its pool sees it.

    Attributes:
        generation: Its number, which no other worker of this pool ever has.
        pid: Its process, once it is up.
        awaited: Answers that it still owes.
        told_again: Studies whose rows it found deleted or damaged, and which it was told of again.
        point: The last evaluation point that it reported of its order.
        progress: The count of its last heartbeat.
        progressed: When that count last changed.
    """

    slot: Slot
    process: WorkerProcess
    generation: int
    started: float
    connection: Connection | None = None
    pid: int | None = None
    awaited: int = 0
    order: Train | None = None
    is_stopping: bool = False
    told_again: set[str] = field(default_factory=set)
    point: int = 0
    progress: int = -1
    progressed: float = field(default_factory=time.monotonic)

    @property
    def is_ready(self) -> bool:
        return self.connection is not None and self.pid is not None and self.awaited == 0


class LocalPool:
    """Long-lived worker processes on this machine, one per slot, each replaced when it dies or hangs."""

    def __init__(self, slots: Sequence[Slot]) -> None:
        self.deadline: float | None = None
        self._closed = False
        self._listener = WorkerListener(len(slots))
        self._workloads: dict[str, Workload] = {}
        self._environment: Mapping[str, Any] | None = None
        self._probed: int | None = None
        self._generation = 0
        self._failed_starts: dict[int, int] = {}
        self._workers: dict[int, _Worker] = {}
        try:
            for slot in slots:
                self._workers[slot.index] = self._start(slot)
        except BaseException:
            self.close()  # a worker left behind would keep this process from ending
            raise

    def environment(self) -> Mapping[str, Any]:
        while self._environment is None:
            self._wait()
        return self._environment

    def prepare(self, workload: Workload) -> None:
        self._workloads[workload.study] = workload
        for worker in self._workers.values():
            if worker.pid is not None:
                self._tell_workload(worker, workload)
        while not any(worker.is_ready for worker in self._workers.values()):
            self._wait()

    def probe(self, order: Probe) -> int:
        self._probed = None
        for _ in range(PROBES_LIMIT):
            while not self.idle():
                self._wait()
            worker = self._workers[next(iter(self.idle())).index]
            worker.awaited += 1
            self._send(worker, order)
            # It is killed and replaced, or owes nothing: it refused, and was told of rows that have been made anew.
            while self._probed is None and worker.awaited and self._workers.get(worker.slot.index) is worker:
                self._wait()
            if self._probed is not None:
                return self._probed
        raise HpsearchError(
            f"A worker was killed {PROBES_LIMIT} times while it tried the model on a few rows and looked how many fit "
            "its memory. Give a smaller batch_size or a shorter max_length, or free the device."
        )

    def _wait(self) -> None:
        """Wait a moment for workers to get ready."""
        if self.deadline is not None and time.monotonic() >= self.deadline:
            raise TimeIsUpError("The study's time was up before a worker was ready.")
        self._drain(0.2)

    def slots(self) -> Sequence[Slot]:
        return [worker.slot for worker in list(self._workers.values())]

    def idle(self) -> Sequence[Slot]:
        return [worker.slot for worker in self._workers.values() if worker.is_ready and worker.order is None]

    def busy(self) -> bool:
        return any(worker.order is not None for worker in self._workers.values())

    def processes(self) -> Mapping[int, int | None]:
        """Return the process id of each slot's worker, None while it starts."""
        return {index: worker.pid for index, worker in self._workers.items()}

    def training(self) -> Sequence[tuple[Slot, Train]]:
        orders = [(worker.slot, worker.order) for worker in list(self._workers.values())]
        return [(slot, order) for slot, order in orders if order is not None]

    def submit(self, slot: Slot, order: Train) -> None:
        worker = self._workers[slot.index]
        worker.order, worker.is_stopping = order, False
        worker.point, worker.progressed = order.segment.start, time.monotonic()
        self._send(worker, order)

    def cancel(self, study: str, run: str) -> None:
        for worker in self._workers.values():
            if worker.order is not None and (worker.order.study, worker.order.segment.run.key) == (study, run):
                worker.is_stopping = True
                self._send(worker, Stop(checkpoint=False))

    def interrupt(self, study: str) -> None:
        for worker in self._workers.values():
            if worker.order is not None and worker.order.study == study and not worker.is_stopping:
                worker.is_stopping = True
                self._send(worker, Stop(checkpoint=True))

    def completed(self, timeout: float) -> Iterator[Event]:
        yield from self._drain(timeout)
        for worker in list(self._workers.values()):
            idle_for = time.monotonic() - worker.progressed
            if worker.order is not None and idle_for > HANG_SECONDS:
                log = f"The worker made no progress for {HANG_SECONDS:g} seconds and was ended."
                yield from self._lose(worker, Outcome.TIMED_OUT, log)

    def close(self) -> None:
        """End all workers at once; what they trained since the last checkpoint is lost.

        Idle processes on CPUs go to the next pool; on a GPU their end frees its memory at once.
        """
        if self._closed:
            return
        self._closed = True
        for worker in self._workers.values():
            if worker.is_ready and worker.order is None and worker.slot.devices == ("cpu",):
                self._release(worker)
            else:
                self._end(worker)
        self._listener.close()

    # ---------------------------------------------------------------- processes

    def _start(self, slot: Slot) -> _Worker:
        self._generation += 1
        call = partial(serve, self._listener.address, self._listener.authkey, self._generation, worker_device(slot))
        process = WorkerProcess(call, worker_environment(slot, os.environ))
        return _Worker(slot, process, self._generation, time.monotonic())

    def _greet(self) -> None:
        """Match new connections to their workers."""
        while (greeting := self._listener.admitted()) is not None:
            generation, connection = greeting
            for worker in self._workers.values():
                if worker.generation == generation:
                    worker.connection = connection
                    break
            else:
                connection.close()  # its worker was given up meanwhile

    def _end(self, worker: _Worker) -> None:
        if worker.connection is not None:
            worker.connection.close()
        if worker.pid is not None and not worker.process.has_ended():  # else the number may be another's by now
            with contextlib.suppress(OSError):
                os.kill(worker.pid, signal.SIGKILL if os.name == "posix" else signal.SIGTERM)
        worker.process.end()

    def _release(self, worker: _Worker) -> None:
        self._send(worker, None)
        if worker.connection is not None:
            worker.connection.close()
        worker.process.release()

    def _lose(self, worker: _Worker, outcome: Outcome, log: str) -> Iterator[Event]:
        """Replace a dead or hung worker, and say how its order ended."""
        order, point = worker.order, worker.point
        failed_to_start = order is None and not worker.is_ready
        ending = worker.process.ending() if failed_to_start else ""
        self._end(worker)
        if failed_to_start and not self._may_start_again(worker, ending):
            del self._workers[worker.slot.index]
        else:
            self._workers[worker.slot.index] = self._start(worker.slot)
        if order is not None:
            yield Ended(order.study, SegmentResult(order.segment, outcome, point, log))

    def _may_start_again(self, worker: _Worker, ending: str) -> bool:
        """Return whether a slot whose worker ended before it was ready gets another; raise where it was the last slot.

        One that is killed as it loads a model takes too much memory beside the others, which may do well without it.
        """
        failed = self._failed_starts[worker.slot.index] = self._failed_starts.get(worker.slot.index, 0) + 1
        if failed < STARTS_LIMIT:
            return True
        doing = "started" if worker.pid is None else "loaded the model and the rows"
        text = (
            f"Worker processes on {worker.slot.devices[0]} ended {failed} times before they were ready, as they {doing}"
            f"{ending and f' ({ending})'}. "
        )
        if "SIGKILL" in ending:
            memory = psutil.virtual_memory()
            text += (
                f"The system kills processes when its memory is full: {memory.available / 2**30:.1f} of "
                f"{memory.total / 2**30:.1f} GiB are free now. Free memory, use fewer workers (devices=1) or a smaller "
                "model, then run the study again."
            )
        else:
            text += "Run with devices='inline' to see the error, or `hpsearch doctor` to check the machine."
        if len(self._workers) == 1:
            raise HpsearchError(text)
        logger.warning("%s The study continues with %d workers.", text, len(self._workers) - 1)
        return False

    # ---------------------------------------------------------------- messages

    def _send(self, worker: _Worker, message: Any) -> None:
        """Send a message; reading its messages reveals a worker that is gone."""
        if worker.connection is not None:
            content = _pickled(message)  # its errors are the user's to see
            with contextlib.suppress(OSError):
                worker.connection.send_bytes(content)

    def _tell_workload(self, worker: _Worker, workload: Workload) -> None:
        worker.awaited += 1
        self._send(worker, Prepare(workload.study, _pickled(workload)))

    def _drain(self, timeout: float) -> list[Event]:
        """Read all messages, waiting up to `timeout` seconds for the first."""
        self._greet()
        starting = any(worker.connection is None for worker in self._workers.values())
        connected = {w.connection: w for w in self._workers.values() if w.connection is not None}
        events: list[Event] = []
        for ready in wait(list(connected), min(timeout, 0.05) if starting else timeout):
            worker = connected[ready]  # type: ignore[index]
            try:
                while worker.connection is not None and worker.connection.poll():
                    event = self._read(worker, pickle.loads(worker.connection.recv_bytes()))
                    if event is not None:
                        events.append(event)
            except (EOFError, OSError):
                log = "The worker process ended without a word (killed, or out of memory?)."
                events.extend(self._lose(worker, Outcome.LOST, log))
        self._give_up_slow_starts()
        return events

    def _give_up_slow_starts(self) -> None:
        for worker in list(self._workers.values()):
            too_slow = worker.pid is None and time.monotonic() - worker.started > START_SECONDS
            if too_slow or (worker.connection is None and worker.process.has_ended()):
                list(self._lose(worker, Outcome.LOST, ""))

    def _read(self, worker: _Worker, message: Any) -> Event | None:
        match message:
            case Ready(pid, environment) if worker.pid is None:
                worker.pid = pid
                if self._environment is None:
                    self._environment = environment
                for workload in self._workloads.values():
                    self._tell_workload(worker, workload)
            case Ready():
                worker.awaited -= 1
            case Probed(rows):
                worker.awaited -= 1
                self._probed = rows
            case Refused(study, error):
                worker.awaited -= 1
                self._refused(worker, study, error)
            case Heartbeat(progress):
                if progress != worker.progress:
                    worker.progress, worker.progressed = progress, time.monotonic()
            case Evaluated() | Checkpointed() | Ended() as event:
                worker.progressed = time.monotonic()
                if isinstance(event, Evaluated):
                    worker.point = event.evaluation.point
                if isinstance(event, Ended):
                    worker.order = None
                return event
        if worker.is_ready:
            self._failed_starts.pop(worker.slot.index, None)
        return None

    def _refused(self, worker: _Worker, study: str, error: HpsearchError) -> None:
        """Raise the error of a worker, unless another one has said so already, or its cause can be mended."""
        if study not in self._workloads:
            return
        if isinstance(error, PreparedDataError) and study not in worker.told_again:
            worker.told_again.add(study)
            prepare_again(self._workloads[study], error)
            self._tell_workload(worker, self._workloads[study])
        else:
            del self._workloads[study]
            raise error


def _pickled(message: Any) -> bytes:
    """Pickle a message. Raises TaskError where the user's task cannot be sent to another process."""
    try:
        content: bytes = cloudpickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    except (TypeError, ValueError, AttributeError, RuntimeError, pickle.PicklingError) as error:
        raise TaskError(
            f"The study cannot be sent to a worker process: {type(error).__name__}: {' '.join(str(error).split())}. "
            "Its task or a metric holds what lives in one process only (a lock, an open file, a connection): make that "
            "inside the function that uses it, or run with devices='inline'."
        ) from error
    return content


def _claims(devices: Devices) -> bool:
    """Whether a value names devices of this machine: a number of workers, a list, or a kind of device."""
    if not isinstance(devices, str):
        return True
    kind, colon, index = devices.partition(":")
    return kind in KINDS and (not colon or (kind == "cuda" and index.isdigit()))


def _opening(devices: Devices) -> Callable[[], Pool]:
    places = slots(devices, inventory())
    return lambda: LocalPool(places)


local_pool = PoolChoice(values=KINDS, claims=_claims, opening=_opening)
