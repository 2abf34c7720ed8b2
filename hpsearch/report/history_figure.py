"""The value of every trial in the order of asking, with the best so far."""

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from hpsearch.analysis import TrialSummary, best_so_far
from hpsearch.records import TrialState
from hpsearch.report.content import Content
from hpsearch.report.theme import (
    BEST,
    BLUE,
    DEFAULT,
    GREY,
    PURPLE,
    TEMPLATE,
    VERMILION,
    Figure,
    empty_figure,
    hover_text,
)
from hpsearch.report.wording import escaped

LOOKS = {
    TrialState.COMPLETE: ("complete", {"symbol": "circle", "size": 8, "color": BLUE}),
    TrialState.PRUNED: ("pruned (partial)", {"symbol": "triangle-down-open", "size": 8, "color": GREY}),
    TrialState.RUNNING: ("running (so far)", {"symbol": "circle-open", "size": 8, "color": PURPLE}),
    TrialState.WAITING: ("waiting (so far)", {"symbol": "diamond-open", "size": 8, "color": PURPLE}),
    TrialState.FAIL: ("failed (so far)", {"symbol": "x-thin", "size": 9, "line": {"width": 2, "color": VERMILION}}),
}


def history_figure(content: Content) -> Figure:
    """Draw value by trial; trials that ended without a value are marked along the bottom."""
    title = f"{escaped(content.objective)} by trial"
    begun = [
        summary
        for summary in content.summaries
        if summary.state is not TrialState.WAITING or summary.value is not None  # one between two rungs has begun
    ]
    if not begun:
        return empty_figure(title, "no trial has begun")
    figure = Figure()
    _add_best_so_far(figure, begun)
    for state, (name, marker) in LOOKS.items():
        chosen = [summary for summary in begun if summary.state is state and summary.value is not None]
        _add_markers(figure, content, chosen, name, marker)
    valueless = [summary for summary in begun if summary.value is None and summary.state.is_finished]
    _add_markers(
        figure,
        content,
        valueless,
        "no value",
        {"symbol": "x-thin", "size": 9, "line": {"width": 2, "color": VERMILION}},
        along_bottom=True,
    )
    _add_interval(figure, content)
    for summary, name, color in ((content.default, "literature default", DEFAULT), (content.best, "best", BEST)):
        if summary is not None and summary.value is not None:
            ring = {"symbol": "circle-open", "size": 15 if name == "best" else 20, "line": {"width": 3}, "color": color}
            _add_markers(figure, content, [summary], name, ring, hover=False)
    figure.update_layout(
        template=TEMPLATE,
        title=title,
        height=420,
        xaxis={"title": {"text": "trial"}, "dtick": _tick_step(begun[-1].number), "tick0": 0},
        yaxis={"title": {"text": escaped(content.objective)}},
        # Its markers lie at the foot of the plot, whatever the values are.
        yaxis2={"overlaying": "y", "range": [0, 1], "visible": False, "fixedrange": True},
    )
    return figure


def _add_best_so_far(figure: Figure, begun: Sequence[TrialSummary]) -> None:
    line = list(zip([summary.number for summary in begun], best_so_far(begun), strict=True))
    figure.add_trace(
        go.Scatter(
            x=[number for number, value in line if value is not None],
            y=[value for _, value in line if value is not None],
            mode="lines",
            line={"shape": "hv", "width": 2, "color": BLUE},
            opacity=0.55,
            name="best so far",
            hoverinfo="skip",
        )
    )


def _add_interval(figure: Figure, content: Content) -> None:
    """Draw the 95% interval of the best trial's cross-validated mean as a bar through it."""
    best = content.best
    if best is None or best.interval is None or best.value is None:
        return
    low, high = best.interval
    figure.add_trace(
        go.Scatter(
            x=[best.number],
            y=[best.value],
            error_y={
                "array": [high - best.value],
                "arrayminus": [best.value - low],
                "color": BEST,
                "thickness": 2,
                "width": 5,
            },
            mode="markers",
            marker={"symbol": "line-ns", "size": 10, "line": {"width": 2, "color": BEST}},
            name="95% interval",
            hoverinfo="skip",
        )
    )


def _add_markers(
    figure: Figure,
    content: Content,
    chosen: Sequence[TrialSummary],
    name: str,
    marker: Mapping[str, object],
    *,
    along_bottom: bool = False,
    hover: bool = True,
) -> None:
    if not chosen:
        return
    figure.add_trace(
        go.Scatter(
            x=[summary.number for summary in chosen],
            y=[0.02 if along_bottom else summary.value for summary in chosen],
            yaxis="y2" if along_bottom else "y",
            mode="markers",
            marker=marker,
            name=name,
            text=[
                hover_text(summary, content.objective, content.label(summary.number), content.parameters)
                for summary in chosen
            ],
            hovertemplate="%{text}<extra></extra>" if hover else None,
            hoverinfo=None if hover else "skip",
        )
    )


def _tick_step(last: int) -> int:
    """Return the distance of the ticks: 1, 2 or 5 times a power of ten, at most some ten of them, never a fraction."""
    step = 1
    while last / step > 10:
        step = {1: 2, 2: 5, 5: 10}[int(str(step)[0])] * 10 ** (len(str(step)) - 1)
    return step
