"""Contours: two hyperparameters at a time, the trials as points over a surface where they bear one."""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import plotly.graph_objects as go

from hpsearch.analysis import TrialSummary, surface
from hpsearch.records import TrialState
from hpsearch.report.content import Content
from hpsearch.report.panels import COLORBAR, axes, lay_out
from hpsearch.report.scales import ABSENT, Scale, scale_of
from hpsearch.report.slices_figure import axis_of
from hpsearch.report.theme import BEST, DEFAULT, GREY, Figure, empty_figure, hover_text
from hpsearch.report.wording import escaped

SURFACE_COLORS = [[0.0, "#3B4CC0"], [0.5, "#C9C9C9"], [1.0, "#D55E00"]]
"""Low to high by way of grey; told apart without red or green."""


def contours_figure(content: Content, names: Sequence[str]) -> Figure:
    """Draw a panel a pair of hyperparameters: complete trials coloured by value, over their smoothed mean.

    The surface is left out wherever fewer than two trials' weight lies near.
    """
    title = f"{escaped(content.objective)} over pairs of hyperparameters"
    complete = [s for s in content.summaries if s.state is TrialState.COMPLETE and s.value is not None]
    pruned = [summary for summary in content.summaries if summary.state is TrialState.PRUNED]
    pairs = list(combinations(names, 2))
    if not pairs or not complete:
        return empty_figure(title, "no trial is complete" if pairs else "fewer than two hyperparameters differ")
    scales = {
        name: scale_of(
            name, [s.config[name] for s in (*complete, *pruned) if name in s.config], content.parameters.get(name)
        )
        for name in names
    }
    figure = Figure()
    for index, pair in enumerate(pairs):
        one, other = (scales[name] for name in pair)
        _add_surface(figure, index, _placed(complete, one, other), one, other)
        _add_trials(figure, content, index, _placed(pruned, one, other), _placed(complete, one, other))
        x, y = axes(index)
        figure.update_layout({f"xaxis{x[1:]}": axis_of(one), f"yaxis{y[1:]}": axis_of(other)})
        figure.update_layout({f"xaxis{x[1:]}": {"title": {"text": escaped(pair[0])}, "showgrid": False}})
        figure.update_layout({f"yaxis{y[1:]}": {"showgrid": False}})
    lay_out(figure, [other for _, other in pairs], title, row_height=330, gap_x=84)
    values = sorted(s.value for s in complete if s.value is not None)
    figure.update_layout(
        coloraxis={
            "colorscale": SURFACE_COLORS,
            # A few failures at the bottom would leave one colour for all the rest.
            "cmin": values[len(values) // 10],
            "cmax": values[-1] if values[-1] > values[len(values) // 10] else values[-1] + 1e-9,
            "colorbar": {**COLORBAR, "title": {"text": escaped(content.objective), "side": "top"}, "nticks": 4},
        },
    )
    return figure


Placed = tuple[TrialSummary, float, float]


def _placed(summaries: Sequence[TrialSummary], one: Scale, other: Scale) -> list[Placed]:
    """Return the trials that have both hyperparameters, with where they lie."""
    both = [
        (summary, one.position(summary.config[one.name]), other.position(summary.config[other.name]))
        for summary in summaries
        if one.name in summary.config and other.name in summary.config
    ]
    return [(summary, x, y) for summary, x, y in both if ABSENT not in (x, y)]


def _add_surface(figure: Figure, index: int, placed: Sequence[Placed], one: Scale, other: Scale) -> None:
    columns, rows = (
        None if scale.positions is None else sorted(set(scale.positions.values())) for scale in (one, other)
    )
    values = [summary.value or 0.0 for summary, _, _ in placed]
    found = surface([x for _, x, _ in placed], [y for _, _, y in placed], values, columns, rows)
    if found is None:
        return
    x, y = axes(index)
    shared: dict[str, Any] = {
        "x": found.x,
        "y": found.y,
        "z": found.values,
        "xaxis": x,
        "yaxis": y,
        "coloraxis": "coloraxis",
        "opacity": 0.55,
        "name": "smoothed mean",
        "hovertemplate": "smoothed mean %{z:.4f}<extra></extra>",
    }
    # plotly's own contour trace never ends on some of these axes; cells show the same.
    gap = 0 if columns is None and rows is None else 2
    figure.add_trace(go.Heatmap(**shared, hoverongaps=False, xgap=gap, ygap=gap))


def _add_trials(
    figure: Figure, content: Content, index: int, pruned: Sequence[Placed], complete: Sequence[Placed]
) -> None:
    x, y = axes(index)
    groups: tuple[tuple[str, Sequence[Placed], dict[str, Any]], ...] = (
        ("pruned", pruned, {"symbol": "triangle-down-open", "size": 6, "color": GREY}),
        ("complete", complete, {"size": 8, "coloraxis": "coloraxis", "line": {"width": 1, "color": "#ffffff"}}),
    )
    for words, placed, marker in groups:
        own = dict(marker)
        if words == "complete":
            own["color"] = [summary.value for summary, _, _ in placed]
        figure.add_trace(
            go.Scatter(
                x=[at for _, at, _ in placed],
                y=[at for _, _, at in placed],
                xaxis=x,
                yaxis=y,
                mode="markers",
                marker=own,
                name=words,
                legendgroup=words,
                showlegend=index == 0 and bool(placed),
                text=[
                    hover_text(each, content.objective, content.label(each.number), content.parameters)
                    for each, _, _ in placed
                ],
                hovertemplate="%{text}<extra></extra>",
            )
        )
    for summary, words, color in ((content.default, "literature default", DEFAULT), (content.best, "best", BEST)):
        spot = [(a, b) for each, a, b in complete if summary is not None and each.number == summary.number]
        figure.add_trace(
            go.Scatter(
                x=[a for a, _ in spot],
                y=[b for _, b in spot],
                xaxis=x,
                yaxis=y,
                mode="markers",
                marker={"symbol": "circle-open", "size": 15, "line": {"width": 3}, "color": color},
                name=words,
                legendgroup=words,
                showlegend=index == 0 and bool(spot),
                hoverinfo="skip",
            )
        )
