"""How well the winner finds spans, by their type."""

from collections.abc import Mapping

import plotly.graph_objects as go

from hpsearch.report.content import Content
from hpsearch.report.page_figure import PageFigure
from hpsearch.report.theme import BEST, BLUE, PURPLE, Figure, empty_figure, shortened, titled
from hpsearch.report.wording import brief, escaped

MOST_TYPES = 60

_SYMBOLS = {"precision": ("triangle-right", BLUE), "recall": ("triangle-left", PURPLE), "F1": ("circle", BEST)}


def spans_by_type(content: Content) -> Figure:
    """Draw precision, recall and F1 of each type of spans, of the winner's out-of-fold predictions."""
    title = "Spans found, by type"
    counts = _counts(content)
    if not counts or len(counts) > MOST_TYPES:
        return empty_figure(title, "there are too many types" if counts else "there are no predictions of spans")
    names = [escaped(shortened(brief(name), 24)) for name in counts]
    places = list(range(len(names)))
    figure = Figure()
    for measure, (symbol, color) in _SYMBOLS.items():
        figure.add_trace(
            go.Scatter(
                x=[_share(of_type, measure) for of_type in counts.values()],
                y=places,
                mode="markers",
                marker={"symbol": symbol, "color": color, "size": 11},
                name=measure,
                customdata=[list(of_type) for of_type in counts.values()],
                hovertemplate=f"{measure} %{{x:.4f}}<br>%{{customdata[0]}} right, %{{customdata[1]}} predicted, "
                "%{customdata[2]} true<extra></extra>",
            )
        )
    return titled(
        figure,
        title,
        max(260, min(1400, 150 + 30 * len(names))),
        xaxis={"range": [-0.02, 1.02], "title": {"text": "share"}},
        yaxis={"tickvals": places, "ticktext": names, "autorange": "reversed", "showgrid": True},
    )


def _share(counts: tuple[int, int, int], measure: str) -> float | None:
    """Return a measure of (right, predicted, true) spans; None where it is undefined."""
    right, predicted, true = counts
    whole = {"precision": predicted, "recall": true, "F1": (predicted + true) / 2}[measure]
    return right / whole if whole else None


def _counts(content: Content) -> Mapping[str, tuple[int, int, int]]:
    return content.outputs.get("spans") or {}


def _alt_text(content: Content) -> str:
    """Return the F1 of each type, and how many there are."""
    scores = {name: (_share(counts, "F1"), counts[2]) for name, counts in _counts(content).items()}
    said = [
        f"{name} {'undefined' if f1 is None else f'{f1:.3f}'} ({true} spans)" for name, (f1, true) in scores.items()
    ]
    return f"F1 by type: {'; '.join(said)}."


spans_figure = PageFigure(
    name="spans",
    heading="Spans found, by type",
    draw=spans_by_type,
    words=(
        "A span is found where boundaries and type are right, in texts that the winner was not trained on. Precision "
        "is the share of predicted spans that are right, recall that of true ones that are found, F1 their harmonic "
        "mean."
    ),
    alt_text=_alt_text,
    has_something=lambda content: bool(_counts(content)),
    most_width=900,
)
