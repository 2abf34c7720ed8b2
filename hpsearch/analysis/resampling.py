"""Rows drawn with replacement, and what two sets of predictions differ by on each draw."""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from hpsearch.metrics.confusion import confusion_metric

MOST_CLASSES = 100
"""Of more classes the counts of a draw are more numbers than the rows are."""

DRAWS_TOGETHER = 200
"""Draws whose counts are held at once: 16 MB of a hundred classes."""


def drawn_units(rows: int, groups: np.ndarray | None) -> list[np.ndarray] | np.ndarray:
    """Return what is drawn: the rows of each group, or the rows.

    Args:
        rows: How many there are.
        groups: Codes of the groups that rows belong to, shape (rows,), or None where every row stands alone.

    Raises:
        ValueError: There are other numbers of rows and of groups' codes.
    """
    if groups is None:
        return np.arange(rows)
    if len(groups) != rows:
        raise ValueError(f"{len(groups)} groups for {rows} rows")
    order = np.argsort(groups, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(groups[order])) + 1)


def differences(
    metric: Callable[..., float],
    targets: np.ndarray,
    winner: np.ndarray,
    rival: np.ndarray,
    sample_weight: np.ndarray | None,
    draws: Iterator[np.ndarray],
) -> np.ndarray:
    """Return winner minus rival on each draw of rows, NaN where the metric cannot be computed; shape (draws,).

    A metric that is a function of the confusion counts is computed of those, for all draws at once.

    Args:
        metric: `metric(targets, predictions)`; called with `sample_weight=` where there is one.
        targets: Shape (n,) or (n, labels).
        winner: What the metric takes as the winner's predictions, first axis n.
        rival: The same of the rival.
        sample_weight: Shape (n,), or None.
        draws: Rows, each an array of places in the arrays.
    """
    counted = confusion_metric(metric)
    has_zeros = sample_weight is not None and bool((sample_weight <= 0).any())
    if counted is None or counted.classes > MOST_CLASSES or has_zeros:
        one_by_one = (_difference(metric, targets, winner, rival, sample_weight, chosen) for chosen in draws)
        return np.fromiter(one_by_one, dtype=np.float64)
    cells = [counted.cells(targets, predicted) for predicted in (winner, rival)]
    weights = sample_weight if getattr(metric, "weighted", False) else None
    found = []
    while together := list(itertools.islice(draws, DRAWS_TOGETHER)):
        sides = [counted.values(_counts(place, together, weights, counted.classes**2)) for place in cells]
        found.append(sides[0] - sides[1])
    return np.concatenate(found) if found else np.empty(0)


def _counts(cells: np.ndarray, draws: Sequence[np.ndarray], weights: np.ndarray | None, length: int) -> np.ndarray:
    """Return how many rows of each draw lie in each cell, or what they weigh, shape (draws, length)."""
    weighed = [None if weights is None else weights[chosen] for chosen in draws]
    return np.stack([np.bincount(cells[chosen], weight, length) for chosen, weight in zip(draws, weighed, strict=True)])


def difference(
    metric: Callable[..., float],
    targets: np.ndarray,
    winner: np.ndarray,
    rival: np.ndarray,
    sample_weight: np.ndarray | None,
    chosen: np.ndarray,
) -> float:
    """Return winner minus rival on chosen rows; arguments as of `differences`."""
    weights = {} if sample_weight is None else {"sample_weight": sample_weight[chosen]}
    return float(metric(targets[chosen], winner[chosen], **weights) - metric(targets[chosen], rival[chosen], **weights))


def draws(units: list[np.ndarray] | np.ndarray, resamples: int, generator: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield rows: as many units as there are, with replacement, so many times."""
    for _ in range(resamples):
        drawn = generator.integers(0, len(units), size=len(units))
        yield units[drawn] if isinstance(units, np.ndarray) else np.concatenate([units[index] for index in drawn])


def _difference(
    metric: Callable[..., float],
    targets: np.ndarray,
    winner: np.ndarray,
    rival: np.ndarray,
    sample_weight: np.ndarray | None,
    chosen: np.ndarray,
) -> float:
    try:
        return difference(metric, targets, winner, rival, sample_weight, chosen)
    except ValueError:  # what scikit-learn, and our MetricError, raise of rows that lack a class
        return math.nan
