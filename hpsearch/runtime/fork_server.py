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
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing.spawn import get_executable
from pathlib import Path

import cloudpickle

from hpsearch.provenance.packages import installed_versions
from hpsearch.records import Slot
from hpsearch.runtime.devices import Devices, are_surely_cpus, worker_device, worker_environment
from hpsearch.runtime.forking import Request, packed

logger = logging.getLogger("hpsearch")

IDLE_SECONDS = 600.0
"""How long a server stays that has no worker: somebody at a notebook starts one study after another."""

_READ_AT_IMPORT = (
    "ATEN_", "CUBLAS_", "CUDA_", "DNNL_", "GLIBC_", "GOMP_", "HF_", "HOME", "HUGGINGFACE_", "KMP_", "LANG", "LC_",
    "LD_", "MALLOC_", "MKL_", "NPY_", "NUMPY_", "OMP_", "ONEDNN_", "OPENBLAS_", "PYTHON", "PYTORCH_", "SCIPY_",
    "SKLEARN_", "TOKENIZERS_", "TORCH", "TRANSFORMERS_", "USE_", "XDG_",
)  # fmt: skip
"""Environment variables that are read as libraries start: workers that differ in one cannot have the same server."""

_SET_BY_LIBRARIES = frozenset(
    {"KMP_DUPLICATE_LIB_OK", "KMP_INIT_AT_FORK", "TORCHINDUCTOR_CACHE_DIR", "TORCHINDUCTOR_DETERMINISTIC"}
)
"""What scikit-learn and torch, and training in this process, set themselves in its environment sooner or later."""

_Kind = tuple[int, tuple[tuple[str, str], ...], tuple[tuple[str, str], ...]]
"""The process that a server belongs to, the variables that were read at import, the versions of what was imported."""


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
        self._asking = threading.Lock()
        self._control, theirs = socket.socketpair()
        given = {
            "control": theirs.fileno(), "parent": os.getpid(), "imports": list(imports), "path": _path(),
            "idle_seconds": idle_seconds,
        }  # fmt: skip
        code = (
            "import json, sys; given = json.loads(sys.argv[1]); sys.path[:] = given.pop('path'); "
            "from hpsearch.runtime.forking import main; main(**given)"
        )
        with contextlib.ExitStack() as undone:
            undone.callback(self._control.close)
            with theirs, interruptions_blocked():
                self._process = subprocess.Popen(  # noqa: S603
                    [get_executable(), "-P", "-c", code, json.dumps(given)],
                    stdin=subprocess.DEVNULL, env=dict(environment), pass_fds=[theirs.fileno()],
                )  # fmt: skip
            undone.pop_all()
        self.pid = self._process.pid
        self._forked: list[Forked] = []

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def has_workers(self) -> bool:
        with self._asking:
            return any(not each.has_ended() for each in self._forked)

    def fork(self, call: Callable[[], None], environment: Mapping[str, str], imports: Sequence[str]) -> "Forked":
        """Start a worker that does `call` and ends.

        Args:
            call: What it does; travels by cloudpickle.
            environment: All its environment variables.
            imports: Modules that are imported before it is forked, where they are of installed packages.

        Raises:
            OSError: The server is gone, or one of the two has no file descriptors left.
        """
        request = Request(
            cloudpickle.dumps(call), tuple(imports), environment, tuple(sys.argv), _path(), str(Path.cwd()),
            frozenset(os.sched_getaffinity(0)),
        )  # fmt: skip
        ours, theirs = socket.socketpair()
        with contextlib.ExitStack() as undone:
            undone.callback(ours.close)
            with theirs, self._asking:
                socket.send_fds(self._control, [b"+"], [theirs.fileno(), 1, 2])
            ours.sendall(packed(request))  # not while this process has `theirs` open: a server that dies is noticed
            undone.pop_all()
        forked = Forked(ours)
        with self._asking:
            self._forked = [*(each for each in self._forked if not each.has_ended()), forked]
        return forked

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


_servers: dict[_Kind, ForkServer] = {}
_starting = threading.Lock()


def _start_afresh() -> None:
    """Leave, in a fork of this process, a lock that another thread held."""
    global _starting  # noqa: PLW0603
    _starting = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_afresh)


def can_fork(device: str) -> bool:
    """Return whether workers on such a device are forked from a server."""
    return sys.platform == "linux" and device == "cpu"


def fork_server(environment: Mapping[str, str], imports: Sequence[str] = ()) -> ForkServer:
    """Return this process's server for workers of such an environment, started now where there is none.

    It imports while the caller goes on. It ends with this process, when it has had no worker for ten minutes, or when
    another is started and it has none.

    Raises:
        OSError: It cannot be started.
    """
    kind = _kind(environment)
    with _starting:
        server = _servers.get(kind)
        if server is None or not server.is_alive():
            if not _servers:
                atexit.register(_close_servers)
            _close_servers(of_no_use=True)
            server = _servers[kind] = ForkServer(environment, imports)
    return server


def begin_imports(devices: Devices, imports: Sequence[str] = ()) -> None:
    """Have another process import what workers on a CPU need, before this one imports it; harmless where none follow.

    Torch, which knows the devices, is not imported yet: nothing is begun where a GPU may be found, or where `devices`
    are none that there can be.
    """
    if are_surely_cpus(devices):
        prepare_to_fork(Slot(0, ("cpu",)), imports)


def prepare_to_fork(slot: Slot, imports: Sequence[str] = (), threads: int = 1) -> None:
    """Start the server that workers like that of `slot` will be forked from, so that it imports in the meantime."""
    if can_fork(worker_device(slot)):
        try:
            fork_server({**os.environ, **worker_environment(slot, os.environ, threads)}, imports)
        except OSError as error:
            log_that_workers_import(error)


def log_that_workers_import(error: OSError) -> None:
    """Say in the log that there is no server."""
    logger.info("Workers import for themselves, since the process that they are forked from cannot be had: %s", error)


def _kind(environment: Mapping[str, str]) -> _Kind:
    read = {name: value for name, value in environment.items() if name.startswith(_READ_AT_IMPORT)}
    given = sorted((name, value) for name, value in read.items() if name not in _SET_BY_LIBRARIES)
    return os.getpid(), tuple(given), tuple(installed_versions().items())  # a fork of this process has none yet


def _close_servers(of_no_use: bool = False) -> None:
    """End this process's servers; those of a process that it was forked from are left alone."""
    for kind, server in list(_servers.items()):
        if kind[0] == os.getpid() and not (of_no_use and server.is_alive() and server.has_workers()):
            server.close()
            del _servers[kind]


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
