"""Metrics of spans: strict precision, recall and F1, over all spans or one type; token accuracy; a user's functions."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hpsearch.data.ragged import Ragged
from hpsearch.errors import MetricError
from hpsearch.metrics.direction import Direction
from hpsearch.metrics.known import is_scorer
from hpsearch.metrics.metric import Metric, OnDraws, checked_metric, metric_name
from hpsearch.metrics.resolving import MadeUp, check_name, resolve
from hpsearch.tasks.spans.counts import HEADER, Counts, spans_in, strict_counts

ACCURACY = "token_accuracy"
OF_TYPE = ":"
"""Stands between the name of a metric and the type that it is of: "f1:city"."""

Counted = Callable[[np.ndarray], np.ndarray]
"""From right, predicted and true spans, shape (3, ...), to values of shape (...); NaN where undefined."""


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Return the share, NaN of nothing."""
    return np.where(whole > 0, part / np.where(whole > 0, whole, 1.0), np.nan)


def _precision(counts: np.ndarray) -> np.ndarray:
    """Return the share of predicted spans that are right: 0 where none is predicted of true ones."""
    right, predicted, true = counts
    return np.where((predicted == 0) & (true > 0), 0.0, _share(right, predicted))


def _recall(counts: np.ndarray) -> np.ndarray:
    right, _, true = counts
    return _share(right, true)


def _f1(counts: np.ndarray) -> np.ndarray:
    right, predicted, true = counts
    return _share(2 * right, predicted + true)


STRICT: Mapping[str, Counted] = {"f1": _f1, "precision": _precision, "recall": _recall}


@dataclass(frozen=True)
class SpanMetric(Metric):
    """A metric of spans, or of the tags of tokens.

    A function is called with two lists, of true and of predicted spans: a list a row, each span a dictionary of
    "start", "end" and "label".

    Attributes:
        types: The labels of spans, in the order of their codes.
    """

    types: tuple[str, ...]

    def _compute(self, targets: Ragged, predictions: Ragged, weight: np.ndarray | None) -> Any:
        if self.function is not None:
            given = {} if weight is None else {"sample_weight": weight}
            return self.function(as_dicts(targets, self.types), as_dicts(predictions, self.types, HEADER), **given)
        rows = self._of_rows(targets, predictions)
        return self._value(rows.sum(axis=1) if weight is None else rows @ weight)

    def _of_rows(self, targets: Ragged, predictions: Ragged) -> np.ndarray:
        """Return what each row adds to the counts that the metric is a function of, shape (counts, rows)."""
        if self.name == ACCURACY:
            headers = predictions.elements[predictions.offsets[:-1]].astype(np.float64)
            return np.ascontiguousarray(headers[:, [2, 1]].T)
        counts = strict_counts(targets, predictions, len(self.types)).stacked()
        name, of_type = _parts(self.name)
        if of_type:
            return counts[:, :, self.types.index(of_type)]
        return counts.transpose(0, 2, 1).reshape(-1, counts.shape[1]) if name == "f1_macro" else counts.sum(axis=2)

    def _value(self, counts: np.ndarray) -> Any:
        """Return the metric of sums of counts, shape (counts, ...), as shape (...)."""
        if self.name == ACCURACY:
            return _share(*counts)
        name, _ = _parts(self.name)
        if name == "f1_macro":
            by_type = _f1(counts.reshape(3, len(self.types), *counts.shape[1:]))
            there = np.isfinite(by_type)
            return _share(np.where(there, by_type, 0.0).sum(axis=0), there.sum(axis=0))
        return STRICT[name](counts)

    def on_draws(self, targets: Any, predictions: Any, sample_weight: np.ndarray | None) -> OnDraws | None:
        if self.function is not None:
            return None
        rows = self._of_rows(targets, predictions)
        weighed = rows if sample_weight is None or not self.weighted else rows * sample_weight

        def of_draws(draws: Sequence[np.ndarray]) -> np.ndarray:
            sums = np.stack([weighed @ np.bincount(drawn, minlength=weighed.shape[1]) for drawn in draws], axis=1)
            return np.asarray(self._value(sums), dtype=np.float64)

        return of_draws


