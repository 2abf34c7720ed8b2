"""Metrics: scikit-learn's scorers and the user's own functions, computed from fixed predictions. Greater is better.

A metric never sees a model. It gets the targets and the class probabilities of the held-out rows, and hands them to
scikit-learn's scorer through a stand-in for a fitted classifier. Resolving a metric tries it on a small synthetic
example, so one that cannot work is refused before any training.
"""

import functools
import inspect
import numbers
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Literal

import numpy as np

from hpsearch.errors import MetricError, nearest

TargetKind = Literal["binary", "multiclass", "multilabel"]

_RESERVED = "loss"  # the mean validation loss is recorded under this name
_COMPUTATION_ERRORS = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError)
_FUNCTION_ERRORS = (*_COMPUTATION_ERRORS, NameError, AssertionError, RuntimeError, ImportError, OSError)
"""A user's function may also raise: a misspelt name, a check of its own, a missing package."""


_SHARES = ("accuracy", "balanced_accuracy", "f1", "jaccard", "precision", "recall", "roc_auc", "average_precision")
_AVERAGES = ("", "_macro", "_micro", "_samples", "_weighted", "_ovr", "_ovo", "_ovr_weighted", "_ovo_weighted")


def bounds(name: str) -> tuple[float, float]:
    """Return the least and the greatest value of the scikit-learn scorer of this name, (-inf, inf) where unknown."""
    if name in {share + average for share in _SHARES for average in _AVERAGES}:
        return 0.0, 1.0
    return -np.inf, 0.0 if name.startswith("neg_") else np.inf


def probabilities(logits: np.ndarray, kind: TargetKind) -> np.ndarray:
    """Return float64 probabilities of the shape of `logits`, (rows, outputs): softmax, or a sigmoid for each label.

    A binary task has two outputs and a softmax over them, so the columns are always the classes in their order.
    """
    scores = np.asarray(logits, dtype=np.float64)
    if kind == "multilabel":
        return np.exp(-np.logaddexp(0.0, -scores))
    with np.errstate(invalid="ignore"):  # infinite logits give NaN, which every metric refuses
        exponentials = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True))


def predictions(probabilities: np.ndarray, kind: TargetKind) -> np.ndarray:
    """Return int64 class codes of shape (rows,), or int64 indicators of shape (rows, labels) where kind is multilabel.

    Ties go to the class of the lower code; a label is predicted when its probability is above one half.
    """
    if kind == "multilabel":
        return (probabilities > 0.5).astype(np.int64)
    return np.asarray(probabilities.argmax(axis=1), dtype=np.int64)


class _FixedClassifier:
    """What a scikit-learn scorer needs of a fitted classifier, answering with predictions that are already made."""

    def __init__(self, classes: np.ndarray, probabilities: np.ndarray, kind: TargetKind) -> None:
        self._labels = classes
        self._probabilities = probabilities
        self._kind = kind
        # scikit-learn knows a multilabel classifier by a list of the two classes of each label.
        self.classes_ = [np.array([0, 1])] * len(classes) if kind == "multilabel" else classes

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import ClassifierTags, Tags, TargetTags

        return Tags(
            estimator_type="classifier",
            target_tags=TargetTags(required=True, multi_output=self._kind == "multilabel"),
            classifier_tags=ClassifierTags(multi_label=self._kind == "multilabel"),
        )

    def predict(self, _rows: Any) -> np.ndarray:
        codes = predictions(self._probabilities, self._kind)
        return codes if self._kind == "multilabel" else np.asarray(self._labels[codes])

    def predict_proba(self, _rows: Any) -> np.ndarray:
        return self._probabilities

    def decision_function(self, _rows: Any) -> np.ndarray:
        """Return log-odds: one column for a binary task, else one for each class or label; the threshold is zero."""
        smallest = np.finfo(np.float64).tiny
        positive: np.ndarray = np.log(np.maximum(self._probabilities, smallest))
        if self._kind == "binary":
            return np.asarray(positive[:, 1] - positive[:, 0])
        if self._kind == "multiclass":
            return positive
        return np.asarray(positive - np.log(np.maximum(1.0 - self._probabilities, smallest)))


