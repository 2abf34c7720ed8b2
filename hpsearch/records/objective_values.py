"""The value of a configuration over its folds: pure functions of what was recorded."""

import math
from collections.abc import Sequence

from hpsearch.errors import MetricError
from hpsearch.metrics.direction import Direction
from hpsearch.records.history import History
from hpsearch.records.types import Run


def objective_curve(history: History, run: Run, objective: str) -> tuple[float, ...]:
    """Return the objective of a run at its evaluation points so far: 1, 2, 3, ...

    Raises:
        MetricError: An evaluation of the run did not record the objective.
    """
    evaluations = history.of(run.key)
    for evaluation in evaluations:
        if objective not in evaluation.metrics:
            raise MetricError(
                f"evaluation point {evaluation.point} of run {run.key} (fold {run.fold}) recorded no metric "
                f"{objective!r}, only {sorted(evaluation.metrics)}; name one of these as the objective."
            )
    return tuple(evaluation.metrics[objective] for evaluation in evaluations)


def mean_value(values: Sequence[float]) -> float:
    """Return the mean, the same in any order of the values; NaN if one of them is."""
    if not values:
        raise ValueError("the mean of no values")
    if all(map(math.isfinite, values)):
        return math.fsum(values) / len(values)
    return sum(values) / len(values)


def best_common_point(
    curves: Sequence[Sequence[float]], stop: int | None, direction: Direction = Direction.MAXIMIZE
) -> tuple[int, float]:
    """Return (point, value): the best mean over curves at a common evaluation point, ties to the earliest point.

    One point is chosen for all folds, so that no fold is scored at a point picked by looking at it alone. A mean of
    NaN is worse than any other, an infinite one included; where every mean is NaN, so is the value, at point 1.

    Args:
        curves: The objective of each fold at points 1, 2, 3, ..., as measured.
        stop: The last point that may be chosen; None, or more than a curve has, means as far as all curves go.
        direction: Whether more or less is better.

    Raises:
        ValueError: There is no curve, or no point that all curves have.
    """
    last = min((len(curve) for curve in curves), default=0)
    if stop is not None:
        last = min(last, stop)
    if last < 1:
        raise ValueError(f"no point common to {len(curves)} curves up to stop {stop}: nothing to choose from")
    best_point, best_value = 1, math.nan
    for point in range(1, last + 1):
        value = mean_value([curve[point - 1] for curve in curves])
        if direction.score(value) > direction.score(best_value) or (math.isnan(best_value) and not math.isnan(value)):
            best_point, best_value = point, value
    return best_point, best_value
