"""Spans counted: strictly, by row and type, and which types are taken for which."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from hpsearch.analysis.confusion import Confusion
from hpsearch.data.ragged import Ragged

HEADER = 1
"""The first element of what is kept of a row is about all of it; see `SpanJudge`."""

NONE = "no span"
"""What a missed span was taken for, and what a spurious one is."""


@dataclass(frozen=True, eq=False)
class Counts:
    """Counts of spans, each float64 of shape (rows, types).

    Attributes:
        right: Predicted spans that are true ones: the same boundaries, the same type.
        predicted: Predicted spans.
        true: True spans.
    """

    right: np.ndarray
    predicted: np.ndarray
    true: np.ndarray

    def stacked(self) -> np.ndarray:
        """Return all three as one array, shape (3, rows, types)."""
        return np.stack([self.right, self.predicted, self.true])


def spans_in(rows: Ragged, header: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return the row of each span, and its start, end and type, int64, shape (spans, 3).

    `rows` have one element a span, after so many others.
    """
    of_element = np.repeat(np.arange(len(rows)), np.diff(rows.offsets))
    is_span = np.ones(len(of_element), dtype=bool)
    for place in range(header):
        is_span[rows.offsets[:-1] + place] = False
    return of_element[is_span], rows.elements[is_span][:, :3].astype(np.int64)


def strict_counts(targets: Ragged, predictions: Ragged, types: int) -> Counts:
    """Return the counts of rows: a span is right where boundaries and type are (MUC's and CoNLL's strict matching)."""
    sides = [spans_in(targets), spans_in(predictions, HEADER)]
    reach = 1 + max((int(spans[:, 1].max()) for _, spans in sides if len(spans)), default=0)
    keys = [((rows * reach + spans[:, 0]) * reach + spans[:, 1]) * types + spans[:, 2] for rows, spans in sides]
    is_right = np.isin(keys[1], keys[0])

    def counted(rows: np.ndarray, of_type: np.ndarray) -> np.ndarray:
        return np.bincount(rows * types + of_type, minlength=len(targets) * types).reshape(-1, types).astype(float)

    (true_rows, true), (rows, predicted) = sides
    return Counts(
        counted(rows[is_right], predicted[is_right, 2]), counted(rows, predicted[:, 2]), counted(true_rows, true[:, 2])
    )


def taken_for(targets: Ragged, predictions: Ragged, types: tuple[str, ...]) -> Confusion:
    """Return which type each true span was taken for by the predicted span that shares most characters with it.

    Whatever the boundaries. Each span has one partner at most, those that share most first. The last class is that of
    no span: missed in its column, spurious in its row.
    """
    counts = np.zeros((len(types) + 1, len(types) + 1), dtype=int)
    for true, predicted in _by_row(targets, predictions):
        free = [set(range(len(true))), set(range(len(predicted)))]
        shared = np.minimum(true[:, None, 1], predicted[None, :, 1]) - np.maximum(
            true[:, None, 0], predicted[None, :, 0]
        )
        same = true[:, None, 2] == predicted[None, :, 2]
        for place in np.lexsort((~same.ravel(), -shared.ravel())):
            one, other = divmod(int(place), len(predicted))
            if shared[one, other] > 0 and one in free[0] and other in free[1]:
                free[0].remove(one)
                free[1].remove(other)
                counts[true[one, 2], predicted[other, 2]] += 1
        for place in free[0]:
            counts[true[place, 2], len(types)] += 1
        for place in free[1]:
            counts[len(types), predicted[place, 2]] += 1
    return Confusion((*types, NONE), tuple(tuple(row) for row in counts.tolist()), "spans")


def _by_row(targets: Ragged, predictions: Ragged) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the true and the predicted spans of each row, (spans, 3) each; none of rows that were not predicted."""
    for row in range(len(targets)):
        kept = predictions.row(row)
        if np.isfinite(kept[0, 0]):
            yield targets.row(row).astype(np.int64), kept[HEADER:, :3].astype(np.int64)
