"""Rows drawn with replacement, and the difference between two sets of predictions on each draw."""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from hpsearch.metrics.confusion import confusion_metric

MOST_CLASSES = 100
"""With more classes, a draw has more counts than rows."""

DRAWS_TOGETHER = 200
"""Draws whose counts are held at once: 16 MB for a hundred classes."""


def drawn_units(rows: int, groups: np.ndarray | None) -> list[np.ndarray] | np.ndarray:
    """Return what is drawn: the rows of each group, or single rows where `groups` is None.

    `groups` are the codes of the groups that rows belong to, shape (rows,). Raises ValueError where they are not as
    many as `rows`.
    """
    if groups is None:
        return np.arange(rows)
    if len(groups) != rows:
        raise ValueError(f"{len(groups)} groups for {rows} rows")
    order = np.argsort(groups, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(groups[order])) + 1)


def draws(units: list[np.ndarray] | np.ndarray, resamples: int, generator: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield rows, `resamples` times: as many units as there are, drawn with replacement."""
    for _ in range(resamples):
        drawn = generator.integers(0, len(units), size=len(units))
        yield units[drawn] if isinstance(units, np.ndarray) else np.concatenate([units[index] for index in drawn])


@dataclass(frozen=True)
class PairedPredictions:
    """Two sets of predictions of the same rows, and what scores them.

    Attributes:
        metric: `metric(targets, predictions)`; called with `sample_weight=` where there is one.
        targets: Shape (n,) or (n, labels).
        winner: What the metric takes as the winner's predictions, first axis n.
        rival: The same for the rival.
        sample_weight: Shape (n,), or None.
    """

    metric: Callable[..., float]
    targets: np.ndarray
    winner: np.ndarray
    rival: np.ndarray
    sample_weight: np.ndarray | None = None

    def difference(self, rows: np.ndarray) -> float:
        """Return winner minus rival on some rows, given by index."""
        weights = {} if self.sample_weight is None else {"sample_weight": self.sample_weight[rows]}
        winner, rival = (self.metric(self.targets[rows], side[rows], **weights) for side in (self.winner, self.rival))
        return float(winner - rival)

    def differences(self, draws: Iterator[np.ndarray]) -> np.ndarray:
        """Return winner minus rival on each draw of rows, NaN where the metric cannot be computed; shape (draws,).

        A metric of the confusion counts is computed from these, for many draws at once.
        """
        counted = confusion_metric(self.metric)
        has_zeros = self.sample_weight is not None and bool((self.sample_weight <= 0).any())
        if counted is None or counted.classes > MOST_CLASSES or has_zeros:
            return np.fromiter(map(self._difference_or_nan, draws), dtype=np.float64)
        cells = [counted.cells(self.targets, predicted) for predicted in (self.winner, self.rival)]
        weights = self.sample_weight if getattr(self.metric, "weighted", False) else None
        parts = []
        while together := list(itertools.islice(draws, DRAWS_TOGETHER)):
            sides = [counted.values(_counts(place, together, weights, counted.classes**2)) for place in cells]
            parts.append(sides[0] - sides[1])
        return np.concatenate(parts) if parts else np.empty(0)

    def _difference_or_nan(self, rows: np.ndarray) -> float:
        try:
            return self.difference(rows)
        except ValueError:  # what scikit-learn, and our MetricError, raise for rows that lack a class
            return math.nan


def _counts(cells: np.ndarray, draws: Sequence[np.ndarray], weights: np.ndarray | None, length: int) -> np.ndarray:
    """Return how many rows of each draw are in each cell, or their weight, shape (draws, length)."""
    weighed = [None if weights is None else weights[rows] for rows in draws]
    return np.stack([np.bincount(cells[rows], weight, length) for rows, weight in zip(draws, weighed, strict=True)])
