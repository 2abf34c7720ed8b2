"""A worker's process: how it starts, how it serves its pool, and how it ends.

joblib's loky starts it. It then stays in one call, `serve`, and talks over a connection. It ends when the connection or
its parent does, whatever it is doing: no worker outlives its coordinator. A process that its pool releases leaves the
call and waits a minute for the next pool, to which it saves the imports.
"""

import contextlib
import ctypes
import gc
import os
import re
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import BrokenExecutor, CancelledError, Future
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Client, Connection
from pathlib import Path
from typing import Any

from joblib.externals.loky.process_executor import ProcessPoolExecutor

from hpsearch.provenance.packages import installed_versions
from hpsearch.runtime.stack_file import keep_stack_file
from hpsearch.runtime.worker_orders import HEARTBEAT_SECONDS, Channel, follow_orders

PARENT_CHECK_SECONDS = 1.0

RELEASED_SECONDS = 60.0
"""How long a released process waits for the next pool, holding some hundred megabytes."""

SET_BY_TRAINING = {"KMP_DUPLICATE_LIB_OK", "KMP_INIT_AT_FORK", "TORCHINDUCTOR_CACHE_DIR", "TORCHINDUCTOR_DETERMINISTIC"}
"""Environment variables that scikit-learn, torch and a refit may set in this process."""

COORDINATORS_SIGNALS = {signal.SIGINT, signal.SIGTERM} | ({signal.SIGUSR1} if os.name == "posix" else set())
"""Signals that workers leave to their coordinator."""

_PARENT_DEATH_SIGNAL = 1
"""PR_SET_PDEATHSIG of Linux's prctl."""


@dataclass(frozen=True, eq=False)
class _Released:
    """A process without a pool: how it began, its executor, and its last call."""

    beginning: tuple[Any, ...]
    executor: ProcessPoolExecutor
    call: "Future[None]"


_released: list[_Released] = []
_releasing = threading.Lock()


class WorkerProcess:
    """A worker's process as its pool holds it: one of loky's executors, busy with a single call.

    It uses a released process again where a new one would begin as that did.

    Args:
        call: What the process does; it travels by cloudpickle.
        environment: Variables set before the process imports anything.
    """

    def __init__(self, call: Callable[[], None], environment: Mapping[str, str]) -> None:
        self._beginning = _beginning(environment)
        self._executor = _take(self._beginning) or _new_executor(environment)
        try:
            self._call = _submit(self._executor, call)
        except BrokenExecutor:  # the released process was killed while it waited
            self._executor = _new_executor(environment)
            self._call = _submit(self._executor, call)

    def has_ended(self) -> bool:
        return self._call.done()

    def ending(self) -> str:
        """Return how the process ended: the signal that killed it, or its exit status; "" where that is unknown."""
        try:
            error = self._call.exception(timeout=HEARTBEAT_SECONDS)
        except (TimeoutError, CancelledError):
            return ""
        codes = re.search(r"exit codes of the workers are \{(.*?)\}", str(error))
        return codes.group(1) if codes else ""

    def end(self) -> None:
        """Kill the process; a second call does nothing."""
        self._executor.shutdown(wait=False, kill_workers=True)

    def release(self) -> None:
        """Leave the process to the next pool, once it was told to return from its call."""
        with _releasing:
            _released.append(_Released(self._beginning, self._executor, self._call))


def _new_executor(environment: Mapping[str, str]) -> ProcessPoolExecutor:
    with _interruptions_blocked():  # loky starts a process that tracks its semaphores
        return ProcessPoolExecutor(
            max_workers=1, timeout=RELEASED_SECONDS, env=dict(environment),
            initializer=end_with_parent, initargs=(os.getpid(),),
        )  # fmt: skip


