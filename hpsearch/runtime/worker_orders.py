"""A worker's side of the conversation with its pool, whatever carries it: the channel, and the loop over its orders."""

import contextlib
import functools
import os
import pickle
import queue
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import cloudpickle

from hpsearch.errors import HpsearchError, NodeError, TaskError
from hpsearch.provenance.modules import is_installed_file

if TYPE_CHECKING:
    from hpsearch.runtime.messages import Prepare, Ready, Sent, Wanted
    from hpsearch.runtime.worker import Worker

HEARTBEAT_SECONDS = 2.0

CODE_BY_VALUE = (b"_make_function", b"_make_skeleton_class")
"""What cloudpickle writes for code of `__main__` or a notebook. Such code may have changed anything in its process."""


class Channel:
    """A worker's end of what carries messages: whole messages in both directions."""

    def __init__(self) -> None:
        self._inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._is_closed = threading.Event()

    def send_bytes(self, content: bytes) -> None:
        """Send a pickled message; any thread may. `OSError` where the pool cannot be reached any more."""
        raise NotImplementedError

    def send(self, message: Any) -> None:
        self.send_bytes(cloudpickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL))

    def take(self, content: bytes) -> Any:
        """Take a pickled message that has come in, and return it; any thread may."""
        message = pickle.loads(content)
        if message is None:
            self._inbox.put(None)
            return None
        from hpsearch.runtime.messages import Sent  # heavy, and loaded with the message

        (self._answers if isinstance(message, Sent) else self._inbox).put(message)
        return message

    def ask(self, message: "Wanted") -> "Sent":
        """Send a question and wait for its answer, whatever orders come in meanwhile."""
        self.send(message)
        answer: Sent = self._answers.get()
        return answer

    def receive(self) -> Any:
        """Wait for the next message; the last is None, which releases this process."""
        return self._inbox.get()

    def receive_nowait(self) -> Any | None:
        """Return a message that has come in, or None. While a segment trains, it can only be a Stop."""
        try:
            return self._inbox.get_nowait()
        except queue.Empty:
            return None

    def start_heartbeat(self, progress: Callable[[], int]) -> None:
        """Send `progress`, which grows while work continues, every `HEARTBEAT_SECONDS` from a separate thread."""
        from hpsearch.runtime.messages import Heartbeat

        def beat() -> None:
            try:
                while not self._is_closed.wait(HEARTBEAT_SECONDS):
                    self.send(Heartbeat(progress()))
            except OSError:
                if not self._is_closed.is_set():
                    os._exit(1)

        threading.Thread(target=beat, name="hpsearch-heartbeat", daemon=True).start()

    def close(self) -> None:
        self._is_closed.set()


def follow_orders(channel: Channel, device: str) -> bool:
    """Follow a pool's orders until it releases this process; return whether user code may have changed the process.

    Args:
        device: What is trained on, as this process names it.
    """
    # Heavy imports come after the greeting, so that the coordinator knows that its worker lives.
    from hpsearch.runtime.messages import Prepare, Probe, Ready, Stop, Train
    from hpsearch.runtime.worker import Worker
    from hpsearch.training.numerics import detect_environment

    imported, holds_code = set(sys.modules), False
    worker = Worker(device)
    channel.send(Ready(os.getpid(), detect_environment(worker.device)))
    channel.start_heartbeat(lambda: worker.progress)
    while True:
        match channel.receive():
            case Prepare(study, workload) as order:
                holds_code = holds_code or any(mark in workload for mark in CODE_BY_VALUE)
                channel.send(_answer(study, functools.partial(_prepare, worker, order, channel)))
            case Probe() as probe:
                channel.send(_answer(probe.study, functools.partial(worker.probe, probe)))
            case Train() as order:
                for event in worker.train(order, channel.receive_nowait):
                    if event is not None:
                        channel.send(event)
            case Stop():
                worker.rest()  # or its segment ended while it travelled
            case None:
                return holds_code or _has_imported_user_code(imported)


def _has_imported_user_code(before: set[str]) -> bool:
    """Return whether a module that users may edit, one of no installed package, was imported since `before`."""
    later = [module for name, module in sys.modules.items() if name not in before and not name.startswith("hpsearch.")]
    files = [getattr(module, "__file__", None) for module in later]
    return any(file is not None and not is_installed_file(file) for file in files)


def _prepare(worker: "Worker", order: "Prepare", channel: Channel) -> "Ready":
    from hpsearch.runtime.messages import Ready

    if order.folders is None:
        worker.prepare(pickle.loads(order.workload))
    else:
        from hpsearch.runtime.node_folders import look_for_modules, placed

        look_for_modules(order.folders)
        with _missing_modules():
            workload = pickle.loads(order.workload)
        worker.prepare(placed(workload, order.folders, channel.ask))
    return Ready(os.getpid(), {})


@contextlib.contextmanager
def _missing_modules() -> Iterator[None]:
    """Say what to do where a study's code cannot be imported on this node."""
    try:
        yield
    except (ImportError, TaskError) as error:
        missing = error if isinstance(error, ImportError) else error.__cause__
        if not isinstance(missing, ImportError):
            raise
        raise NodeError(
            f"The node {socket.gethostname()} cannot import a module that the study's task or metric is made of: "
            f"{missing}. Workers on Ray import installed packages, and modules beside the script where all nodes see "
            "its folder at the same path. Put the script on such a folder, install the module on every node, or send "
            "its folder along: in the script, before the study runs, ray.init(runtime_env={'working_dir': '.'})."
        ) from error


def _answer(study: str, work: Callable[[], Any]) -> Any:
    """Return the result of some work, or `Refused`, or `Broken`."""
    from hpsearch.runtime.messages import Broken, Refused
    from hpsearch.training.device_errors import blame

    try:
        return work()
    except Exception as error:  # the worker's edge: a model or task of the user's that cannot be opened
        said = TaskError(f"A worker could not open the study:\n{traceback.format_exc()}")
        refused = error if isinstance(error, HpsearchError) else said
        blamed = blame(error)
        return Refused(study, refused) if blamed is None else Broken(study, refused, blamed)
