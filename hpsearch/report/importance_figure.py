"""How much each hyperparameter mattered, with what chance alone would give."""

import plotly.graph_objects as go

from hpsearch.report.content import Content
from hpsearch.report.theme import BLUE, GREY, TEMPLATE, VERMILION, Figure, empty_figure, shortened
from hpsearch.report.wording import escaped


def importance_figure(content: Content) -> Figure:
    """Draw a bar a hyperparameter, the most important on top; grey ones do not stand out from chance."""
    found = content.importance
    title = f"Importance for {escaped(content.objective)}"
    if found.why_not is not None:
        return empty_figure(title, found.why_not)
    names = list(reversed(list(found.shares)))
    labels = [_label(content, name) for name in names]
    figure = Figure(
        go.Bar(
            x=[found.shares[name] for name in names],
            y=labels,
            orientation="h",
            marker={"color": [BLUE if found.stands_out(name) else GREY for name in names]},
            name="share of importance",
            customdata=[f"{escaped(name)}, in {found.present[name]} of {found.trials} trials" for name in names],
            hovertemplate="%{customdata}<br>share %{x:.1%}<extra></extra>",
        )
    )
    figure.add_trace(
        go.Scatter(
            x=[found.chance[name] for name in names],
            y=labels,
            mode="markers",
            marker={"symbol": "line-ns", "size": 18, "line": {"width": 3, "color": VERMILION}},
            name="chance reaches this in 1 of 20 cases",
            hovertemplate="chance: %{x:.1%}<extra></extra>",
        )
    )
    figure.update_layout(
        template=TEMPLATE,
        title=title,
        height=120 + 34 * len(names),
        bargap=0.35,
        xaxis={"tickformat": ".0%", "rangemode": "tozero", "title": {"text": "share of importance"}},
        yaxis={"type": "category", "showgrid": False},
    )
    return figure


def _label(content: Content, name: str) -> str:
    """Return a hyperparameter's name; of a conditional one, in how many trials it is."""
    found = content.importance
    text = escaped(shortened(name, 28))
    if found.present[name] == found.trials:
        return text
    return f"{text}<br>(in {found.present[name]} of {found.trials})"
