"""The pool of this machine: one long-lived worker process a slot."""

import contextlib
import os
import pickle
import queue
import secrets
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Connection, Listener, answer_challenge, deliver_challenge, wait
from typing import Any

import cloudpickle

from hpsearch.errors import HpsearchError, TaskError
from hpsearch.records import Outcome, Segment, SegmentResult, Slot
from hpsearch.runtime.devices import worker_device
from hpsearch.runtime.messages import (
    Checkpointed,
    Close,
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
from hpsearch.runtime.pools.worker_process import WorkerProcess, started
from hpsearch.runtime.processes import serve

HEARTBEAT_SECONDS = 2.0
HANG_SECONDS = 1800.0
"""How long a busy worker may show no progress: neither a batch trained on or evaluated nor a metric begun or ended.

It must be more than the slowest single metric takes, which is all that a worker cannot show progress within.
"""

START_SECONDS = 600.0
"""How long a worker may take to be up; one whose process ends before is noticed at once."""

STARTS_LIMIT = 3


@dataclass
class _Process:
    """A worker process as its pool sees it."""

    slot: Slot
    handle: WorkerProcess
    generation: int
    started: float
    connection: Connection | None = None
    pid: int | None = None
    awaited: int = 0
    order: Train | None = None
    is_stopping: bool = False
    point: int = 0
    progress: int = -1
    progressed: float = field(default_factory=time.monotonic)

    @property
    def is_ready(self) -> bool:
        return self.connection is not None and self.pid is not None and self.awaited == 0


class LocalPool:
    """Long-lived worker processes on this machine, each replaced when it dies or hangs.

    Args:
        slots: One worker each.
        threads: CPU threads a worker, set in its environment before torch starts.
        hang_after: Seconds without progress (a batch, a metric) after which a busy worker counts as hung.
        imports: Modules that workers import as they start, because they will need them.
        forks: Whether workers are forked from a process that has imported everything, where that is safe.
    """

    def __init__(
        self,
        slots: Sequence[Slot],
        *,
        threads: int = 1,
        hang_after: float = HANG_SECONDS,
        imports: Sequence[str] = (),
        forks: bool = True,
    ) -> None:
        self._threads = threads
        self._forks = forks
        self._imports = tuple(imports)
        self._hang_after = hang_after
        self._authkey = secrets.token_bytes(32)
        self._closed = False
        # On Linux an abstract socket: it has no file, so a killed coordinator leaves none behind.
        address = f"\0hpsearch-{secrets.token_hex(16)}" if sys.platform == "linux" else None
        # The key is asked for connection by connection (`_admit`): a stranger that keeps silent holds up nobody else.
        self._listener = Listener(address, backlog=len(slots) + 1)
        self._greetings: queue.SimpleQueue[tuple[int, Connection]] = queue.SimpleQueue()
        threading.Thread(target=self._accept, name="hpsearch-accept", daemon=True).start()
        self._workloads: dict[str, Workload] = {}
        self._environment: Mapping[str, Any] | None = None
        self._probed: int | None = None
        self._generation = 0
        self._failed_starts: dict[int, int] = {}
        self._processes: dict[int, _Process] = {}
        try:
            for slot in slots:
                self._processes[slot.index] = self._start(slot)
        except BaseException:
            self.close()  # a worker that nobody ends would keep this process from ending
            raise

    def environment(self) -> Mapping[str, Any]:
        while self._environment is None:
            self._drain(0.2)
        return self._environment

    def prepare(self, workload: Workload) -> None:
        self._workloads[workload.study] = workload
        for process in self._processes.values():
            if process.pid is not None:
                self._tell_workload(process, workload)
        while not any(process.is_ready for process in self._processes.values()):
            self._drain(0.2)

    def probe(self, order: Probe) -> int:
        self._probed = None
        process = self._processes[next(iter(self.idle())).index]
        process.awaited += 1
        self._send(process, order)
        while self._probed is None:
            self._drain(0.2)
            if self._probed is None and self._processes[process.slot.index] is not process:
                raise HpsearchError(
                    f"The worker on {process.slot.devices[0]} was killed while it looked how many rows fit its memory. "
                    "Give a smaller batch_size or a shorter max_length, or free the device."
                )
        return self._probed

    def slots(self) -> Sequence[Slot]:
        return [process.slot for process in list(self._processes.values())]

    def idle(self) -> Sequence[Slot]:
        return [process.slot for process in self._processes.values() if process.is_ready and process.order is None]

    def busy(self) -> bool:
        return any(process.order is not None for process in self._processes.values())

    def processes(self) -> Mapping[int, int | None]:
        """Return the process id of each slot's worker, None while it starts."""
        return {index: process.pid for index, process in self._processes.items()}

    def training(self) -> Sequence[tuple[Slot, Segment]]:
        orders = [(process.slot, process.order) for process in list(self._processes.values())]
        return [(slot, order.segment) for slot, order in orders if order is not None]

    def submit(self, slot: Slot, order: Train) -> None:
        process = self._processes[slot.index]
        process.order, process.is_stopping = order, False
        process.point, process.progressed = order.segment.start, time.monotonic()
        self._send(process, order)

    def cancel(self, run: str) -> None:
        for process in self._processes.values():
            if process.order is not None and process.order.segment.run.key == run:
                process.is_stopping = True
                self._send(process, Stop(checkpoint=False))

    def interrupt(self) -> None:
        for process in self._processes.values():
            if process.order is not None and not process.is_stopping:
                process.is_stopping = True
                self._send(process, Stop(checkpoint=True))

    def completed(self, timeout: float) -> Iterator[Event]:
        yield from self._drain(timeout)
        for process in list(self._processes.values()):
            idle_for = time.monotonic() - process.progressed
            if process.order is not None and idle_for > self._hang_after:
                log = f"The worker made no progress for {self._hang_after:g} seconds and was ended."
                yield from self._lose(process, Outcome.TIMED_OUT, log)

    def close(self) -> None:
        """End all workers at once; what they were training is lost up to its last checkpoint."""
        for process in self._processes.values():
            self._send(process, Close())
            self._end(process)
        if not self._closed:
            self._closed = True
            with contextlib.suppress(OSError):
                Client(self._listener.address).close()  # wakes the thread that accepts, which then ends

    # ---------------------------------------------------------------- processes

    def _start(self, slot: Slot) -> _Process:
        self._generation += 1
        address, device = self._listener.address, worker_device(slot)
        call = partial(serve, address, self._authkey, self._generation, device, HEARTBEAT_SECONDS, self._imports)
        forks = self._forks and slot.index not in self._failed_starts  # what cannot be forked may still be started
        handle = started(call, slot, self._imports, self._threads, forks=forks)
        return _Process(slot, handle, self._generation, time.monotonic())

    def _accept(self) -> None:
        """Take connections; runs in a thread of its own because accepting blocks."""
        while not self._closed:
            try:
                connection = self._listener.accept()
            except OSError:
                time.sleep(0.1)  # no descriptors left, or a connection that ended before it began
                continue
            threading.Thread(target=self._admit, args=(connection,), name="hpsearch-admit", daemon=True).start()
        self._listener.close()

    def _admit(self, connection: Connection) -> None:
        """Let a new worker in, once it has shown the key and read ours; a stranger is turned away."""
        try:
            deliver_challenge(connection, self._authkey)
            answer_challenge(connection, self._authkey)
            self._greetings.put((pickle.loads(connection.recv_bytes()), connection))
        except (OSError, EOFError, AuthenticationError, AssertionError):
            connection.close()

    def _greet(self) -> None:
        """Match connections that have come in with the processes they belong to."""
        while not self._greetings.empty():
            generation, connection = self._greetings.get()
            for process in self._processes.values():
                if process.generation == generation:
                    process.connection = connection
                    break
            else:
                connection.close()  # of a process that was given up meanwhile

    def _end(self, process: _Process) -> None:
        if process.connection is not None:
            process.connection.close()
        if process.pid is not None and not process.handle.has_ended():  # else the number may be another's by now
            with contextlib.suppress(OSError):
                os.kill(process.pid, signal.SIGKILL if os.name == "posix" else signal.SIGTERM)
        process.handle.end()

    def _lose(self, process: _Process, outcome: Outcome, log: str) -> Iterator[Event]:
        """Put a new worker in the place of one that is dead or hung, and say how its order ended."""
        order, point, was_ready = process.order, process.point, process.pid is not None
        self._end(process)
        if not was_ready:
            failed = self._failed_starts[process.slot.index] = self._failed_starts.get(process.slot.index, 0) + 1
            if failed >= STARTS_LIMIT:
                raise HpsearchError(
                    f"Worker processes on {process.slot.devices[0]} ended {failed} times before they were "
                    "ready. Run with devices='inline' to see the error, or `hpsearch doctor` to check the machine."
                )
        self._processes[process.slot.index] = self._start(process.slot)
        if order is not None:
            yield Ended(order.study, SegmentResult(order.segment, outcome, point, log))

    # ---------------------------------------------------------------- messages

    def _send(self, process: _Process, message: Any) -> None:
        """Send a message; a worker that is gone is noticed where its messages are read."""
        if process.connection is not None:
            content = _pickled(message)
            with contextlib.suppress(OSError):
                process.connection.send_bytes(content)

    def _tell_workload(self, process: _Process, workload: Workload) -> None:
        process.awaited += 1
        packed = cloudpickle.dumps(workload, protocol=pickle.HIGHEST_PROTOCOL)
        self._send(process, Prepare(workload.study, packed))

    def _drain(self, timeout: float) -> list[Event]:
        """Read what has come in, waiting up to `timeout` seconds for the first message."""
        self._greet()
        starting = any(process.connection is None for process in self._processes.values())
        connected = {p.connection: p for p in self._processes.values() if p.connection is not None}
        events: list[Event] = []
        for ready in wait(list(connected), min(timeout, 0.05) if starting else timeout):
            process = connected[ready]  # type: ignore[index]
            try:
                while process.connection is not None and process.connection.poll():
                    event = self._read(process, pickle.loads(process.connection.recv_bytes()))
                    if event is not None:
                        events.append(event)
            except (EOFError, OSError):
                log = "The worker process ended without a word (killed, or out of memory?)."
                events.extend(self._lose(process, Outcome.LOST, log))
        self._give_up_slow_starts()
        return events

    def _give_up_slow_starts(self) -> None:
        for process in list(self._processes.values()):
            too_slow = process.pid is None and time.monotonic() - process.started > START_SECONDS
            if too_slow or (process.connection is None and process.handle.has_ended()):
                list(self._lose(process, Outcome.LOST, ""))

    def _read(self, process: _Process, message: Any) -> Event | None:
        match message:
            case Ready(pid, environment) if process.pid is None:
                process.pid = pid
                self._failed_starts.pop(process.slot.index, None)
                if self._environment is None:
                    self._environment = environment
                for workload in self._workloads.values():
                    self._tell_workload(process, workload)
            case Ready():
                process.awaited -= 1
            case Probed(rows):
                process.awaited -= 1
                self._probed = rows
            case Refused(study, error):
                process.awaited -= 1
                if self._workloads.pop(study, None) is not None:  # else another worker has said so already
                    raise error
            case Heartbeat(progress):
                if progress != process.progress:
                    process.progress, process.progressed = progress, time.monotonic()
            case Evaluated() | Checkpointed() | Ended() as event:
                process.progressed = time.monotonic()
                if isinstance(event, Evaluated):
                    process.point = event.evaluation.point
                if isinstance(event, Ended):
                    process.order = None
                return event
        return None


def _pickled(message: Any) -> bytes:
    """Return a message as bytes. Raises TaskError where the user's task cannot be sent to another process."""
    try:
        content: bytes = cloudpickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    except (TypeError, ValueError, AttributeError, RuntimeError, pickle.PicklingError) as error:
        raise TaskError(
            f"The study cannot be sent to a worker process: {type(error).__name__}: {' '.join(str(error).split())}. "
            "Its task or a metric holds what lives in one process only (a lock, an open file, a connection): make that "
            "inside the function that uses it, or run with devices='inline'."
        ) from error
    return content
