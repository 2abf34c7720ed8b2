"""Metrics of numbers: scikit-learn's regression scorers, its losses as they are, correlations, a user's functions.

Resolving a metric tries it on made-up numbers in the range of the targets, so one that cannot work is refused before
any training.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

from hpsearch.errors import MetricError, nearest
from hpsearch.metrics.direction import Direction
from hpsearch.metrics.metric import (
    Metric,
    accepts,
    checked_metric,
    is_scorer,
    known_direction,
    metric_name,
    settled_direction,
)
from hpsearch.tasks.numbers.correlation import pearson, spearman

_SHORT_NAMES = {"mae": "mean_absolute_error", "mse": "mean_squared_error", "rmse": "root_mean_squared_error"}
_CORRELATIONS = {"pearson": pearson, "spearman": spearman}
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
        scorer = _by_name(self.name) if self.function is None else self.function
        arguments = {} if weight is None else {"sample_weight": weight}
        # scikit-learn warns of too few rows, or of targets that are all the same: the value, NaN, says it too.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            if is_scorer(scorer):
                return scorer(_FixedRegressor(predictions), np.zeros((len(targets), 1)), targets, **arguments)
            return scorer(targets, predictions, **arguments)


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
        _check_name(name, ranges)
        resolved, known = NumberMetric(name), known_direction(_by_name(name))
    else:
        _check_sign(metric, name)
        resolved, known = NumberMetric(name, function=metric), known_direction(metric)
    resolved = _test_run(resolved, ranges)

    def right_and_wrong() -> tuple[float, float]:
        places = np.linspace(0.0, 1.0, _EXAMPLE_ROWS)
        targets = ranges.at(places)
        return resolved(targets, targets), resolved(targets, ranges.at(1.0 - places))

    return replace(
        resolved, direction=settled_direction(name, direction, known, right_and_wrong, is_objective=is_objective)
    )


@cache
def applicable_metrics(ranges: Range) -> tuple[str, ...]:
    """Return the names of the metrics that can be computed for targets in these ranges, sorted."""
    return tuple(name for name in _names() if _refusal(name, ranges) is None)


def _check_name(name: str, ranges: Range) -> None:
    """Raise MetricError unless `name` is that of a metric of such numbers."""
    from sklearn.metrics import get_scorer_names

    reason = _refusal(name, ranges) if name in _names() else None
    if name in _names() and reason is None:
        return
    fitting = applicable_metrics(ranges)
    if reason is not None:
        wrong = (
            f"metric {name!r} cannot be used on these targets: {reason} A model may predict numbers outside of their "
            "range."
        )
    elif name in get_scorer_names():
        wrong = f"metric {name!r} cannot be used on numbers: it scores a classification or a clustering."
    else:
        wrong = f"there is no metric called {name!r}.{nearest(name, fitting)}"
    raise MetricError(f"{wrong} Those that fit: {', '.join(fitting)}.")


def _check_sign(metric: Any, name: str) -> None:
    """Raise MetricError for a scorer that makes a loss of one of scikit-learn's scores."""
    if is_scorer(metric) and metric._sign < 0 and known_direction(metric._score_func) is Direction.MAXIMIZE:
        raise MetricError(
            f"metric {name!r} contradicts itself: more of {metric_name(metric._score_func)} is better, and the scorer "
            "is made with greater_is_better=False. Leave that out."
        )


def _test_run(metric: NumberMetric, ranges: Range) -> NumberMetric:
    """Return `metric`, knowing whether it takes sample weights; raise MetricError if it fails on made-up numbers."""
    targets, predictions = _example(ranges)
    metric(targets, predictions)
    if not accepts(metric.function or _by_name(metric.name), "sample_weight"):
        return replace(metric, weighted=False)
    try:
        metric(targets, predictions, np.linspace(0.5, 1.5, len(targets)))
    except MetricError:  # a function that has the argument, and refuses it
        return replace(metric, weighted=False)
    return metric


def _refusal(name: str, ranges: Range) -> str | None:
    """Return why the metric of this name does not suit such targets, as a sentence, or None."""
    try:
        NumberMetric(name)(*_example(ranges))
    except MetricError as error:
        cause = error.__cause__
        return f"{str(error if cause is None else cause).rstrip('.')}."
    return None


def _example(ranges: Range) -> tuple[np.ndarray, np.ndarray]:
    """Return (targets, predictions); some predictions lie outside of the range of the targets, as a model's may."""
    places = np.linspace(0.0, 1.0, _EXAMPLE_ROWS)
    return ranges.at(places), ranges.at(2.0 * places - 0.5 + 0.1 * (-1.0) ** np.arange(_EXAMPLE_ROWS))


def _by_name(name: str) -> Any:
    """Return the scorer or function of one of `_names`."""
    from sklearn import metrics

    name = _SHORT_NAMES.get(name, name)
    if name in _CORRELATIONS:
        return _CORRELATIONS[name]
    return getattr(metrics, name) if f"neg_{name}" in _scorers() else _scorers()[name]


@cache
def _names() -> tuple[str, ...]:
    losses = (name.removeprefix("neg_") for name in _scorers() if name.startswith("neg_"))
    return tuple(sorted((*_scorers(), *losses, *_SHORT_NAMES, *_CORRELATIONS)))


@cache
def _scorers() -> dict[str, Any]:
    """Return scikit-learn's scorers of regressions by name, known by where their functions are defined."""
    from sklearn.metrics import get_scorer, get_scorer_names

    scorers = {name: get_scorer(name) for name in get_scorer_names()}
    home = "sklearn.metrics._regression"
    return {name: scorer for name, scorer in scorers.items() if scorer._score_func.__module__ == home}
