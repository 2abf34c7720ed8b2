"""Learning curves: every fold of chosen trials, and the mean that judges them."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import plotly.graph_objects as go

from hpsearch.analysis.aggregates import TrialSummary
from hpsearch.analysis.table import curves, mean_curves
from hpsearch.errors import MetricError, UsageError, nearest
from hpsearch.records import LOSS, TrialState
from hpsearch.report.content import Content
from hpsearch.report.marks import ring
from hpsearch.report.page_figure import PageFigure
from hpsearch.report.theme import Figure, colored_trials, empty_figure, titled
from hpsearch.report.wording import escaped, fold_name, number, score

if TYPE_CHECKING:
    import pandas


SHOWN_TRIALS = 6
"""Trials with a button among the learning curves: as many as there are colours to tell apart."""


def learning_curves(
    content: Content, trials: Sequence[int] | None = None, metric: str | None = None, fold: int | None = None
) -> Figure:
    """Draw a metric, and training and validation loss, by epoch: every fold, and their mean.

    Thin lines are folds. Bold lines are their mean, up to the last point that every started fold has reached. A ring
    marks where the trial's value is read.

    Args:
        trials: Numbers of trials; None takes the best, the literature default and the next best.
        metric: Name of a metric that was measured; None takes the objective.
        fold: Index of the only fold to draw, from 0; None draws all of them.

    Raises:
        UsageError: There is no trial of this number, or no fold.
        MetricError: This metric was not measured.
    """
    recorded = content.history.trials
    chosen = content.leading(SHOWN_TRIALS) if trials is None else tuple(trials)
    unknown = [trial for trial in chosen if trial not in recorded]
    if unknown:
        there = f"trials 0 to {max(recorded)}" if recorded else "none"
        raise UsageError(f"Study {content.name!r} has no trial {unknown[0]}; it has {there}.")
    measured = content.all_metrics
    name = content.objective if metric is None else metric
    if name not in measured:
        raise MetricError(
            f"Study {content.name!r} did not measure {name!r}.{nearest(name, measured)} "
            f"It measured {', '.join(measured)}."
        )
    folds = {run.fold for trial in recorded.values() for run in trial.runs}
    if fold is not None and fold not in folds:
        raise UsageError(f"Study {content.name!r} has no fold {fold}; it has folds 0 to {max(folds, default=0)}.")
    return _drawn(content, chosen, name, fold)


def _drawn(content: Content, trials: Sequence[int], metric: str, fold: int | None) -> Figure:
    """Draw a metric above and the losses below. A trial's traces are one legend group; page.js draws the same ones."""
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


WORDS = (
    "Thin lines are folds, bold lines their mean. The ring marks the epoch at which the value is read, the same "
    "for all folds. Below: validation loss, with training loss dotted. A validation loss that rises again is "
    "overfitting."
)


def _alt_text(content: Content) -> str:
    """Return where the best trial's value is read."""
    best = content.best
    if best is None:
        return f"{content.objective} and loss by epoch; no trial is complete. The table below has the numbers."
    return (
        f"{content.objective} and loss by epoch of chosen trials. The best, trial {best.number}, is read at epoch "
        f"{number(best.epoch or 0.0)} with {score(best.value)}. The table below has the numbers."
    )


learning_curves_figure = PageFigure(
    name="curves",
    heading="Learning curves",
    draw=learning_curves,
    words=WORDS,
    alt_text=_alt_text,
    # page.js adds the other trials from the numbers that the page has anyway.
    on_page=lambda content: learning_curves(content, trials=content.leading(1)),
    template="learning_curves.html",
    heights=(600, 520),
    legend_room=(24, 24),
)
