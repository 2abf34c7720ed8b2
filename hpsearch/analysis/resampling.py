"""Rows drawn with replacement, and the difference between two sets of predictions on each draw."""

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from hpsearch.data.ragged import Rows

DRAWS_TOGETHER = 200
"""Draws whose counts are held at once: 16 MB for a hundred classes."""


Units = list[np.ndarray] | np.ndarray
"""What is drawn with replacement: single rows, shape (rows,), or the rows of each group."""


def drawn_units(rows: int, groups: np.ndarray | None) -> Units:
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


def draws(units: Units, resamples: int, generator: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield rows, `resamples` times: as many units as there are, drawn with replacement."""
    for _ in range(resamples):
        drawn = generator.integers(0, len(units), size=len(units))
        yield units[drawn] if isinstance(units, np.ndarray) else np.concatenate([units[index] for index in drawn])


@dataclass(frozen=True)
class PairedPredictions:
    """Two sets of predictions of the same rows, and what scores them.

    Attributes:
        metric: `metric(targets, predictions)`; called with `sample_weight=` where there is one. It may have a method
            `on_draws`, as `Metric` has.
        targets: First axis n; as the metric takes them.
        winner: What the metric takes as the winner's predictions, first axis n.
        rival: The same for the rival.
        sample_weight: Shape (n,), or None.
    """

    metric: Callable[..., float]
    targets: Rows
    winner: Any
    rival: Any
    sample_weight: np.ndarray | None = None

    def difference(self, rows: np.ndarray) -> float:
        """Return winner minus rival on some rows, given by index."""
        weights = {} if self.sample_weight is None else {"sample_weight": self.sample_weight[rows]}
        winner, rival = (self.metric(self.targets[rows], side[rows], **weights) for side in (self.winner, self.rival))
        return float(winner - rival)

    def differences(self, draws: Iterator[np.ndarray]) -> np.ndarray:
        """Return winner minus rival on each draw of rows, NaN where the metric cannot be computed; shape (draws,).

        A metric that can is computed on many draws at once.
        """
        on_draws: Any = getattr(self.metric, "on_draws", lambda *_: None)
        sides = [on_draws(self.targets, side, self.sample_weight) for side in (self.winner, self.rival)]
        if None in sides:
            return np.fromiter(map(self.difference_or_nan, draws), dtype=np.float64)
        parts = []
        while together := list(itertools.islice(draws, DRAWS_TOGETHER)):
            parts.append(sides[0](together) - sides[1](together))
        return np.concatenate(parts) if parts else np.empty(0)

    def difference_or_nan(self, rows: np.ndarray) -> float:
        """Return the same, NaN where the metric cannot be computed."""
        try:
            return self.difference(rows)
        except ValueError:  # what scikit-learn, and our MetricError, raise for rows that lack a class
            return math.nan
