"""Small multiples: panels side by side, laid out in as many columns as there is room for."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from hpsearch.report.content import Content
from hpsearch.report.marks import HOLLOW, Place, rings, trial_points
from hpsearch.report.scales import Scale
from hpsearch.report.theme import Figure, shortened, titled
from hpsearch.report.wording import escaped

ROW_HEIGHT = 250
"""Pixels of a panel with its title and axis."""

MOST_COLUMNS = 3
GAP_X, GAP_Y = 62, 78
"""Pixels between panels, for axis labels and titles."""

TOP, BOTTOM = 112, 96
"""Pixels above the panels for title and legend, and below them for axis titles and the scale of colours."""

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
"""The scale of colours lies along the bottom, whatever the number of rows."""

MOST_TICKS = 5
TICK_LETTERS = 14

WIDTH = 1000
"""Width for which a figure is laid out; page.js lays it out again for its own."""


def axes(index: int) -> tuple[str, str]:
    """Return a panel's axes as traces name them."""
    return ("x", "y") if index == 0 else (f"x{index + 1}", f"y{index + 1}")


def describe_axes(figure: Figure, index: int, x: Mapping[str, Any], y: Mapping[str, Any]) -> None:
    xaxis, yaxis = axes(index)
    figure.update_layout({f"xaxis{xaxis[1:]}": x, f"yaxis{yaxis[1:]}": y})


def axis_of(scale: Scale) -> dict[str, Any]:
    """Return an axis over the heights of a scale, 0 to 1, labelled with its values."""
    room = 0.06 if scale.positions is None else 0.45 / max(1, len(scale.positions) - 1)
    ticks = scale.ticks[:: max(1, -(-len(scale.ticks) // MOST_TICKS))] if scale.positions is None else scale.ticks
    return {
        "range": [-room, 1 + room],
        "tickvals": [height for height, _ in ticks],
        "ticktext": [escaped(shortened(text, TICK_LETTERS)) for _, text in ticks],
        "zeroline": False,
    }


def add_traces(figure: Figure, index: int, traces: Iterable[go.Scatter]) -> None:
    """Add traces to a panel; traces of one name share a legend entry across panels."""
    x, y = axes(index)
    for trace in traces:
        figure.add_trace(trace.update(xaxis=x, yaxis=y, legendgroup=trace.name, showlegend=index == 0))


def add_trials(
    figure: Figure,
    content: Content,
    index: int,
    pruned: Sequence[Place],
    complete: Sequence[Place],
    colors: Sequence[float | None],
) -> None:
    """Add trials to a panel: pruned ones hollow, complete ones coloured by a number each, best and default ringed."""
    marker = {"size": 8, "coloraxis": "coloraxis", "color": list(colors), "line": {"width": 1, "color": "#ffffff"}}
    points = [
        trial_points(content, pruned, {**HOLLOW, "size": 6}, "pruned"),
        trial_points(content, complete, marker, "complete"),
    ]
    add_traces(figure, index, [*points, *rings(content, [*pruned, *complete])])


def lay_out(
    figure: Figure, titles: Sequence[str], title: str, *, row_height: int = ROW_HEIGHT, gap_x: int = GAP_X
) -> None:
    """Place the panels, whose axes the caller has described, and put a title above each.

    `layout.meta` lets the page lay them out again in fewer columns.
    """
    count = len(titles)
    rows = math.ceil(count / MOST_COLUMNS)
    columns = math.ceil(count / rows)
    height = rows * row_height
    notes: list[dict[str, Any]] = []
    for index, text in enumerate(titles):
        x, y = axes(index)
        row, column = divmod(index, columns)
        across, up = _part(column, columns, gap_x / WIDTH), _part(rows - 1 - row, rows, GAP_Y / height)
        describe_axes(figure, index, {"domain": across, "anchor": y}, {"domain": up, "anchor": x})
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
    titled(
        figure,
        title,
        height + TOP + BOTTOM,
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
