"""The timeline: when each run was trained, a row a trial, in wall-clock time."""

from collections.abc import Sequence
from datetime import UTC, datetime

import plotly.graph_objects as go

from hpsearch.analysis import Pause, Span, pauses, without_pauses
from hpsearch.records import Outcome, TrialState
from hpsearch.report.content import Content
from hpsearch.report.theme import BLUE, GREY, PURPLE, TEMPLATE, VERMILION, Figure, empty_figure
from hpsearch.report.wording import duration, ended, escaped

COLORS = {
    TrialState.COMPLETE: BLUE,
    TrialState.PRUNED: GREY,
    TrialState.RUNNING: PURPLE,
    TrialState.WAITING: PURPLE,
    TrialState.FAIL: VERMILION,
}
UNITS = ((1.0, "s"), (60.0, "min"), (3600.0, "h"), (86400.0, "days"))
"""Seconds a unit; the largest that the whole fills three of is taken."""


def timeline_figure(content: Content) -> Figure:
    """Draw a bar a segment, from its beginning to its end; a trial that waited between segments has gaps.

    Long times in which nothing was trained (the study was paused) are cut out and marked.
    """
    title = "Timeline"
    found = content.spans
    if not found:
        return empty_figure(title, "no times are known of this study" if content.history.trials else "no trial yet")
    cut = pauses(found)
    origin = min(span.begin for span in found)
    total = max(without_pauses(span.end, cut) for span in found) - origin
    seconds, unit = next(((size, name) for size, name in reversed(UNITS) if total >= 3 * size), UNITS[0])
    figure = Figure()
    for state, color in COLORS.items():
        chosen = [span for span in found if content.history.trials[span.trial].state is state]
        if chosen:
            figure.add_trace(_bars(chosen, cut, origin, seconds, ended(state), color, len(content.summaries)))
    _add_bad_ends(figure, found, cut, origin, seconds)
    began = datetime.fromtimestamp(origin, UTC)
    figure.update_layout(
        template=TEMPLATE,
        title=title,
        height=440,
        xaxis={"title": {"text": f"{unit} since {began:%Y-%m-%d %H:%M} UTC"}, "rangemode": "tozero"},
        yaxis={"title": {"text": "trial"}, "autorange": "reversed"},
        shapes=[
            {
                "type": "line",
                "xref": "x",
                "yref": "paper",
                "x0": (at := (without_pauses(pause.begin, cut) - origin) / seconds),
                "x1": at,
                "y0": 0,
                "y1": 1,
                "line": {"dash": "dot", "width": 1.5, "color": GREY},
            }
            for pause in cut
        ],
        annotations=[
            {
                "text": f"paused {duration(pause.seconds)}",
                "xref": "x",
                "yref": "paper",
                "x": (without_pauses(pause.begin, cut) - origin) / seconds,
                "y": 1,
                "yanchor": "top",
                "xanchor": "left",
                "textangle": 90,
                "showarrow": False,
                "font": {"size": 11, "color": GREY},
            }
            for pause in cut
        ],
    )
    return figure


def _bars(
    chosen: Sequence[Span], cut: Sequence[Pause], origin: float, unit: float, name: str, color: str, trials: int
) -> go.Scatter:
    """Return segments as thick lines with gaps between; the middle of each is what the pointer finds."""
    x: list[float | None] = []
    y: list[int | None] = []
    text: list[str] = []
    for span in chosen:
        begin, end = ((without_pauses(time, cut) - origin) / unit for time in (span.begin, span.end))
        x += [begin, (begin + end) / 2, end, None]
        y += [span.trial, span.trial, span.trial, None]
        repeat = f", repeat {span.repeat + 1}" if span.repeat else ""
        words = (
            f"trial {span.trial}, fold {span.fold + 1}{repeat}<br>points {span.start} to {span.stop}, "
            f"{duration(span.end - span.begin)}, ended {escaped(span.outcome.value.replace('_', ' '))}"
        )
        text += [words, words, words, ""]
    return go.Scatter(
        x=x,
        y=y,
        mode="lines",
        line={"width": max(2.0, min(10.0, 320 / max(1, trials))), "color": color},
        name=name,
        text=text,
        hovertemplate="%{text}<extra></extra>",
    )


def _add_bad_ends(figure: Figure, found: Sequence[Span], cut: Sequence[Pause], origin: float, unit: float) -> None:
    bad = [span for span in found if span.outcome not in (Outcome.OK, Outcome.PAUSED)]
    if not bad:
        return
    figure.add_trace(
        go.Scatter(
            x=[(without_pauses(span.end, cut) - origin) / unit for span in bad],
            y=[span.trial for span in bad],
            mode="markers",
            marker={"symbol": "x-thin", "size": 9, "line": {"width": 2, "color": VERMILION}},
            name="did not end well",
            text=[
                f"trial {span.trial}, fold {span.fold + 1}: {escaped(span.outcome.value.replace('_', ' '))}"
                for span in bad
            ],
            hovertemplate="%{text}<extra></extra>",
        )
    )
