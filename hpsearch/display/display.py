"""Which display studies get, and what all displays share."""

import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from hpsearch.display.plain import PlainLines
from hpsearch.display.standing import Watch
from hpsearch.errors import UsageError, nearest
from hpsearch.records import History, Trial

PLAIN = "plain"
"""Value of `progress` besides True and False."""

logger = logging.getLogger("hpsearch")


class Display(Protocol):
    """Shows how a study stands while it runs."""

    def observe(self, history: History, trial: Trial | None) -> None:
        """Take note of a change; `trial` is the one that has just ended, if one has."""

    def close(self) -> None:
        """Stop, and leave what is worth reading afterwards."""


class Guarded:
    """A display whose errors end no study: the first one is a warning, and nothing more is shown."""

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
            logger.warning("The study's display failed and shows nothing more. The study continues.", exc_info=True)


@contextmanager
def shown(progress: bool | str, watches: Sequence[Watch]) -> Iterator[Sequence[Display]]:
    """Show meanwhile how studies stand, and yield what is to observe each of them; nothing where nothing is shown.

    `progress` is True for the best that fits where this process writes to, "plain" for a line per ended trial, or False
    for nothing; anything else raises UsageError.
    """
    displays = [Guarded(display) for display in _chosen(progress, watches)]
    try:
        yield displays
    finally:
        for display in displays:
            display.close()


def _chosen(progress: bool | str, watches: Sequence[Watch]) -> Sequence[Display]:
    check_progress(progress)
    if progress is False:
        return []
    can_redraw = sys.stderr.isatty() and os.environ.get("TERM") not in ("dumb", "unknown") and not os.environ.get("CI")
    if progress == PLAIN or not (can_redraw or is_in_notebook()):
        return [PlainLines(watch) for watch in watches]
    from hpsearch.display.live import LiveDisplay, LivePart, NotebookOutput, TerminalPanel

    display = LiveDisplay(watches, NotebookOutput() if is_in_notebook() else TerminalPanel(sys.stderr))
    return [LivePart(display, watch) for watch in watches]


def check_progress(progress: bool | str) -> None:
    """Raise UsageError where there is no such display."""
    if not isinstance(progress, bool) and progress != PLAIN:
        raise UsageError(
            f"progress={progress!r} is not understood.{nearest(str(progress), [PLAIN])} Use True for the display that "
            "fits where the study runs, 'plain' for one line per finished trial, or False for nothing."
        )


def is_in_notebook() -> bool:
    """Return whether this process is the kernel of a notebook."""
    if "IPython" not in sys.modules:
        return False
    from IPython import get_ipython

    return getattr(get_ipython(), "kernel", None) is not None
