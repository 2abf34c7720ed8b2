"""The pool of this machine: one long-lived worker process per slot, started by joblib's loky."""

import contextlib
import os
import pickle
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from multiprocessing.connection import Connection, wait
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
from hpsearch.runtime.messages import Ready, pickled
from hpsearch.runtime.mps import MultiProcessService
from hpsearch.runtime.occupancy import Occupancy
from hpsearch.runtime.pools.base import Pool, PoolChoice
from hpsearch.runtime.pools.shared_devices import filled_places, measured_places
from hpsearch.runtime.pools.transport import Lost
from hpsearch.runtime.pools.worker_listener import WorkerListener
from hpsearch.runtime.pools.worker_pool import WorkerPool
from hpsearch.runtime.worker_process import WorkerProcess, serve


class LocalProcess:
    """A worker's process on this machine, and the connection to it.

    Attributes:
        connection: None until the process has connected, and again once its pool is done with it.
    """

    is_elsewhere = False

    def __init__(self, process: WorkerProcess, is_kept: bool) -> None:
        self.started: float | None = time.monotonic()
        self.connection: Connection | None = None
        self.is_left = False
        self._process, self._is_kept = process, is_kept
        self._pid: int | None = None

    def send(self, content: bytes) -> None:
        if self.connection is not None:
            with contextlib.suppress(OSError):
                self.connection.send_bytes(content)

    def end(self) -> None:
        self._disconnect()
        if self._pid is not None and not self._process.has_ended():  # else the number may be another's by now
            with contextlib.suppress(OSError):
                os.kill(self._pid, signal.SIGKILL if os.name == "posix" else signal.SIGTERM)
        self._process.end()

    def release(self) -> None:
        """Leave it to the next pool; a GPU's ends, which frees its memory at once."""
        if not self._is_kept:
            self.end()
            return
        self.send(pickled(None))
        self._disconnect()
        self._process.release()

    def ending(self) -> str:
        return self._process.ending()

    def has_ended(self) -> bool:
        return self._process.has_ended()

    def read(self) -> list[Any]:
        """Return all messages that have come in, `Lost.GONE` as the last where the process is gone."""
        messages: list[Any] = []
        try:
            while self.connection is not None and self.connection.poll():
                messages.append(pickle.loads(self.connection.recv_bytes()))
                if isinstance(messages[-1], Ready):
                    self._pid = messages[-1].process
        except (EOFError, OSError):
            messages.append(Lost.GONE)
        return messages

    def _disconnect(self) -> None:
        self.is_left = True
        if self.connection is not None:
            self.connection.close()
            self.connection = None


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

    def start(self, slot: Slot, generation: int) -> LocalProcess:
        call = partial(serve, self._listener.address, self._listener.authkey, generation, worker_device(slot))
        environment = worker_environment(slot, os.environ)
        if self._mps is not None:
            environment |= self._mps.variables
        process = LocalProcess(WorkerProcess(call, environment), is_kept=slot.devices == ("cpu",))
        self._processes[generation] = process
        return process

    def received(self, timeout: float) -> list[tuple[int, Any]]:
        self._processes = {number: process for number, process in self._processes.items() if not process.is_left}
        self._greet()
        starting = any(process.connection is None for process in self._processes.values())
        numbers = {process.connection: number for number, process in self._processes.items() if process.connection}
        messages: list[tuple[int, Any]] = []
        for ready in wait(list(numbers), min(timeout, 0.05) if starting else timeout):
            number = numbers[ready]  # type: ignore[index]
            messages += [(number, message) for message in self._processes[number].read()]
        for number, process in self._processes.items():
            if process.connection is None and process.has_ended():  # before it had connected
                messages.append((number, Lost.GONE))
        return messages

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
                self._processes[number].connection = connection
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
