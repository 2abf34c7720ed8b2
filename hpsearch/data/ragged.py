"""Rows of different lengths in one array, and how rows of either form are written down."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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
        if not rows:
            return cls(np.empty(0), np.zeros(1, dtype=np.int64))
        offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
        return cls(np.concatenate(rows), offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def row(self, index: int) -> np.ndarray:
        return self.elements[self.offsets[index] : self.offsets[index + 1]]

    def __getitem__(self, rows: np.ndarray) -> "Ragged":
        """Return some rows, given as NumPy's arrays are indexed: by their places, or by a mask."""
        chosen = np.arange(len(self))[rows]
        lengths = np.diff(self.offsets)[chosen]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        places = np.arange(offsets[-1]) + np.repeat(self.offsets[chosen] - offsets[:-1], lengths)
        return Ragged(self.elements[places], offsets)


Rows = np.ndarray | Ragged
"""One entry a row, the first axis the rows: rectangular, or of different lengths."""


def as_arrays(name: str, rows: Rows) -> dict[str, np.ndarray]:
    """Return rows as the arrays of a prepared dataset, under a name."""
    if not isinstance(rows, Ragged):
        return {name: rows}
    return {name: rows.elements, f"{name}_offsets": rows.offsets}


def rows_of(arrays: Mapping[str, np.ndarray], name: str) -> Rows:
    """Return the rows that `as_arrays` named."""
    offsets = arrays.get(f"{name}_offsets")
    return arrays[name] if offsets is None else Ragged(arrays[name], offsets)


def as_list(rows: Rows) -> list[Any]:
    """Return each row as plain Python has it."""
    if isinstance(rows, Ragged):
        return [rows.row(index).tolist() for index in range(len(rows))]
    return list(rows.tolist())


def end_to_end(first: Rows, second: Rows) -> Rows:
    """Return rows with others behind them; both are of one form."""
    if isinstance(first, Ragged) and isinstance(second, Ragged):
        offsets = np.concatenate([first.offsets, first.offsets[-1] + second.offsets[1:]])
        return Ragged(np.concatenate([first.elements, second.elements]), offsets)
    return np.concatenate([np.asarray(first), np.asarray(second)])


def byte_count(rows: Rows) -> int:
    """Return how many bytes the elements take."""
    return rows.elements.nbytes if isinstance(rows, Ragged) else rows.nbytes


def is_finite(rows: Rows) -> bool:
    """Return whether no element of any row is NaN or infinite."""
    return bool(np.isfinite(rows.elements if isinstance(rows, Ragged) else rows).all())


def to_bytes(rows: Rows) -> bytes:
    """Return rows as the bytes of a .npy file, or of a .npz file where their lengths differ; never a pickle.

    Equal rows give equal bytes.

    Raises:
        ValueError: Their elements are Python objects.
    """
    file = io.BytesIO()
    if not isinstance(rows, Ragged):
        np.save(file, np.asarray(rows, order="C"), allow_pickle=False)
    elif rows.elements.dtype.hasobject:
        raise ValueError(f"ragged rows of {rows.elements.dtype}, which only a pickle holds")
    else:
        np.savez(file, elements=rows.elements, offsets=rows.offsets)
    return file.getvalue()


def from_bytes(data: bytes) -> Rows:
    """Return what `to_bytes` wrote."""
    loaded = np.load(io.BytesIO(data), allow_pickle=False)
    if isinstance(loaded, np.ndarray):
        return loaded
    with loaded:
        return Ragged(loaded["elements"], loaded["offsets"])