@dataclass(frozen=True)
class Metric:
    """One metric of one task, ready to be computed: `metric(targets, probabilities, sample_weight)`, greater is better.

    Attributes:
        name: The scikit-learn scorer's name, or the callable's.
        kind: What the targets are.
        classes: The classes in the order of the codes (of a multilabel task: the label names).
        function: The user's scorer object or function; None for the scikit-learn scorer called `name`.
        weighted: Whether sample weights count: only where the metric can take them.
    """

    name: str
    kind: TargetKind
    classes: tuple[Any, ...]
    function: Callable[..., Any] | None = None
    weighted: bool = True

    def __call__(
        self, targets: np.ndarray, probabilities: np.ndarray, sample_weight: np.ndarray | None = None
    ) -> float:
        """Return the metric's value, finite.

        Args:
            targets: Class codes of shape (rows,), or 0/1 indicators of shape (rows, labels).
            probabilities: Shape (rows, classes or labels).
            sample_weight: Shape (rows,), or None.

        Raises:
            MetricError: The metric cannot be computed on these rows, or its value is not a finite number.
        """
        weight = sample_weight if self.weighted else None
        try:
            value = self._compute(np.asarray(targets).astype(np.int64), np.asarray(probabilities, np.float64), weight)
        except _FUNCTION_ERRORS as error:
            reason = " ".join(str(error).split()).rstrip(".")
            raise MetricError(
                f"metric {self.name!r} could not be computed on {len(targets)} rows: {type(error).__name__}: {reason}. "
                f"{self._remedy()}"
            ) from error
        return self._finite(value)

    def _remedy(self) -> str:
        if self.function is None or _is_scorer(self.function):
            return "Choose a metric that is defined on every fold, or use fewer folds so that each has every class."
        return (
            "Fix the function: it is called as f(y_true, y_pred) with the true and the predicted classes; one that "
            "needs probabilities is made by sklearn.metrics.make_scorer(f, response_method='predict_proba')."
        )

    def _compute(self, targets: np.ndarray, probabilities: np.ndarray, weight: np.ndarray | None) -> Any:
        scorer = _named_scorer(self.name) if self.function is None else self.function
        codes = np.arange(len(self.classes))
        # A name is computed on codes, so that class 1 is the positive one; the user's callable sees the user's labels.
        labels = codes if self.function is None or self.kind == "multilabel" else np.array(self.classes)
        truth = targets if self.kind == "multilabel" else labels[targets]
        if _is_scorer(scorer):
            classifier = _FixedClassifier(labels, probabilities, self.kind)
            return _score(scorer, classifier, truth, weight, None if self.kind == "multilabel" else labels)
        predicted = predictions(probabilities, self.kind)
        arguments = {} if weight is None else {"sample_weight": weight}
        from sklearn.exceptions import UndefinedMetricWarning

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UndefinedMetricWarning)
            return scorer(truth, predicted if self.kind == "multilabel" else labels[predicted], **arguments)

    def _finite(self, value: Any) -> float:
        if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
            value = value.item()
        if not isinstance(value, numbers.Real):
            raise MetricError(
                f"metric {self.name!r} gave {value!r}, a {type(value).__name__}, where one number is needed. "
                "Make it return a float, greater is better."
            )
        if not np.isfinite(float(value)):
            raise MetricError(
                f"metric {self.name!r} gave {float(value)}, which cannot be compared: it is not defined on these rows "
                "(often because they hold one class only, or one class is never predicted). "
                "Choose a metric that is defined on every fold, or use fewer folds."
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
    if _is_scorer(metric):
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


def resolve_metric(metric: str | Callable[..., Any], kind: TargetKind, classes: Sequence[Any]) -> Metric:
    """Return the metric for a task of this kind, tried on a small synthetic example.

    Args:
        metric: A scikit-learn scorer name; a scorer object (`sklearn.metrics.make_scorer`); or a function
            `f(y_true, y_pred)` over class labels as they stand in the data (0/1 arrays where kind is multilabel),
            which is given `sample_weight` too where it has a parameter of that name.
        kind: What the targets are.
        classes: The classes in the order of the codes.

    Raises:
        MetricError: No such metric, or it cannot be computed for such targets; the message names those that fit.
    """
    if not isinstance(metric, str) and not callable(metric):
        raise MetricError(
            f"metric {metric!r} is a {type(metric).__name__}: give a scikit-learn scorer name such as 'f1_macro', "
            "a scorer from sklearn.metrics.make_scorer, or a function f(y_true, y_pred) that returns a float."
        )
    name = metric_name(metric)
    if isinstance(metric, Metric):
        metric = metric.function or metric.name
    if isinstance(metric, str):
        _check_name(metric, kind, classes)
        return _test_run(Metric(name, kind, tuple(classes)))
    if name == _RESERVED:
        raise MetricError(
            f"a metric may not be called {name!r}: the validation loss is recorded under that name. "
            "Rename the function."
        )
    return _test_run(Metric(name, kind, tuple(classes), metric))


@cache
def applicable_metrics(kind: TargetKind, classes: int) -> tuple[str, ...]:
    """Return the names of the scikit-learn scorers that can be computed for a task of this kind, sorted."""
    codes = tuple(range(classes))
    return tuple(name for name in _classification_names() if _refusal(Metric(name, kind, codes)) is None)


def _check_name(name: str, kind: TargetKind, classes: Sequence[Any]) -> None:
    """Raise MetricError unless `name` is a classification scorer's that works for this kind of target."""
    from sklearn.metrics import get_scorer_names

    if name not in get_scorer_names():
        raise MetricError(
            f"there is no metric called {name!r}.{nearest(name, _classification_names())} "
            f"Those that fit a {kind} task: {', '.join(applicable_metrics(kind, len(classes)))}."
        )
    if name in _classification_names():
        reason = _refusal(Metric(name, kind, tuple(classes)))
    else:
        reason = "it scores a regression or a clustering, not a classification"
    if reason is not None:
        fitting = applicable_metrics(kind, len(classes))
        preferred = [f"{name}_{ending}" for ending in ("macro", "ovr", "weighted") if f"{name}_{ending}" in fitting]
        stem = name.removesuffix("_samples") + "_macro"
        preferred += [stem] if stem in fitting else []
        hint = f" Did you mean {preferred[0]!r}?" if preferred else nearest(name, fitting)
        raise MetricError(
            f"metric {name!r} cannot be used on a {kind} task with {len(classes)} classes: {reason.rstrip('.')}.{hint} "
            f"Those that fit: {', '.join(fitting)}."
        )


def _test_run(metric: Metric) -> Metric:
    """Return `metric`, knowing whether it takes sample weights; raise MetricError if it fails on an example."""
    targets, example = _example(metric.kind, len(metric.classes))
    if metric.function is not None:
        metric(targets, example)
    if not _accepts(metric.function or _named_scorer(metric.name), "sample_weight"):
        return replace(metric, weighted=False)
    weight = np.linspace(0.5, 1.5, len(targets))
    try:
        metric(targets, example, weight)
    except MetricError:  # one-versus-one ROC AUC has the argument and refuses it
        return replace(metric, weighted=False)
    return metric


def _refusal(metric: Metric) -> str | None:
    """Return why scikit-learn's scorer of this name does not suit such targets, or None.

    The example has no degenerate cases, so a warning about it means that the metric is meaningless here.
    """
    targets, example = _example(metric.kind, len(metric.classes))
    labels = np.arange(len(metric.classes))
    classifier = _FixedClassifier(labels, example, metric.kind)
    scorer = _named_scorer(metric.name)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", UserWarning)
            told = None if metric.kind == "multilabel" else labels
            metric._finite(_score(scorer, classifier, targets, None, told, quiet=False))
    except (*_COMPUTATION_ERRORS, UserWarning) as error:
        return str(error)
    return None


def _example(kind: TargetKind, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (targets, probabilities) with every class true, predicted, missed and falsely predicted."""
    if kind == "multilabel":
        indicators = np.vstack([np.eye(classes, dtype=np.int64), np.ones((1, classes), dtype=np.int64)])
        example = np.where(indicators == 1, 0.8, 0.2)
        example[0, -1], example[-1, 0] = 0.7, 0.3
        return indicators, example
    targets = np.repeat(np.arange(classes), 3)
    predicted = targets.copy()
    predicted[2::3] = (targets[2::3] + 1) % classes
    example = np.full((len(targets), classes), 0.2 / (classes - 1))
    example[np.arange(len(targets)), predicted] = 0.8
    return targets, example / example.sum(axis=1, keepdims=True)


def _score(
    scorer: Any,
    classifier: _FixedClassifier,
    truth: np.ndarray,
    weight: np.ndarray | None,
    labels: np.ndarray | None,
    *,
    quiet: bool = True,
) -> Any:
    """Call a scorer; one that reads probabilities is told all classes, so that a fold may lack one."""
    from sklearn import config_context

    arguments: dict[str, Any] = {} if weight is None else {"sample_weight": weight}
    if (
        labels is not None
        and scorer._response_method != "predict"
        and _accepts(scorer, "labels")
        and "labels" not in scorer._kwargs
    ):
        arguments["labels"] = labels
    # Outside metadata routing a scorer takes no other argument than sample_weight.
    with config_context(enable_metadata_routing=True), warnings.catch_warnings():
        if quiet:  # of a fold without a class, or a class that is never predicted: it scores 0, as documented there
            warnings.simplefilter("ignore", UserWarning)
        return scorer(classifier, np.zeros((len(truth), 1)), truth, **arguments)


def _is_scorer(metric: Any) -> bool:
    return all(hasattr(metric, name) for name in ("_score_func", "_sign", "_kwargs", "_response_method"))


def _accepts(metric: Any, parameter: str) -> bool:
    """Return whether a scorer's function, or a plain function, has a parameter of this name."""
    function = metric._score_func if _is_scorer(metric) else metric
    try:
        return parameter in inspect.signature(function).parameters
    except (ValueError, TypeError):  # a builtin without a signature
        return False


def _named_scorer(name: str) -> Any:
    from sklearn.metrics import get_scorer

    return get_scorer(name)


@cache
def _classification_names() -> tuple[str, ...]:
    """Return the names of scikit-learn's scorers of classifications, known by where their functions are defined."""
    from sklearn.metrics import get_scorer_names

    others = ("sklearn.metrics._regression", "sklearn.metrics.cluster")
    names = get_scorer_names()
    return tuple(name for name in names if not _named_scorer(name)._score_func.__module__.startswith(others))
