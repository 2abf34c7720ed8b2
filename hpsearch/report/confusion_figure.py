"""The winner's out-of-fold predictions by class."""

import plotly.graph_objects as go

from hpsearch.report.content import Content
from hpsearch.report.theme import BLUE, Figure, empty_figure, shortened, titled
from hpsearch.report.wording import brief, escaped

MOST_NUMBERS = 12
"""Up to this many classes, the cells show counts."""

MOST_CLASSES = 60


def confusion_figure(content: Content) -> Figure:
    """Draw a row for each true class and a column for each predicted one, coloured by the share of the row."""
    title = "Out-of-fold predictions of the winner"
    confusion = content.confusion
    if confusion is None or len(confusion.classes) > MOST_CLASSES:
        why = "there is no confusion matrix" if confusion is None else "there are too many classes"
        return empty_figure(title, why)
    names = [escaped(shortened(brief(name), 16)) for name in confusion.classes]
    places = list(range(len(names)))
    cells = go.Heatmap(
        x=places,
        y=places,
        z=[[count / sum(row) if sum(row) else None for count in row] for row in confusion.counts],
        zmin=0,
        zmax=1,
        colorscale=[[0.0, "rgba(43,135,200,0.06)"], [1.0, BLUE]],
        customdata=[list(row) for row in confusion.counts],
        text=[[str(count) for count in row] for row in confusion.counts],
        texttemplate="%{text}" if len(names) <= MOST_NUMBERS else "",
        hovertemplate="true %{y}, predicted %{x}<br>%{customdata} rows, %{z:.1%} of the class<extra></extra>",
        colorbar={"tickformat": ".0%", "thickness": 10, "title": {"text": "of the class", "side": "right"}},
        xgap=2,
        ygap=2,
    )
    ticks = {"tickvals": places, "ticktext": names, "showgrid": False}
    return titled(
        Figure(cells),
        title,
        max(320, min(720, 150 + 34 * len(names))),
        xaxis={"title": {"text": "predicted"}, **ticks},
        yaxis={"title": {"text": "true"}, "autorange": "reversed", **ticks},
    )
