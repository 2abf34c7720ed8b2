"""Learning curves: every fold of chosen trials, and the mean they are judged by."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import plotly.graph_objects as go

from hpsearch.analysis import TrialSummary, curves, mean_curves
from hpsearch.records import LOSS, TrialState
from hpsearch.report.content import Content
from hpsearch.report.theme import BEST, DEFAULT, OTHERS, TEMPLATE, Figure, empty_figure
from hpsearch.report.wording import escaped

if TYPE_CHECKING:
    import pandas


def learning_curves_figure(content: Content, trials: Sequence[int], metric: str, fold: int | None = None) -> Figure:
    """Draw a metric above, training and validation loss below, by epoch; of one fold only, if one is named.

    Thin lines are folds, bold ones their mean, for as long as every fold begun has come; a ring marks the point
    that the trial's value is read at. The traces of a trial are one legend group; page.js draws the same ones, for
    any trial, metric and fold.
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
    figure.update_layout(
        template=TEMPLATE,
        title=title,
        height=640,
        xaxis={"anchor": "y", "matches": "x2", "showticklabels": False, "rangemode": "tozero"},
        xaxis2={"anchor": "y2", "title": {"text": "epoch"}, "rangemode": "tozero"},
        yaxis={"domain": [0.5, 1], "title": {"text": escaped(metric)}},
        yaxis2={"domain": [0, 0.44], "title": {"text": "loss (dotted: training)"}},
        legend={"groupclick": "togglegroup"},
    )
    return figure


def colored_trials(content: Content, trials: Sequence[int]) -> list[tuple[TrialSummary, str]]:
    """Return the trials that have something to draw, with their colours; best and default have their own."""
    roles = {summary.number: color for summary, color in ((content.default, DEFAULT), (content.best, BEST)) if summary}
    others = [number for number in trials if number not in roles]
    colors = roles | {number: OTHERS[index % len(OTHERS)] for index, number in enumerate(others)}
    by_number = {summary.number: summary for summary in content.summaries}
    return [(by_number[number], colors[number]) for number in trials if by_number[number].point is not None]


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
    folds, mean = own[own["metric"] == metric], mean[mean["metric"] == metric]
    figure.add_trace(_fold_lines(folds, "value", label, color, "x", "y"))
    figure.add_trace(_mean_line(mean, "value", label, color, "x", "y", shows_in_legend=True))
    read_at = mean[mean["point"] == summary.point] if summary.state is TrialState.COMPLETE else mean[:0]
    figure.add_trace(
        go.Scatter(
            x=read_at["epoch"].tolist(),
            y=_drawable(read_at["value"].tolist()),
            mode="markers",
            marker={"symbol": "circle-open", "size": 13, "color": color, "line": {"width": 3}},
            **_group(label),
            hovertemplate=f"{escaped(label)}<br>value read here: %{{y:.4f}}<br>epoch %{{x:.4g}}<extra></extra>",
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
    folds, mean = own[own["metric"] == LOSS], mean[mean["metric"] == LOSS]
    figure.add_trace(_fold_lines(folds, "value", f"{label}, validation", color, "x2", "y2", group=label))
    figure.add_trace(_mean_line(mean, "value", f"{label}, validation", color, "x2", "y2", group=label))
    training = _mean_line(mean, "train_loss", f"{label}, training", color, "x2", "y2", group=label)
    training.line.update(dash="dot", width=2)
    figure.add_trace(training)


def _group(label: str) -> dict[str, object]:
    return {"legendgroup": label, "name": escaped(label), "showlegend": False, "meta": {"trial": label}}


def _fold_lines(
    frame: "pandas.DataFrame", column: str, label: str, color: str, xaxis: str, yaxis: str, group: str | None = None
) -> go.Scatter:
    """Return all folds of a trial as one trace, with a gap between one and the next."""
    x: list[float | None] = []
    y: list[float | None] = []
    text: list[str] = []
    for place, run in frame.groupby(["fold", "repeat"]):
        fold, repeat = cast("tuple[int, int]", place)
        x += [*run["epoch"].tolist(), None]
        y += [*_drawable(run[column].tolist()), None]
        text += [f"fold {fold + 1}" + (f", repeat {repeat + 1}" if repeat else "")] * len(run) + [""]
    return go.Scatter(
        x=x,
        y=y,
        text=text,
        mode="lines",
        line={"width": 1, "color": color},
        opacity=0.45,
        xaxis=xaxis,
        yaxis=yaxis,
        **_group(group or label),
        hovertemplate=f"{escaped(label)}, %{{text}}<br>%{{y:.4f}}<br>epoch %{{x:.4g}}<extra></extra>",
    )


def _mean_line(
    frame: "pandas.DataFrame",
    column: str,
    label: str,
    color: str,
    xaxis: str,
    yaxis: str,
    group: str | None = None,
    *,
    shows_in_legend: bool = False,
) -> go.Scatter:
    trace = go.Scatter(
        x=frame["epoch"].tolist(),
        y=_drawable(frame[column].tolist()),
        mode="lines+markers",
        marker={"size": 5},
        line={"width": 3, "color": color},
        xaxis=xaxis,
        yaxis=yaxis,
        **_group(group or label),
        text=[f"mean of {runs}" if runs > 1 else "one run" for runs in frame["runs"]],
        hovertemplate=f"{escaped(label)}, %{{text}}<br>%{{y:.4f}}<br>epoch %{{x:.4g}}<extra></extra>",
    )
    trace.showlegend = shows_in_legend
    return trace


def _drawable(values: Sequence[float]) -> list[float | None]:
    """Return the values with gaps for those that are not finite, which JSON cannot hold."""
    return [value if math.isfinite(value) else None for value in values]
