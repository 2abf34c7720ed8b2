"""The pool of this machine: one long-lived worker process per slot, started by joblib's loky."""

import contextlib
import os
import pickle
import queue
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from multiprocessing.connection import Connection
from types import MappingProxyType
from typing import Any

from hpsearch.records import Slot
from hpsearch.runtime.devices import (
    KINDS,
    Devices,
    TrialsPerDevice,
    inventory,
    is_named,
    slots,
    worker_device,
    worker_environment,
)
from hpsearch.runtime.memory_kills import memory_kills
from hpsearch.runtime.messages import Ready, pickled
from hpsearch.runtime.mps import MultiProcessService
from hpsearch.runtime.occupancy import Occupancy
from hpsearch.runtime.pools.base import Pool, PoolChoice
from hpsearch.runtime.pools.shared_devices import filled_places, measured_places
from hpsearch.runtime.pools.transport import Lost
from hpsearch.runtime.pools.worker_listener import WorkerListener, shut_down
from hpsearch.runtime.pools.worker_pool import WorkerPool
from hpsearch.runtime.stack_file import StackFile
from hpsearch.runtime.worker_process import WorkerProcess, serve

UNREAD_LIMIT = 16
"""How many messages of a worker may wait for its pool; one that sends more waits, as checkpoints take memory."""


class LocalProcess:
    """A worker's process on this machine, and the connection to it.

    Two threads carry its messages: one that is stopped in the middle of a message, or reads none, holds up nobody else.

    Args:
        received: Where a message goes that it has sent, with its number; `Lost.GONE` is the last.
    """

    is_elsewhere = False

    def __init__(
        self, number: int, process: WorkerProcess, is_kept: bool, received: Callable[[tuple[int, Any]], None]
    ) -> None:
        self.started: float | None = time.monotonic()
        self.is_connected = self.is_left = False
        self._number, self._process, self._is_kept, self._received = number, process, is_kept, received
        self._to_send: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._room = threading.Semaphore(UNREAD_LIMIT)
        self._connection: Connection | None = None
        self._pid: int | None = None
        self._stack: StackFile | None = None
        self._memory_kills = memory_kills()

    def connect(self, connection: Connection) -> None:
        self.is_connected, self._connection = True, connection
        for carry in (self._read, self._write):
            name = f"hpsearch-{self._number}{carry.__name__}"
            threading.Thread(target=carry, args=(connection,), name=name, daemon=True).start()

    def took(self, message: Any) -> None:
        """Take note of a message that the pool has taken: the first says which number the system has given it."""
        self._room.release()
        if self._pid is None and isinstance(message, Ready):
            self._pid, self._stack = message.process, StackFile(message.process)

    def send(self, content: bytes) -> None:
        self._to_send.put(content)

    def rouse(self) -> None:
        if self._stack is not None and not self._process.has_ended():
            self._stack.ask()

    def stack(self) -> str:
        return "" if self._stack is None else self._stack.text()

    def end(self) -> None:
        if self._connection is not None:
            shut_down(self._connection)
        self._leave()
        if self._pid is not None and not self._process.has_ended():  # else the number may be another's by now
            with contextlib.suppress(OSError):
                os.kill(self._pid, signal.SIGKILL if os.name == "posix" else signal.SIGTERM)
        self._process.end()

    def release(self) -> None:
        """Leave it to the next pool; a GPU's ends, which frees its memory at once."""
        if not self._is_kept:
            self.end()
            return
        self.send(pickled(None))  # it closes the connection
        self._leave()
        self._process.release()

    def ending(self) -> str:
        ending, now = self._process.ending(), memory_kills()
        if "SIGKILL" not in ending or now is None or now == self._memory_kills:
            return ending
        return f"{ending}, as the system does it when its memory is full: its count of that rose"

    def has_ended(self) -> bool:
        return self._process.has_ended()

    def _leave(self) -> None:
        self.is_left, self._connection = True, None
        self._to_send.put(None)
        self._room.release()
        if self._stack is not None:
            self._stack.close()
            self._stack = None

    def _read(self, connection: Connection) -> None:
        with contextlib.suppress(EOFError, OSError):
            while self._room.acquire() and not self.is_left:
                self._received((self._number, connection.recv_bytes()))
        self._received((self._number, Lost.GONE))
        self._to_send.put(None)

    def _write(self, connection: Connection) -> None:
        with contextlib.suppress(OSError):
            while (content := self._to_send.get()) is not None:
                connection.send_bytes(content)


