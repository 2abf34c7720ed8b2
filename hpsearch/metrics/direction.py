"""Which way a metric is better. Whatever compares two values does so by their scores, which are greater for the better.

Values are kept and shown as they were measured; a score is only ever compared.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Direction(StrEnum):
    """Whether more or less of a metric is better, in Optuna's words."""

    MAXIMIZE = "maximize"
    MINIMIZE = "minimize"

    def score(self, value: float) -> float:
        """Return the score of a measured value: greater is better. It is its own inverse."""
        return value if self is Direction.MAXIMIZE else -value

    @property
    def opposite(self) -> "Direction":
        return Direction.MINIMIZE if self is Direction.MAXIMIZE else Direction.MAXIMIZE


@dataclass(frozen=True)
class Objective:
    """What a search is after: a metric by its name, its direction, and whether it is measured at some points only.

    A sparse one is measured after each quarter of a run (`pruning_steps.quarters`), and not a number elsewhere.
    """

    name: str
    direction: Direction = Direction.MAXIMIZE
    is_sparse: bool = False

    def score(self, metrics: Mapping[str, float]) -> float:
        """Return the score of what was measured at an evaluation point, metric name to value."""
        return self.direction.score(metrics[self.name])
