"""The display of a notebook: one output that is brought up to date, and looks right once it is saved."""

import sys
from collections.abc import Iterator, Sequence
from html import escape
from typing import Any

from hpsearch.display.display import Repeated, Warnings
from hpsearch.display.standing import Standing, Watch
from hpsearch.display.wording import (
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

REFRESH_SECONDS = 1.0
"""How often the output is brought up to date; each time it travels to the browser whole."""

WARNINGS_SHOWN = 20
"""The last so many warnings are kept in the output."""

STUDY_BAR, RUN_BAR = 40, 12
"""Letters of the bars. They are text, for notebooks on the web lose styles, and saved ones have no widgets."""


class NotebookDisplay:
    """Keeps one output of the cell up to date; what it shows last is what the saved notebook has.

    Args:
        watch: What knows how the study stands.
    """

    def __init__(self, watch: Watch) -> None:
        from IPython.display import display

        self._watch = watch
        self._lines: list[str] = []
        self._dropped = 0
        self._handle = display(_bundle("", ""), raw=True, display_id=True)
        self._last = ""
        self._warnings = Warnings(self._warn)
        self._warnings.listen()
        self._drawing = Repeated(self._draw, REFRESH_SECONDS)

    def observe(self, history: History, trial: Trial | None) -> None:
        """Take note of what has become of the study."""
        self._watch.observe(history, trial)
        self._drawing.begin()

    def close(self) -> None:
        """Leave how the study stands now, without what was under way."""
        self._drawing.end()
        self._warnings.leave()
        standing = self._watch.standing()
        text = "\n".join([*self._kept_warnings(), *summary_lines(standing)])
        self._show(text, "".join(_final_html(standing, self._kept_warnings())))

    def _draw(self) -> None:
        standing = self._watch.standing()
        text = f"{standing.name}: {counts_text(standing.tally, standing.trials)}, {time_text(standing)}"
        self._show(text, "".join(_html(standing, self._kept_warnings())))

    def _show(self, text: str, html: str) -> None:
        if html != self._last:
            self._last = html
            self._handle.update(_bundle(text, html), raw=True)

    def _warn(self, text: str) -> None:
        self._lines.append(text)
        if len(self._lines) > WARNINGS_SHOWN:
            del self._lines[0]
            self._dropped += 1

    def _kept_warnings(self) -> Sequence[str]:
        earlier = [f"({self._dropped} earlier warnings are not shown.)"] if self._dropped else []
        return [*earlier, *self._lines]


def is_in_notebook() -> bool:
    """Return whether this process is the kernel of a notebook."""
    if "IPython" not in sys.modules:
        return False
    from IPython import get_ipython

    return getattr(get_ipython(), "kernel", None) is not None


def _bundle(text: str, html: str) -> dict[str, Any]:
    return {"text/plain": text, "text/html": html}


def _html(standing: Standing, warnings: Sequence[str]) -> Iterator[str]:
    """Yield the output of a study that is being run."""
    yield from _head(standing, warnings)
    yield f"<br>{escape(time_text(standing))}; on {escape(devices_text(standing.devices))}</p>"
    if standing.under_way:
        heads = [standing.objective if name == "objective" else name for name in COLUMNS]
        yield f"<table><tr>{''.join(f'<th>{escape(head)}</th>' for head in heads)}</tr>"
        for each in standing.under_way:
            row = [escape(cell) for cell in cells(each)]
            row[COLUMNS.index("")] = f"<code>{_bar(share_done(each), RUN_BAR)}</code>"
            yield f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>"
        yield "</table>"


def _final_html(standing: Standing, warnings: Sequence[str]) -> Iterator[str]:
    """Yield the output of a study that is no longer run."""
    yield from _head(standing, warnings)
    yield f"<br>{escape(summary_lines(standing)[0].rpartition(', ')[2])}</p>"


def _head(standing: Standing, warnings: Sequence[str]) -> Iterator[str]:
    if warnings:
        yield f"<pre>{escape(chr(10).join(warnings))}</pre>"
    yield f"<p><b>{escape(standing.name)}</b>: {escape(counts_text(standing.tally, standing.trials))}"
    if standing.trials:
        yield f"<br><code>{_bar(min(1.0, standing.tally.ended / standing.trials), STUDY_BAR)}</code>"
    if standing.best is not None:
        yield f"<br>best {escape(best_text(standing.best, standing.objective))}"
        yield f"<br><code>{escape(params_text(standing.best.params))}</code>"


def _bar(share: float, width: int) -> str:
    filled = int(share * width)
    return "━" * filled + "─" * (width - filled)
