"""A metric: a named number about predictions, with a direction. What it is computed from is a matter of tasks.

A metric never sees a model. It gets the targets and the predictions of the held-out rows.
"""

import functools
import inspect
import numbers
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hpsearch.errors import MetricError
from hpsearch.metrics.direction import Direction

RESERVED = "loss"  # the mean validation loss is recorded under this name
COMPUTATION_ERRORS = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError)
FUNCTION_ERRORS = (*COMPUTATION_ERRORS, NameError, AssertionError, RuntimeError, ImportError, OSError)
"""A user's function may also raise: a misspelt name, a check of its own, a missing package."""

OnDraws = Callable[[Sequence[np.ndarray]], np.ndarray]
"""From draws of rows, each an array of their indices, to the metric on each, shape (draws,); NaN where undefined."""

_SHARES = ("accuracy", "balanced_accuracy", "f1", "jaccard", "precision", "recall", "roc_auc", "average_precision")
_ERRORS = (
    "brier_score_loss", "hamming_loss", "log_loss", "zero_one_loss", "mae", "mse", "rmse", "max_error",
    "mean_absolute_error", "mean_absolute_percentage_error", "mean_squared_error", "mean_squared_log_error",
    "median_absolute_error", "root_mean_squared_error", "root_mean_squared_log_error",
)  # fmt: skip
_SHARES_OF_VARIANCE = ("d2_absolute_error_score", "explained_variance", "r2")
_CORRELATIONS = ("pearson", "spearman")
_AVERAGES = ("", "_macro", "_micro", "_samples", "_weighted", "_ovr", "_ovo", "_ovr_weighted", "_ovo_weighted")


def bounds(name: str) -> tuple[float, float]:
    """Return the least and the greatest value of the scorer, error or correlation of this name; infinite if unknown."""
    if name in {share + average for share in _SHARES for average in _AVERAGES}:
        return 0.0, 1.0
    if name in _CORRELATIONS:
        return -1.0, 1.0
    greatest = 1.0 if name in _SHARES_OF_VARIANCE else 0.0 if name.startswith("neg_") else np.inf
    return 0.0 if name in _ERRORS else -np.inf, greatest


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
        weight = sample_weight if self.weighted else None
        try:
            value = self._compute(targets, predictions, weight)
        except FUNCTION_ERRORS as error:
            reason = " ".join(str(error).split()).rstrip(".")
            raise MetricError(
                f"metric {self.name!r} could not be computed on {len(targets)} rows: {type(error).__name__}: {reason}. "
                f"{self._remedy()}"
            ) from error
        return self._finite(value)

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

    def _finite(self, value: Any) -> float:
        if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
            value = value.item()
        if not isinstance(value, numbers.Real):
            raise MetricError(
                f"metric {self.name!r} gave {value!r}, a {type(value).__name__}, where one number is needed. "
                "Make it return a float."
            )
        if not np.isfinite(float(value)):
            raise MetricError(
                f"metric {self.name!r} gave {float(value)}, which cannot be compared: it is not defined on these rows"
                f"{self._undefined()}. Choose a metric that is defined on every fold, or use fewer folds."
            )
        return float(value)


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
        MetricError: It is none of these, or has the name of the loss.
    """
    if isinstance(metric, Metric):
        metric = metric.function or metric.name
    if not isinstance(metric, str) and not callable(metric):
        raise MetricError(
            f"metric {metric!r} is a {type(metric).__name__}: give a scikit-learn scorer name such as 'f1_macro', "
            "a scorer from sklearn.metrics.make_scorer, or a function f(y_true, y_pred) that returns a float."
        )
    if not isinstance(metric, str) and metric_name(metric) == RESERVED:
        raise MetricError(
            f"a metric may not be called {RESERVED!r}: the validation loss is recorded under that name. "
            "Rename the function."
        )
    return metric


def is_scorer(metric: Any) -> bool:
    """Return whether this is a scorer object of scikit-learn's."""
    return all(hasattr(metric, name) for name in ("_score_func", "_sign", "_kwargs", "_response_method"))


def accepts(metric: Any, parameter: str) -> bool:
    """Return whether a scorer's function, or a plain function, has a parameter of this name."""
    function = metric._score_func if is_scorer(metric) else metric
    try:
        return parameter in inspect.signature(function).parameters
    except (ValueError, TypeError):  # a builtin without a signature
        return False


def named_scorer(name: str) -> Any:
    """Return scikit-learn's scorer of this name."""
    from sklearn.metrics import get_scorer

    return get_scorer(name)


def known_direction(metric: Any) -> Direction | None:
    """Return the direction of a function or scorer of scikit-learn's; None of a user's own function.

    scikit-learn's convention: what ends in _loss, _error or _deviance is to be minimised, all else maximised; a scorer
    of `greater_is_better=False` gives the negative.
    """
    if is_scorer(metric):
        direction = known_direction(metric._score_func)
        return direction if direction is None or metric._sign > 0 else direction.opposite
    if isinstance(metric, functools.partial):
        return known_direction(metric.func)
    if not str(getattr(metric, "__module__", "")).startswith("sklearn.metrics."):
        return None
    is_loss = str(metric.__name__).endswith(("_loss", "_error", "_deviance"))
    return Direction.MINIMIZE if is_loss else Direction.MAXIMIZE


def settled_direction(
    name: str,
    given: Direction | None,
    known: Direction | None,
    right_and_wrong: Callable[[], tuple[float, float]],
    *,
    is_objective: bool,
) -> Direction:
    """Return a metric's direction.

    Args:
        name: The metric's.
        given: What the user says, or None.
        known: What the metric itself says, or None.
        right_and_wrong: Returns the metric of predictions that are all right, and of some that are all wrong. Asked
            only where the metric says nothing.
        is_objective: Whether a search is to follow it: then it is not guessed that less of it is better.

    Raises:
        MetricError: What is given, known or measured contradicts itself.
    """
    if known is None:
        right, wrong = right_and_wrong()
        measured = None if right == wrong else Direction.MAXIMIZE if right > wrong else Direction.MINIMIZE
        scores = f"it gives {right:.4g} to predictions that are all right and {wrong:.4g} to some that are all wrong"
        if given is None and measured is Direction.MINIMIZE and is_objective:
            raise MetricError(
                f"metric {name!r} is an error, not a score: {scores}. Say that less of it is better: "
                'direction="minimize".'
            )
        known = measured
    else:
        scores = f"{'less' if known is Direction.MINIMIZE else 'more'} of it is better"
    if given is not None and known is not None and given is not known:
        raise MetricError(
            f"metric {name!r} is not to be {given}d: {scores}. Leave direction= out, or give direction={str(known)!r}."
        )
    return given or known or Direction.MAXIMIZE
