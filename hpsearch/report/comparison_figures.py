"""Several studies in one figure: how fast each found its best, their winners, and the winners' curves."""

import math
from collections.abc import Sequence
from typing import Any, Literal

import plotly.graph_objects as go

from hpsearch.analysis.table import curves, mean_curves
from hpsearch.errors import UsageError
from hpsearch.report.comparison_content import ComparedStudy, ComparisonContent
from hpsearch.report.marks import DIAMOND, error_bars, ring
from hpsearch.report.theme import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    Figure,
    empty_figure,
    shortened,
    titled,
)
from hpsearch.report.wording import escaped, score

COLORS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)
DASHES = ("solid", "dash", "dot", "dashdot")
"""Lines of equal values overlap; dashes let the lower ones show."""


class ComparisonFigures:
    """The plots of several studies, one method each; each returns a plotly figure.

    They leave out studies with another objective than the reference's: those values cannot share an axis.
    """

    def __init__(self, content: ComparisonContent) -> None:
        self._content = content
        self._objective = escaped(content.objective)

    def best_so_far(self, by: Literal["trials", "compute"] = "trials") -> Figure:
        """Draw each study's best complete value by number of trials, or by epochs of one fold trained.

        Raises:
            UsageError: `by` is neither.
        """
        if by not in ("trials", "compute"):
            raise UsageError(f'by={by!r} is neither "trials" nor "compute".')
        words = "trials" if by == "trials" else "epochs of one fold trained"
        figure = Figure()
        for index, study in enumerate(self._content.alike):
            line: Sequence[tuple[float, float]] = study.by_trials if by == "trials" else study.by_compute
            if line:
                figure.add_trace(
                    go.Scatter(
                        x=[at for at, _ in line],
                        y=[value for _, value in line],
                        mode="lines",
                        line={"shape": "hv", **_look(index)},
                        name=escaped(shortened(study.name, 34)),
                        hovertemplate=f"{escaped(study.name)}<br>%{{y:.4f}} after %{{x:.4g}}<extra></extra>",
                    )
                )
        return self._lines(figure, f"Best {self._objective} by {words}", words)

    def winners(self) -> Figure:
        """Draw each winner's cross-validated mean with its 95% interval, its folds, and its score on the test rows."""
        title = f"Winners: {self._objective}"
        shown = [study for study in self._content.alike if study.content.best is not None]
        if not shown:
            return empty_figure(title, "no trial is complete")
        folds = [
            (fold, row + 0.22)
            for row, study in enumerate(shown)
            if study.content.best is not None
            for fold in study.content.best.folds
        ]
        objective = self._content.objective
        tests = [(s.test_scores[objective], row - 0.22) for row, s in enumerate(shown) if objective in s.test_scores]
        tick = {"symbol": "line-ns", "size": 9, "line": {"width": 2, "color": GREY}}
        figure = Figure(_marks(folds, tick, "a fold"))
        for row, study in enumerate(shown):
            figure.add_trace(_mean_with_interval(study, row, self._look_of(study)["color"]))
        if tests:
            figure.add_trace(_marks(tests, {**DIAMOND, "color": ORANGE}, "on the test rows"))
        return titled(
            figure,
            title,
            150 + 56 * len(shown),
            xaxis={"title": {"text": self._objective}},
            yaxis={
                "tickvals": list(range(len(shown))),
                "ticktext": [escaped(shortened(study.name, 24)) for study in shown],
                "range": [len(shown) - 0.5, -0.5],
                "showgrid": False,
            },
        )

    def learning_curves(self) -> Figure:
        """Draw the objective of each winner by epoch, the mean over its folds; a ring marks where it is read."""
        figure = Figure()
        for study in self._content.alike:
            best = study.content.best
            if best is None:
                continue
            frame = curves(study.content.history)
            mean = mean_curves(frame[(frame["trial"] == best.number) & (frame["metric"] == self._content.objective)])
            look = self._look_of(study)
            hover = f"{escaped(study.name)}, trial {best.number}<br>%{{y:.4f}}<br>epoch %{{x:.4g}}<extra></extra>"
            figure.add_trace(
                go.Scatter(
                    x=mean["epoch"].tolist(),
                    y=[value if math.isfinite(value) else None for value in mean["value"].tolist()],
                    mode="lines+markers",
                    line=look,
                    marker={"size": 5},
                    name=escaped(shortened(study.name, 34)),
                    legendgroup=study.name,
                    hovertemplate=hover,
                )
            )
            figure.add_trace(
                go.Scatter(
                    x=[best.epoch],
                    y=[best.value],
                    mode="markers",
                    marker=ring(look["color"]),
                    legendgroup=study.name,
                    showlegend=False,
                    hoverinfo="skip",
                )
            )
        return self._lines(figure, f"Winners: {self._objective} by epoch", "epoch")

    def _lines(self, figure: Figure, title: str, words: str) -> Figure:
        """Finish a figure of the objective by something, or say that there is nothing to draw."""
        if not figure.data:
            return empty_figure(title, "no trial is complete")
        x_axis = {"title": {"text": words}, "rangemode": "tozero"}
        return titled(figure, title, 420, xaxis=x_axis, yaxis={"title": {"text": self._objective}})

    def _look_of(self, study: ComparedStudy) -> dict[str, Any]:
        return _look(self._content.alike.index(study))


def _look(index: int) -> dict[str, Any]:
    return {"color": COLORS[index % len(COLORS)], "dash": DASHES[index % len(DASHES)], "width": 2.5}


def _marks(spots: Sequence[tuple[float, float]], marker: dict[str, Any], name: str) -> go.Scatter:
    return go.Scatter(
        x=[value for value, _ in spots],
        y=[row for _, row in spots],
        mode="markers",
        marker=marker,
        name=name,
        hovertemplate=f"{name}: %{{x:.4f}}<extra></extra>",
    )


def _mean_with_interval(study: ComparedStudy, row: int, color: str) -> go.Scatter:
    best = study.content.best
    assert best is not None
    assert best.value is not None
    interval = best.interval or (best.value, best.value)
    words = "no interval" if best.interval is None else f"95% {score(interval[0])} to {score(interval[1])}"
    return go.Scatter(
        x=[best.value],
        y=[row],
        error_x=error_bars(best.value, interval, color),
        mode="markers",
        marker={"size": 11, "color": color},
        name=escaped(study.name),
        showlegend=False,
        hovertemplate=f"{escaped(study.name)}, trial {best.number}<br>%{{x:.4f}}, {words}<extra></extra>",
    )
