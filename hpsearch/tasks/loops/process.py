"""A run's process as its worker holds it: started with the run, spoken to over a pipe, killed with the worker."""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpsearch.tasks.loops.channel import Channel
from hpsearch.tasks.loops.messages import Begin, End

if TYPE_CHECKING:
    import psutil

LOG_FILE = "output.log"
"""The file, in the run's folder, of what its process writes to standard output and error."""

GRACE_SECONDS = 10.0
"""How long a process may take to return once nothing more is wanted of it."""

_LOOK_SECONDS = 5.0
_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv.pop()); from hpsearch.tasks.loops.child import main; main()"
)


class RunProcess:
    """A fresh Python process that runs the user's code.

    Args:
        begin: What it is to run.
    """

    def __init__(self, begin: Begin) -> None:
        begin.folder.mkdir(parents=True, exist_ok=True)
        self.log_file = begin.folder / LOG_FILE
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603  (this interpreter, and code of ours)
                [sys.executable, "-c", _START, json.dumps(sys.path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={"PYTHONHASHSEED": "0", **os.environ},
                start_new_session=True,  # a group of its own, which ends as a whole, and hears no Ctrl-C
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._channel = Channel(self._process.stdout, self._process.stdin)
        self._inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._busy, self._looked = 0.0, time.monotonic()
        threading.Thread(target=self._read, name="hpsearch-run", daemon=True).start()
        self.send(begin)

    def send(self, message: Any) -> None:
        """Send an order; one that has ended hears nothing, and that is found where its messages are read."""
        with contextlib.suppress(OSError, ValueError):
            self._channel.send(message)

    def receive(self, seconds: float) -> Any | None:
        """Return its next message, None where there is none yet. `EOFError` where it has ended without a word."""
        is_over = self._process.poll() is not None  # asked first: what it sent before is read yet
        with contextlib.suppress(queue.Empty):
            message = self._inbox.get(timeout=1.0 if is_over else seconds)
            if isinstance(message, EOFError):
                self._process.wait(GRACE_SECONDS)
                raise message
            return message
        if is_over:
            raise EOFError("the process has ended")
        return None

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def has_worked(self) -> bool:
        """Return whether it has computed since it was last asked, at most every few seconds."""
        import psutil

        now = time.monotonic()
        if now - self._looked < _LOOK_SECONDS:
            return False
        self._looked = now
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(self._process.pid)
            busy = sum(sum(each.cpu_times()[:2]) for each in (process, *process.children(recursive=True)))
            before, self._busy = self._busy, busy
            return bool(busy - before > _LOOK_SECONDS / 100)
        return False

    def ending(self) -> str:
        """Return how it ended: the signal that killed it, or its exit status."""
        code = self._process.poll()
        if code is not None and code < 0:
            with contextlib.suppress(ValueError):
                return signal.Signals(-code).name
        return f"exit status {code}"

    @property
    def was_killed(self) -> bool:
        """Whether a signal ended it."""
        return (self._process.poll() or 0) < 0

    def last_lines(self, count: int = 15) -> str:
        """Return the end of what it has written."""
        return last_lines(self.log_file, count)

    def end(self, *, gracefully: bool) -> None:
        """Have it end, and all that it has started: a moment later where it may return by itself, else at once."""
        if gracefully and self._process.poll() is None:
            self.send(End())
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(GRACE_SECONDS)
        kill_group(self._process)
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError, ValueError, AttributeError):
                pipe.close()  # type: ignore[union-attr]

    def _read(self) -> None:
        try:
            while True:
                self._inbox.put(self._channel.receive())
        except (EOFError, OSError, ValueError) as error:
            self._inbox.put(EOFError(str(error)))


def kill_group(process: "subprocess.Popen[bytes]") -> None:
    """Kill a process that leads a group, with the group and all that it has started.

    Launchers such as torchrun give what they start groups of its own.
    """
    started = descendants(process.pid)
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    kill_all(started)
    process.kill()
    process.wait()


def descendants(pid: int) -> "list[psutil.Process]":
    """Return what a process has started, and what that has."""
    import psutil

    with contextlib.suppress(psutil.Error):
        return list(psutil.Process(pid).children(recursive=True))
    return []


def kill_all(processes: "list[psutil.Process]") -> None:
    """Kill processes, as far as they still live."""
    import psutil

    for each in processes:
        with contextlib.suppress(psutil.Error):
            each.kill()


def last_lines(file: Path, count: int = 15) -> str:
    """Return the last lines of a file, of at most 16 KiB; "" where there is none."""
    try:
        with file.open("rb") as log:
            log.seek(max(0, file.stat().st_size - 16384))
            text = log.read().decode("utf-8", errors="replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-count:])
