"""A process that has imported what workers need, and from which they are forked: each is there in milliseconds.

Importing torch, scikit-learn and transformers' modeling code takes a worker three to six seconds of a core, and a
study would wait for it after it has read its rows. The server imports meanwhile, once for all workers of this process,
those of later studies too. It computes nothing and has no thread of Python's when it forks, so that a worker finds no
lock taken.

On Linux, for workers on a CPU: elsewhere forking after such imports is not safe, and what CUDA has begun, a forked
process cannot go on with.
"""

import atexit
import contextlib
import gc
import importlib
import importlib.util
import json
import os
import pickle
import random
import selectors
import signal
import socket
import struct
import subprocess
import sys
import sysconfig
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import cloudpickle

from hpsearch.runtime.processes import PARENT_CHECK_SECONDS, end_with_parent

PRELOADED = ("hpsearch.runtime.worker", "sklearn.metrics")
"""What every worker imports."""

IDLE_SECONDS = 600.0
"""How long a server stays that has no worker: somebody at a notebook starts one study after another."""

WORKER_NAME = "hpsearch-worker"
"""What `ps` and `top` call a worker; no longer than Linux lets it be."""

_READ_AT_IMPORT = (
    "ATEN_", "CUBLAS_", "CUDA_", "DNNL_", "GLIBC_", "GOMP_", "HF_", "KMP_", "LD_", "MALLOC_", "MKL_", "OMP_", "ONEDNN_",
    "OPENBLAS_", "PYTHON", "PYTORCH_", "TOKENIZERS_", "TORCH", "TRANSFORMERS_",
)  # fmt: skip
"""Environment variables that are read as libraries start: workers that differ in one cannot have the same server."""

_PR_SET_NAME = 15


@dataclass(frozen=True)
class _Request:
    """A worker that is wanted: where and with what it runs, as the process that asks has it now."""

    call: bytes
    imports: tuple[str, ...]
    environment: Mapping[str, str]
    path: tuple[str, ...]
    folder: str


class ForkServer:
    """One such process, as the process that started it sees it.

    Args:
        environment: The environment variables it is started with.
        imports: Modules that it imports at once; only those of installed packages, since a person's own may change.
        idle_seconds: How long it stays without a worker.

    Attributes:
        pid: Its process.

    Raises:
        OSError: It cannot be started.
    """

    def __init__(
        self, environment: Mapping[str, str], imports: Sequence[str] = (), idle_seconds: float = IDLE_SECONDS
    ) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._control = ours
            given = {
                "control": theirs.fileno(), "parent": os.getpid(), "imports": list(imports), "path": _path(),
                "idle_seconds": idle_seconds,
            }  # fmt: skip
            code = (
                "import json, sys; given = json.loads(sys.argv[1]); sys.path[:] = given.pop('path'); "
                "from hpsearch.runtime.fork_server import main; main(**given)"
            )
            with interruptions_blocked():
                self._process = subprocess.Popen(  # noqa: S603
                    [sys.executable, "-c", code, json.dumps(given)],
                    stdin=subprocess.DEVNULL, env=dict(environment), pass_fds=[theirs.fileno()],
                )  # fmt: skip
        self.pid = self._process.pid
        self._asking = threading.Lock()

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def fork(self, call: Callable[[], None], environment: Mapping[str, str], imports: Sequence[str]) -> "Forked":
        """Start a worker that does `call` and ends.

        Args:
            call: What it does; travels by cloudpickle.
            environment: All its environment variables.
            imports: Modules that are imported before it is forked, where they are of installed packages.

        Raises:
            OSError: The server is gone, or one of the two has no file descriptors left.
        """
        request = _Request(cloudpickle.dumps(call), tuple(imports), environment, _path(), str(Path.cwd()))
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                with self._asking:
                    socket.send_fds(self._control, [b"+"], [theirs.fileno(), 1, 2])
                content = pickle.dumps(request)
                ours.sendall(struct.pack("!Q", len(content)) + content)
            except BaseException:
                ours.close()
                raise
        return Forked(ours)

    def close(self) -> None:
        """End the server and all its workers."""
        self._control.close()
        self._process.kill()
        self._process.wait()


