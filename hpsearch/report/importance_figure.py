"""How much each hyperparameter mattered, with what chance alone would give."""

import plotly.graph_objects as go

from hpsearch.report.content import Content
from hpsearch.report.theme import BLUE, GREY, VERMILION, Figure, empty_figure, shortened, titled
from hpsearch.report.wording import escaped


def importance_figure(content: Content) -> Figure:
    """Draw a bar for each hyperparameter, the most important on top; grey ones do not stand out from chance."""
    importance = content.importance
    title = f"Importance for {escaped(content.objective)}"
    if importance.why_not is not None:
        return empty_figure(title, importance.why_not)
    names = list(reversed(list(importance.shares)))
    present = importance.present
    labels = [_label(content, name) for name in names]
    figure = Figure(
        go.Bar(
            x=[importance.shares[name] for name in names],
            y=labels,
            orientation="h",
            marker={"color": [BLUE if importance.stands_out(name) else GREY for name in names]},
            name="share of importance",
            customdata=[f"{escaped(name)}, in {present[name]} of {importance.trials} trials" for name in names],
            hovertemplate="%{customdata}<br>share %{x:.1%}<extra></extra>",
        )
    )
    figure.add_trace(
        go.Scatter(
            x=[importance.chance[name] for name in names],
            y=labels,
            mode="markers",
            marker={"symbol": "line-ns", "size": 18, "line": {"width": 3, "color": VERMILION}},
            name="chance reaches this in 1 of 20 cases",
            hovertemplate="chance: %{x:.1%}<extra></extra>",
        )
    )
    return titled(
        figure,
        title,
        120 + 34 * len(names),
        bargap=0.35,
        xaxis={"tickformat": ".0%", "rangemode": "tozero", "title": {"text": "share of importance"}},
        yaxis={"type": "category", "showgrid": False},
    )


def _label(content: Content, name: str) -> str:
    """Return a hyperparameter's name; for a conditional one, how many trials use it."""
    importance = content.importance
    text = escaped(shortened(name, 28))
    if importance.present[name] == importance.trials:
        return text
    return f"{text}<br>(in {importance.present[name]} of {importance.trials})"
