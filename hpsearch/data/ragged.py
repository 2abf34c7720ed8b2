"""Rows of different lengths in one array."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Ragged:
    """Rows one after the other.

    Attributes:
        elements: The elements of all rows, shape (elements, ...).
        offsets: Where each row begins, and where the last one ends, int64, shape (rows + 1,).
    """

    elements: np.ndarray
    offsets: np.ndarray

    @classmethod
    def of(cls, rows: Sequence[np.ndarray]) -> "Ragged":
        """Return these rows; all have the same shape but for their lengths."""
        offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
        return cls(np.concatenate(rows), offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def row(self, index: int) -> np.ndarray:
        return self.elements[self.offsets[index] : self.offsets[index + 1]]

    def __getitem__(self, rows: np.ndarray) -> "Ragged":
        """Return some rows, given by index, in that order."""
        return Ragged.of([self.row(int(row)) for row in rows])


Rows = np.ndarray | Ragged
"""One entry a row, the first axis the rows: rectangular, or of different lengths."""
