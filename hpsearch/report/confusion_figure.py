"""The winner's out-of-fold predictions by class."""

import plotly.graph_objects as go

from hpsearch.report.content import Content
from hpsearch.report.theme import BLUE, TEMPLATE, Figure, empty_figure, shortened
from hpsearch.report.wording import brief, escaped

MOST_NUMBERS = 12
"""Classes up to which the counts are written into the cells."""

MOST_CLASSES = 60


def confusion_figure(content: Content) -> Figure:
    """Draw a row a true class, a column a predicted one, coloured by the share of the row."""
    title = "Out-of-fold predictions of the winner"
    found = content.confusion
    if found is None or len(found.classes) > MOST_CLASSES:
        return empty_figure(title, "there is no table of classes" if found is None else "there are too many classes")
    names = [escaped(shortened(brief(name), 16)) for name in found.classes]
    places = list(range(len(names)))
    shares = [[count / sum(row) if sum(row) else None for count in row] for row in found.counts]
    figure = Figure(
        go.Heatmap(
            x=places,
            y=places,
            z=shares,
            zmin=0,
            zmax=1,
            colorscale=[[0.0, "rgba(43,135,200,0.06)"], [1.0, BLUE]],
            customdata=[list(row) for row in found.counts],
            text=[[str(count) for count in row] for row in found.counts],
            texttemplate="%{text}" if len(names) <= MOST_NUMBERS else "",
            hovertemplate="true %{y}, predicted %{x}<br>%{customdata} rows, %{z:.1%} of the class<extra></extra>",
            colorbar={"tickformat": ".0%", "thickness": 10, "title": {"text": "of the class", "side": "right"}},
            xgap=2,
            ygap=2,
        )
    )
    figure.update_layout(
        template=TEMPLATE,
        title=title,
        height=max(320, min(720, 150 + 34 * len(names))),
        xaxis={"title": {"text": "predicted"}, "tickvals": places, "ticktext": names, "showgrid": False},
        yaxis={
            "title": {"text": "true"},
            "tickvals": places,
            "ticktext": names,
            "autorange": "reversed",
            "showgrid": False,
        },
    )
    return figure
