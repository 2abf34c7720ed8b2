"""Parallel coordinates: every trial as a line through its hyperparameters to its value.

Drawn with plain lines: plotly's own parallel coordinates have no hover and no gaps, and need WebGL.
"""

import re
from collections.abc import Sequence

import plotly.graph_objects as go

from hpsearch.analysis.aggregates import TrialSummary
from hpsearch.records import TrialState
from hpsearch.report.content import Content
from hpsearch.report.page_figure import PageFigure
from hpsearch.report.scales import ABSENT, Scale, scale_of
from hpsearch.report.theme import (
    BLUE,
    DEFAULT,
    GREY,
    Figure,
    empty_figure,
    hover_text,
    role_color,
    shortened,
    titled,
)
from hpsearch.report.wording import escaped

MOST_LINES = 500
"""More lines are one grey mass, and slow to draw: only the best are shown."""

TICK_LETTERS = 19
NOT_USED = "not used"


def parallel_coordinates(content: Content) -> Figure:
    """Draw every trial as a line through its hyperparameters to its value.

    The stronger the line, the better the trial; pruned ones are grey, without a value. A line passes below the axis of
    a hyperparameter that its trial does not use.
    """
    title = f"Hyperparameters and {escaped(content.objective)}"
    complete = _ranked(content, TrialState.COMPLETE)[:MOST_LINES]
    pruned = _ranked(content, TrialState.PRUNED)[: MOST_LINES - len(complete)]
    shown = [*pruned, *reversed(complete)]  # the best is drawn last, above the others
    names = [name for name in content.parameters if any(name in summary.config for summary in shown)]
    if not names:
        return empty_figure(title, "no trial has been judged yet")
    scales = [
        scale_of(name, [s.config[name] for s in shown if name in s.config], content.parameters[name]) for name in names
    ]
    if complete:
        scales.append(scale_of(content.objective, [s.value for s in complete if s.value is not None]))
    figure = Figure()
    for index, summary in enumerate(shown):
        _add_line(figure, content, summary, names, scales, max(0, index - len(pruned) + 1) / max(1, len(complete)))
    lacks = any(name not in summary.config for name in names for summary in shown)
    _add_axes(figure, scales, lacks=lacks)
    return titled(
        figure,
        title + (f" (the best {MOST_LINES} trials)" if len(content.summaries) > MOST_LINES else ""),
        460,
        margin={"l": 28 + 7 * _longest(scales[0], lacks=lacks), "r": 40, "t": 96, "b": 12},
        dragmode="select",
        showlegend=False,
        xaxis={
            "side": "top",
            "tickvals": list(range(len(scales))),
            "ticktext": [_broken(shortened(scale.name, 36)) for scale in scales],
            "tickangle": 0,
            "showgrid": False,
            "range": [-0.04, len(scales) - 0.9],
            "fixedrange": True,
        },
        yaxis={"visible": False, "range": [ABSENT - 0.05 if lacks else -0.06, 1.06], "fixedrange": True},
    )


def _ranked(content: Content, state: TrialState) -> list[TrialSummary]:
    """Return the trials in a state, the best value first."""
    chosen = [summary for summary in content.summaries if summary.state is state]
    if state is TrialState.COMPLETE:
        chosen = [summary for summary in chosen if summary.value is not None]
    score = content.history.direction.score
    return sorted(chosen, key=lambda summary: (summary.value is None, -score(summary.value or 0.0), summary.number))


def _add_line(
    figure: Figure,
    content: Content,
    summary: TrialSummary,
    names: Sequence[str],
    scales: Sequence[Scale],
    rank: float,
) -> None:
    """Add a trial's line; `rank` is 0 for a pruned trial and rises to 1 for the best."""
    heights = [
        scale.position(summary.config[name]) if name in summary.config else ABSENT
        for scale, name in zip(scales, names, strict=False)
    ]
    if summary.state is TrialState.COMPLETE:
        heights.append(scales[-1].position(summary.value))
    label, own_color = content.label(summary.number), role_color(content, summary.number)
    color = own_color or (BLUE if rank else GREY)
    figure.add_trace(
        go.Scatter(
            x=list(range(len(heights))),
            y=heights,
            mode="lines+markers",
            line={
                "color": color,
                "width": 4 if own_color else 1 + rank,
                "dash": "dash" if own_color == DEFAULT else "solid",
            },
            marker={"color": color, "size": 7 if own_color else 5},
            opacity=1.0 if own_color else 0.2 + 0.65 * rank if rank else 0.3,
            name=escaped(label),
            meta={"trial": label},
            text=[hover_text(content, summary)] * len(heights),
            hovertemplate="%{text}<extra></extra>",
        )
    )


def _add_axes(figure: Figure, scales: Sequence[Scale], *, lacks: bool) -> None:
    """Draw the axes as lines and their ticks as text on a veil, above the trials' lines."""
    foot = ABSENT if lacks else 0.0
    axes = [(index, height) for index in range(len(scales)) for height in (foot, 1.0, None)]
    figure.add_trace(
        go.Scatter(
            x=[index for index, _ in axes],
            y=[height for _, height in axes],
            mode="lines",
            line={"color": GREY, "width": 1.5},
            hoverinfo="skip",
        )
    )
    ticks = [(index, height, text) for index, scale in enumerate(scales) for height, text in scale.ticks]
    if lacks:
        ticks.append((0, ABSENT, NOT_USED))
    figure.update_layout(
        annotations=[
            {
                "x": index,
                "y": height,
                "text": escaped(shortened(text, TICK_LETTERS)),
                "xanchor": "right",
                "xshift": -6,
                "showarrow": False,
                "font": {"size": 12},
                "bgcolor": "rgba(255,255,255,0.75)",
                "borderpad": 0,
            }
            for index, height, text in ticks
        ]
    )


def _longest(scale: Scale, *, lacks: bool) -> int:
    """Return the letters of an axis's longest tick: the first axis needs that much room at its left."""
    texts = [text for _, text in scale.ticks] + ([NOT_USED] if lacks else [])
    return min(TICK_LETTERS, max((len(text) for text in texts), default=0))


def _broken(name: str) -> str:
    """Break a name into lines at underscores, so that axes fit close together."""
    lines: list[str] = []
    for piece in re.findall("[^_]+_*|_+", name):
        if lines and len(lines[-1]) + len(piece) <= 13:
            lines[-1] += piece
        else:
            lines.append(piece)
    return "<br>".join(escaped(line) for line in lines)


WORDS = (
    "One line per trial, through its settings to its value; the stronger the line, the better the trial. Pruned "
    "trials are grey and have no value."
)


def _alt_text(content: Content) -> str:
    """Return what the axes are."""
    return (
        f"One line per judged trial through {', '.join(content.parameters)} to {content.objective}. The table of "
        "trials has the same numbers."
    )


parallel_coordinates_figure = PageFigure(
    name="parallel",
    heading="All hyperparameters at once",
    draw=parallel_coordinates,
    words=WORDS,
    alt_text=_alt_text,
    has_something=lambda content: bool(content.parameters),
    template="parallel_coordinates.html",
    heights=(460, 460),
)
