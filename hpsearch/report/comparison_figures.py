"""Several studies in one figure: how fast each came to its best, their winners, their winners' curves."""

import math
from collections.abc import Sequence
from typing import Any, Literal

import plotly.graph_objects as go

from hpsearch.analysis import curves, mean_curves
from hpsearch.errors import UsageError
from hpsearch.report.comparison_content import ComparedStudy, ComparisonContent
from hpsearch.report.theme import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SKY,
    TEMPLATE,
    VERMILION,
    Figure,
    empty_figure,
    shortened,
)
from hpsearch.report.wording import escaped, score

COLORS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)
DASHES = ("solid", "dash", "dot", "dashdot")
"""Lines of studies that came to the same lie on one another: their dashes let the lower ones show."""


class ComparisonFigures:
    """The plots of several studies, one method each; each returns a plotly figure.

    Studies with another objective than the reference's are left out of them: their values are of another kind.
    """

    def __init__(self, content: ComparisonContent) -> None:
        self._content = content

    def best_so_far(self, by: Literal["trials", "compute"] = "trials") -> Figure:
        """Draw each study's best complete value by trials asked for, or by epochs of one fold trained.

        Raises:
            UsageError: `by` is neither.
        """
        if by not in ("trials", "compute"):
            raise UsageError(f'by={by!r} is neither "trials" nor "compute".')
        words = "trials" if by == "trials" else "epochs of one fold trained"
        title = f"Best {escaped(self._content.objective)} by {words}"
        figure = Figure()
        for index, study in enumerate(self._content.alike):
            line: Sequence[tuple[float, float]] = study.by_trials if by == "trials" else study.by_compute
            if line:
                figure.add_trace(
                    go.Scatter(
                        x=[at for at, _ in line],
                        y=[value for _, value in line],
                        mode="lines",
                        line={"shape": "hv", "width": 2.5, **_look(index)},
                        name=escaped(shortened(study.name, 34)),
                        hovertemplate=f"{escaped(study.name)}<br>%{{y:.4f}} after %{{x:.4g}}<extra></extra>",
                    )
                )
        if not figure.data:
            return empty_figure(title, "no trial is complete")
        figure.update_layout(
            template=TEMPLATE,
            title=title,
            height=420,
            xaxis={"title": {"text": words}, "rangemode": "tozero"},
            yaxis={"title": {"text": escaped(self._content.objective)}},
        )
        return figure

    def winners(self) -> Figure:
        """Draw each winner's cross-validated mean with its 95% interval, its folds, and its score on the test rows."""
        objective = self._content.objective
        title = f"Winners: {escaped(objective)}"
        shown = [study for study in self._content.alike if study.content.best is not None]
        if not shown:
            return empty_figure(title, "no trial is complete")
        rows = {study.name: index for index, study in enumerate(shown)}
        figure = Figure()
        _add_folds(figure, shown, rows)
        for study in shown:
            figure.add_trace(_mean_with_interval(study, rows[study.name], self._index(study)))
        _add_test(figure, shown, rows, objective)
        figure.update_layout(
            template=TEMPLATE,
            title=title,
            height=150 + 56 * len(shown),
            xaxis={"title": {"text": escaped(objective)}},
            yaxis={
                "tickvals": list(rows.values()),
                "ticktext": [escaped(shortened(name, 24)) for name in rows],
                "range": [len(rows) - 0.5, -0.5],
                "showgrid": False,
            },
        )
        return figure

    def learning_curves(self) -> Figure:
        """Draw the objective of each winner by epoch, the mean over its folds; a ring marks where it is read."""
        objective = self._content.objective
        title = f"Winners: {escaped(objective)} by epoch"
        figure = Figure()
        for study in self._content.alike:
            best = study.content.best
            if best is None:
                continue
            frame = curves(study.content.history)
            mean = mean_curves(frame[(frame["trial"] == best.number) & (frame["metric"] == objective)])
            look = _look(self._index(study))
            values = [value if math.isfinite(value) else None for value in mean["value"].tolist()]
            name = escaped(shortened(study.name, 34))
            figure.add_trace(
                go.Scatter(
                    x=mean["epoch"].tolist(),
                    y=values,
                    mode="lines+markers",
                    line={"width": 2.5, **look},
                    marker={"size": 5},
                    name=name,
                    legendgroup=study.name,
                    hovertemplate=f"{escaped(study.name)}, trial {best.number}<br>%{{y:.4f}}<br>"
                    "epoch %{x:.4g}<extra></extra>",
                )
            )
            figure.add_trace(
                go.Scatter(
                    x=[best.epoch],
                    y=[best.value],
                    mode="markers",
                    marker={"symbol": "circle-open", "size": 13, "line": {"width": 3}, "color": look["color"]},
                    legendgroup=study.name,
                    showlegend=False,
                    hoverinfo="skip",
                )
            )
        if not figure.data:
            return empty_figure(title, "no trial is complete")
        figure.update_layout(
            template=TEMPLATE,
            title=title,
            height=420,
            xaxis={"title": {"text": "epoch"}, "rangemode": "tozero"},
            yaxis={"title": {"text": escaped(objective)}},
        )
        return figure

    def _index(self, study: ComparedStudy) -> int:
        return self._content.alike.index(study)


def _look(index: int) -> dict[str, Any]:
    return {"color": COLORS[index % len(COLORS)], "dash": DASHES[index % len(DASHES)]}


def _add_folds(figure: Figure, shown: Sequence[ComparedStudy], rows: dict[str, int]) -> None:
    spots = [(fold, rows[study.name]) for study in shown if study.content.best for fold in study.content.best.folds]
    figure.add_trace(
        go.Scatter(
            x=[value for value, _ in spots],
            y=[row + 0.22 for _, row in spots],
            mode="markers",
            marker={"symbol": "line-ns", "size": 9, "line": {"width": 2, "color": GREY}},
            name="a fold",
            hovertemplate="a fold: %{x:.4f}<extra></extra>",
        )
    )


def _mean_with_interval(study: ComparedStudy, row: int, index: int) -> go.Scatter:
    best = study.content.best
    assert best is not None
    assert best.value is not None
    low, high = best.interval if best.interval is not None else (best.value, best.value)
    words = "no interval" if best.interval is None else f"95% {score(low)} to {score(high)}"
    return go.Scatter(
        x=[best.value],
        y=[row],
        error_x={
            "array": [high - best.value],
            "arrayminus": [best.value - low],
            "thickness": 2.5,
            "width": 6,
            "color": COLORS[index % len(COLORS)],
        },
        mode="markers",
        marker={"size": 11, "color": COLORS[index % len(COLORS)]},
        name=escaped(study.name),
        showlegend=False,
        hovertemplate=f"{escaped(study.name)}, trial {best.number}<br>%{{x:.4f}}, {words}<extra></extra>",
    )


def _add_test(figure: Figure, shown: Sequence[ComparedStudy], rows: dict[str, int], objective: str) -> None:
    spots = [(study.test_scores[objective], rows[study.name]) for study in shown if objective in study.test_scores]
    if spots:
        figure.add_trace(
            go.Scatter(
                x=[value for value, _ in spots],
                y=[row - 0.22 for _, row in spots],
                mode="markers",
                marker={"symbol": "diamond", "size": 10, "color": ORANGE},
                name="on the test rows",
                hovertemplate="on the test rows: %{x:.4f}<extra></extra>",
            )
        )