class Forked:
    """A worker that was forked, or is about to be; over its socket the server says that it has ended."""

    def __init__(self, status: socket.socket) -> None:
        self._status = status

    def has_ended(self) -> bool:
        """Return whether the worker is gone, or its server, which it does not outlive."""
        if self._status.fileno() < 0:
            return True
        self._status.setblocking(False)
        try:
            return not self._status.recv(1)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def end(self) -> None:
        """Have the server kill the worker: at once, and it alone, whatever number another process may have by then."""
        with contextlib.suppress(OSError):
            self._status.shutdown(socket.SHUT_RDWR)
        self._status.close()


def _path() -> tuple[str, ...]:
    return tuple(map(str, sys.path))


_servers: dict[tuple[int, tuple[tuple[str, str], ...]], ForkServer] = {}
_starting = threading.Lock()


def can_fork(device: str) -> bool:
    """Return whether workers on such a device are forked from a server."""
    return sys.platform == "linux" and device == "cpu"


def fork_server(environment: Mapping[str, str], imports: Sequence[str] = ()) -> ForkServer:
    """Return this process's server for workers of such an environment, started now where there is none.

    It imports while the caller goes on. It ends with this process, or when it has had no worker for ten minutes.

    Raises:
        OSError: It cannot be started.
    """
    at_import = tuple(sorted((name, value) for name, value in environment.items() if name.startswith(_READ_AT_IMPORT)))
    with _starting:
        key = os.getpid(), at_import  # a fork of this process has none yet
        server = _servers.get(key)
        if server is not None and not server.is_alive():
            server.close()
        if server is None or not server.is_alive():
            if not _servers:
                atexit.register(_close_servers)
            server = _servers[key] = ForkServer(environment, imports)
    return server


def _close_servers() -> None:
    for (process, _), server in _servers.items():
        if process == os.getpid():
            server.close()


@contextlib.contextmanager
def interruptions_blocked() -> Iterator[None]:
    """Start processes that Ctrl-C does not reach: they inherit the mask until they ignore the signal themselves."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


# ------------------------------------------------------------------ in the server


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
    gc.collect()
    gc.freeze()  # else each worker's first collection would copy every page that has an object
    _Server(socket.socket(fileno=control), parent, idle_seconds).serve()


def _watch(parent: int, is_imported: threading.Event) -> None:
    while not is_imported.wait(PARENT_CHECK_SECONDS):
        if os.getppid() != parent:
            os._exit(1)


def _import(names: Sequence[str]) -> None:
    for name in names:
        if name not in sys.modules and (name in PRELOADED or _is_installed(name)):
            with contextlib.suppress(ImportError):  # whoever needs it says what is missing
                importlib.import_module(name)


def _is_installed(name: str) -> bool:
    """Return whether a module's package lies where packages are installed, rather than where people write theirs."""
    found = importlib.util.find_spec(name.partition(".")[0])
    places = (sysconfig.get_path("purelib"), sysconfig.get_path("platlib"))
    return found is not None and found.origin is not None and found.origin.startswith(places)


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
        except (OSError, EOFError):  # the asker is gone, or the machine has no process left: seen by its closed socket
            status.close()
            pid = -1
        if pid == 0:
            self._forget()
            status.close()
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


def _read(status: socket.socket) -> _Request:
    with status.makefile("rb") as stream:
        (length,) = struct.unpack("!Q", stream.read(8) or bytes(8))
        content = stream.read(length)
    if not length or len(content) < length:
        raise EOFError
    request: _Request = pickle.loads(content)
    return request


# ------------------------------------------------------------------ in a worker


def _be(request: _Request, server: int, outputs: Sequence[int]) -> NoReturn:
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
        sys.path[:] = request.path
        with contextlib.suppress(OSError):  # a folder that is gone is the old process's too
            os.chdir(request.folder)
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
    import ctypes

    ctypes.CDLL(None).prctl(_PR_SET_NAME, WORKER_NAME.encode())


def _seed_anew() -> None:
    """Two processes that were started have different random states, where nobody seeds them; so shall two forks."""
    import numpy as np

    random.seed()
    np.random.seed()  # noqa: NPY002
