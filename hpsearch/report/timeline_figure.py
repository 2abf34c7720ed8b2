"""The timeline: when each run trained, one row per trial, in wall-clock time."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import plotly.graph_objects as go

from hpsearch.analysis.timeline import Span, compute, pauses, without_pauses
from hpsearch.records import Outcome, TrialState
from hpsearch.report.content import Content
from hpsearch.report.marks import CROSS
from hpsearch.report.page_figure import PageFigure
from hpsearch.report.theme import BLUE, GREY, PURPLE, VERMILION, Figure, empty_figure, titled
from hpsearch.report.wording import duration, ended, escaped, fold_name

COLORS = {
    TrialState.COMPLETE: BLUE,
    TrialState.PRUNED: GREY,
    TrialState.RUNNING: PURPLE,
    TrialState.WAITING: PURPLE,
    TrialState.FAIL: VERMILION,
}
UNITS = ((1.0, "s"), (60.0, "min"), (3600.0, "h"), (86400.0, "days"))
"""Units in seconds; the figure takes the largest that fits into the whole three times."""


def timeline(content: Content) -> Figure:
    """Draw when each run trained, one row per trial, in wall-clock time.

    A bar is a segment; a trial that waited between segments has gaps.
    Long times in which nothing trained (the study was paused) are cut out and marked.
    """
    title = "Timeline"
    spans = content.spans
    if not spans:
        return empty_figure(title, "no times are known of this study" if content.history.trials else "no trial yet")
    cut = pauses(spans)
    origin = min(span.begin for span in spans)
    total = max(without_pauses(span.end, cut) for span in spans) - origin
    seconds, unit = next(((size, name) for size, name in reversed(UNITS) if total >= 3 * size), UNITS[0])

    def place(time: float) -> float:
        return (without_pauses(time, cut) - origin) / seconds

    figure = Figure()
    width = max(2.0, min(10.0, 320 / max(1, len(content.summaries))))
    for state, color in COLORS.items():
        chosen = [span for span in spans if content.history.trials[span.trial].state is state]
        if chosen:
            figure.add_trace(_bars(chosen, place, ended(state), {"width": width, "color": color}))
    bad = [span for span in spans if span.outcome not in (Outcome.OK, Outcome.PAUSED)]
    if bad:
        figure.add_trace(_bad_ends(bad, place))
    for pause in cut:
        note = {"text": f"paused {duration(pause.seconds)}", "textangle": 90, "font": {"size": 11, "color": GREY}}
        line = {"dash": "dot", "width": 1.5, "color": GREY}
        figure.add_vline(place(pause.begin), line=line, annotation=note, annotation_position="top right")
    began = datetime.fromtimestamp(origin, UTC)
    return titled(
        figure,
        title,
        440,
        xaxis={"title": {"text": f"{unit} since {began:%Y-%m-%d %H:%M} UTC"}, "rangemode": "tozero"},
        yaxis={"title": {"text": "trial"}, "autorange": "reversed"},
    )


def _bars(chosen: Sequence[Span], place: Callable[[float], float], name: str, line: dict[str, object]) -> go.Scatter:
    """Return segments as thick lines with gaps; the pointer finds the middle of each."""
    x: list[float | None] = []
    y: list[int | None] = []
    text: list[str] = []
    for span in chosen:
        begin, end = place(span.begin), place(span.end)
        x += [begin, (begin + end) / 2, end, None]
        y += [span.trial, span.trial, span.trial, None]
        words = f"points {span.start} to {span.stop}, {duration(span.end - span.begin)}, ended {_outcome(span)}"
        text += [f"{_run(span)}<br>{words}"] * 3 + [""]
    return go.Scatter(x=x, y=y, mode="lines", line=line, name=name, text=text, hovertemplate="%{text}<extra></extra>")


def _bad_ends(bad: Sequence[Span], place: Callable[[float], float]) -> go.Scatter:
    return go.Scatter(
        x=[place(span.end) for span in bad],
        y=[span.trial for span in bad],
        mode="markers",
        marker=CROSS,
        name="ended badly",
        text=[f"{_run(span)}: {_outcome(span)}" for span in bad],
        hovertemplate="%{text}<extra></extra>",
    )


def _run(span: Span) -> str:
    return f"trial {span.trial}, {fold_name(span.fold, span.repeat)}"


def _outcome(span: Span) -> str:
    return escaped(span.outcome.value.replace("_", " "))


def _words(content: Content) -> str:
    text = (
        "One row per trial, one bar per stretch of training, in wall-clock time; gaps are waiting. A bar ends when its "
        "end was recorded, and starts the measured seconds earlier."
    )
    return f"{text} Waiting trials may still continue." if content.count(TrialState.WAITING) else text


def _alt_text(content: Content) -> str:
    """Return how long training took, and how much of it went into pruned trials."""
    taken = compute(content.history, content.ends)
    pruned = sum(s.seconds for s in content.summaries if s.state is TrialState.PRUNED)
    elapsed = "" if taken.elapsed is None else f", {duration(taken.elapsed)} by the clock"
    return (
        f"{len(content.spans)} stretches of training: {duration(taken.seconds)} in all{elapsed}, {taken.epochs:.4g} "
        f"epochs of one fold. {duration(pruned)} went into pruned trials."
    )


timeline_figure = PageFigure(
    name="timeline",
    heading="Timeline",
    draw=timeline,
    words=_words,
    alt_text=_alt_text,
    has_something=lambda content: bool(content.spans),
    heights=(420, 420),
)
