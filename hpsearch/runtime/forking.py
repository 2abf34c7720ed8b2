"""What the process does that workers are forked from, and what each of them does before its first call.

Its other end, in the process that asks for workers, is `hpsearch.runtime.fork_server`.
"""

import contextlib
import ctypes
import gc
import importlib
import importlib.util
import os
import pickle
import selectors
import signal
import socket
import struct
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

from hpsearch.provenance.definitions import is_installed_file
from hpsearch.runtime.processes import PARENT_CHECK_SECONDS, end_with_parent

PRELOADED = ("hpsearch.runtime.worker", "sklearn.metrics")
"""What every worker imports."""

WORKER_NAME = "hpsearch-worker"
"""What `ps` and `top` call a worker; no longer than Linux lets it be."""

_PR_SET_NAME = 15


@dataclass(frozen=True)
class Request:
    """A worker that is wanted: where and with what it runs, as the process that asks has it now.

    Attributes:
        call: What it does, pickled.
        imports: Modules that it will need.
        environment: All its environment variables.
        arguments: `sys.argv`.
        path: `sys.path`.
        folder: The working folder.
        cores: The CPU cores that it may run on.
    """

    call: bytes
    imports: tuple[str, ...]
    environment: Mapping[str, str]
    arguments: tuple[str, ...]
    path: tuple[str, ...]
    folder: str
    cores: frozenset[int]


def packed(request: Request) -> bytes:
    """Return a request as it travels: its length in eight bytes, and its pickle."""
    content = pickle.dumps(request)
    return struct.pack("!Q", len(content)) + content


def main(control: int, parent: int, imports: Sequence[str], idle_seconds: float) -> None:
    """Import, then fork whenever asked to, until the process that started this one is gone."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})
    is_imported = threading.Event()
    watching = threading.Thread(target=_watch, args=(parent, is_imported), daemon=True)
    watching.start()
    _import(["numpy", *PRELOADED, *imports])
    is_imported.set()
    watching.join()  # no thread is left when a process is forked
    _leave_outputs()
    gc.collect()
    gc.freeze()  # else each worker's first collection would copy every page that has an object
    _Server(socket.socket(fileno=control), parent, idle_seconds).serve()


def _leave_outputs() -> None:
    """Print nowhere any more: who waits for the end of what a study prints shall not wait for this process."""
    sys.stdout.flush()
    sys.stderr.flush()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for output in (1, 2):
        os.dup2(nowhere, output)
    os.close(nowhere)


def _watch(parent: int, is_imported: threading.Event) -> None:
    while not is_imported.wait(PARENT_CHECK_SECONDS):
        if os.getppid() != parent:
            os._exit(1)


def _import(names: Sequence[str]) -> None:
    for name in names:
        if name not in sys.modules and (name in PRELOADED or _is_installed(name)):
            with contextlib.suppress(Exception):  # whatever a module raises: the worker that needs it says so
                importlib.import_module(name)


def _is_installed(name: str) -> bool:
    """Return whether a module's package lies where packages are installed, rather than where people write theirs."""
    try:
        found = importlib.util.find_spec(name.partition(".")[0])
    except ValueError:  # what is there under this name is no module
        return False
    return found is not None and found.origin is not None and is_installed_file(found.origin)


