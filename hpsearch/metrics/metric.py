"""A metric: a named number about predictions, with a direction. What it is computed from is a matter of tasks.

A metric never sees a model. It gets the targets and the predictions of the held-out rows.
"""

import functools
import numbers
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hpsearch.errors import MetricError
from hpsearch.metrics.direction import Direction
from hpsearch.metrics.known import MEAN_LOSS, accepts, is_scorer, wants_estimator

RESERVED = MEAN_LOSS
COMPUTATION_ERRORS = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError)
FUNCTION_ERRORS = (*COMPUTATION_ERRORS, NameError, AssertionError, RuntimeError, ImportError, OSError)
"""A user's function may also raise: a misspelt name, a check of its own, a missing package."""

OnDraws = Callable[[Sequence[np.ndarray]], np.ndarray]
"""From draws of rows, each an array of their indices, to the metric on each, shape (draws,); NaN where undefined."""


@dataclass(frozen=True)
class Metric(ABC):
    """One metric of one task, ready to be computed: `metric(targets, predictions, sample_weight)`.

    Attributes:
        name: What it is recorded under: the scikit-learn scorer's name, or the callable's.
        function: The user's scorer object or function; None for the metric called `name`.
        weighted: Whether sample weights count: only where the metric can take them.
        direction: Whether more or less of it is better.
    """

    name: str
    function: Callable[..., Any] | None = field(default=None, kw_only=True)
    weighted: bool = field(default=True, kw_only=True)
    direction: Direction = field(default=Direction.MAXIMIZE, kw_only=True)

    def __call__(self, targets: Any, predictions: Any, sample_weight: np.ndarray | None = None) -> float:
        """Return the metric's value, finite.

        Args:
            targets: Encoded targets, the first axis the rows.
            predictions: Predictions of the same rows, as the task's judge makes them.
            sample_weight: Shape (rows,), or None.

        Raises:
            MetricError: The metric cannot be computed on these rows, or its value is not a finite number.
        """
        return self._finite(self.value(targets, predictions, sample_weight))

    def value(self, targets: Any, predictions: Any, sample_weight: np.ndarray | None = None) -> float:
        """Return the metric's value as in a call; it may be infinite or NaN."""
        weight = sample_weight if self.weighted else None
        try:
            value = self._compute(targets, predictions, weight)
        except FUNCTION_ERRORS as error:
            reason = " ".join(str(error).split()).rstrip(".")
            raise MetricError(
                f"metric {self.name!r} could not be computed on {len(targets)} rows: {type(error).__name__}: {reason}. "
                f"{self._remedy()}"
            ) from error
        return self._number(value)

    @property
    def is_sparse(self) -> bool:
        """Whether it costs so much that it is measured after each quarter of a run only, and at no other point."""
        return False

    @property
    def signature(self) -> str:
        """All that another needs to compute the same, where a package has words for it; else an empty text."""
        return ""

    @property
    def of_class(self) -> Any:
        """The class that the metric is of, where it is of one of two classes and that was chosen; else None."""
        return None

    @abstractmethod
    def _compute(self, targets: Any, predictions: Any, weight: np.ndarray | None) -> Any:
        """Return the value; any of FUNCTION_ERRORS where it cannot be computed."""

    def _remedy(self) -> str:
        """Return what to do about a metric that cannot be computed."""
        return "Choose a metric that is defined on every fold, or use fewer folds."

    def _undefined(self) -> str:
        """Return why the value is no finite number, as a remark in parentheses, or an empty text."""
        return ""

    def on_draws(self, targets: Any, predictions: Any, sample_weight: np.ndarray | None) -> OnDraws | None:
        """Return what computes the metric on many draws of these rows at once; None where each is computed alone.

        A bootstrap scores thousands of draws. `sample_weight` as in a call.
        """
        return None

    def may_take_weights(self) -> bool:
        """Return whether it has a place for sample weights, which it may yet refuse."""
        return self.function is None or accepts(self.function, "sample_weight")

    def _number(self, value: Any) -> float:
        if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
            value = value.item()
        if not isinstance(value, numbers.Real):
            raise MetricError(
                f"metric {self.name!r} gave {value!r}, a {type(value).__name__}, where one number is needed. "
                "Make it return a float."
            )
        return float(value)

    def _finite(self, value: float) -> float:
        if not np.isfinite(value):
            raise MetricError(
                f"metric {self.name!r} gave {value}, which cannot be compared: it is not defined on these rows"
                f"{self._undefined()}. Choose a metric that is defined on every fold, or use fewer folds."
            )
        return value


def metric_name(metric: str | Callable[..., Any]) -> str:
    """Return the name that a metric is recorded under: a scorer's name as it is, a callable's own name otherwise.

    Arguments bound by `functools.partial` or `make_scorer` are in the name.
    """
    if isinstance(metric, str):
        return metric
    if isinstance(metric, Metric):
        return metric.name
    if is_scorer(metric):
        scorer: Any = metric
        settings = ", ".join(f"{key}={value!r}" for key, value in sorted(scorer._kwargs.items()))
        sign = "" if scorer._sign > 0 else "neg_"
        return sign + metric_name(scorer._score_func) + (f"({settings})" if settings else "")
    if isinstance(metric, functools.partial):
        given = [repr(value) for value in metric.args]
        given += [f"{key}={value!r}" for key, value in sorted(metric.keywords.items())]
        return metric_name(metric.func) + (f"({', '.join(given)})" if given else "")
    name = getattr(metric, "__name__", None) or type(metric).__name__
    return "function" if name == "<lambda>" else str(name)


def checked_metric(metric: Any) -> str | Callable[..., Any]:
    """Return a metric as a name, scorer or function.

    Raises:
        MetricError: It is none of these, is called with an estimator, or has the name of the loss.
    """
    if isinstance(metric, Metric):
        metric = metric.function or metric.name
    if not isinstance(metric, str) and not callable(metric):
        raise MetricError(
            f"metric {metric!r} is a {type(metric).__name__}: give a scikit-learn scorer name such as 'f1_macro', "
            "a scorer from sklearn.metrics.make_scorer, or a function f(y_true, y_pred) that returns a float."
        )
    if wants_estimator(metric):
        raise MetricError(
            f"metric {metric_name(metric)!r} is called with an estimator and its rows: give a scorer from "
            "sklearn.metrics.make_scorer, or a function f(y_true, y_pred) that returns a float. Several metrics go "
            "into metrics=[...]."
        )
    if not isinstance(metric, str) and metric_name(metric) == RESERVED:
        raise MetricError(
            f"a metric may not be called {RESERVED!r}: the validation loss is recorded under that name. "
            "Rename the function."
        )
    return metric