def _submit(executor: ProcessPoolExecutor, call: Callable[[], None]) -> "Future[None]":
    if os.name == "posix":  # else loky starts it, which clears the mask of signals (CPython 3.11)
        with _interruptions_blocked():
            resource_tracker.ensure_running()
    with _interruptions_blocked():
        submitted: Future[None] = executor.submit(call)
    return submitted


def _beginning(environment: Mapping[str, str]) -> tuple[Any, ...]:
    """Return all that a new process starts with, the versions of what it imports, and the calling thread.

    A process does not outlive the thread that started it, so no other thread may use it.
    """
    variables = {name: value for name, value in os.environ.items() if name not in SET_BY_TRAINING} | {**environment}
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    given = variables, [*sys.path], [*sys.argv], Path.cwd(), cores
    return os.getpid(), threading.get_ident(), given, installed_versions()


def _take(beginning: tuple[Any, ...]) -> ProcessPoolExecutor | None:
    """Return the executor of a released process that began like this, if any; end those that began otherwise."""
    with _releasing:
        mine = [process for process in _released if process.beginning[0] == os.getpid()]  # this may be a fork
        alike = [process for process in mine if process.beginning == beginning and _has_returned(process.call)]
        _released[:] = alike[1:]
    for process in mine:
        if process not in alike:
            process.executor.shutdown(wait=False, kill_workers=True)
    return alike[0].executor if alike else None


def _has_returned(call: "Future[None]") -> bool:
    """Return whether a released process leaves its call without an error, within a moment."""
    try:
        return call.exception(timeout=HEARTBEAT_SECONDS) is None
    except TimeoutError:
        return False


@contextlib.contextmanager
def _interruptions_blocked() -> Iterator[None]:
    """Shield starting processes from signals to the whole group: they inherit the mask."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, COORDINATORS_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_with_parent(parent: int) -> None:
    """End this process when its parent is gone; a new worker process calls this first.

    On Linux the kernel ends it, even while native code holds the interpreter's lock; elsewhere a thread watches. The
    process ignores signals to the whole group (Ctrl-C, a batch system's SIGTERM and SIGUSR1): the coordinator handles
    those, and wants a checkpoint first.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(PARENT_CHECK_SECONDS)
        os._exit(1)

    for number in COORDINATORS_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    threading.Thread(target=watch, name="hpsearch-parent", daemon=True).start()


def serve(address: str, authkey: bytes, generation: int, device: str) -> None:
    """Connect to the coordinator and follow its orders until it releases this process or closes the connection.

    User code (tasks, metrics) arrives by cloudpickle, in memory only, over a connection that both ends have
    authenticated with a key made for this pool. A worker that cannot continue ends its process; its pool notices.
    `generation` is the pool's number for this process, `device` what it trains on, as this process names it.
    """
    keep_stack_file()
    try:
        channel = SocketChannel(Client(address, authkey=authkey))
        channel.send(generation)
        if follow_orders(channel, device):
            os._exit(0)
        channel.close()
        _free_memory()
    except OSError:
        os._exit(1)  # the coordinator is gone
    except Exception:  # the worker's edge: a package that cannot be imported
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)


def _free_memory() -> None:
    """Return freed memory to the system; the allocator keeps it otherwise."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError, TypeError):  # another C library than glibc
        ctypes.CDLL(None).malloc_trim(0)


class SocketChannel(Channel):
    """A worker's end of the connection: whole messages in both directions, read by a separate thread."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self._connection = connection
        self._sending = threading.Lock()
        threading.Thread(target=self._read, name="hpsearch-inbox", daemon=True).start()

    def send_bytes(self, content: bytes) -> None:
        with self._sending:
            self._connection.send_bytes(content)

    def close(self) -> None:
        super().close()
        with self._sending:
            self._connection.close()

    def _read(self) -> None:
        try:
            while True:
                if self.take(self._connection.recv_bytes()) is None:
                    return
        except (EOFError, OSError):
            os._exit(1)  # the coordinator is gone; nobody would record what this process measures
