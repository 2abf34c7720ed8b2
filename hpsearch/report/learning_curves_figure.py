"""Learning curves: every fold of chosen trials, and the mean that judges them."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import plotly.graph_objects as go

from hpsearch.analysis.aggregates import TrialSummary
from hpsearch.analysis.table import curves, mean_curves
from hpsearch.records import LOSS, TrialState
from hpsearch.report.content import Content
from hpsearch.report.marks import ring
from hpsearch.report.theme import Figure, colored_trials, empty_figure, titled
from hpsearch.report.wording import escaped, fold_name

if TYPE_CHECKING:
    import pandas


def learning_curves_figure(content: Content, trials: Sequence[int], metric: str, fold: int | None = None) -> Figure:
    """Draw a metric above, training and validation loss below, by epoch, for all folds or one.

    Thin lines are folds. Bold lines are their mean, up to the last point that every started fold has reached. A ring
    marks where the trial's value is read. A trial's traces are one legend group; page.js draws the same ones, for any
    trial, metric and fold.
    """
    title = f"{escaped(metric)} and loss by epoch"
    frame = curves(content.history)
    frame = frame[frame["trial"].isin(trials)]
    if fold is not None:
        frame = frame[frame["fold"] == fold]
    if frame.empty:
        return empty_figure(title, "no evaluation has been recorded")
    means = mean_curves(frame)
    figure = Figure()
    for summary, color in colored_trials(content, trials):
        own, mean = frame[frame["trial"] == summary.number], means[means["trial"] == summary.number]
        _add_metric(figure, content, summary, own, mean, metric, color)
        _add_losses(figure, content, summary, own, mean, color)
    return titled(
        figure,
        title,
        640,
        xaxis={"anchor": "y", "matches": "x2", "showticklabels": False, "rangemode": "tozero"},
        xaxis2={"anchor": "y2", "title": {"text": "epoch"}, "rangemode": "tozero"},
        yaxis={"domain": [0.5, 1], "title": {"text": escaped(metric)}},
        yaxis2={"domain": [0, 0.44], "title": {"text": "loss (dotted: training)"}},
        legend={"groupclick": "togglegroup"},
    )


def _add_metric(
    figure: Figure,
    content: Content,
    summary: TrialSummary,
    own: "pandas.DataFrame",
    mean: "pandas.DataFrame",
    metric: str,
    color: str,
) -> None:
    label = content.label(summary.number)
    trace = _shared(label, "x", "y")
    folds, mean = own[own["metric"] == metric], mean[mean["metric"] == metric]
    figure.add_trace(_fold_lines(folds, label, color, trace))
    figure.add_trace(_mean_line(mean, "value", label, {"width": 3, "color": color}, {**trace, "showlegend": True}))
    read_at = mean[mean["point"] == summary.point] if summary.state is TrialState.COMPLETE else mean[:0]
    figure.add_trace(
        go.Scatter(
            x=read_at["epoch"].tolist(),
            y=_drawable(read_at["value"].tolist()),
            mode="markers",
            marker=ring(color),
            hovertemplate=f"{escaped(label)}<br>value read here: %{{y:.4f}}<br>epoch %{{x:.4g}}<extra></extra>",
            **trace,
        )
    )


def _add_losses(
    figure: Figure,
    content: Content,
    summary: TrialSummary,
    own: "pandas.DataFrame",
    mean: "pandas.DataFrame",
    color: str,
) -> None:
    label = content.label(summary.number)
    trace = _shared(label, "x2", "y2")
    folds, mean = own[own["metric"] == LOSS], mean[mean["metric"] == LOSS]
    solid, dotted = {"width": 3, "color": color}, {"width": 2, "color": color, "dash": "dot"}
    figure.add_trace(_fold_lines(folds, f"{label}, validation", color, trace))
    figure.add_trace(_mean_line(mean, "value", f"{label}, validation", solid, trace))
    figure.add_trace(_mean_line(mean, "train_loss", f"{label}, training", dotted, trace))


def _shared(label: str, xaxis: str, yaxis: str) -> dict[str, Any]:
    group = {"legendgroup": label, "name": escaped(label), "showlegend": False, "meta": {"trial": label}}
    return {**group, "xaxis": xaxis, "yaxis": yaxis}


def _fold_lines(frame: "pandas.DataFrame", label: str, color: str, trace: Mapping[str, Any]) -> go.Scatter:
    """Return all folds of a trial as one trace, with gaps in between."""
    x: list[float | None] = []
    y: list[float | None] = []
    text: list[str] = []
    for place, run in frame.groupby(["fold", "repeat"]):
        x += [*run["epoch"].tolist(), None]
        y += [*_drawable(run["value"].tolist()), None]
        text += [fold_name(*cast("tuple[int, int]", place))] * len(run) + [""]
    line = {"width": 1, "color": color}
    return go.Scatter(x=x, y=y, text=text, mode="lines", line=line, opacity=0.45, hovertemplate=_hover(label), **trace)


def _mean_line(
    frame: "pandas.DataFrame", column: str, label: str, line: Mapping[str, Any], trace: Mapping[str, Any]
) -> go.Scatter:
    return go.Scatter(
        x=frame["epoch"].tolist(),
        y=_drawable(frame[column].tolist()),
        mode="lines+markers",
        marker={"size": 5},
        line=line,
        text=[f"mean of {runs}" if runs > 1 else "one run" for runs in frame["runs"]],
        hovertemplate=_hover(label),
        **trace,
    )


def _hover(label: str) -> str:
    return f"{escaped(label)}, %{{text}}<br>%{{y:.4f}}<br>epoch %{{x:.4g}}<extra></extra>"


def _drawable(values: Sequence[float]) -> list[float | None]:
    """Return the values, with None for those that are not finite, which JSON cannot hold."""
    return [value if math.isfinite(value) else None for value in values]
