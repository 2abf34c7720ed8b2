"""Slices: each hyperparameter against the value, a panel each."""

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from hpsearch.analysis import TrialSummary
from hpsearch.records import TrialState
from hpsearch.report.content import Content
from hpsearch.report.panels import COLORBAR, axes, lay_out
from hpsearch.report.scales import ABSENT, Scale, scale_of
from hpsearch.report.theme import BEST, DEFAULT, GREY, SKY, VERMILION, Figure, empty_figure, hover_text, shortened
from hpsearch.report.wording import escaped

ORDER_COLORS = [[0.0, SKY], [1.0, VERMILION]]
"""From the first trial to the last; both ends show on light and dark pages."""

MOST_TICKS = 5
TICK_LETTERS = 14


def slices_figure(content: Content, names: Sequence[str]) -> Figure:
    """Draw a panel a hyperparameter: the trials' values over their settings, coloured by the order of asking.

    A trial in which a hyperparameter does not exist is not in its panel.
    """
    title = f"{escaped(content.objective)} by hyperparameter"
    shown = [
        summary
        for summary in content.summaries
        if summary.value is not None and summary.state in (TrialState.COMPLETE, TrialState.PRUNED)
    ]
    if not names or not shown:
        return empty_figure(title, "no trial has been judged yet" if not shown else "nothing was searched")
    figure = Figure()
    for index, name in enumerate(names):
        having = [summary for summary in shown if name in summary.config]
        scale = scale_of(name, [summary.config[name] for summary in having], content.parameters.get(name))
        _add_panel(figure, content, index, name, having, scale)
        x, y = axes(index)
        figure.update_layout({f"xaxis{x[1:]}": axis_of(scale), f"yaxis{y[1:]}": {"nticks": 5, "matches": "y"}})
    figure.layout.yaxis.matches = None
    lay_out(figure, names, title)
    last = max(summary.number for summary in shown)
    figure.update_layout(
        coloraxis={
            "colorscale": ORDER_COLORS,
            "cmin": 0,
            "cmax": max(1, last),
            "colorbar": {
                **COLORBAR,
                "title": {"text": "trial, in the order of asking", "side": "top"},
                "tickvals": [0, last] if last else [0],
            },
        },
    )
    return figure


def axis_of(scale: Scale) -> dict[str, Any]:
    """Return an axis over the heights of a scale, 0 to 1, that is labelled with its values."""
    room = 0.06 if scale.positions is None else 0.45 / max(1, len(scale.positions) - 1)
    ticks = scale.ticks[:: max(1, -(-len(scale.ticks) // MOST_TICKS))] if scale.positions is None else scale.ticks
    return {
        "range": [-room, 1 + room],
        "tickvals": [height for height, _ in ticks],
        "ticktext": [escaped(shortened(text, TICK_LETTERS)) for _, text in ticks],
        "zeroline": False,
    }


def _add_panel(
    figure: Figure, content: Content, index: int, name: str, having: Sequence[TrialSummary], scale: Scale
) -> None:
    x, y = axes(index)
    placed = [(summary, _place(scale, summary, name)) for summary in having]
    placed = [(summary, at) for summary, at in placed if at > ABSENT / 2]
    looks: tuple[tuple[TrialState, str, dict[str, Any]], ...] = (
        (TrialState.PRUNED, "pruned (partial)", {"symbol": "triangle-down-open", "size": 6, "color": GREY}),
        (TrialState.COMPLETE, "complete", {"symbol": "circle", "size": 7, "coloraxis": "coloraxis"}),
    )
    for state, words, marker in looks:
        chosen = [(summary, at) for summary, at in placed if summary.state is state]
        own = dict(marker)
        if state is TrialState.COMPLETE:
            own["color"] = [summary.number for summary, _ in chosen]
        figure.add_trace(
            go.Scatter(
                x=[at for _, at in chosen],
                y=[summary.value for summary, _ in chosen],
                xaxis=x,
                yaxis=y,
                mode="markers",
                marker=own,
                name=words,
                legendgroup=words,
                showlegend=index == 0,
                text=[
                    hover_text(each, content.objective, content.label(each.number), content.parameters)
                    for each, _ in chosen
                ],
                hovertemplate="%{text}<extra></extra>",
            )
        )
    for summary, words, color in ((content.default, "literature default", DEFAULT), (content.best, "best", BEST)):
        spot = [at for each, at in placed if summary is not None and each.number == summary.number]
        figure.add_trace(
            go.Scatter(
                x=spot,
                y=[summary.value] if summary is not None and spot else [],
                xaxis=x,
                yaxis=y,
                mode="markers",
                marker={"symbol": "circle-open", "size": 14, "line": {"width": 3}, "color": color},
                name=words,
                legendgroup=words,
                showlegend=index == 0 and summary is not None,
                hoverinfo="skip",
            )
        )


def _place(scale: Scale, summary: TrialSummary, name: str) -> float:
    """Return where a trial lies; choices are spread a little, so that equal ones do not hide each other."""
    at = scale.position(summary.config[name])
    if scale.positions is None or at == ABSENT:
        return at
    room = 0.25 / max(2, len(scale.positions))
    return at + room * (2 * ((summary.number * 0.618034) % 1) - 1)
