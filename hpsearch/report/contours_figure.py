"""Contours: two hyperparameters at a time, trials as points over a surface where there are enough of them."""

from collections.abc import Sequence
from itertools import combinations

import plotly.graph_objects as go

from hpsearch.analysis.aggregates import TrialSummary
from hpsearch.analysis.surfaces import surface
from hpsearch.errors import UsageError
from hpsearch.metrics.direction import Direction
from hpsearch.records import TrialState
from hpsearch.report.content import Content
from hpsearch.report.marks import Place
from hpsearch.report.page_figure import PageFigure
from hpsearch.report.panels import COLORBAR, add_trials, axes, axis_of, describe_axes, lay_out
from hpsearch.report.scales import ABSENT, Scale, scale_of
from hpsearch.report.theme import Figure, empty_figure
from hpsearch.report.wording import escaped, settings

CONTOURED = 3
"""Hyperparameters whose pairs are drawn by default."""

SURFACE_COLORS = [[0.0, "#3B4CC0"], [0.5, "#C9C9C9"], [1.0, "#D55E00"]]
"""Worst to best through grey, without red against green."""


def contours(content: Content, parameters: Sequence[str] | None = None) -> Figure:
    """Draw pairs of hyperparameters: trials as points, over a surface where there are enough of them.

    Points are coloured by value. The surface is their smoothed mean; it is blank where fewer than two trials, weighted
    by nearness, are near.

    Args:
        parameters: Names of two or more searched hyperparameters; None takes the three most important, or the first
            three that differ where importance is unknown.

    Raises:
        UsageError: A name is not searched, or there are fewer than two.
    """
    if parameters is not None and len(set(parameters)) < 2:
        raise UsageError(f"parameters={list(parameters)!r}: contours need two or more hyperparameters.")
    names = content.ranked[:CONTOURED] if parameters is None else content.searched(parameters)
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
        places = _placed(complete, one, other)
        _add_surface(figure, index, places, one, other)
        add_trials(figure, content, index, _placed(pruned, one, other), places, [place[0].value for place in places])
        plain = {"showgrid": False}
        x_axis = {**axis_of(one), **plain, "title": {"text": escaped(pair[0])}}
        describe_axes(figure, index, x_axis, {**axis_of(other), **plain})
    lay_out(figure, [other for _, other in pairs], title, row_height=330, gap_x=84)
    direction = content.history.direction
    scores = sorted(direction.score(s.value) for s in complete if s.value is not None)
    # A few failures at the bottom would leave one colour for all the rest.
    low, high = sorted(map(direction.score, (scores[len(scores) // 10], scores[-1])))
    figure.update_layout(
        coloraxis={
            "colorscale": SURFACE_COLORS,
            "reversescale": direction is Direction.MINIMIZE,
            "cmin": low,
            "cmax": high if high > low else high + 1e-9,
            "colorbar": {
                **COLORBAR,
                "title": {"text": escaped(content.described(content.objective)), "side": "top"},
                "nticks": 4,
            },
        },
    )
    return figure


def _placed(summaries: Sequence[TrialSummary], one: Scale, other: Scale) -> list[Place]:
    """Return the trials that have both hyperparameters, and where they lie."""
    both = [
        (summary, one.position(summary.config[one.name]), other.position(summary.config[other.name]))
        for summary in summaries
        if one.name in summary.config and other.name in summary.config
    ]
    return [(summary, x, y) for summary, x, y in both if ABSENT not in (x, y)]


def _add_surface(figure: Figure, index: int, places: Sequence[Place], one: Scale, other: Scale) -> None:
    columns, rows = (
        None if scale.positions is None else sorted(set(scale.positions.values())) for scale in (one, other)
    )
    values = [summary.value or 0.0 for summary, _, _ in places]
    smoothed = surface([x for _, x, _ in places], [y for _, _, y in places], values, columns, rows)
    if smoothed is None:
        return
    x, y = axes(index)
    gap = 0 if columns is None and rows is None else 2
    # plotly's own contour trace never ends on some of these axes; cells show the same.
    figure.add_trace(
        go.Heatmap(
            x=smoothed.x,
            y=smoothed.y,
            z=smoothed.values,
            xaxis=x,
            yaxis=y,
            coloraxis="coloraxis",
            opacity=0.55,
            name="smoothed mean",
            hovertemplate="smoothed mean %{z:.4f}<extra></extra>",
            hoverongaps=False,
            xgap=gap,
            ygap=gap,
        )
    )


def _words(content: Content) -> str:
    chosen = (
        "most important hyperparameters"
        if content.importance.shares
        else "first hyperparameters that differ, because importance cannot be estimated yet"
    )
    return (
        f"Pairs of the {chosen}. Points are trials, coloured by value, over a smoothed mean. Blank areas have too few "
        "trials to say anything."
    )


def _alt_text(content: Content) -> str:
    """Return what the panels show, and where the best lies."""
    names = content.ranked[:CONTOURED]
    text = f"{content.objective} over pairs of {', '.join(names)}."
    return text if content.best is None else f"{text} The best lies at {settings(content.best.config, names)}."


contours_figure = PageFigure(
    name="contours",
    heading="Pairs of hyperparameters",
    draw=contours,
    words=_words,
    alt_text=_alt_text,
    has_something=lambda content: len(content.ranked) > 1 and content.best is not None,
)
