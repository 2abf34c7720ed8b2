"""A program in a pseudo-terminal, and what a person at it would see."""

import fcntl
import os
import pty
import select
import struct
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pyte
from study_processes import Launcher, StudyProcess

LIMIT_SECONDS = 120.0


class PseudoTerminal:
    """Runs Python code with its output on a terminal of its own, whose screen can be read at any time."""

    def __init__(
        self, launcher: Launcher, code: str, columns: int, rows: int, folder: Path, environment: Mapping[str, str]
    ) -> None:
        self.screen = pyte.HistoryScreen(columns, rows, history=1000, ratio=0.5)
        self._stream = pyte.ByteStream(self.screen)
        self.bytes = b""
        self._master, self._slave = pty.openpty()
        self._set_size(columns, rows)
        log = Path(os.ttyname(self._slave))  # opened by the leader of a new session, it becomes that session's terminal
        arguments = {"code": code, "folder": str(folder), "environment": {"TERM": "xterm-256color", **environment}}
        request = {"call": "perform", "arguments": arguments, "log": str(log), "environment": {}}
        self.process = StudyProcess(launcher, launcher.ask(request), log)

    def resize(self, columns: int, rows: int) -> None:
        self._set_size(columns, rows)
        while self._has_more(0.0) and self._read(0.0):  # what was written before it was resized
            pass
        self.screen.resize(rows, columns)

    def press_ctrl_c(self) -> None:
        os.write(self._master, b"\x03")

    def lines(self) -> Sequence[str]:
        """Return what has been scrolled out and what is on the screen, without the empty lines at the end."""
        past = ["".join(line[place].data for place in range(self.screen.columns)) for line in self.screen.history.top]
        lines = [line.rstrip() for line in [*past, *self.screen.display]]
        while lines and not lines[-1]:
            lines.pop()
        return lines

    def until(self, is_so: Callable[[Sequence[str]], bool]) -> Sequence[str]:
        """Read until the lines are so, and return them."""
        limit = time.monotonic() + LIMIT_SECONDS
        while not is_so(self.lines()):
            self._read(0.05)
            if self.process.poll() is not None or time.monotonic() > limit:
                assert is_so(self.lines()), "\n".join(self.lines())
        return self.lines()

    def end(self) -> int:
        """Read until the program has ended, and return its exit status."""
        limit = time.monotonic() + LIMIT_SECONDS
        while self.process.poll() is None:
            self._read(0.05)
            if time.monotonic() > limit:
                raise AssertionError("\n".join(self.lines()))
        status = self.process.wait()
        while self._has_more() and self._read(0.0):
            pass
        return status

    def _has_more(self, timeout: float = 0.2) -> bool:
        return bool(select.select([self._master], [], [], timeout)[0])

    def close(self) -> None:
        self.process.kill()
        os.close(self._master)
        os.close(self._slave)  # not before: a terminal that nobody has opened yet reads as one that was left

    def hang_up(self) -> None:
        """Close the terminal, as a closed window does."""
        os.close(self._master)
        self._master = os.open(os.devnull, os.O_RDWR)

    def _set_size(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def _read(self, timeout: float) -> bool:
        """Read what there is; return whether the program is still there."""
        ready, _, _ = select.select([self._master], [], [], timeout)
        if not ready:
            return True
        try:
            found = os.read(self._master, 65536)
        except OSError:  # Linux: nobody has the other end open
            return False
        self.bytes += found
        self._stream.feed(found)
        return bool(found)
