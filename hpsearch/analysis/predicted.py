"""Predicted numbers beside the true ones: how far off, and where."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

MOST_POINTS = 1500
"""Points drawn of a target: more lie on each other, and make a page heavy."""


@dataclass(frozen=True, eq=False)
class PredictedTarget:
    """One target: its rows, and how far the predictions are off.

    Attributes:
        name: The target's; empty where it has none.
        true: True numbers of the rows that were predicted, shape (rows,).
        predicted: The predictions, shape (rows,).
    """

    name: str
    true: np.ndarray
    predicted: np.ndarray

    @property
    def rows(self) -> int:
        return len(self.true)

    @property
    def residuals(self) -> np.ndarray:
        """Predicted minus true, shape (rows,)."""
        return self.predicted - self.true

    @property
    def rmse(self) -> float:
        return float(np.sqrt(np.mean(self.residuals**2)))

    @property
    def r2(self) -> float | None:
        """The share of the variance that is explained; None where all true numbers are the same."""
        spread = float(np.sum((self.true - self.true.mean()) ** 2))
        return None if spread == 0.0 else 1.0 - float(np.sum(self.residuals**2)) / spread

    @property
    def spread(self) -> tuple[float, float]:
        """The interval that the middle nine tenths of the residuals lie in."""
        low, high = np.quantile(self.residuals, [0.05, 0.95])
        return float(low), float(high)

    def shown(self) -> tuple[np.ndarray, np.ndarray]:
        """Return (true, predicted) of the rows to draw: all, or `MOST_POINTS` spread evenly over the predictions.

        The rows that are furthest off are always among them.
        """
        if self.rows <= MOST_POINTS:
            return self.true, self.predicted
        furthest = np.argsort(-np.abs(self.residuals), kind="stable")[: MOST_POINTS // 10]
        by_size = np.argsort(self.predicted, kind="stable")
        others = by_size[~np.isin(by_size, furthest)]
        places = np.linspace(0, len(others) - 1, MOST_POINTS - len(furthest)).round().astype(int)
        rows = np.sort(np.concatenate([furthest, others[places]]))
        return self.true[rows], self.predicted[rows]


def predicted_targets(
    names: Sequence[str], true: np.ndarray, predicted: np.ndarray
) -> tuple[PredictedTarget, ...] | None:
    """Return each target with the rows that were predicted; None where there are none.

    Args:
        names: Of the targets.
        true: Shape (rows,) or (rows, targets).
        predicted: The same; rows of NaN, which no fold held out, are left out.
    """
    sides = [np.asarray(side, dtype=np.float64).reshape(len(side), -1) for side in (true, predicted)]
    rows = np.isfinite(sides[1]).all(axis=1)
    if not rows.any():
        return None
    columns = zip(names, sides[0][rows].T, sides[1][rows].T, strict=True)
    return tuple(PredictedTarget(name, one, other) for name, one, other in columns)
