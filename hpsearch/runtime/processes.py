"""A worker as a process of its own: one never-ending call that speaks over a connection.

The connection's end ends the process, and so does its parent's, whatever it is doing: no worker outlives its
coordinator.
"""

import contextlib
import ctypes
import functools
import importlib
import os
import pickle
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from multiprocessing.connection import Client, Connection
from typing import Any

import cloudpickle

from hpsearch.errors import HpsearchError, TaskError

PARENT_CHECK_SECONDS = 1.0
_PARENT_DEATH_SIGNAL = 1
"""PR_SET_PDEATHSIG of Linux's prctl."""


def end_with_parent(parent: int) -> None:
    """End this process when its parent is gone: for the moments before and after the connection.

    Run in a new worker process before anything else. On Linux the kernel does it, also while native code holds the
    interpreter's lock; elsewhere a thread looks. What asks a whole process group to end (Ctrl-C, a batch system's
    SIGTERM) is the coordinator's to answer: it wants a checkpoint first.
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


def serve(
    address: str, authkey: bytes, index: int, device: str, heartbeat_every: float, imports: Sequence[str] = ()
) -> None:
    """Connect to the coordinator and do what it says until it closes the connection.

    User code (tasks, metrics) arrives by cloudpickle, in memory only, over a connection that both ends have
    authenticated with a key made for this pool. The modules named in `imports` are imported before the first order is
    looked at: the coordinator has its own things to do until then. A worker that cannot go on ends its process: that is
    what its pool notices.
    """
    try:
        _serve(address, authkey, index, device, heartbeat_every, imports)
    except OSError:
        os._exit(1)  # the coordinator is gone
    except Exception:  # the worker's edge: a package that cannot be imported
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)


def _serve(
    address: str, authkey: bytes, index: int, device: str, heartbeat_every: float, imports: Sequence[str]
) -> None:
    channel = Channel(Client(address, authkey=authkey))
    channel.send(index)
    # Heavy imports come after the greeting, so that a coordinator sees that its worker lives.
    from hpsearch.runtime.messages import Close, Prepare, Probe, Ready, Stop, Train
    from hpsearch.runtime.worker import Worker
    from hpsearch.training.numerics import detect_environment

    worker = Worker(device)
    channel.send(Ready(os.getpid(), detect_environment(worker.device)))
    channel.beat(heartbeat_every, lambda: worker.progress)
    for module in imports:
        with contextlib.suppress(ImportError):  # whoever needs it says what is missing
            importlib.import_module(module)
    while True:
        match channel.receive():
            case Prepare(study, workload):
                channel.send(_answer(study, functools.partial(_prepared, worker, workload)))
            case Probe() as probe:
                channel.send(_answer(probe.study, functools.partial(_probed, worker, probe)))
            case Train() as order:
                for event in worker.train(order, channel.told):
                    if event is not None:
                        channel.send(event)
            case Stop():
                pass  # it crossed the end of the segment that it was meant for
            case Close():
                return


def _prepared(worker: Any, workload: bytes) -> Any:
    from hpsearch.runtime.messages import Ready

    worker.prepare(pickle.loads(workload))
    return Ready(os.getpid(), {})


def _probed(worker: Any, probe: Any) -> Any:
    from hpsearch.runtime.messages import Probed

    return Probed(worker.probe(probe))


def _answer(study: str, work: Callable[[], Any]) -> Any:
    """Return what some work came to, or the message that the study cannot be taken on."""
    from hpsearch.runtime.messages import Refused

    try:
        return work()
    except HpsearchError as error:
        return Refused(study, error)
    except Exception:  # the worker's edge: a model or task of the user's that cannot be opened
        return Refused(study, TaskError(f"A worker could not open the study:\n{traceback.format_exc()}"))


class Channel:
    """One end of the connection: whole messages in both directions, read by a thread of its own."""

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

    def told(self) -> Any | None:
        """Return a message that has come in the meantime, or None: while a segment trains, it can only be a Stop."""
        try:
            return self._inbox.get_nowait()
        except queue.Empty:
            return None

    def beat(self, every: float, progress: Callable[[], int]) -> None:
        """Send a heartbeat from a thread of its own, with the count that shows whether work goes on."""
        from hpsearch.runtime.messages import Heartbeat

        def loop() -> None:
            try:
                while True:
                    time.sleep(every)
                    self.send(Heartbeat(progress()))
            except OSError:
                os._exit(1)

        threading.Thread(target=loop, name="hpsearch-heartbeat", daemon=True).start()

    def _read(self) -> None:
        try:
            while True:
                self._inbox.put(pickle.loads(self._connection.recv_bytes()))
        except (EOFError, OSError):
            os._exit(1)  # the coordinator is gone; nobody would record what this process finds
