"""The value of every trial in the order proposed, with the best so far."""

from collections.abc import Sequence

import plotly.graph_objects as go

from hpsearch.analysis.aggregates import TrialSummary, best_so_far
from hpsearch.metrics.direction import Direction
from hpsearch.records import TrialState
from hpsearch.report.content import Content
from hpsearch.report.marks import CROSS, HOLLOW, error_bars, rings, trial_points
from hpsearch.report.page_figure import PageFigure
from hpsearch.report.theme import BEST, BLUE, PURPLE, Figure, empty_figure, titled
from hpsearch.report.wording import escaped, score

LOOKS = {
    TrialState.COMPLETE: ("complete", {"symbol": "circle", "size": 8, "color": BLUE}),
    TrialState.PRUNED: ("pruned (partial)", HOLLOW),
    TrialState.RUNNING: ("running (so far)", {"symbol": "circle-open", "size": 8, "color": PURPLE}),
    TrialState.WAITING: ("waiting (so far)", {"symbol": "diamond-open", "size": 8, "color": PURPLE}),
    TrialState.FAIL: ("failed (so far)", CROSS),
}


def history(content: Content) -> Figure:
    """Draw the value of every trial in the order proposed, with the best so far.

    Trials that ended without a value are marked along the bottom.
    """
    title = f"{escaped(content.objective)} by trial"
    begun = [
        summary
        for summary in content.summaries
        if summary.state is not TrialState.WAITING or summary.value is not None  # one between two rungs has begun
    ]
    if not begun:
        return empty_figure(title, "no trial has begun")
    figure = Figure(_best_so_far(begun, content))
    valued = [(summary, summary.number, summary.value) for summary in begun if summary.value is not None]
    for state, (name, marker) in LOOKS.items():
        places = [place for place in valued if place[0].state is state]
        if places:
            figure.add_trace(trial_points(content, places, marker, name))
    valueless = [(s, s.number, 0.02) for s in begun if s.value is None and s.state.is_finished]
    if valueless:
        figure.add_trace(trial_points(content, valueless, CROSS, "no value", yaxis="y2"))
    _add_interval(figure, content)
    figure.add_traces(list(rings(content, valued)))
    return titled(
        figure,
        title,
        420,
        xaxis={"title": {"text": "trial"}, "dtick": _tick_step(begun[-1].number), "tick0": 0},
        yaxis={"title": {"text": escaped(content.described(content.objective))}},
        # Its markers lie at the foot of the plot, whatever the values.
        yaxis2={"overlaying": "y", "range": [0, 1], "visible": False, "fixedrange": True},
    )


def _best_so_far(begun: Sequence[TrialSummary], content: Content) -> go.Scatter:
    best = best_so_far(begun, content.history.direction)
    line = zip([summary.number for summary in begun], best, strict=True)
    steps = [(number, value) for number, value in line if value is not None]
    return go.Scatter(
        x=[number for number, _ in steps],
        y=[value for _, value in steps],
        mode="lines",
        line={"shape": "hv", "width": 2, "color": BLUE},
        opacity=0.55,
        name="best so far",
        hoverinfo="skip",
    )


def _add_interval(figure: Figure, content: Content) -> None:
    """Draw the 95% interval of the best trial's cross-validated mean as a bar through it."""
    best = content.best
    if best is None or best.interval is None or best.value is None:
        return
    figure.add_trace(
        go.Scatter(
            x=[best.number],
            y=[best.value],
            error_y=error_bars(best.value, best.interval, BEST),
            mode="markers",
            marker={"symbol": "line-ns", "size": 10, "line": {"width": 2, "color": BEST}},
            name="95% interval",
            hoverinfo="skip",
        )
    )


def _tick_step(last: int) -> int:
    """Return the distance of some ten ticks at most: 1, 2 or 5 times a power of ten, never a fraction."""
    step = 1
    while last / step > 10:
        step = {1: 2, 2: 5, 5: 10}[int(str(step)[0])] * 10 ** (len(str(step)) - 1)
    return step


WORDS = (
    "One point per trial, in the order proposed. The line is the best complete value so far; the bar through the "
    "best trial is the 95% interval of its mean. Values of trials that are not complete are partial."
)


def _alt_text(content: Content) -> str:
    """Return how many trials there are, and how the best value rose or fell."""
    text = f"{content.objective} of {len(content.summaries)} trials, in the order proposed."
    best = best_so_far(content.summaries, content.history.direction)
    line = [(trial.number, value) for trial, value in zip(content.summaries, best, strict=True) if value is not None]
    if not line or content.best is None:
        return f"{text} None is complete."
    first, value = line[0]
    goes = "falls" if content.history.direction is Direction.MINIMIZE else "rises"
    return (
        f"{text} The best complete value {goes} from {score(value)} at trial {first} to {score(content.best.value)} at "
        f"trial {content.best.number}."
    )


history_figure = PageFigure(
    name="history",
    heading="Search history",
    draw=history,
    words=WORDS,
    alt_text=_alt_text,
    heights=(440, 430),
    legend_room=(62, 84),
)
