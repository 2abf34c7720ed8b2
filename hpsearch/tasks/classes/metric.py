"""Metrics of classes: scikit-learn's scorers and the user's own functions, computed from fixed predictions.

They get the targets and the class probabilities of the held-out rows, and hand them to scikit-learn's scorer through a
stand-in for a fitted classifier. Resolving a metric tries it on a small synthetic example, so one that cannot work is
refused before any training.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

import numpy as np

from hpsearch.errors import MetricError
from hpsearch.metrics.direction import Direction
from hpsearch.metrics.known import (
    LOSSES,
    accepts,
    function_measures,
    is_registered,
    is_scorer,
    measures,
    named_scorer,
    reads_scores,
    scikit_learn_name,
    scorers,
)
from hpsearch.metrics.metric import COMPUTATION_ERRORS, Metric, OnDraws, checked_metric, metric_name
from hpsearch.metrics.resolving import MANY_ROWS, MadeUp, check_name, resolve
from hpsearch.tasks.classes.confusion import MOST_CLASSES, ConfusionMetric, confusion_metric
from hpsearch.tasks.classes.fixed_classifier import FixedClassifier
from hpsearch.tasks.classes.labels import TargetKind, predicted_codes
from hpsearch.tasks.classes.positive import clear_positive, lacks_positive, with_positive


@dataclass(frozen=True)
class ClassMetric(Metric):
    """A metric of class probabilities.

    Attributes:
        kind: What the targets are.
        classes: The classes in the order of the codes (of a multilabel task: the label names).
        positive: The code of the class that it is of, where it is of one of two; None of any other.
    """

    kind: TargetKind
    classes: tuple[Any, ...]
    positive: int | None = None

    @property
    def of_class(self) -> Any:
        return None if self.positive is None else self.classes[self.positive]

    def _remedy(self) -> str:
        if self.function is None or is_scorer(self.function):
            return "Choose a metric that is defined on every fold, or use fewer folds so that each has every class."
        return (
            "Fix the function: it is called as f(y_true, y_pred) with the true and the predicted classes; one that "
            "needs probabilities is made by sklearn.metrics.make_scorer(f, response_method='predict_proba')."
        )

    def _compute(self, targets: Any, predictions: Any, weight: np.ndarray | None) -> Any:
        targets, probabilities = np.asarray(targets).astype(np.int64), np.asarray(predictions, np.float64)
        scorer = self._computed_by()
        predicted = predicted_codes(probabilities, self.kind)
        # The user's callable sees the user's labels; what has a name is computed on codes, of which 1 is positive.
        labels = np.arange(len(self.classes)) if self._sees_codes else np.array(self.classes)
        if self._sees_codes and self.positive == 0:
            targets, predicted, probabilities = 1 - targets, 1 - predicted, probabilities[:, ::-1]
        truth = targets if self.kind == "multilabel" else labels[targets]
        if is_scorer(scorer):
            classifier = FixedClassifier(labels, probabilities, predicted, self.kind)
            return _score(scorer, classifier, truth, weight, None if self.kind == "multilabel" else labels)
        arguments = {} if weight is None else {"sample_weight": weight}
        from sklearn.exceptions import UndefinedMetricWarning

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UndefinedMetricWarning)
            return scorer(truth, predicted if self.kind == "multilabel" else labels[predicted], **arguments)

    def _undefined(self) -> str:
        return " (often because they hold one class only, or one class is never predicted)"

    def may_take_weights(self) -> bool:
        return accepts(self._computed_by(), "sample_weight")

    @property
    def _sees_codes(self) -> bool:
        if self.function is None or self.kind == "multilabel":
            return True
        return is_registered(self.function) and function_measures(self.function) in (None, "classes")

    def _computed_by(self) -> Any:
        if self.function is None:
            return scorer_of(self.name)
        ratio = getattr(getattr(self.function, "_score_func", None), "__name__", "")
        if self._sees_codes and ratio in _RATIOS:
            return _ratio_scorer(ratio)
        if self._sees_codes or self.kind != "binary" or not lacks_positive(self.function):
            return self.function
        return with_positive(self.function, self.classes[1 if self.positive is None else self.positive])

    def is_of_one_class(self) -> bool:
        """Return whether it gives another value where the other of two classes is the positive one."""
        if self.kind != "binary" or not (self._sees_codes or lacks_positive(self.function)):
            return False
        values = []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for code in (0, 1):
                try:
                    values.append(replace(self, positive=code).value(*_UNEVEN))
                except MetricError:  # which is said when it is tried
                    return False
        return not bool(np.isclose(values[0], values[1], rtol=1e-9, atol=0.0, equal_nan=True))

    def counted(self) -> ConfusionMetric | None:
        """Return the metric as a function of confusion counts, or None where it is not known to be one."""
        scorer = scorer_of(self.name) if self.function is None else self.function
        return confusion_metric(scorer, self.kind, len(self.classes), positive=self.positive)

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
    positive: int | None = None,
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
        positive: The code of the positive class of two, where the user says which it is.

    Raises:
        MetricError: No such metric, or it cannot be computed for such targets (the message names those that fit), or
            its direction contradicts itself, or it is of one class and nothing says which.
    """
    metric = checked_metric(metric)
    name, scorer = metric_name(metric), _as_scorer(metric)
    if isinstance(scorer, str):
        check_name(
            scorer,
            _classification_names(),
            lambda name: _refusal(ClassMetric(name, kind, tuple(classes))),
            measured="classes",
            targets=f"a {kind} task with {len(classes)} classes",
            fitting=lambda: applicable_metrics(kind, len(classes)),
        )
    else:
        _check_measures(scorer, name, kind, tuple(classes))
    class_metric = ClassMetric(name, kind, tuple(classes), function=None if isinstance(scorer, str) else scorer)
    if class_metric.is_of_one_class():
        class_metric = replace(class_metric, positive=_positive(class_metric, positive))
    return resolve(class_metric, _made_up(kind, len(classes)), direction, is_objective=is_objective)


