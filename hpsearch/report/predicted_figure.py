"""The winner's out-of-fold predictions of numbers, against the true ones."""

from collections.abc import Sequence

import plotly.graph_objects as go

from hpsearch.analysis.predicted import MOST_POINTS, PredictedTarget
from hpsearch.report.content import Content
from hpsearch.report.page_figure import PageFigure
from hpsearch.report.panels import add_traces, describe_axes, lay_out
from hpsearch.report.theme import BLUE, GREY, Figure, empty_figure, shortened
from hpsearch.report.wording import score

MOST_PANELS = 12
"""Targets drawn; of more, the first."""

SINGLE_HEIGHT, ROW_HEIGHT = 420, 300
"""Pixels of the panel of a single target, and of those of several."""


def predicted_against_true(content: Content) -> Figure:
    """Draw the winner's out-of-fold predictions against the true numbers, one panel per target.

    On the line they are equal; nine in ten rows lie within the band.
    """
    title = "Predicted against true"
    targets = _targets(content)[:MOST_PANELS]
    if not targets:
        return empty_figure(title, "there are no out-of-fold predictions of numbers")
    figure = Figure()
    for index, target in enumerate(targets):
        low, high = _reach(target)
        add_traces(figure, index, [_band(target, low, high), _points(target), _identity(low, high)])
        describe_axes(
            figure,
            index,
            {"title": {"text": "true"}, "range": [low, high], "nticks": 6},
            {"title": {"text": "predicted" if index == 0 else ""}, "nticks": 6},
        )
    lay_out(
        figure,
        [_heading(target) for target in targets],
        title,
        row_height=SINGLE_HEIGHT if len(targets) == 1 else ROW_HEIGHT,
    )
    return figure


def _targets(content: Content) -> Sequence[PredictedTarget]:
    return content.outputs.get("predicted_against_true") or ()


def _reach(target: PredictedTarget) -> tuple[float, float]:
    """Return the ends of the true axis: the true numbers, with some room."""
    low, high = float(target.true.min()), float(target.true.max())
    room = 0.04 * (high - low) or 1.0
    return low - room, high + room


def _points(target: PredictedTarget) -> go.Scatter:
    true, predicted = target.shown()
    return go.Scatter(
        x=true.tolist(),
        y=predicted.tolist(),
        mode="markers",
        marker={"size": 6 if len(true) < MOST_POINTS // 3 else 4, "color": BLUE, "opacity": 0.55},
        name="a held-out row",
        hovertemplate="true %{x:.5~g}<br>predicted %{y:.5~g}<extra></extra>",
    )


def _band(target: PredictedTarget, low: float, high: float) -> go.Scatter:
    below, above = target.spread
    return go.Scatter(
        x=[low, high, high, low],
        y=[low + below, high + below, high + above, low + above],
        mode="none",
        fill="toself",
        fillcolor="rgba(138,145,155,0.20)",
        name="nine in ten rows",
        hoverinfo="skip",
    )


def _identity(low: float, high: float) -> go.Scatter:
    line = {"width": 1.5, "color": GREY, "dash": "dash"}
    return go.Scatter(x=[low, high], y=[low, high], mode="lines", line=line, name="predicted = true", hoverinfo="skip")


def _heading(target: PredictedTarget) -> str:
    explained = "" if target.r2 is None else f", R² {score(target.r2)}"
    name = f"{shortened(target.name, 24)}: " if target.name else ""
    return f"{name}RMSE {target.rmse:.4g}{explained}"


def _words(content: Content) -> str:
    targets = _targets(content)
    text = (
        "One point per training row, predicted by the winner while the row was held out. On the dashed line prediction "
        "and truth are equal; nine in ten rows lie within the grey band. RMSE and R² are over all rows together; a "
        "trial's value is the mean over its folds."
    )
    if targets and targets[0].rows > MOST_POINTS:
        text += f" {MOST_POINTS:,} of {targets[0].rows:,} rows are drawn, those furthest off among them."
    if len(targets) > MOST_PANELS:
        text += f" The first {MOST_PANELS} of {len(targets)} targets are drawn."
    return text


def _alt_text(content: Content) -> str:
    """Return how far the predictions are off, by target."""
    words = []
    for target in _targets(content)[:MOST_PANELS]:
        below, above = target.spread
        explained = "" if target.r2 is None else f", R² {score(target.r2)}"
        words.append(
            f"{target.name or 'The target'}: {target.rows} held-out rows, root mean squared error {target.rmse:.4g}"
            f"{explained}; nine in ten predictions are off by {below:.4g} to {above:.4g}"
        )
    return "; ".join(words) + "."


predicted_figure = PageFigure(
    name="predicted",
    heading="Predicted against true",
    draw=predicted_against_true,
    words=_words,
    alt_text=_alt_text,
    has_something=lambda content: bool(_targets(content)),
    most_width=900,
)
