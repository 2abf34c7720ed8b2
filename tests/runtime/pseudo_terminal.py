"""A program in a pseudo-terminal, and what a person at it would see."""

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pyte

LIMIT_SECONDS = 240.0


class PseudoTerminal:
    """Runs Python code with its standard streams on a terminal of its own, whose screen can be read at any time."""

    def __init__(self, code: str, columns: int, rows: int, folder: Path, environment: Mapping[str, str]) -> None:
        self.screen = pyte.HistoryScreen(columns, rows, history=1000, ratio=0.5)
        self._stream = pyte.ByteStream(self.screen)
        self.bytes = b""
        self._master, slave = pty.openpty()
        self._set_size(columns, rows)
        here = Path(__file__)
        paths = os.pathsep.join(str(path) for path in (here.parents[2], here.parent))
        self.process = subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=folder,
            env={**_environment(), "PYTHONPATH": paths, **environment},
            start_new_session=True,
            preexec_fn=_own_terminal,  # noqa: PLW1509  (Ctrl-C comes from the terminal, as a person's does)
        )
        os.close(slave)

    def resize(self, columns: int, rows: int) -> None:
        self._set_size(columns, rows)
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
            is_open = self._read(0.05)
            if not is_open or time.monotonic() > limit:
                assert is_so(self.lines()), "\n".join(self.lines())
        return self.lines()

    def end(self) -> int:
        """Read until the program has ended, and return its exit status."""
        limit = time.monotonic() + LIMIT_SECONDS
        while self._read(0.05) and self.process.poll() is None:
            if time.monotonic() > limit:
                self.kill()
                raise AssertionError("\n".join(self.lines()))
        status = self.process.wait(LIMIT_SECONDS)
        while self._has_more() and self._read(0.0):
            pass
        return status

    def _has_more(self) -> bool:
        return bool(select.select([self._master], [], [], 0.2)[0])

    def kill(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def close(self) -> None:
        self.kill()
        os.close(self._master)

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


def _own_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _environment() -> Mapping[str, str]:
    """Return this process's environment as a person at a terminal has it."""
    lacking = ("COLUMNS", "LINES", "CI", "NO_COLOR", "FORCE_COLOR", "TERM", "PYTEST_CURRENT_TEST", "TTY_COMPATIBLE")
    kept = {name: value for name, value in os.environ.items() if name not in lacking}
    return {**kept, "TERM": "xterm-256color", "LANG": "C.UTF-8", "PYTHONUTF8": "1"}
