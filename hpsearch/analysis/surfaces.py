"""A smooth surface through scattered values, where there are enough of them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

STEPS = 48
"""Points of the grid in each direction."""

LEAST_WEIGHT = 2.0
"""Values, weighted by nearness, that the surface needs near a point."""

LEAST_POINTS = 8
"""Values that the surface needs in all."""


@dataclass(frozen=True)
class Surface:
    """Values over a grid of the unit square.

    Attributes:
        x, y: Positions of the columns and of the rows, from 0 to 1.
        values: One tuple per row; None where too few values are near.
    """

    x: tuple[float, ...]
    y: tuple[float, ...]
    values: tuple[tuple[float | None, ...], ...]


def bandwidth(points: int) -> float:
    """Return the kernel's width for n points over the unit square (Scott 1992: n to the -1/6)."""
    return math.sqrt(1 / 12) * points ** (-1 / 6)


def surface(
    x: Sequence[float],
    y: Sequence[float],
    values: Sequence[float],
    columns: Sequence[float] | None = None,
    rows: Sequence[float] | None = None,
) -> Surface | None:
    """Return the kernel-weighted mean of scattered values (Nadaraya 1964, Watson 1964) on a grid.

    Args:
        x, y: Positions of the values, from 0 to 1, shape (n,).
        values: Shape (n,).
        columns, rows: Positions of choices, which are not smoothed over; None for a grid over the whole range.

    Returns:
        The surface, or None with fewer than `LEAST_POINTS` values, or where too few are near any point of the grid.

    Raises:
        ValueError: They do not have one length.
    """
    if not len(x) == len(y) == len(values):
        raise ValueError(f"{len(x)} and {len(y)} positions with {len(values)} values do not pair up")
    if len(values) < LEAST_POINTS:
        return None
    grid_x, grid_y = (np.linspace(0, 1, STEPS) if of is None else np.array(of, dtype=float) for of in (columns, rows))
    width = bandwidth(len(values))
    near_x = _nearness(grid_x, np.asarray(x, dtype=float), width, choices=columns is not None)
    near_y = _nearness(grid_y, np.asarray(y, dtype=float), width, choices=rows is not None)
    weights = near_y @ near_x.T  # (rows, columns): the sum over values of both kernels
    totals = (near_y * np.asarray(values, dtype=float)) @ near_x.T
    has_enough = weights >= LEAST_WEIGHT
    if not has_enough.any():
        return None
    means = np.where(has_enough, totals / np.where(has_enough, weights, 1.0), np.nan)
    return Surface(
        tuple(grid_x.tolist()),
        tuple(grid_y.tolist()),
        tuple(tuple(None if math.isnan(value) else value for value in row) for row in means.tolist()),
    )


def _nearness(grid: np.ndarray, positions: np.ndarray, width: float, *, choices: bool) -> np.ndarray:
    """Return the kernel between grid and values, shape (grid, n): 1 at no distance; a choice is equal or not."""
    distance = np.abs(grid[:, None] - positions[None, :])
    if choices:
        return np.asarray(distance < 1e-9, dtype=float)
    return np.asarray(np.exp(-0.5 * (distance / width) ** 2))