class LocalTransport:
    """Starts processes of workers through loky; each connects to a socket of this process.

    Args:
        workers: How many there will be at first.
        mps: The service through which they share GPUs; it ends with the pool.
    """

    def __init__(self, workers: int, mps: MultiProcessService | None = None) -> None:
        self._mps = mps
        self._listener = WorkerListener(workers)
        self._processes: dict[int, LocalProcess] = {}
        self._inbox: queue.SimpleQueue[tuple[int, Any]] = queue.SimpleQueue()

    def start(self, slot: Slot, generation: int) -> LocalProcess:
        call = partial(serve, self._listener.address, self._listener.authkey, generation, worker_device(slot))
        environment = worker_environment(slot, os.environ)
        if self._mps is not None:
            environment |= self._mps.variables
        made = WorkerProcess(call, environment)
        process = LocalProcess(generation, made, slot.devices == ("cpu",), self._inbox.put)
        self._processes[generation] = process
        return process

    def received(self, timeout: float) -> list[tuple[int, Any]]:
        self._processes = {number: process for number, process in self._processes.items() if not process.is_left}
        self._greet()
        starting = any(not process.is_connected for process in self._processes.values())
        messages: list[tuple[int, Any]] = []
        with contextlib.suppress(queue.Empty):
            number, content = self._inbox.get(timeout=min(timeout, 0.05) if starting else timeout)
            while True:
                if number in self._processes:  # else it was given up meanwhile
                    messages.append((number, self._unpacked(number, content)))
                number, content = self._inbox.get_nowait()
        for number, process in self._processes.items():
            if not process.is_connected and process.has_ended():
                messages.append((number, Lost.GONE))
        return messages

    def _unpacked(self, number: int, content: Any) -> Any:
        message = content if content is Lost.GONE else pickle.loads(content)
        self._processes[number].took(message)
        return message

    def failed_to_start(self) -> None:
        """Do without NVIDIA's MPS: a client may be refused what the daemon was not."""
        if self._mps is not None:
            self._mps.gives_up()
            self._mps = None

    def close(self) -> None:
        self._listener.close()
        if self._mps is not None:
            self._mps.close()

    def _greet(self) -> None:
        """Match new connections to their processes."""
        while (greeting := self._listener.admitted()) is not None:
            number, connection = greeting
            if number in self._processes:
                self._processes[number].connect(connection)
            else:
                connection.close()  # its worker was given up meanwhile


class LocalPool(WorkerPool):
    """Worker processes on this machine.

    Args:
        slots: Where the first workers are.
        occupancies: By device, where trials share devices.
        mps: The service through which they share GPUs; it ends with the pool.
    """

    def __init__(
        self,
        slots: Sequence[Slot],
        occupancies: Mapping[str, Occupancy] = MappingProxyType({}),
        mps: MultiProcessService | None = None,
    ) -> None:
        super().__init__(LocalTransport(len(slots), mps), slots, occupancies)


def _opening(devices: Devices) -> Callable[[], Pool]:
    return partial(LocalPool, slots(devices, inventory()))


def _sharing(devices: Devices, trials_per_device: TrialsPerDevice) -> Callable[[], Pool]:
    machine = inventory()
    if trials_per_device == "auto":
        places = slots(devices, machine)
        return lambda: LocalPool(*measured_places(places, machine))
    places = slots(devices, machine, trials_per_device)
    return lambda: LocalPool(*filled_places(places))


local_pool = PoolChoice(values=KINDS, claims=is_named, opening=_opening, sharing=_sharing, takes_turns=True)
