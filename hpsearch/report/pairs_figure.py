"""Baseline against winner: every fold of both, one panel for each metric."""

import math

import plotly.graph_objects as go

from hpsearch.analysis.pairing import PairedScores
from hpsearch.records.objective_values import mean_value
from hpsearch.report.content import Content
from hpsearch.report.marks import DIAMOND
from hpsearch.report.page_figure import PageFigure
from hpsearch.report.panels import add_traces, describe_axes, lay_out
from hpsearch.report.theme import BEST, DEFAULT, GREY, PURPLE, Figure, empty_figure
from hpsearch.report.wording import fold_name, signed

SIDES = (("literature default", -0.16), ("winner", 1.16))
"""Where each model's test score lies, beside the folds at 0 and 1."""


def winner_against_default(content: Content) -> Figure:
    """Draw every fold of the literature default and of the winner, one panel per metric.

    A line joins each fold of the two; their means are bold; their test scores lie beside them.
    """
    title = "Winner against literature default"
    pairs = [pair for pair in content.pairs if all(map(math.isfinite, (*pair.winner, *pair.rival)))]
    if not pairs:
        return empty_figure(title, "there are no two complete trials to compare")
    figure = Figure()
    sides = {"range": [-0.35, 1.35], "tickvals": [0, 1], "ticktext": ["default", "winner"], "showgrid": False}
    for index, pair in enumerate(pairs):
        add_traces(figure, index, [_folds(pair), _means(pair), _test_scores(pair, content)])
        describe_axes(figure, index, sides, {"nticks": 5})
    lay_out(figure, [content.described(pair.metric) for pair in pairs], title)
    return figure


def _folds(pair: PairedScores) -> go.Scatter:
    x: list[float | None] = []
    y: list[float | None] = []
    text: list[str] = []
    for place, winner, rival in zip(pair.places, pair.winner, pair.rival, strict=True):
        x += [0, 1, None]
        y += [rival, winner, None]
        text += [fold_name(*place)] * 2 + [""]
    return go.Scatter(
        x=x,
        y=y,
        mode="lines+markers",
        line={"width": 1.5, "color": GREY},
        marker={"size": 6},
        name="a fold",
        text=text,
        hovertemplate="%{text}: %{y:.4f}<extra></extra>",
    )


def _means(pair: PairedScores) -> go.Scatter:
    return go.Scatter(
        x=[0, 1],
        y=[mean_value(pair.rival), mean_value(pair.winner)],
        mode="lines+markers",
        line={"width": 4, "color": BEST},
        marker={"size": 11, "color": [DEFAULT, BEST]},
        name="mean over folds",
        hovertemplate="mean %{y:.4f}<extra></extra>",
    )


def _test_scores(pair: PairedScores, content: Content) -> go.Scatter:
    tested = content.test_scores or {}
    scores = [(x, tested.get(side, {}).get(pair.metric, math.nan)) for side, x in SIDES]
    spots = [(x, score) for x, score in scores if math.isfinite(score)]
    return go.Scatter(
        x=[x for x, _ in spots],
        y=[score for _, score in spots],
        mode="markers",
        marker={**DIAMOND, "color": PURPLE},
        name="on the test rows",
        hovertemplate="on the test rows: %{y:.4f}<extra></extra>",
    )


def _words(content: Content) -> str:
    text = (
        "Each grey line is one fold, trained with both configurations. If all lines rise, or fall where lower is "
        "better, the winner is better on every fold; if they cross, the difference may be chance."
    )
    return f"{text} Diamonds are the scores on the test rows." if content.test_scores else text


def _alt_text(content: Content) -> str:
    """Return on how many folds the winner is better, by metric."""
    words = [
        f"{pair.metric}: the winner is better on {pair.won} of {len(pair.places)} runs, mean difference "
        f"{signed(pair.difference)}"
        for pair in content.pairs
    ]
    return "Winner and literature default on the same folds. " + "; ".join(words) + "."


pairs_figure = PageFigure(
    name="pairs",
    heading="Winner against literature default, fold by fold",
    draw=winner_against_default,
    words=_words,
    alt_text=_alt_text,
    has_something=lambda content: bool(content.pairs),
    template="pairs.html",
)
