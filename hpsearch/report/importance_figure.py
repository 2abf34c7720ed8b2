"""How much each hyperparameter mattered, with what chance alone would give."""

import plotly.graph_objects as go

from hpsearch.report.content import Content
from hpsearch.report.page_figure import PageFigure
from hpsearch.report.theme import BLUE, GREY, VERMILION, Figure, empty_figure, shortened, titled
from hpsearch.report.wording import escaped


def importance(content: Content) -> Figure:
    """Draw how much each hyperparameter mattered (PED-ANOVA), with what chance alone would give.

    The most important is on top; grey bars do not stand out from chance.
    """
    measured = content.importance
    title = f"Importance for {escaped(content.objective)}"
    if measured.why_not is not None:
        return empty_figure(title, measured.why_not)
    names = list(reversed(list(measured.shares)))
    present = measured.present
    labels = [_label(content, name) for name in names]
    figure = Figure(
        go.Bar(
            x=[measured.shares[name] for name in names],
            y=labels,
            orientation="h",
            marker={"color": [BLUE if measured.stands_out(name) else GREY for name in names]},
            name="share of importance",
            customdata=[f"{escaped(name)}, in {present[name]} of {measured.trials} trials" for name in names],
            hovertemplate="%{customdata}<br>share %{x:.1%}<extra></extra>",
        )
    )
    figure.add_trace(
        go.Scatter(
            x=[measured.chance[name] for name in names],
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
    measured = content.importance
    text = escaped(shortened(name, 28))
    if measured.present[name] == measured.trials:
        return text
    return f"{text}<br>(in {measured.present[name]} of {measured.trials})"


def _words(content: Content) -> str:
    return (
        "How differently a hyperparameter is distributed among the top trials and among all "
        f"{content.importance.trials} that were judged, complete or pruned (PED-ANOVA). Shuffled values exceed the red "
        "mark once in twenty times: grey bars stay below it and do not stand out from chance."
    )


def _alt_text(content: Content) -> str:
    """Return the shares in order."""
    measured = content.importance
    if measured.why_not is not None:
        return f"No importance is stated: {measured.why_not}."
    shares = ", ".join(
        f"{name} {share:.0%}{'' if measured.stands_out(name) else ' (no more than chance)'}"
        for name, share in measured.shares.items()
    )
    return f"Share of importance by hyperparameter: {shares}."


importance_figure = PageFigure(
    name="importance",
    heading="Importance of hyperparameters",
    draw=importance,
    words=_words,
    alt_text=_alt_text,
    has_something=lambda content: bool(content.ranked),
    legend_room=(44, 56),
)
