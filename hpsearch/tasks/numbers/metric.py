"""Metrics of numbers: scikit-learn's regression scorers, its losses as they are, correlations, a user's functions.

Resolving a metric tries it on made-up numbers in the range of the targets, so one that cannot work is refused before
any training.
"""

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from hpsearch.errors import MetricError
from hpsearch.metrics.direction import Direction
from hpsearch.metrics.known import (
    CORRELATIONS,
    LOSSES,
    accepts,
    function_measures,
    is_scorer,
    measures,
    named_scorer,
    scorers,
)
from hpsearch.metrics.metric import Metric, checked_metric, metric_name
from hpsearch.metrics.resolving import MANY_ROWS, MadeUp, check_name, resolve
from hpsearch.tasks.numbers.correlation import pearson, spearman

_SHORT_NAMES = {"mae": "mean_absolute_error", "mse": "mean_squared_error", "rmse": "root_mean_squared_error"}
_EXAMPLE_ROWS = 12


@dataclass(frozen=True)
class Range:
    """Where the training targets lie; metrics are tried on numbers from there.

    Attributes:
        low: The least of each target.
        high: The greatest of each, above the least.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]

    def at(self, places: np.ndarray) -> np.ndarray:
        """Return numbers between the least (place 0) and the greatest (1), or beyond: (rows,), or (rows, targets)."""
        low, high = np.array(self.low), np.array(self.high)
        numbers = low + places[:, None] * (high - low)
        return numbers[:, 0] if len(self.low) == 1 else numbers


class _FixedRegressor:
    """What a scikit-learn scorer needs of a fitted regressor, answering with predictions that are already made."""

    def __init__(self, predictions: np.ndarray) -> None:
        self._predictions = predictions

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import RegressorTags, Tags, TargetTags

        target_tags = TargetTags(required=True, multi_output=self._predictions.ndim == 2)
        return Tags(estimator_type="regressor", target_tags=target_tags, regressor_tags=RegressorTags())

    def predict(self, _rows: Any) -> np.ndarray:
        return self._predictions


@dataclass(frozen=True)
class NumberMetric(Metric):
    """A metric of numbers: targets and predictions are float64 in the user's units, (rows,) or (rows, targets)."""

    def _remedy(self) -> str:
        if self.function is None or is_scorer(self.function):
            return "Choose a metric that is defined for whatever a model may predict."
        return (
            "Fix the function: it is called as f(y_true, y_pred), with float64 arrays of one shape; predictions may "
            "lie outside of the range of the targets."
        )

    def _undefined(self) -> str:
        return " (often because the targets are all the same, or there is only one)"

    def _compute(self, targets: Any, predictions: Any, weight: np.ndarray | None) -> Any:
        scorer = self._computed_by()
        arguments = {} if weight is None else {"sample_weight": weight}
        # scikit-learn warns of too few rows, or of targets that are all the same: the value, NaN, says it too.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            if is_scorer(scorer):
                return scorer(_FixedRegressor(predictions), np.zeros((len(targets), 1)), targets, **arguments)
            return scorer(targets, predictions, **arguments)

    def may_take_weights(self) -> bool:
        return accepts(self._computed_by(), "sample_weight")

    def _computed_by(self) -> Any:
        return _by_name(self.name) if self.function is None else self.function


def resolve_metric(
    metric: str | Callable[..., Any], ranges: Range, direction: Direction | None = None, *, is_objective: bool = True
) -> NumberMetric:
    """Return the metric of such targets, tried on made-up ones.

    Args:
        metric: The name of a scikit-learn regression scorer ("r2", "neg_mean_absolute_error"); of a loss, as it is
            ("mean_absolute_error", "rmse"); "pearson" or "spearman"; a scorer object (`sklearn.metrics.make_scorer`);
            or a function `f(y_true, y_pred)` of numbers in the user's units, given `sample_weight` too where it has a
            parameter of that name.
        ranges: Where the targets lie.
        direction: What the user says, or None.
        is_objective: Whether a search is to follow it.

    Raises:
        MetricError: No such metric, or it cannot be computed for such targets (the message names those that fit), or
            its direction contradicts itself.
    """
    metric = checked_metric(metric)
    name = metric_name(metric)
    if isinstance(metric, str):
        check_name(
            name,
            _names(),
            lambda name: _refusal(name, ranges),
            measured="numbers",
            targets="these numbers",
            fitting=lambda: applicable_metrics(ranges),
        )
    elif (measured := function_measures(metric)) not in (None, "numbers"):
        raise MetricError(
            f"metric {name!r} cannot be used on these numbers: it measures {measured}, not numbers. Choose a metric of "
            "numbers, such as 'r2' or 'rmse'."
        )
    number_metric = NumberMetric(name, function=None if isinstance(metric, str) else metric)
    return resolve(number_metric, _made_up(ranges), direction, is_objective=is_objective)


@cache
def applicable_metrics(ranges: Range) -> tuple[str, ...]:
    """Return the names of the metrics that can be computed for targets in these ranges, sorted."""
    return tuple(name for name in _names() if _refusal(name, ranges) is None)


def _refusal(name: str, ranges: Range) -> str | None:
    """Return why the metric of this name does not suit such targets, as a sentence, or None."""
    try:
        NumberMetric(name)(*_example(ranges))
    except MetricError as error:
        cause = error.__cause__
        reason = str(error if cause is None else cause).rstrip(".")
        return f"{reason}. A model may predict numbers outside of their range."
    return None


def _example(ranges: Range, rows: int = _EXAMPLE_ROWS) -> tuple[np.ndarray, np.ndarray]:
    """Return (targets, predictions); some predictions lie outside of the range of the targets, as a model's may."""
    places = np.linspace(0.0, 1.0, rows)
    return ranges.at(places), ranges.at(2.0 * places - 0.5 + 0.1 * (-1.0) ** np.arange(rows))


def _made_up(ranges: Range, rows: int = _EXAMPLE_ROWS) -> MadeUp:
    """Return what metrics of such targets are tried on."""
    places = np.linspace(0.0, 1.0, rows)

    def wrong() -> Iterator[np.ndarray]:
        yield ranges.at(1.0 - places)
        for shift in (0.5, -0.5):
            yield ranges.at(places + shift)
        for constant in (0.5, 0.0, 1.0):
            yield ranges.at(np.full(rows, constant))
        for width in (2.0, 0.5):
            yield ranges.at(0.5 + width * (places - 0.5))

    targets = ranges.at(places)
    nearly_right = ranges.at(places + 0.001 * (-1.0) ** np.arange(rows))
    low, high = np.array(ranges.low), np.array(ranges.high)
    rounding = 64.0 * np.finfo(np.float64).eps * float(np.max(np.maximum(abs(low), abs(high)) / (high - low)))
    more = None if rows >= MANY_ROWS else lambda: _made_up(ranges, MANY_ROWS)
    return MadeUp(_example(ranges, rows), targets, targets, nearly_right, wrong, max(1e-9, rounding), more)


def _by_name(name: str) -> Any:
    """Return the scorer or function of one of `_names`."""
    from sklearn import metrics

    name = _SHORT_NAMES.get(name, name)
    if name in CORRELATIONS:
        return {"pearson": pearson, "spearman": spearman}[name]
    return getattr(metrics, name) if name in LOSSES["numbers"] else named_scorer(name)


@cache
def _names() -> tuple[str, ...]:
    """Return the names of the metrics of numbers, sorted."""
    regressions = (name for name in scorers() if measures(name) == "numbers")
    return tuple(sorted({*regressions, *LOSSES["numbers"], *CORRELATIONS}))
