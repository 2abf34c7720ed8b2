"""What the displays of a study have in common: when they are drawn, and where warnings go meanwhile."""

import contextlib
import logging
import threading
from collections.abc import Callable
from typing import Protocol, TextIO

from hpsearch.records import History, Trial

logger = logging.getLogger("hpsearch")


class Display(Protocol):
    """Shows how a study stands while it is run."""

    def observe(self, history: History, trial: Trial | None) -> None:
        """Take note of what has become of the study; `trial` is the one that has just ended, if one has."""

    def close(self) -> None:
        """Leave what is to be read afterwards; nothing is shown any more."""


class Guarded:
    """A display whose mistakes end no study: after the first one it shows nothing more, and a warning says why."""

    def __init__(self, display: Display) -> None:
        self._display = display
        self._is_broken = False

    def observe(self, history: History, trial: Trial | None) -> None:
        if not self._is_broken:
            self._safely(lambda: self._display.observe(history, trial))

    def close(self) -> None:
        self._safely(self._display.close)

    def _safely(self, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception:
            self._is_broken = True
            logger.warning("The display of the study failed, and shows nothing more; the study goes on.", exc_info=True)


def write_at_once(stream: TextIO, text: str) -> None:
    """Write a text to a stream, or nothing where it leads nowhere any more: that is no reason to end a study.

    It goes past the stream's buffer, where what a closed terminal refuses would stay: Python tries it once more as it
    ends, and then exits with status 120.
    """
    encoding = stream.encoding or "utf-8"
    data = text.encode(encoding, "replace")
    raw = getattr(getattr(stream, "buffer", None), "raw", None)
    with contextlib.suppress(OSError, ValueError):  # closed
        stream.flush()
        if raw is None:
            stream.write(data.decode(encoding))
            stream.flush()
            return
        while data and (written := raw.write(data)):
            data = data[written:]


class Repeated:
    """Calls something at once and then every so many seconds, in a thread that no program waits for."""

    def __init__(self, call: Callable[[], None], seconds: float) -> None:
        self._call, self._seconds = call, seconds
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._repeat, name="hpsearch-display", daemon=True)

    def begin(self) -> None:
        if self._thread.ident is None:
            self._thread.start()

    def end(self) -> None:
        """Return once it is called no more."""
        self._over.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _repeat(self) -> None:
        while not self._over.is_set():
            self._call()
            self._over.wait(self._seconds)


class Warnings(logging.Handler):
    """Hands the warnings of hpsearch to a display, where the program has not set up logging itself."""

    def __init__(self, show: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._show = show

    def listen(self) -> None:
        if not logging.getLogger("hpsearch").hasHandlers():
            logging.getLogger("hpsearch").addHandler(self)

    def leave(self) -> None:
        logging.getLogger("hpsearch").removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self._show(record.getMessage())
