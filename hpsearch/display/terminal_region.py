"""A region at the bottom of a terminal that is drawn anew in place, with everything else that is printed above it."""

import io
import logging
import os
import shutil
import sys
import threading
from collections.abc import Sequence
from typing import Any, TextIO

from hpsearch.display.display import write_at_once

CLEAR_TO_LINE_END, CLEAR_TO_SCREEN_END = "\x1b[K", "\x1b[J"
"""Erase in line and erase in display (ECMA-48)."""


class TerminalRegion:
    """Lines that are drawn over and over in the same place.

    Between two drawings the cursor rests at the region's first character, not below its last: a terminal that is
    made narrower wraps the old lines in its own way, and all that came of them lies behind the cursor, to be erased.
    The cursor is not hidden and no mode is set, so that a process that is killed leaves nothing to be mended.

    What this process prints meanwhile through `sys.stdout`, `sys.stderr` or a logging handler on them is shown above
    the region, where they lead to the same terminal. A terminal that is closed is written to no more.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.lock = threading.RLock()
        self._lines: Sequence[str] = ()
        self._drawn_for = (0, 0)
        self._is_open = True
        self._redirected: list[tuple[str, TextIO]] = []
        self._handlers: list[tuple[logging.StreamHandler[Any], TextIO]] = []

    def size(self) -> tuple[int, int]:
        """Return (columns, rows) of the terminal as it is now."""
        try:
            found = os.get_terminal_size(self._stream.fileno())
        except (OSError, ValueError):
            found = shutil.get_terminal_size()
        return found.columns or 80, found.lines or 24

    def draw(self, lines: Sequence[str], size: tuple[int, int] | None = None) -> None:
        """Show these lines in place of the last ones, where the terminal still has the size that they were made for.

        None may be wider, nor all of them higher, than the terminal.
        """
        with self.lock:
            now = self.size()
            if self._is_open and size in (None, now):
                self._lines, self._drawn_for = lines, now
                self._write(f"\r{self._region()}")

    def above(self, text: str) -> None:
        """Print a text above the region, for good."""
        with self.lock:
            if self.size() != self._drawn_for:  # the lines might not fit any more: they come back with the next drawing
                self._lines = ()
            body = "".join(f"{line}{CLEAR_TO_LINE_END}\n" for line in text.split("\n"))
            self._write(f"\r{body}{self._region()}" if self._is_open else f"{text}\n")

    def redirect(self) -> None:
        """Show above the region what this process prints to the same terminal."""
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if _is_terminal(stream):
                through = _Above(self, stream)
                self._redirected.append((name, stream))
                for handler in _handlers_on(stream):
                    self._handlers.append((handler, handler.stream))
                    handler.setStream(through)
                setattr(sys, name, through)

    def close(self, text: str = "") -> None:
        """Take the region away, and leave a text in its place; whatever was redirected is as it was."""
        for handler, stream in self._handlers:  # before the lock is taken: a thread that logs holds the handler's, and
            handler.setStream(stream)  # waits for this one
        with self.lock:
            if not self._is_open:
                return
            for name, stream in self._redirected:
                through = getattr(sys, name)
                if isinstance(through, _Above):  # else somebody has put another in its place since
                    through.finish()
                    setattr(sys, name, stream)
            self._lines, self._is_open = (), False
            ending = f"{text}\n" if text else ""
            self._write(f"\r{CLEAR_TO_SCREEN_END}{ending}")

    def _region(self) -> str:
        """Return what draws the lines and leads the cursor back to the first."""
        body = "\n".join(f"{line}{CLEAR_TO_LINE_END}" for line in self._lines)
        up = f"\x1b[{len(self._lines) - 1}A" if len(self._lines) > 1 else ""
        return f"{body}{CLEAR_TO_SCREEN_END}{up}\r"

    def _write(self, text: str) -> None:
        write_at_once(self._stream, text)


class _Above(io.TextIOBase):
    """Stands in for a stream to the terminal while a region is drawn there: whole lines go above it."""

    def __init__(self, region: TerminalRegion, stream: TextIO) -> None:
        self._region, self._through, self._rest = region, stream, ""

    def write(self, text: str) -> int:
        with self._region.lock:  # one lock for both: closing the region finishes this
            *whole, self._rest = [_last_state(line) for line in (self._rest + text).split("\n")]
            if whole:
                self._region.above("\n".join(whole))
        return len(text)

    def finish(self) -> None:
        """Print what has not been ended by a new line."""
        with self._region.lock:
            if self._rest:
                self._region.above(self._rest)
                self._rest = ""

    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._through.fileno()

    def writable(self) -> bool:
        return True

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._through.encoding

    @property
    def errors(self) -> str | None:  # type: ignore[override]
        return self._through.errors

    @property
    def buffer(self) -> Any:
        """The bytes below the text: what is written there goes where it always went."""
        return self._through.buffer


def _last_state(line: str) -> str:
    """Return a line as it looks once carriage returns have gone back over it, as progress bars do."""
    return line.rstrip("\r").rpartition("\r")[2]


def _is_terminal(stream: Any) -> bool:
    try:
        return bool(stream is not None and stream.isatty())
    except ValueError:  # it has been closed
        return False


def _handlers_on(stream: TextIO) -> list["logging.StreamHandler[Any]"]:
    """Return the program's own handlers that would write over the region."""
    handlers = [*logging.getLogger().handlers, *logging.getLogger("hpsearch").handlers]
    return [each for each in handlers if isinstance(each, logging.StreamHandler) and each.stream is stream]
