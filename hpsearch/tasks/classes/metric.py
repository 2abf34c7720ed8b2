"""Metrics of classes: scikit-learn's scorers and the user's own functions, computed from fixed predictions.

They get the targets and the class probabilities of the held-out rows, and hand them to scikit-learn's scorer through a
stand-in for a fitted classifier. Resolving a metric tries it on a small synthetic example, so one that cannot work is
refused before any training.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

from hpsearch.errors import MetricError, nearest
from hpsearch.metrics.direction import Direction
from hpsearch.metrics.metric import (
    COMPUTATION_ERRORS,
    Metric,
    OnDraws,
    accepts,
    checked_metric,
    is_scorer,
    known_direction,
    metric_name,
    named_scorer,
    settled_direction,
)
from hpsearch.tasks.classes.confusion import MOST_CLASSES, ConfusionMetric, confusion_metric
from hpsearch.tasks.classes.labels import TargetKind, predicted_codes

LOSSES = ("brier_score_loss", "hamming_loss", "log_loss", "zero_one_loss")
"""scikit-learn's losses of classes, which may be given by these names: minimised, and shown as they are."""


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
        codes = predicted_codes(self._probabilities, self._kind)
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
class ClassMetric(Metric):
    """A metric of class probabilities.

    Attributes:
        kind: What the targets are.
        classes: The classes in the order of the codes (of a multilabel task: the label names).
    """

    kind: TargetKind
    classes: tuple[Any, ...]

    def _remedy(self) -> str:
        if self.function is None or is_scorer(self.function):
            return "Choose a metric that is defined on every fold, or use fewer folds so that each has every class."
        return (
            "Fix the function: it is called as f(y_true, y_pred) with the true and the predicted classes; one that "
            "needs probabilities is made by sklearn.metrics.make_scorer(f, response_method='predict_proba')."
        )

    def _compute(self, targets: Any, predictions: Any, weight: np.ndarray | None) -> Any:
        targets, probabilities = np.asarray(targets).astype(np.int64), np.asarray(predictions, np.float64)
        scorer = scorer_of(self.name) if self.function is None else self.function
        codes = np.arange(len(self.classes))
        # A name is computed on codes, so that class 1 is the positive one; the user's callable sees the user's labels.
        labels = codes if self.function is None or self.kind == "multilabel" else np.array(self.classes)
        truth = targets if self.kind == "multilabel" else labels[targets]
        if is_scorer(scorer):
            classifier = _FixedClassifier(labels, probabilities, self.kind)
            return _score(scorer, classifier, truth, weight, None if self.kind == "multilabel" else labels)
        predicted = predicted_codes(probabilities, self.kind)
        arguments = {} if weight is None else {"sample_weight": weight}
        from sklearn.exceptions import UndefinedMetricWarning

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UndefinedMetricWarning)
            return scorer(truth, predicted if self.kind == "multilabel" else labels[predicted], **arguments)

    def _undefined(self) -> str:
        return " (often because they hold one class only, or one class is never predicted)"

    def counted(self) -> ConfusionMetric | None:
        """Return the metric as a function of confusion counts, or None where it is not known to be one."""
        scorer = scorer_of(self.name) if self.function is None else self.function
        return confusion_metric(scorer, self.kind, len(self.classes), is_named=self.function is None)

    def on_draws(self, targets: Any, predictions: Any, sample_weight: np.ndarray | None) -> OnDraws | None:
        """See `Metric.on_draws`: a function of the confusion counts is computed from these, for many draws at once."""
        counted = self.counted()
        has_zeros = sample_weight is not None and bool((sample_weight <= 0).any())
        if counted is None or counted.classes > MOST_CLASSES or has_zeros:
            return None
        return counted.on_draws(targets, predictions, sample_weight if self.weighted else None)


def resolve_metric(
    metric: str | Callable[..., Any],
    kind: TargetKind,
    classes: Sequence[Any],
    direction: Direction | None = None,
    *,
    is_objective: bool = True,
) -> ClassMetric:
    """Return the metric for a task of this kind, tried on a small synthetic example.

    Args:
        metric: A scikit-learn scorer name, or that of one of its losses; a scorer object
            (`sklearn.metrics.make_scorer`); or a function `f(y_true, y_pred)` over class labels as they stand in the
            data (0/1 arrays where kind is multilabel), which is given `sample_weight` too where it has a parameter of
            that name.
        kind: What the targets are.
        classes: The classes in the order of the codes.
        direction: What the user says, or None.
        is_objective: Whether a search is to follow it.

    Raises:
        MetricError: No such metric, or it cannot be computed for such targets (the message names those that fit), or
            its direction contradicts itself.
    """
    metric = checked_metric(metric)
    name = metric_name(metric)
    is_loss = name in LOSSES and not is_scorer(metric) and (isinstance(metric, str) or known_direction(metric))
    if isinstance(metric, str) or is_loss:
        _check_name(name, kind, classes)
        resolved = _test_run(ClassMetric(name, kind, tuple(classes)))
        known = known_direction(scorer_of(name))
    else:
        resolved = _test_run(ClassMetric(name, kind, tuple(classes), function=metric))
        known = known_direction(metric)

    def right_and_wrong() -> tuple[float, float]:
        targets, right, wrong = _right_and_wrong(kind, len(classes))
        return resolved(targets, right), resolved(targets, wrong)

    return replace(
        resolved, direction=settled_direction(name, direction, known, right_and_wrong, is_objective=is_objective)
    )