class _Server:
    """The server's loop: it forks, reaps, and kills those whose sockets were closed."""

    def __init__(self, control: socket.socket, parent: int, idle_seconds: float) -> None:
        self._control = control
        self._parent = parent
        self._idle_seconds = idle_seconds
        self._workers: dict[int, socket.socket] = {}
        self._selector = selectors.DefaultSelector()
        self._selector.register(control, selectors.EVENT_READ)
        self._ended, self._wakes = socket.socketpair()
        for end in (self._ended, self._wakes):
            end.setblocking(False)
        self._selector.register(self._ended, selectors.EVENT_READ)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # a signal without a handler wakes nobody
        signal.set_wakeup_fd(self._wakes.fileno(), warn_on_full_buffer=False)

    def serve(self) -> None:
        """Return when the process that started this one is gone, or when there was no worker for long."""
        asked = time.monotonic()
        while os.getppid() == self._parent:
            for key, _ in self._selector.select(PARENT_CHECK_SECONDS):
                if key.fileobj is self._control:
                    if not self._fork():
                        return
                elif key.fileobj is self._ended:
                    with contextlib.suppress(BlockingIOError):
                        self._ended.recv(4096)
                else:
                    self._kill(key.data)
            self._reap()
            if self._workers:
                asked = time.monotonic()
            if time.monotonic() - asked > self._idle_seconds:
                return

    def _fork(self) -> bool:
        """Fork the next worker that is asked for; return False when nobody is left who could ask."""
        word, descriptors, _, _ = socket.recv_fds(self._control, 1, 3)
        if not word:
            return False
        if len(descriptors) < 3:  # this process has no room for more: the asker sees its socket closed
            for descriptor in descriptors:
                os.close(descriptor)
            return True
        status, server = socket.socket(fileno=descriptors[0]), os.getpid()
        try:
            request = _read(status)
            _import(request.imports)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # threads of libraries, which know about forks
                pid = os.fork()
        except EOFError:  # the asker is gone
            status.close()
            pid = -1
        except Exception:  # it asks for what cannot be, or no process can be made: it alone fails
            with contextlib.suppress(OSError):
                os.write(descriptors[2], traceback.format_exc().encode())
            status.close()
            pid = -1
        if pid == 0:
            try:
                self._forget()
                status.close()
            finally:  # whatever happens, this process is no second server
                _be(request, server, descriptors[1:])
        for descriptor in descriptors[1:]:
            os.close(descriptor)
        if pid > 0:
            self._workers[pid] = status
            self._selector.register(status, selectors.EVENT_READ, pid)
        return True

    def _forget(self) -> None:
        """Leave, in a new worker, everything that is the server's."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._selector.close()
        for each in (self._control, self._ended, self._wakes, *self._workers.values()):
            each.close()

    def _kill(self, pid: int) -> None:
        """Kill a worker whose socket was closed; its number is nobody else's until it is reaped."""
        status = self._workers[pid]
        self._selector.unregister(status)
        os.kill(pid, signal.SIGKILL)

    def _reap(self) -> None:
        while self._workers:
            pid, _ = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            status = self._workers.pop(pid, None)
            if status is not None:
                with contextlib.suppress(KeyError):
                    self._selector.unregister(status)
                status.close()


def _read(status: socket.socket) -> Request:
    with status.makefile("rb") as stream:
        header = stream.read(8)
        content = stream.read(*struct.unpack("!Q", header)) if len(header) == 8 else b""
    if not content:
        raise EOFError
    request: Request = pickle.loads(content)
    return request


def _be(request: Request, server: int, outputs: Sequence[int]) -> NoReturn:
    """Be a worker: a process like one that was started anew in the environment of the one that asked."""
    status = 1
    try:
        end_with_parent(server)
        _take_name()
        for descriptor, output in zip((1, 2), outputs, strict=True):
            os.dup2(output, descriptor)
            os.close(output)
        os.environ.clear()
        os.environ.update(request.environment)
        sys.argv[:] = request.arguments
        sys.path[:] = request.path
        with contextlib.suppress(OSError):  # gone meanwhile, as for the one that asked
            os.chdir(request.folder)
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, request.cores)
        importlib.invalidate_caches()  # of what the server found in folders, some of them relative to its own
        sys.path_importer_cache.clear()
        _seed_anew()
        pickle.loads(request.call)()
        status = 0
    except SystemExit as exit_:
        status = exit_.code if isinstance(exit_.code, int) else 1
    except BaseException:  # the process's edge
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def _take_name() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_NAME, WORKER_NAME.encode())


def _seed_anew() -> None:
    """Two processes that were started have different random states, where nobody seeds them; so shall two forks.

    Python's own `random` sees to it itself.
    """
    import numpy as np

    np.random.seed()  # noqa: NPY002