def as_dicts(rows: Ragged, types: Sequence[str], header: int = 0) -> list[list[dict[str, Any]]]:
    """Return the spans of each row as dictionaries of "start", "end" and "label"."""
    found: list[list[dict[str, Any]]] = [[] for _ in range(len(rows))]
    of_row, spans = spans_in(rows, header)
    for row, (start, end, kind) in zip(of_row.tolist(), spans.tolist(), strict=True):
        found[row].append({"start": start, "end": end, "label": types[kind]})
    return found


def scores_by_type(counts: Counts, types: Sequence[str], weights: np.ndarray | None) -> dict[str, float]:
    """Return precision, recall and F1 of each type, NaN where it is undefined."""
    stacked = counts.stacked()
    sums = stacked.sum(axis=1) if weights is None else np.einsum("crt,r->ct", stacked, weights)
    return {
        f"{name}{OF_TYPE}{of_type}": float(value)
        for name, function in STRICT.items()
        for of_type, value in zip(types, function(sums), strict=True)
    }


def _parts(name: str) -> tuple[str, str]:
    """Return the name of a metric without the type that it is of, and the type; "" where it is of all."""
    first, _, of_type = name.partition(OF_TYPE)
    return first, of_type


def metric_names(types: Sequence[str]) -> list[str]:
    """Return the names of all metrics of spans of these types."""
    return [*STRICT, "f1_macro", ACCURACY, *(f"{name}{OF_TYPE}{of_type}" for of_type in types for name in STRICT)]


def resolve_metric(
    given: Any, types: tuple[str, ...], direction: Direction | None, *, is_objective: bool = True
) -> SpanMetric:
    """Return a metric of spans, tried on made-up ones.

    Args:
        given: "f1", "precision" and "recall" over all spans (micro); the same of a type, "f1:city"; "f1_macro", the
            mean over types; "token_accuracy"; or a function of lists of true and predicted spans, a list a row.
        types: The labels of spans.
        direction: What the user says; None where the metric tells.
        is_objective: Whether a search is to follow it.

    Raises:
        MetricError: There is no such metric, it does not suit, or it contradicts its direction.
    """
    given = checked_metric(given)
    if is_scorer(given):
        raise MetricError(
            f"metric {metric_name(given)!r} is a scorer of scikit-learn's, and these targets are spans. Give one of "
            f"{', '.join(map(repr, metric_names(types)[:5]))}, or a function f(true, predicted) of lists of spans."
        )
    if isinstance(given, str):
        names = metric_names(types)
        check_name(given, names, lambda _: None, measured="spans", targets="spans", fitting=lambda: tuple(names))
    metric = SpanMetric(metric_name(given), types, function=None if isinstance(given, str) else given)
    return resolve(metric, _made_up(types), direction, is_objective=is_objective)


def _made_up(types: tuple[str, ...]) -> MadeUp:
    """Return twelve rows of a span of each type, and predictions of them."""
    count = len(types)
    spans = np.array([(10 * place, 10 * place + 5, place) for place in range(count)], dtype=np.int64)
    rows = 12
    targets = Ragged(np.tile(spans, (rows, 1)).astype(np.int32), np.arange(rows + 1) * count)

    def predicted(is_right: np.ndarray, *, shift: int = 1, is_empty: bool = False) -> Ragged:
        """Return predictions of every span, those that are not right with other boundaries."""
        found = []
        for right in is_right:
            moved = spans + np.where(right, 0, shift)[:, None] * np.array([1, 1, 0])
            header = np.array([[1.0, count, right.sum(), 1.0]])
            told = moved[:0] if is_empty else moved
            found.append(np.concatenate([header, np.column_stack([told, np.ones(len(told))])]).astype(np.float32))
        return Ragged.of(found)

    right, wrong = np.ones((rows, count), dtype=bool), np.zeros((rows, count), dtype=bool)
    mixed = right.copy()
    mixed[::3] = False
    return MadeUp(
        ordinary=(targets, predicted(mixed)),
        targets=targets,
        right=predicted(right),
        nearly_right=predicted(mixed),
        wrong=lambda: [predicted(wrong), predicted(wrong, shift=-1), predicted(wrong, is_empty=True)],
    )