@cache
def applicable_metrics(kind: TargetKind, classes: int) -> tuple[str, ...]:
    """Return the names of the scikit-learn scorers that can be computed for a task of this kind, sorted."""
    codes = tuple(range(classes))
    return tuple(name for name in _classification_names() if _refusal(ClassMetric(name, kind, codes)) is None)


def _check_name(name: str, kind: TargetKind, classes: Sequence[Any]) -> None:
    """Raise MetricError unless `name` is a classification scorer's that works for this kind of target."""
    from sklearn.metrics import get_scorer_names

    if name not in (*get_scorer_names(), *LOSSES):
        raise MetricError(
            f"there is no metric called {name!r}.{nearest(name, _classification_names())} "
            f"Those that fit a {kind} task: {', '.join(applicable_metrics(kind, len(classes)))}."
        )
    if name in _classification_names():
        reason = _refusal(ClassMetric(name, kind, tuple(classes)))
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


def _test_run(metric: ClassMetric) -> ClassMetric:
    """Return `metric`, knowing whether it takes sample weights; raise MetricError if it fails on an example."""
    targets, example = _example(metric.kind, len(metric.classes))
    if metric.function is not None:
        metric(targets, example)
    if not accepts(metric.function or scorer_of(metric.name), "sample_weight"):
        return replace(metric, weighted=False)
    weight = np.linspace(0.5, 1.5, len(targets))
    try:
        metric(targets, example, weight)
    except MetricError:  # one-versus-one ROC AUC has the argument and refuses it
        return replace(metric, weighted=False)
    return metric


def _refusal(metric: ClassMetric) -> str | None:
    """Return why scikit-learn's scorer of this name does not suit such targets, or None.

    The example has no degenerate cases, so a warning about it means that the metric is meaningless here.
    """
    targets, example = _example(metric.kind, len(metric.classes))
    labels = np.arange(len(metric.classes))
    classifier = _FixedClassifier(labels, example, metric.kind)
    scorer = scorer_of(metric.name)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", UserWarning)
            told = None if metric.kind == "multilabel" else labels
            metric._finite(_score(scorer, classifier, targets, None, told, quiet=False))
    except (*COMPUTATION_ERRORS, UserWarning) as error:
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
        and accepts(scorer, "labels")
        and "labels" not in scorer._kwargs
    ):
        arguments["labels"] = labels
    # Outside metadata routing a scorer takes no other argument than sample_weight.
    with config_context(enable_metadata_routing=True), warnings.catch_warnings():
        if quiet:  # of a fold without a class, or a class that is never predicted: it scores 0, as documented there
            warnings.simplefilter("ignore", UserWarning)
        return scorer(classifier, np.zeros((len(truth), 1)), truth, **arguments)


def _right_and_wrong(kind: TargetKind, classes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return targets, probabilities that are right of every row, and some that are wrong of every row."""
    if kind == "multilabel":
        targets = np.vstack([np.eye(classes, dtype=np.int64), 1 - np.eye(classes, dtype=np.int64)])
        return targets, np.where(targets == 1, 0.9, 0.1), np.where(targets == 1, 0.1, 0.9)
    targets = np.repeat(np.arange(classes), 2)
    sides = []
    for predicted in (targets, (targets + 1) % classes):
        chances = np.full((len(targets), classes), 0.1 / (classes - 1))
        chances[np.arange(len(targets)), predicted] = 0.9
        sides.append(chances)
    return targets, sides[0], sides[1]


def scorer_of(name: str) -> Any:
    """Return scikit-learn's scorer of this name; of one of its losses, what gives the loss as it is."""
    if name not in LOSSES:
        return named_scorer(name)
    from sklearn import metrics

    method = "predict_proba" if name in ("log_loss", "brier_score_loss") else "predict"
    return metrics.make_scorer(getattr(metrics, name), response_method=method)


@cache
def _classification_names() -> tuple[str, ...]:
    """Return the names of scikit-learn's scorers of classifications, known by where their functions are defined."""
    from sklearn.metrics import get_scorer_names

    others = ("sklearn.metrics._regression", "sklearn.metrics.cluster")
    names = sorted((*get_scorer_names(), *LOSSES))
    return tuple(name for name in names if not scorer_of(name)._score_func.__module__.startswith(others))
