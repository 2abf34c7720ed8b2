"""Small multiples: one panel a thing, laid out in as many columns as there is room for."""

import math
from collections.abc import Sequence
from typing import Any

from hpsearch.report.theme import TEMPLATE, Figure
from hpsearch.report.wording import escaped

ROW_HEIGHT = 250
"""Height of a panel with its title and axis, in pixels."""

MOST_COLUMNS = 3
GAP_X, GAP_Y = 62, 78
"""Room between panels for axis labels and titles, in pixels."""

TOP, BOTTOM = 112, 96
"""Room above the panels for title and legend, and below them for axis titles and the scale of colours, in pixels."""

COLORBAR = {
    "orientation": "h",
    "thickness": 8,
    "len": 200,
    "lenmode": "pixels",
    "x": 0,
    "xanchor": "left",
    "y": 0,
    "yref": "container",
    "yanchor": "bottom",
    "xpad": 0,
    "ypad": 6,
}
"""Where the scale of colours lies: along the bottom, whatever the number of rows."""

WIDTH = 1000
"""Width that a figure is laid out for; the page lays it out again for the width that it has (page.js)."""


def axes(index: int) -> tuple[str, str]:
    """Return the names of a panel's axes as a trace refers to them."""
    return ("x", "y") if index == 0 else (f"x{index + 1}", f"y{index + 1}")


def lay_out(
    figure: Figure, titles: Sequence[str], title: str, *, row_height: int = ROW_HEIGHT, gap_x: int = GAP_X
) -> None:
    """Place the panels, whose axes the caller has described, and put a title above each.

    `layout.meta.panels` tells the page how many there are, so that it can lay them out in fewer columns.
    """
    count = len(titles)
    rows = math.ceil(count / MOST_COLUMNS)
    columns = math.ceil(count / rows)
    height = rows * row_height
    notes: list[dict[str, Any]] = []
    for index, text in enumerate(titles):
        x, y = axes(index)
        row, column = divmod(index, columns)
        figure.update_layout(
            {
                f"xaxis{x[1:]}": {"domain": _part(column, columns, gap_x / WIDTH), "anchor": y},
                f"yaxis{y[1:]}": {"domain": _part(rows - 1 - row, rows, GAP_Y / height), "anchor": x},
            }
        )
        notes.append(
            {
                "text": f"<b>{escaped(text)}</b>",
                "xref": f"{x} domain",
                "yref": f"{y} domain",
                "x": 0,
                "y": 1,
                "xanchor": "left",
                "yanchor": "bottom",
                "yshift": 5,
                "showarrow": False,
                "font": {"size": 13},
            }
        )
    figure.update_layout(
        template=TEMPLATE,
        title=title,
        height=height + TOP + BOTTOM,
        margin={"t": TOP, "b": BOTTOM},
        # Above the panels' titles, and below the figure's own.
        legend={"yref": "container", "y": 1 - 40 / (height + TOP + BOTTOM), "yanchor": "top"},
        annotations=notes,
        meta={"panels": count, "rowHeight": row_height, "gapX": gap_x, "gapY": GAP_Y},
    )


def _part(index: int, count: int, gap: float) -> list[float]:
    """Return the index-th of `count` equal parts of 0 to 1 with gaps between them."""
    size = (1 - gap * (count - 1)) / count
    begin = index * (size + gap)
    return [round(begin, 5), round(min(1.0, begin + size), 5)]
