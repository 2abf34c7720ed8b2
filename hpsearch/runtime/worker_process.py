"""A worker's process: how it starts, how it serves its pool, and how it ends.

joblib's loky starts it. The process then stays in one call, `serve`, and speaks over a connection. It ends when the
connection or its parent does, whatever it is doing: no worker outlives its coordinator.
"""

import contextlib
import ctypes
import functools
import os
import pickle
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from multiprocessing import resource_tracker
from multiprocessing.connection import Client, Connection
from typing import TYPE_CHECKING, Any

import cloudpickle
from joblib.externals.loky.process_executor import ProcessPoolExecutor

from hpsearch.errors import HpsearchError, TaskError

if TYPE_CHECKING:
    from hpsearch.runtime.messages import Probe, Probed, Ready
    from hpsearch.runtime.worker import Worker

HEARTBEAT_SECONDS = 2.0
PARENT_CHECK_SECONDS = 1.0

_PARENT_DEATH_SIGNAL = 1
"""PR_SET_PDEATHSIG of Linux's prctl."""


class WorkerProcess:
    """A worker's process as its pool holds it: one of loky's executors, busy with a single call.

    Args:
        call: What the process does; it travels by cloudpickle.
        environment: Variables that are set before the process imports anything.
    """

    def __init__(self, call: Callable[[], None], environment: Mapping[str, str]) -> None:
        self._executor = ProcessPoolExecutor(
            max_workers=1, env=dict(environment), initializer=end_with_parent, initargs=(os.getpid(),)
        )
        if os.name == "posix":  # else loky starts it, which clears the mask of signals (CPython 3.11)
            resource_tracker.ensure_running()
        with _interruptions_blocked():
            self._call: Future[None] = self._executor.submit(call)

    def has_ended(self) -> bool:
        return self._call.done()

    def end(self) -> None:
        """Kill the process; a second call does nothing."""
        self._executor.shutdown(wait=False, kill_workers=True)


@contextlib.contextmanager
def _interruptions_blocked() -> Iterator[None]:
    """Shield processes that start meanwhile from Ctrl-C: they inherit the mask until they ignore the signal."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_with_parent(parent: int) -> None:
    """End this process when its parent is gone; needed before and after the connection.

    A new worker process calls this before anything else. On Linux the kernel ends the process, also while native code
    holds the interpreter's lock; elsewhere a thread looks. The process ignores what asks a whole group to end (Ctrl-C,
    a batch system's SIGTERM): the coordinator answers that, and wants a checkpoint first.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(PARENT_CHECK_SECONDS)
        os._exit(1)

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    threading.Thread(target=watch, name="hpsearch-parent", daemon=True).start()


def serve(address: str, authkey: bytes, generation: int, device: str) -> None:
    """Connect to the coordinator and follow its orders until it closes the connection.

    User code (tasks, metrics) arrives by cloudpickle, in memory only, over a connection that both ends have
    authenticated with a key made for this pool. A worker that cannot go on ends its process: its pool notices that.

    Args:
        address: Where the coordinator listens.
        authkey: The pool's key.
        generation: The number by which the pool knows this process.
        device: What it trains on, as this process names it.
    """
    try:
        channel = Channel(Client(address, authkey=authkey))
        channel.send(generation)
        _follow_orders(channel, device)
    except OSError:
        os._exit(1)  # the coordinator is gone
    except Exception:  # the worker's edge: a package that cannot be imported
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)


def _follow_orders(channel: "Channel", device: str) -> None:
    # Heavy imports come after the greeting, so that a coordinator sees that its worker lives.
    from hpsearch.runtime.messages import Prepare, Probe, Ready, Stop, Train
    from hpsearch.runtime.worker import Worker
    from hpsearch.training.numerics import detect_environment

    worker = Worker(device)
    channel.send(Ready(os.getpid(), detect_environment(worker.device)))
    channel.start_heartbeat(lambda: worker.progress)
    while True:
        match channel.receive():
            case Prepare(study, workload):
                channel.send(_answer(study, functools.partial(_prepare, worker, workload)))
            case Probe() as probe:
                channel.send(_answer(probe.study, functools.partial(_probe, worker, probe)))
            case Train() as order:
                for event in worker.train(order, channel.receive_nowait):
                    if event is not None:
                        channel.send(event)
            case Stop():
                pass  # it crossed the end of the segment that it was meant for


def _prepare(worker: "Worker", workload: bytes) -> "Ready":
    from hpsearch.runtime.messages import Ready

    worker.prepare(pickle.loads(workload))
    return Ready(os.getpid(), {})


def _probe(worker: "Worker", probe: "Probe") -> "Probed":
    from hpsearch.runtime.messages import Probed

    return Probed(worker.probe(probe))


def _answer(study: str, work: Callable[[], Any]) -> Any:
    """Return the result of some work, or the message that the study cannot be taken on."""
    from hpsearch.runtime.messages import Refused

    try:
        return work()
    except HpsearchError as error:
        return Refused(study, error)
    except Exception:  # the worker's edge: a model or task of the user's that cannot be opened
        return Refused(study, TaskError(f"A worker could not open the study:\n{traceback.format_exc()}"))


class Channel:
    """A worker's end of the connection: whole messages in both directions, read by a thread of its own."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._sending = threading.Lock()
        threading.Thread(target=self._read, name="hpsearch-inbox", daemon=True).start()

    def send(self, message: Any) -> None:
        with self._sending:
            self._connection.send_bytes(cloudpickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL))

    def receive(self) -> Any:
        """Wait for the next message."""
        return self._inbox.get()

    def receive_nowait(self) -> Any | None:
        """Return a message that has come in, or None. While a segment trains, it can only be a Stop."""
        try:
            return self._inbox.get_nowait()
        except queue.Empty:
            return None

    def start_heartbeat(self, progress: Callable[[], int]) -> None:
        """Send a heartbeat now and then from a thread of its own, with the count that shows whether work goes on."""
        from hpsearch.runtime.messages import Heartbeat

        def beat() -> None:
            try:
                while True:
                    time.sleep(HEARTBEAT_SECONDS)
                    self.send(Heartbeat(progress()))
            except OSError:
                os._exit(1)

        threading.Thread(target=beat, name="hpsearch-heartbeat", daemon=True).start()

    def _read(self) -> None:
        try:
            while True:
                self._inbox.put(pickle.loads(self._connection.recv_bytes()))
        except (EOFError, OSError):
            os._exit(1)  # the coordinator is gone; nobody would record what this process measures
