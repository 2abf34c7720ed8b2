"""The grid: every combination of the parameters' values, once."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hpsearch.errors import SpaceError
from hpsearch.space.conditions import Scalar
from hpsearch.space.ranges import Parameter

LARGEST_GRID = 1_000_000
"""A grid with more points than this is taken for an oversight: nobody trains a million models."""


@dataclass(frozen=True)
class Grid:
    """The grid sampler, with the number of points that it takes of a range: `sampler=hp.Grid(points=4)`.

    Args:
        points: How many values to take at most of each `Float` and `Int` that has no `grid` of its own: evenly spaced,
            by equal ratios where `log=True`, on the steps where there is a `step`. None, as with `sampler="grid"`:
            every value that there is, and an error for a `Float` without `grid` and `step`.

    Raises:
        SpaceError: `points` is not a whole number from 2: both ends of a range belong to its grid.
    """

    points: int | None = None

    def __post_init__(self) -> None:
        points = self.points
        if points is not None and (isinstance(points, bool) or not isinstance(points, int) or points < 2):
            raise SpaceError(f"Grid(points={points!r}): give a whole number of at least 2.")


def enumerate_grid(
    parameters: Mapping[str, Parameter], exists: Callable[[str, Mapping[str, Any]], bool], points: int | None
) -> Iterator[dict[str, Scalar]]:
    """Return the points of a grid, each once; see `Space.grid`.

    Parents come before what depends on them; `exists` says whether a parameter does where those before it have values.
    """
    Grid(points)  # which checks them
    values: dict[str, tuple[Scalar, ...]] = {}
    for name, parameter in parameters.items():
        try:
            values[name] = parameter.grid_values(points)
        except SpaceError as error:
            raise SpaceError(f"{name}: {error}") from None
    least = math.prod(len(values[name]) for name, parameter in parameters.items() if not parameter.conditions)
    if least > LARGEST_GRID:
        sizes = ", ".join(f"{name} {len(values[name])}" for name in values)
        raise SpaceError(
            f"The grid has {least:,} points or more ({sizes}); give the parameters shorter grids, "
            'choose hp.Grid(points=...), or another sampler than "grid".'
        )
    grid: Iterator[dict[str, Scalar]] = iter([{}])
    for name, choices in values.items():
        grid = extended(grid, name, choices, exists)
    return grid


def extended(
    points: Iterator[dict[str, Scalar]],
    name: str,
    choices: Sequence[Scalar],
    exists: Callable[[str, Mapping[str, Any]], bool],
) -> Iterator[dict[str, Scalar]]:
    """Yield each point with one value of a parameter after the other, or as it is where that does not exist."""
    for point in points:
        if exists(name, point):
            yield from ({**point, name: value} for value in choices)
        else:
            yield point