def _positive(metric: ClassMetric, given: int | None) -> int:
    """Return the code of the class that a metric is of: the one that is given, or is positive by its name."""
    code = clear_positive(metric.classes) if given is None else given
    if code is not None:
        return code
    one, other = metric.classes
    is_function = metric.function is not None and not is_registered(metric.function)
    own = ", or to the function itself" if is_function else ""
    raise MetricError(
        f"metric {metric.name!r} is of one class of two, and nothing says whether of {one!r} or of {other!r}. Give "
        f"pos_label={one!r} or pos_label={other!r} to the task or estimator{own}; or take a metric of both classes, "
        "such as 'f1_macro'."
    )


def _check_measures(metric: Any, name: str, kind: TargetKind, classes: tuple[Any, ...]) -> None:
    """Refuse a function of scikit-learn's that does not measure classes: a clustering is right with any names.

    An error of numbers may be measured of predicted classes that are numbers, and of probabilities of 0 and 1.
    """
    measured = function_measures(metric)
    method = metric._response_method if is_scorer(metric) else "predict"
    is_alike = method == "predict" or (method == "predict_proba" and (kind == "multilabel" or classes == (0, 1)))
    if measured == "clusterings" or (measured == "numbers" and not is_alike):
        unlike = f", and what {method} gives is not like the labels" if measured == "numbers" else ""
        raise MetricError(
            f"metric {name!r} cannot be used on classes: it measures {measured}{unlike}. Choose a metric of classes, "
            "such as 'accuracy' or 'f1_macro'."
        )


def _as_scorer(metric: str | Callable[..., Any]) -> str | Callable[..., Any]:
    """Return the name of the scorer that scikit-learn's own function is, where that needs more than the classes.

    Raises:
        MetricError: Such a function has no name as a scorer, or has arguments bound.
    """
    function = metric.func if isinstance(metric, partial) else metric
    plain = not isinstance(metric, partial) or not (metric.args or metric.keywords)
    title = metric_name(function)
    if plain and title in LOSSES["classes"] and scikit_learn_name(function):
        return title
    if not reads_scores(function):
        return metric
    for name in (title, title.removesuffix("_score")):
        if plain and name in scorers() and scorers()[name]._score_func is function:
            return name
    method = "decision_function" if title == "hinge_loss" else "predict_proba"
    raise MetricError(
        f"metric {metric_name(metric)!r} needs probabilities or decisions, and a function is given the predicted "
        f"classes. Give sklearn.metrics.make_scorer({title}, response_method={method!r}), with the arguments of the "
        "function after it."
    )


@cache
def applicable_metrics(kind: TargetKind, classes: int) -> tuple[str, ...]:
    """Return the names of the scikit-learn scorers that can be computed for a task of this kind, sorted."""
    codes = tuple(range(classes))
    return tuple(name for name in _classification_names() if _refusal(ClassMetric(name, kind, codes)) is None)


