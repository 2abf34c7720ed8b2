"""What is kept and predicted of rows of tokens: losses, how many were right, and generated answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hpsearch.data.ragged import Ragged, Rows
from hpsearch.tasks.generation.texts import UTF8

COLUMNS = 3
"""Numbers kept of each row: summed loss, trained tokens, tokens predicted right."""

_NUMBERS = np.dtype(np.float64).itemsize * COLUMNS


@dataclass(frozen=True, eq=False)
class TokenPredictions:
    """Predictions of rows, the first axis of each attribute the rows.

    Attributes:
        loss_sums: Negative log-likelihood of all trained tokens of a row, in nats, float64.
        tokens: Trained tokens of a row, float64.
        correct: How many of them have the highest probability, float64.
        texts: Generated answers, an object array of str; None where none were generated.
    """

    loss_sums: np.ndarray
    tokens: np.ndarray
    correct: np.ndarray
    texts: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, rows: Any) -> "TokenPredictions":
        """Return some rows, given as NumPy's arrays are indexed."""
        texts = None if self.texts is None else self.texts[rows]
        return TokenPredictions(self.loss_sums[rows], self.tokens[rows], self.correct[rows], texts)

    @classmethod
    def of(cls, kept: Rows) -> "TokenPredictions":
        """Return the predictions of what is kept: float64 of shape (rows, 3), or ragged bytes with texts."""
        if not isinstance(kept, Ragged):
            numbers = np.asarray(kept, dtype=np.float64).reshape(-1, COLUMNS)
            return cls(numbers[:, 0], numbers[:, 1], numbers[:, 2])
        rows = [kept.row(index).tobytes() for index in range(len(kept))]
        numbers = np.frombuffer(b"".join(row[:_NUMBERS] for row in rows), dtype=np.float64).reshape(-1, COLUMNS)
        texts = np.empty(len(rows), dtype=object)
        texts[:] = [row[_NUMBERS:].decode(UTF8) for row in rows]
        return cls(numbers[:, 0], numbers[:, 1], numbers[:, 2], texts)


def packed(numbers: np.ndarray, texts: Sequence[bytes]) -> list[np.ndarray]:
    """Return what is kept of rows with answers: the bytes of a row's numbers, then those of its text; uint8.

    `numbers` is float64 of shape (rows, 3).
    """
    heads = np.ascontiguousarray(numbers, dtype=np.float64)
    return [
        np.frombuffer(head.tobytes() + text, dtype=np.uint8).copy() for head, text in zip(heads, texts, strict=True)
    ]


def row_bytes(text_bytes: int) -> int:
    """Return the bytes kept of a row with a text of so many bytes."""
    return _NUMBERS + text_bytes


def joined(rows: int, parts: Sequence[tuple[np.ndarray, TokenPredictions]]) -> TokenPredictions:
    """Return the predictions of all rows from those of parts of them; NaN, and no text, for rows in no part.

    A row in several parts has the mean of the numbers, and the first part's text: texts have no mean.
    """
    sums, counts = np.zeros((rows, COLUMNS)), np.zeros((rows, 1))
    texts: np.ndarray | None = None
    for indices, predictions in parts:
        sums[indices] += np.stack([predictions.loss_sums, predictions.tokens, predictions.correct], axis=1)
        counts[indices] += 1
        if predictions.texts is not None:
            texts = np.full(rows, None, dtype=object) if texts is None else texts
            for place, text in zip(indices.tolist(), predictions.texts, strict=True):
                texts[place] = text if texts[place] is None else texts[place]
    with np.errstate(invalid="ignore"):
        numbers = sums / counts
    return TokenPredictions(numbers[:, 0], numbers[:, 1], numbers[:, 2], texts)
