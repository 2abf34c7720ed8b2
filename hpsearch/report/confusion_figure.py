"""The winner's out-of-fold predictions by class."""

import plotly.graph_objects as go

from hpsearch.analysis.confusion import Confusion
from hpsearch.report.content import Content
from hpsearch.report.page_figure import PageFigure
from hpsearch.report.theme import BLUE, Figure, empty_figure, shortened, titled
from hpsearch.report.wording import brief, escaped

MOST_NUMBERS = 12
"""Up to this many classes, the cells show counts."""

MOST_CLASSES = 60


def confusion(content: Content) -> Figure:
    """Draw the winner's out-of-fold predictions by true and predicted class; colour is the share of the row."""
    title = "Out-of-fold predictions of the winner"
    counted = _counted(content)
    if counted is None or len(counted.classes) > MOST_CLASSES:
        why = "there is no confusion matrix" if counted is None else "there are too many classes"
        return empty_figure(title, why)
    names = [escaped(shortened(brief(name), 16)) for name in counted.classes]
    places = list(range(len(names)))
    cells = go.Heatmap(
        x=places,
        y=places,
        z=[[count / sum(row) if sum(row) else None for count in row] for row in counted.counts],
        zmin=0,
        zmax=1,
        colorscale=[[0.0, "rgba(43,135,200,0.06)"], [1.0, BLUE]],
        customdata=[list(row) for row in counted.counts],
        text=[[str(count) for count in row] for row in counted.counts],
        texttemplate="%{text}" if len(names) <= MOST_NUMBERS else "",
        hovertemplate=f"true %{{y}}, predicted %{{x}}<br>%{{customdata}} {counted.noun}, %{{z:.1%}} of the class"
        "<extra></extra>",
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


def _counted(content: Content) -> Confusion | None:
    return content.outputs.get("confusion")


def _words(content: Content) -> str:
    counted = _counted(content)
    if counted is None or counted.noun == "rows":
        return (
            "Each row is a true class; each column is what the winner predicted while those rows were held out. The "
            "diagonal is right; colour is the share of the class."
        )
    return (
        f"Each row is a true type of {counted.noun}; each column is the type that the winner predicted there while the "
        f"text was held out, whatever the boundaries. The last column has what it missed, the last row what is not "
        f"there; colour is the share of the type."
    )


def _alt_text(content: Content) -> str:
    """Return how many are right, and the most frequent mistake."""
    counted = _counted(content)
    if counted is None or not counted.rows:
        return "No out-of-fold predictions."
    right = sum(row[index] for index, row in enumerate(counted.counts))
    text = f"{right} of {counted.rows} held-out {counted.noun} are right."
    worst = counted.worst()
    if worst is None:
        return text
    true, predicted, count, rows = worst
    return f"{text} The most frequent mistake: {count} of {rows} {counted.noun} of {true} are taken for {predicted}."


confusion_figure = PageFigure(
    name="confusion",
    heading="Confusion matrix",
    draw=confusion,
    words=_words,
    alt_text=_alt_text,
    has_something=lambda content: _counted(content) is not None,
    most_width=720,
    legend_room=(34, 16),
)
