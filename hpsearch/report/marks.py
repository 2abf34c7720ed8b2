"""Marks that figures share: trials as points, and rings around the best and the literature default."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from hpsearch.analysis.aggregates import TrialSummary
from hpsearch.report.content import Content
from hpsearch.report.theme import BEST, DEFAULT, GREY, VERMILION, hover_text

Place = tuple[TrialSummary, float, float]
"""A trial, its x and its y."""

HOLLOW: Mapping[str, Any] = {"symbol": "triangle-down-open", "size": 8, "color": GREY}
CROSS: Mapping[str, Any] = {"symbol": "x-thin", "size": 9, "line": {"width": 2, "color": VERMILION}}
DIAMOND: Mapping[str, Any] = {"symbol": "diamond", "size": 10}


def trial_points(
    content: Content, places: Sequence[Place], marker: Mapping[str, Any], name: str, **trace: Any
) -> go.Scatter:
    """Return trials as points that show all about a trial under the pointer."""
    return go.Scatter(
        x=[x for _, x, _ in places],
        y=[y for _, _, y in places],
        mode="markers",
        marker=marker,
        name=name,
        text=[hover_text(content, summary) for summary, _, _ in places],
        hovertemplate="%{text}<extra></extra>",
        **trace,
    )


def rings(content: Content, places: Sequence[Place]) -> Iterator[go.Scatter]:
    """Yield a ring around the literature default and one around the best, where they are among the places."""
    roles = ((content.default, "literature default", DEFAULT, 19), (content.best, "best", BEST, 14))
    for role, name, color, size in roles:
        for summary, x, y in places:
            if role is not None and summary.number == role.number:
                yield go.Scatter(x=[x], y=[y], mode="markers", marker=ring(color, size), name=name, hoverinfo="skip")


def ring(color: str, size: int = 13) -> dict[str, Any]:
    return {"symbol": "circle-open", "size": size, "line": {"width": 3}, "color": color}


def error_bars(value: float, interval: tuple[float, float], color: str) -> dict[str, Any]:
    """Return an interval as bars on both sides of a value."""
    low, high = interval
    return {"array": [high - value], "arrayminus": [value - low], "color": color, "thickness": 2.5, "width": 6}
