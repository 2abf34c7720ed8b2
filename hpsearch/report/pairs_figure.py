"""Baseline against winner: every fold of both, a panel a metric."""

import math
from collections.abc import Sequence

import plotly.graph_objects as go

from hpsearch.analysis import PairedScores
from hpsearch.records.values import mean_value
from hpsearch.report.content import Content
from hpsearch.report.panels import axes, lay_out
from hpsearch.report.theme import BEST, DEFAULT, GREY, PURPLE, Figure, empty_figure

SIDES = ("literature default", "winner")


def pairs_figure(content: Content) -> Figure:
    """Draw a line a fold from the literature default to the winner, their means bold, and their test scores."""
    title = "Winner against literature default"
    found = [pair for pair in content.pairs if all(map(math.isfinite, (*pair.winner, *pair.rival)))]
    if not found:
        return empty_figure(title, "there are no two complete trials to compare")
    figure = Figure()
    for index, pair in enumerate(found):
        _add_panel(figure, content, index, pair)
        x, y = axes(index)
        figure.update_layout(
            {
                f"xaxis{x[1:]}": {
                    "range": [-0.35, 1.35],
                    "tickvals": [0, 1],
                    "ticktext": ["default", "winner"],
                    "showgrid": False,
                },
                f"yaxis{y[1:]}": {"nticks": 5},
            }
        )
    lay_out(figure, [pair.metric for pair in found], title)
    return figure


def _add_panel(figure: Figure, content: Content, index: int, pair: PairedScores) -> None:
    x, y = axes(index)
    lines_x: list[float | None] = []
    lines_y: list[float | None] = []
    text: list[str] = []
    for (fold, repeat), one, other in zip(pair.places, pair.winner, pair.rival, strict=True):
        lines_x += [0, 1, None]
        lines_y += [other, one, None]
        text += [f"fold {fold + 1}" + (f", repeat {repeat + 1}" if repeat else "")] * 2 + [""]
    figure.add_trace(
        go.Scatter(
            x=lines_x,
            y=lines_y,
            xaxis=x,
            yaxis=y,
            mode="lines+markers",
            line={"width": 1.5, "color": GREY},
            marker={"size": 6},
            name="a fold",
            legendgroup="a fold",
            showlegend=index == 0,
            text=text,
            hovertemplate="%{text}: %{y:.4f}<extra></extra>",
        )
    )
    means = [mean_value(pair.rival), mean_value(pair.winner)]
    figure.add_trace(
        go.Scatter(
            x=[0, 1],
            y=means,
            xaxis=x,
            yaxis=y,
            mode="lines+markers",
            line={"width": 4, "color": BEST},
            marker={"size": 11, "color": [DEFAULT, BEST]},
            name="mean over folds",
            legendgroup="mean",
            showlegend=index == 0,
            hovertemplate="mean %{y:.4f}<extra></extra>",
        )
    )
    _add_test_scores(figure, index, pair.metric, content)


def _add_test_scores(figure: Figure, index: int, metric: str, content: Content) -> None:
    tested = content.test_scores or {}
    spots: Sequence[tuple[float, float]] = [
        (place, tested[side][metric])
        for place, side in ((-0.16, SIDES[0]), (1.16, SIDES[1]))
        if math.isfinite(tested.get(side, {}).get(metric, math.nan))
    ]
    if not spots:
        return
    x, y = axes(index)
    figure.add_trace(
        go.Scatter(
            x=[at for at, _ in spots],
            y=[value for _, value in spots],
            xaxis=x,
            yaxis=y,
            mode="markers",
            marker={"symbol": "diamond", "size": 10, "color": PURPLE},
            name="on the test rows",
            legendgroup="test",
            showlegend=index == 0,
            hovertemplate="on the test rows: %{y:.4f}<extra></extra>",
        )
    )
