"""Metrics that are functions of the confusion counts, of many sets of predictions at once.

A bootstrap scores thousands of resamples of the same rows. Accuracy, F1 and the like need only the counts of each
(true, predicted) pair of classes. They are computed here for all resamples at once, as scikit-learn defines them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from hpsearch.metrics.known import is_scorer, scikit_learn_name
from hpsearch.metrics.metric import OnDraws
from hpsearch.tasks.classes.labels import TargetKind, predicted_codes

MOST_CLASSES = 100
"""With more classes, a draw has more counts than rows."""

Counted = Callable[[np.ndarray], np.ndarray]
"""From counts of shape (n, classes, classes), true by predicted, to values of shape (n,); NaN where undefined."""


@dataclass(frozen=True)
class ConfusionMetric:
    """A metric of single-label predictions as a function of their confusion counts.

    Attributes:
        function: The function of the counts.
        classes: Number of classes.
    """

    function: Counted
    classes: int

    def cells(self, targets: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
        """Return the place in the flattened counts that each row adds to, int64, shape (rows,)."""
        predicted = predicted_codes(np.asarray(probabilities, np.float64), "multiclass")
        return np.asarray(targets).astype(np.int64) * self.classes + predicted

    def values(self, counts: np.ndarray) -> np.ndarray:
        """Return the metric for flattened counts, shape (n, classes * classes), as shape (n,)."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return self.function(counts.reshape(-1, self.classes, self.classes).astype(np.float64))

    def on_draws(self, targets: np.ndarray, probabilities: np.ndarray, weights: np.ndarray | None) -> OnDraws:
        """Return what computes the metric on many draws of these rows at once; weights are all above zero."""
        cells, length = self.cells(targets, probabilities), self.classes**2

        def of_draws(draws: Sequence[np.ndarray]) -> np.ndarray:
            weighed = [None if weights is None else weights[rows] for rows in draws]
            counts = [np.bincount(cells[rows], weight, length) for rows, weight in zip(draws, weighed, strict=True)]
            return self.values(np.stack(counts))

        return of_draws


def confusion_metric(scorer: Any, kind: TargetKind, classes: int, *, positive: int | None) -> ConfusionMetric | None:
    """Return a metric as a function of confusion counts, or None where it is none, or is not known to be.

    Whether a class is present is told from the counts, so every row must have a weight above zero.

    Args:
        scorer: A scorer of scikit-learn's, or a function of true and predicted classes.
        kind: What the targets are.
        classes: Number of classes.
        positive: The code of the class that it is of, where it is of one and has no argument that says so.
    """
    if kind == "multilabel":
        return None
    function, settings, sign = _definition(scorer)
    average = settings.pop("average", "binary")
    if function in _PER_CLASS:
        share = _PER_CLASS[function]
        if function == "fbeta_score" and "beta" in settings:
            share = partial(_f_shares, beta=float(settings.pop("beta")))
        is_binary = average == "binary" and kind == "binary" and positive is not None
        is_average = average in ("macro", "micro", "weighted")
        is_told = "pos_label" in settings
        if settings.pop("pos_label", 1) not in (1, None) or settings or (is_told and not is_average):
            return None
        if not (is_binary or is_average):
            return None
        counted: Counted = partial(_averaged, share=share, average=average, positive=positive or 0)
    elif function in _WHOLE and not settings and average == "binary":
        counted = _WHOLE[function]
    else:
        return None
    return ConfusionMetric(counted if sign > 0 else lambda counts: -counted(counts), classes)


def _definition(scorer: Any) -> tuple[str, dict[str, Any], int]:
    """Return the name of scikit-learn's function that a scorer is, its settings and its sign; "" where it is none."""
    if is_scorer(scorer):
        function, settings, sign = scorer._score_func, dict(scorer._kwargs), scorer._sign
        is_read_off = scorer._response_method == "predict"
    else:
        function, settings, sign, is_read_off = scorer, {}, 1, True
    return (scikit_learn_name(function) if is_read_off else ""), settings, sign


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Return the ratio, 0 where the denominator is, as scikit-learn has it by default."""
    return np.where(denominator == 0, 0.0, numerator / np.where(denominator == 0, 1.0, denominator))


def _f_shares(hits: np.ndarray, true: np.ndarray, predicted: np.ndarray, beta: float = 1.0) -> np.ndarray:
    return _ratio((1 + beta**2) * hits, beta**2 * true + predicted)


def _averaged(counts: np.ndarray, share: Callable[..., np.ndarray], average: str, positive: int) -> np.ndarray:
    """Return a share of each class, averaged over the classes that are true or predicted of any row.

    The average "binary" is that of the class `positive` alone.
    """
    hits = np.diagonal(counts, axis1=1, axis2=2)
    true, predicted = counts.sum(axis=2), counts.sum(axis=1)
    if average == "binary":
        return share(hits[:, positive], true[:, positive], predicted[:, positive])
    if average == "micro":
        return share(hits.sum(axis=1), true.sum(axis=1), predicted.sum(axis=1))
    shares = share(hits, true, predicted)
    weights = true if average == "weighted" else ((true + predicted) > 0).astype(np.float64)
    return np.asarray((shares * weights).sum(axis=1) / weights.sum(axis=1))


def _balanced_accuracy(counts: np.ndarray) -> np.ndarray:
    """Return the mean recall of the classes that are true of any row."""
    true = counts.sum(axis=2)
    return np.asarray(_ratio(np.diagonal(counts, axis1=1, axis2=2), true).sum(axis=1) / (true > 0).sum(axis=1))


def _matthews(counts: np.ndarray) -> np.ndarray:
    """Return the correlation of Gorodkin 2004 (the R_K statistic), 0 where either side is of one class."""
    true, predicted, total = counts.sum(axis=2), counts.sum(axis=1), counts.sum(axis=(1, 2))
    both = np.trace(counts, axis1=1, axis2=2) * total - (true * predicted).sum(axis=1)
    spread = (total**2 - (predicted**2).sum(axis=1)) * (total**2 - (true**2).sum(axis=1))
    return _ratio(both, np.sqrt(spread))


def _kappa(counts: np.ndarray) -> np.ndarray:
    """Return the agreement of Cohen 1960; NaN where both sides are of one class, the same."""
    expected = counts.sum(axis=1)[:, :, None] * counts.sum(axis=2)[:, None, :] / counts.sum(axis=(1, 2))[:, None, None]
    apart = [cells.sum(axis=(1, 2)) - np.trace(cells, axis1=1, axis2=2) for cells in (counts, expected)]
    return np.asarray(1.0 - apart[0] / apart[1])


_PER_CLASS: dict[str, Callable[..., np.ndarray]] = {
    "precision_score": lambda hits, _true, predicted: _ratio(hits, predicted),
    "recall_score": lambda hits, true, _predicted: _ratio(hits, true),
    "f1_score": _f_shares,
    "fbeta_score": _f_shares,
    "jaccard_score": lambda hits, true, predicted: _ratio(hits, true + predicted - hits),
}
_WHOLE: dict[str, Counted] = {
    "accuracy_score": lambda counts: np.trace(counts, axis1=1, axis2=2) / counts.sum(axis=(1, 2)),
    "balanced_accuracy_score": _balanced_accuracy,
    "matthews_corrcoef": _matthews,
    "cohen_kappa_score": _kappa,
}
