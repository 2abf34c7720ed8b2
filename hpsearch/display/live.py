"""A display that updates in one place: a panel in a terminal, or an output in a notebook. Drawn by rich."""

import logging
import sys
import threading
from collections.abc import Sequence
from typing import Any, TextIO, cast

from rich.console import Console, RenderableType
from rich.file_proxy import FileProxy
from rich.live import Live
from rich.text import Text

from hpsearch.display.panel import StandingPanel
from hpsearch.display.standing import Watch
from hpsearch.display.stream import SteadyStream
from hpsearch.display.wording import summary_lines
from hpsearch.errors import printable
from hpsearch.records import History, Trial


class LiveDisplay:
    """Draws how studies stand from a separate thread, so that observing an event costs almost nothing."""

    def __init__(self, watches: Sequence[Watch], place: "NotebookOutput | TerminalPanel") -> None:
        self._watches, self._place = watches, place
        self._error: Exception | None = None
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._draw, name="hpsearch-display", daemon=True)

    def draw(self) -> None:
        """Draw from now on; raise the error that stopped the drawing thread, once."""
        if self._thread.ident is None:
            self._thread.start()
        error, self._error = self._error, None
        if error is not None:
            raise error

    def close(self) -> None:
        """Leave a short summary; a second call does nothing."""
        if self._is_over.is_set():
            return
        self._is_over.set()
        if self._thread.ident is not None:
            self._thread.join()
        lines = [line for watch in self._watches for line in summary_lines(watch.standing())]
        self._place.close(Text(printable("\n".join(lines))))

    def _draw(self) -> None:
        try:
            while not self._is_over.is_set():
                self._place.show(StandingPanel(*(watch.standing() for watch in self._watches)))
                self._is_over.wait(self._place.seconds)
        except Exception as error:  # noqa: BLE001 (`draw` raises it)
            self._error = error


class LivePart:
    """One study's part of a live display."""

    def __init__(self, display: LiveDisplay, watch: Watch) -> None:
        self._display, self._watch = display, watch

    def observe(self, history: History, trial: Trial | None) -> None:
        self._watch.observe(history, trial)
        self._display.draw()

    def close(self) -> None:
        self._display.close()


class NotebookOutput:
    """One output of the cell; the saved notebook keeps what it shows last."""

    seconds = 1.0  # each drawing travels to the browser

    def __init__(self) -> None:
        from IPython.display import display

        self._handle = display(Text(), display_id=True)

    def show(self, drawing: RenderableType) -> None:
        self._handle.update(drawing)

    def close(self, text: Text) -> None:
        self._handle.update(text)


class TerminalPanel:
    """The last lines of a terminal; what this process prints or logs there appears above them."""

    seconds = 0.5

    def __init__(self, stream: TextIO) -> None:
        self._console = _TerminalConsole(stream)
        terminals = [output for output in (sys.stdout, sys.stderr) if _is_terminal(output)]
        self._handlers = [(handler, handler.stream) for handler in _stream_handlers() if handler.stream in terminals]
        self._live = Live(
            console=self._console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=sys.stdout in terminals,
            redirect_stderr=sys.stderr in terminals,
        )
        self._live.start()
        for handler, through in self._handlers:
            handler.setStream(cast(TextIO, FileProxy(self._console, through)))

    def show(self, drawing: RenderableType) -> None:
        with self._console:
            self._live.update(drawing, refresh=True)

    def close(self, text: Text) -> None:
        # Handlers first, before the console is held: a thread that logs holds its handler and waits for the console.
        for handler, stream in self._handlers:
            handler.setStream(stream)
        for proxy in (sys.stdout, sys.stderr):
            if isinstance(proxy, FileProxy):
                proxy.flush()  # a line without its end
        self.show(Text())  # else the line that `stop` adds scrolls away the top of a drawing as high as the terminal
        with self._console:
            self._live.stop()
            self._console.print(text)


class _TerminalConsole(Console):
    """Prints text as it is, survives its terminal, and leaves the cursor visible.

    A killed process could not make a hidden cursor visible again. One thread prints at a time: `Live` goes up by the
    lines it drew last, which is wrong if another thread has drawn meanwhile.
    """

    def __init__(self, stream: TextIO) -> None:
        self._turn = threading.RLock()
        super().__init__(
            file=cast(TextIO, SteadyStream(stream)),
            force_terminal=True,
            force_jupyter=False,
            soft_wrap=True,
            markup=False,
            emoji=False,
            highlight=False,
        )

    def __enter__(self) -> "_TerminalConsole":
        self._turn.acquire()
        super().__enter__()
        return self

    def __exit__(self, *exception: Any) -> None:
        try:
            super().__exit__(*exception)
        finally:
            self._turn.release()

    def show_cursor(self, show: bool = True) -> bool:
        return False


def _is_terminal(stream: Any) -> bool:
    try:
        return bool(stream is not None and stream.isatty())
    except ValueError:  # it has been closed
        return False


def _stream_handlers() -> list["logging.StreamHandler[Any]"]:
    """Return the program's own logging handlers that may write over the panel."""
    handlers = [*logging.getLogger().handlers, *logging.getLogger("hpsearch").handlers]
    return [handler for handler in handlers if isinstance(handler, logging.StreamHandler)]
