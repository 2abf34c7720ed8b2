"""Examples: rows of arrays with their targets.

A model's inputs are one array a row, or several by name. Rows of one shape are kept as one array; rows of which one
dimension differs in length (sounds, sequences) are laid end to end along it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hpsearch.data.fingerprint import fingerprint_arrays

SINGLE = "input"
"""The name of the input of a model that is called with one array: `model(x)`."""


@dataclass(frozen=True, eq=False)
class Field:
    """One input of every row.

    Attributes:
        elements: Shape (rows, ...); or, of rows that differ in length, (elements, ...): all rows end to end, the
            dimension that differs moved to the front.
        offsets: int64 (rows + 1,), where each row begins and ends in `elements`; None where all have one shape.
        axis: Which dimension of a row differs in length.
    """

    elements: np.ndarray
    offsets: np.ndarray | None = None
    axis: int = 0

    @property
    def lengths(self) -> np.ndarray:
        """Elements of each row along its varying dimension, int64 (rows,); ones where all have one shape."""
        return np.ones(len(self.elements), dtype=np.int64) if self.offsets is None else np.diff(self.offsets)

    def __len__(self) -> int:
        return len(self.elements) if self.offsets is None else len(self.offsets) - 1

    def row(self, index: int) -> np.ndarray:
        """Return one row in the shape that it was given in."""
        if self.offsets is None:
            return np.asarray(self.elements[index])
        part = np.asarray(self.elements[self.offsets[index] : self.offsets[index + 1]])
        return np.moveaxis(part, 0, self.axis)

    def padded(self, rows: np.ndarray, multiple: int) -> np.ndarray:
        """Return these rows as one array, (rows, ...): the differing dimension filled up with zeros on its end.

        Its length is that of the longest of the rows, rounded up to the multiple.
        """
        if self.offsets is None:
            return np.asarray(self.elements[rows])
        lengths = self.lengths[rows]
        width = -(-int(lengths.max()) // multiple) * multiple
        filled = np.zeros((len(rows), width, *self.elements.shape[1:]), dtype=self.elements.dtype)
        for place, row in enumerate(rows):
            filled[place, : lengths[place]] = self.elements[self.offsets[row] : self.offsets[row + 1]]
        return np.moveaxis(filled, 1, self.axis + 1)

    def joined(self, others: "Field") -> "Field":
        """Return these rows with others behind them, which differ from them in the length of one dimension at most."""
        if self.offsets is None and others.offsets is None:
            return Field(np.concatenate([self.elements, others.elements]))
        axis = others.axis if self.offsets is None else self.axis
        (first, begins), (second, more) = self._laid_out(axis), others._laid_out(axis)
        return Field(np.concatenate([first, second]), np.concatenate([begins, begins[-1] + more[1:]]), axis)

    def _laid_out(self, axis: int) -> tuple[np.ndarray, np.ndarray]:
        """Return elements and offsets of the rows end to end along a dimension of theirs."""
        if self.offsets is not None:
            return self.elements, self.offsets
        fronted = np.moveaxis(self.elements, axis + 1, 1)
        length = fronted.shape[1]
        return fronted.reshape(-1, *fronted.shape[2:]), np.arange(len(fronted) + 1, dtype=np.int64) * length


@dataclass(frozen=True, eq=False)
class Examples:
    """Rows with their targets.

    Attributes:
        fields: Input name to its rows; `SINGLE` alone where the model is called with one array.
        targets: One label a row, numbers or text (rows,), or 0/1 columns (rows, labels).
        labels: Names of the 0/1 columns, where they have any.
    """

    fields: Mapping[str, Field]
    targets: np.ndarray
    labels: tuple[str, ...] | None = None

    @property
    def named_targets(self) -> Any:
        """The targets as `learn_labels` takes them: a DataFrame where the columns have names."""
        import pandas as pd

        return self.targets if self.labels is None else pd.DataFrame(self.targets, columns=list(self.labels))

    def joined(self, others: "Examples") -> "Examples":
        """Return these rows with others behind them, which have the same inputs; the targets' names stay."""
        fields = {name: field.joined(others.fields[name]) for name, field in self.fields.items()}
        return Examples(fields, np.concatenate([self.targets, others.targets]), self.labels)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays of the inputs under the names that a prepared dataset keeps them by."""
        arrays = {f"input_{name}": field.elements for name, field in self.fields.items()}
        ragged = {name: field.offsets for name, field in self.fields.items() if field.offsets is not None}
        return arrays | {f"offsets_{name}": offsets for name, offsets in ragged.items()}

    def axes(self) -> dict[str, int]:
        """Return which dimension of each input's rows differs in length, for `fields_of`."""
        return {name: field.axis for name, field in self.fields.items()}

    @property
    def fingerprint(self) -> str:
        labels = None if self.labels is None else np.array(self.labels)
        axes = np.array([f"{name} {axis}" for name, axis in self.axes().items()])
        return fingerprint_arrays({**self.to_arrays(), "targets": self.targets, "labels": labels, "axes": axes})


def fields_of(arrays: Mapping[str, np.ndarray], axes: Mapping[str, int]) -> dict[str, Field]:
    """Return the inputs that `Examples.to_arrays` gave the arrays of."""
    return {name: Field(arrays[f"input_{name}"], arrays.get(f"offsets_{name}"), axis) for name, axis in axes.items()}