def _refusal(metric: ClassMetric) -> str | None:
    """Return why scikit-learn's scorer of this name does not suit such targets, as a sentence, or None.

    The example has no degenerate cases, so a warning about it means that the metric is meaningless here.
    """
    targets, example = _example(metric.kind, len(metric.classes))
    labels = np.arange(len(metric.classes))
    classifier = FixedClassifier(labels, example, predicted_codes(example, metric.kind), metric.kind)
    scorer = scorer_of(metric.name)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", UserWarning)
            told = None if metric.kind == "multilabel" else labels
            metric._finite(metric._number(_score(scorer, classifier, targets, None, told, quiet=False)))
    except (*COMPUTATION_ERRORS, UserWarning) as error:
        return f"{str(error).rstrip('.')}."
    return None


_CHANCES = np.array([0.1, 0.2, 0.6, 0.3, 0.15, 0.45, 0.9, 0.8, 0.4, 0.7])
_UNEVEN = (np.repeat([0, 1], [6, 4]), np.stack([1.0 - _CHANCES, _CHANCES], axis=1))
"""Targets of two classes and probabilities, of which no metric of one class gives the same for the other."""


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
    classifier: FixedClassifier,
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


def _made_up(kind: TargetKind, classes: int) -> MadeUp:
    """Return what metrics of such targets are tried on."""
    several = kind == "multilabel"
    indicators = np.eye(classes, dtype=np.int64)
    targets = np.vstack([indicators, 1 - indicators]) if several else np.repeat(np.arange(classes), 4)
    rows = np.arange(len(targets))

    def chances(predicted: np.ndarray) -> np.ndarray:
        if several:
            return np.where(predicted == 1, 0.9, 0.1)
        made = np.full((len(rows), classes), 0.1 / (classes - 1))
        made[rows, predicted] = 0.9
        return made

    def wrong() -> Iterator[np.ndarray]:
        yield chances(1 - targets if several else (targets + 1) % classes)
        if classes > 2:
            yield chances(np.roll(targets, 1, axis=1) if several else (targets - 1) % classes)
        for always in (0, 1) if several else sorted({0, 1, classes // 2, classes - 1}):
            yield chances(np.full_like(targets, always))

    nearly_right = targets.copy()
    nearly_right[::4] = 1 - targets[::4] if several else (targets[::4] + 1) % classes
    few = MadeUp(_example(kind, classes), targets, chances(targets), chances(nearly_right), wrong)
    return replace(few, more=lambda: _many(few, 0.5 if several else 1 / classes))


def _many(few: MadeUp, chance: float) -> MadeUp:
    """Return the same rows again and again, each time nearer to `chance`, which decides the same otherwise surely."""

    def targets(of_few: np.ndarray) -> np.ndarray:
        return np.concatenate([of_few] * -(-MANY_ROWS // len(of_few)))

    def chances(of_few: np.ndarray) -> np.ndarray:
        repeated = targets(of_few)
        return chance + np.linspace(1.0, 0.5, len(repeated))[:, None] * (repeated - chance)

    return MadeUp(
        (targets(few.ordinary[0]), chances(few.ordinary[1])),
        targets(few.targets),
        chances(few.right),
        chances(few.nearly_right),
        lambda: map(chances, few.wrong()),
    )


def scorer_of(name: str) -> Any:
    """Return scikit-learn's scorer of this name, or of its function; of one of its losses, what gives it as it is."""
    if name.removeprefix("neg_") in _RATIOS:
        return _ratio_scorer(name.removeprefix("neg_"))
    if name not in LOSSES["classes"]:
        return named_scorer(name if name in scorers() else name.removesuffix("_score"))
    from sklearn import metrics

    method = "predict_proba" if name in ("log_loss", "brier_score_loss") else "predict"
    return metrics.make_scorer(getattr(metrics, name), response_method=method)


_RATIOS = ("positive_likelihood_ratio", "negative_likelihood_ratio")


def _ratio_scorer(name: str) -> Any:
    """Return the scorer of a likelihood ratio, which is NaN where it is undefined.

    scikit-learn's own gives 1 there, the worst value, and so to a model that makes no mistake.
    """
    from sklearn.metrics import make_scorer

    place = _RATIOS.index(name)
    return make_scorer(partial(_likelihood_ratio, place=place), greater_is_better=place == 0)


def _likelihood_ratio(y_true: np.ndarray, y_pred: np.ndarray, place: int) -> float:
    from sklearn.metrics import class_likelihood_ratios

    return float(class_likelihood_ratios(y_true, y_pred)[place])


@cache
def _classification_names() -> tuple[str, ...]:
    """Return the names of scikit-learn's scorers and losses of classifications, sorted."""
    return tuple(sorted(name for name in (*scorers(), *LOSSES["classes"]) if measures(name) == "classes"))
