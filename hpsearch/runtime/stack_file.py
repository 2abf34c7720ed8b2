"""Where a process stands, for the one that waits for it: the stacks of its threads, in a file that both have open.

faulthandler writes them from its handler of a signal, in C: so also while native code holds the interpreter's lock, and
at a crash. The file has no name on any disk (memfd), so a killed process leaves none behind. On Linux only; elsewhere
nothing is known.
"""

import contextlib
import faulthandler
import os
import signal
import sys
from pathlib import Path
from typing import BinaryIO

NAME = "hpsearch-stack"

LONGEST = 20_000
"""Bytes of a file that are read at most."""

_own: BinaryIO | None = None


def keep_stack_file() -> None:
    """Have this process write its stacks into such a file, when it is asked and at a crash; once is enough."""
    global _own  # noqa: PLW0603 - faulthandler writes to its descriptor, which must stay open as long as the process
    if _own is None and sys.platform == "linux":
        _own = os.fdopen(os.memfd_create(NAME), "wb", buffering=0)
        faulthandler.register(signal.SIGUSR2, _own, all_threads=True)
        faulthandler.enable(_own)


class StackFile:
    """The file of another process of this user, as long as either lives.

    It has no file where the process keeps none.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._file: BinaryIO | None = None
        self._earlier = 0
        with contextlib.suppress(OSError):
            for descriptor in Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(OSError):  # closed meanwhile
                    if NAME in str(descriptor.readlink()):
                        self._file = descriptor.open("rb")
                        self._earlier = self._file.seek(0, os.SEEK_END)  # of its last pool
                        return

    def ask(self) -> None:
        """Ask the process for its stacks; one that is stopped is woken for it."""
        if self._file is not None:
            self._earlier = self._file.seek(0, os.SEEK_END)
            with contextlib.suppress(OSError):
                os.kill(self._pid, signal.SIGUSR2)
                os.kill(self._pid, signal.SIGCONT)

    def text(self) -> str:
        """Return what it has written since it was last asked; "" where it wrote nothing."""
        if self._file is None:
            return ""
        self._file.seek(self._earlier)
        lines = self._file.read(LONGEST).decode("utf-8", "replace").splitlines()
        return "\n".join(line for line in lines if not line.startswith("Extension modules:")).strip()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
