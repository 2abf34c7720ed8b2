"""The process of a run: it takes orders from its worker, runs the user's code once, and ends with the worker."""

import contextlib
import importlib.abc
import importlib.machinery
import os
import random
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from hpsearch.tasks.loops.channel import Channel
from hpsearch.tasks.loops.messages import Begin, Failed, Returned
from hpsearch.tasks.loops.process import descendants, kill_all
from hpsearch.tasks.loops.run import Run, RunEnded

_OUT_OF_MEMORY = ("OutOfMemoryError", "MemoryError")


def main() -> None:
    """Serve the worker that started this process: its pipes are standard input and output."""
    channel = _over_standard_streams()
    begin: Begin = channel.receive()
    run = Run(begin, channel.send)
    threading.Thread(target=_listen, args=(channel, run), name="hpsearch-orders", daemon=True).start()
    try:
        seed_everything(begin.seed, begin.threads)
        with contextlib.suppress(RunEnded):
            begin.call(run)
        channel.send(Returned())
    except BaseException as error:  # noqa: BLE001  (the edge: whatever the user's code raises, sys.exit() among it)
        channel.send(_failure(error))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # threads and finalizers of whatever the code has loaded are nobody's any more


def _over_standard_streams() -> Channel:
    """Return the channel; what the code prints goes where standard error does, and it has nothing to read."""
    incoming = os.fdopen(os.dup(0), "rb")
    outgoing = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return Channel(incoming, outgoing)


def _listen(channel: Channel, run: Run) -> None:
    """Take orders; once the worker is gone, end this process and all that it has started."""
    try:
        while True:
            run.obey(channel.receive())
    except (EOFError, OSError):
        end_group()


def end_group() -> None:
    """Kill this process and what it has started, in its group or not."""
    kill_all(descendants(os.getpid()))
    if hasattr(os, "killpg") and os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def _failure(error: BaseException) -> Failed:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None and _is_ours(trace.tb_frame.f_code.co_filename):
        trace = trace.tb_next
    text = "".join(traceback.format_exception(type(error), error, trace))
    names = [kind.__name__ for kind in type(error).__mro__]
    message = traceback.format_exception_only(error)[-1].strip()
    text = getattr(error, "log", text)  # a command has no traceback of ours to show
    return Failed(message, text, is_memory=any(name in names for name in _OUT_OF_MEMORY))


def _is_ours(file: str) -> bool:
    return Path(file).parent == Path(__file__).parent


def seed_everything(seed: int, threads: int | None = None) -> None:
    """Set Python's, NumPy's and torch's random states; torch's once it is imported, for not all code does."""
    random.seed(seed)
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed(seed % 2**32)

    def seed_torch(torch: Any) -> None:
        torch.manual_seed(seed)
        if threads is not None:
            torch.set_num_threads(threads)

    if "torch" in sys.modules:
        seed_torch(sys.modules["torch"])
    else:
        sys.meta_path.insert(0, _AfterImport("torch", seed_torch))


class _AfterImport(importlib.abc.MetaPathFinder):
    """Calls a function with a module once it has been imported for the first time."""

    def __init__(self, name: str, then: Callable[[Any], None]) -> None:
        self._name, self._then = name, then

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != self._name:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        if spec is None or spec.loader is None:
            return spec
        run, then = spec.loader.exec_module, self._then

        def run_and_then(module: ModuleType) -> None:
            if self in sys.meta_path:  # it stays while others only look whether the module is there
                sys.meta_path.remove(self)
            run(module)
            then(module)

        spec.loader.exec_module = run_and_then  # type: ignore[method-assign]
        return spec
