"""The live display of a terminal: a panel that says how the study stands, drawn by rich."""

import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, TextIO

from hpsearch.display.display import Repeated, Warnings
from hpsearch.display.standing import Standing, UnderWay, Watch
from hpsearch.display.terminal_region import TerminalRegion
from hpsearch.display.wording import (
    BAR_WIDTH,
    COLUMNS,
    best_text,
    cells,
    counts_text,
    devices_text,
    params_text,
    share_done,
    summary_lines,
    time_text,
)
from hpsearch.records import History, Trial

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

REFRESH_SECONDS = 0.5
"""How often the display is drawn: a drawing takes some milliseconds, and nobody reads faster."""

DROPPED_FIRST = ("time", "device", "", "loss", "left", "objective", "epoch")
"""Columns that a narrow terminal does without, in this order."""

BORDERS = 4
"""Columns that the panel's border and its padding take; its border takes two rows."""


class LiveDisplay:
    """Draws the panel from a thread of its own, so that no event costs more than a note of it.

    Args:
        watch: What knows how the study stands.
        stream: The terminal; standard error by default, for standard output belongs to the script.
    """

    def __init__(self, watch: Watch, stream: TextIO | None = None) -> None:
        from rich.console import Console

        self._watch = watch
        self._stream = stream or sys.stderr
        self._console = Console(file=self._stream, force_terminal=True, highlight=False)
        self._region = TerminalRegion(self._stream)
        self._region.redirect()
        self._warnings = Warnings(self._region.above)
        self._warnings.listen()
        self._drawing = Repeated(self._draw, REFRESH_SECONDS)

    def observe(self, history: History, trial: Trial | None) -> None:
        """Take note of what has become of the study."""
        self._watch.observe(history, trial)
        self._drawing.begin()

    def close(self) -> None:
        """Leave a short summary in the panel's place."""
        self._drawing.end()
        self._warnings.leave()
        self._region.close("\n".join(summary_lines(self._watch.standing())))

    def _draw(self) -> None:
        size = self._region.size()
        self._region.draw(panel_lines(self._watch.standing(), self._console, *size), size)


def panel_lines(standing: Standing, console: "Console", columns: int, rows: int) -> Sequence[str]:
    """Return the panel as lines for a terminal of this size, colours and all.

    Where there is not room for everything, what matters least is left out: first the searched hyperparameters, then
    columns and rows of what is under way; a terminal of no more than three rows gets one line.
    """
    from rich import box
    from rich.console import Group
    from rich.panel import Panel
    from rich.text import Text

    width, height = columns - 1, rows - 1  # the last column would wrap on some terminals, the last row scroll
    if height < 4 or width < 20:
        line = Text(f"{standing.name}: {counts_text(standing.tally, standing.trials)}", no_wrap=True)
        line.truncate(width, overflow="ellipsis")
        return _rendered(console, line, width)[:1]
    lines = _content(standing, width - BORDERS, height - 2, is_ascii=not console.encoding.startswith("utf"))
    for line in lines:
        line.truncate(width - BORDERS, overflow="ellipsis")
    title = Text(f"{standing.name}: {standing.folder}", style="bold")
    title.truncate(width - BORDERS - 4, overflow="ellipsis")
    panel = Panel(Group(*lines), title=title, title_align="left", box=box.ROUNDED, width=width, border_style="dim")
    return _rendered(console, panel, width)[:height]


def _rendered(console: "Console", renderable: object, width: int) -> Sequence[str]:
    with console.capture() as capture:
        console.print(renderable, width=width, no_wrap=True, crop=True, end="")
    return capture.get().rstrip("\n").split("\n")


def _content(standing: Standing, width: int, height: int, *, is_ascii: bool) -> Sequence["Text"]:
    """Return the panel's lines, at most `height` of them."""
    from rich.text import Text

    head = [Text(counts_text(standing.tally, standing.trials), style="bold", no_wrap=True)]
    if standing.best is not None:
        head.append(Text.assemble(("best ", "green"), best_text(standing.best, standing.objective), no_wrap=True))
    foot = [Text(f"{time_text(standing)}; on {devices_text(standing.devices)}", style="dim", no_wrap=True)]
    rows = list(_rows(standing, width, is_ascii=is_ascii))
    if standing.best is not None and standing.best.params and height >= len(head) + 1 + min(len(rows), 5) + len(foot):
        params = Text(f"     {params_text(standing.best.params)}", style="green", no_wrap=True)
        head.append(params)
    room = height - len(head) - len(foot)
    if len(rows) > room:
        hidden = len(rows) - room + 1
        rows = [*rows[: room - 1], Text(f"and {hidden} more", style="dim")] if room > 2 else []
    return [*head, *rows, *foot][:height]


def _rows(standing: Standing, width: int, *, is_ascii: bool) -> Iterator["Text"]:
    """Yield the table of what is under way, its heads first, without the columns that have no room."""
    from rich.text import Text

    if not standing.under_way:
        return
    heads = [standing.objective if name == "objective" else name for name in COLUMNS]
    table = [heads, *([*cells(each)] for each in standing.under_way)]
    widths = [max(len(row[place]) for row in table) for place in range(len(COLUMNS))]
    widths[COLUMNS.index("")] = BAR_WIDTH
    shown = list(range(len(COLUMNS)))
    for name in DROPPED_FIRST:
        if sum(widths[place] + 2 for place in shown) - 2 <= width:
            break
        shown.remove(COLUMNS.index(name))
    for number, row in enumerate(table):
        each = standing.under_way[number - 1] if number else None
        parts: list[Text] = []
        for place in shown:
            if each is not None and COLUMNS[place] == "":
                parts.append(_bar(each, is_ascii=is_ascii))
            else:
                parts.append(Text(row[place].rjust(widths[place]), style="" if number else "dim"))
        yield Text("  ").join(parts)


def _bar(each: UnderWay, *, is_ascii: bool) -> "Text":
    from rich.text import Text

    full, empty = ("#", ".") if is_ascii else ("━", "─")
    filled = int(share_done(each) * BAR_WIDTH)
    return Text.assemble((full * filled, "cyan"), (empty * (BAR_WIDTH - filled), "dim"))
