"""The panels that show how studies stand, in whatever room there is."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.constrain import Constrain
from rich.jupyter import JupyterMixin
from rich.measure import Measurement
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from hpsearch.display.standing import RunningFold, Standing
from hpsearch.display.wording import best_text, counts_text, devices_text, duration, params_text, time_text
from hpsearch.errors import printable

COLUMNS: Mapping[str, Callable[[RunningFold], RenderableType]] = {
    "trial": lambda fold: str(fold.trial),
    "fold": lambda fold: f"{fold.fold}/{fold.folds}",
    "epoch": lambda fold: f"{fold.epoch:g}/{fold.epochs:g}",
    "": lambda fold: ProgressBar(fold.epochs, fold.epoch, width=8),
    "loss": lambda fold: "" if fold.loss is None else f"{fold.loss:.4f}",
    "objective": lambda fold: "" if fold.value is None else f"{fold.value:.4f}",
    "device": lambda fold: fold.device,
    "time": lambda fold: duration(fold.elapsed),
    "left": lambda fold: "" if fold.left is None else duration(fold.left),
}
"""Columns of the running folds. The objective's has the metric's name at its head."""

DROPPED_FIRST = ("time", "device", "", "loss", "left", "objective", "epoch")
"""Columns that a narrow panel drops, in this order."""

BORDERS = 4
"""Columns of the panel's border and padding; its border takes two rows."""


class StandingPanel(JupyterMixin):
    """Draws standings in the room that there is, each in an equal part of it; a notebook shows them as HTML.

    Without room for everything it drops first the searched hyperparameters, then columns and rows of the running folds.
    Where a study has no more than four rows, it gets one line.
    """

    def __init__(self, *standings: Standing) -> None:
        self._standings = standings

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        height = (options.max_height - 1) // len(self._standings)
        for standing in self._standings:
            yield self._drawing(standing, console, options.max_width - 1, height)  # some wrap the last column
        yield Text()  # the cursor rests there: a ^C that is typed moves nothing

    def _drawing(self, standing: Standing, console: Console, width: int, height: int) -> RenderableType:
        if height < 4 or width < 20:
            return Constrain(_line(f"{standing.name}: {counts_text(standing.tally, standing.trials)}"), width)
        fitting = partial(_fitting_table, standing, console, width - BORDERS)
        content = Group(*_content(standing, height - 2, fitting))
        title = _line(f"{standing.name}: {standing.folder}", style="bold")
        title.truncate(width - 2 * BORDERS)  # Panel itself would make a line of it too wide where letters are two wide
        return Panel(content, title=title, title_align="left", width=width, border_style="dim")


def _content(
    standing: Standing, height: int, table: Callable[[Sequence[RunningFold]], Table]
) -> Iterator[RenderableType]:
    """Yield the panel's content, in at most `height` lines; `table` draws a line per fold and one for the heads."""
    folds, best = standing.folds, standing.best
    free = height - (1 if best is None else 2)
    yield _line(counts_text(standing.tally, standing.trials), style="bold")
    if best is not None:
        yield _line(("best ", "green"), best_text(best, standing.objective))
        if best.params and free > 1 + min(len(folds) + 1 if folds else 0, 5):
            yield _line(f"     {params_text(best.params)}", style="green")
            free -= 1
    if folds and len(folds) + 1 < free:
        yield table(folds)
    elif folds and free > 3:
        shown = free - 3
        yield table(folds[:shown])
        yield _line(f"and {len(folds) - shown} more", style="dim")
    if free > 0:
        yield _line(f"{time_text(standing)}; on {devices_text(standing.devices)}", style="dim")


def _fitting_table(standing: Standing, console: Console, width: int, folds: Sequence[RunningFold]) -> Table:
    """Return the table of these folds, without the columns that do not fit."""
    unlimited = console.options.update_width(1000)
    columns = dict(COLUMNS)
    for dropped in (*DROPPED_FIRST, None):
        table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
        for name in columns:
            table.add_column(
                printable(standing.objective) if name == "objective" else name, justify="right", no_wrap=True
            )
        for fold in folds:
            table.add_row(*(cell(fold) for cell in columns.values()))
        if dropped is None or Measurement.get(console, unlimited, table).maximum <= width:
            break
        del columns[dropped]
    return table


def _line(*parts: str | tuple[str, str], style: str = "") -> Text:
    shown = [printable(part) if isinstance(part, str) else (printable(part[0]), part[1]) for part in parts]
    return Text.assemble(*shown, style=style, no_wrap=True, overflow="ellipsis")
