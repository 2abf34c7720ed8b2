"""Where examples come from: arrays in memory, or a dataset read once, item by item."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

import numpy as np

from hpsearch.data.examples import SINGLE, Examples, Field
from hpsearch.data.unicode import check_column_names, check_texts_are_unicode
from hpsearch.data.wording import listed, no_rows, row_list, shortened
from hpsearch.errors import DataError

USER_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What a user's code raises when it does not work."""


def plain(value: Any) -> Any:
    """Return a tensor of torch as an array of NumPy; anything else as it is."""
    if hasattr(value, "detach") and hasattr(value, "cpu"):
        value = value.detach().cpu()
        return value.float().numpy() if str(value.dtype) == "torch.bfloat16" else value.numpy()
    return value


class FieldWriter:
    """Writes the rows of one input to disk, one after the other, and makes a `Field` of them."""

    def __init__(self, name: str, role: str, scratch: Path | None) -> None:
        self._name, self._role = name, role
        self._shapes: list[tuple[int, ...]] = []
        self._dtype: np.dtype | None = None
        if scratch is not None:
            scratch.mkdir(parents=True, exist_ok=True)
        self._file: IO[bytes] = TemporaryFile(dir=scratch)  # noqa: SIM115  # its maker calls `close`

    def close(self) -> None:
        """Close the file; what was mapped from it stays."""
        self._file.close()

    def add(self, row: np.ndarray) -> None:
        if self._dtype is None:
            self._dtype = row.dtype
        first = self._dtype, self._shapes[0] if self._shapes else row.shape
        _require_fitting(self._name, first, row, len(self._shapes), self._role)
        self._shapes.append(row.shape)
        self._file.write(np.ascontiguousarray(row).tobytes())

    def field(self) -> Field:
        axis = _varying_axis(self._shapes, self._name, self._role)
        sizes = [int(np.prod(shape)) for shape in self._shapes]
        self._file.flush()
        assert self._dtype is not None
        flat = np.memmap(self._file, self._dtype, "r", shape=(sum(sizes),)) if sum(sizes) else np.empty(0, self._dtype)
        if axis is None:
            return Field(flat.reshape(len(self._shapes), *self._shapes[0]))
        if axis == 0:
            return Field(flat.reshape(-1, *self._shapes[0][1:]), _offsets([shape[0] for shape in self._shapes]))
        ends = np.cumsum([0, *sizes])
        rows = [flat[ends[row] : ends[row + 1]].reshape(shape) for row, shape in enumerate(self._shapes)]
        return _laid_out(rows, axis)


def field_of(name: str, value: Any, role: str) -> Field:
    """Return the rows of one input from an array, or from a list of arrays that may differ in length."""
    value = plain(value)
    is_rows = isinstance(value, list | tuple) or (isinstance(value, np.ndarray) and value.dtype.hasobject)
    if not is_rows:
        array = numbers(value, name, role)
        if array.ndim == 0:
            raise DataError(f"{called(name)} of the {role} data is {value!r}: give an array with a row an example.")
        return Field(array)
    rows = [numbers(given, name, role, row) for row, given in enumerate(value)]
    if not rows:
        raise no_rows(role)
    for number, row in enumerate(rows):
        _require_fitting(name, (rows[0].dtype, rows[0].shape), row, number, role)
    axis = _varying_axis([row.shape for row in rows], name, role)
    return Field(np.stack(rows)) if axis is None else _laid_out(rows, axis)


def _laid_out(rows: Sequence[np.ndarray], axis: int) -> Field:
    fronted = [np.moveaxis(row, axis, 0) for row in rows]
    return Field(np.concatenate(fronted), _offsets([len(row) for row in fronted]), axis)


def _offsets(lengths: Sequence[int]) -> np.ndarray:
    return np.cumsum([0, *lengths], dtype=np.int64)


def numbers(value: Any, name: str, role: str, row: int | None = None) -> np.ndarray:
    """Return an array of numbers; real ones as float32 unless they are of half precision."""
    try:
        array = np.asarray(plain(value))
    except USER_ERRORS as error:
        array = np.empty(0, dtype=object)
        if not isinstance(error, ValueError):
            raise
    if array.dtype.kind not in "biufc":
        where = "" if row is None else f" in row {row}"
        raise DataError(
            f"{called(name)} of the {role} data is {shortened(repr(value))}{where}, a {type(value).__name__}: "
            "numbers are needed. Give arrays or tensors of numbers; texts and files have to be read and encoded by the "
            "dataset."
        )
    if array.dtype.kind == "c":
        return array.astype(np.complex64, copy=False)
    return array.astype(np.float32, copy=False) if array.dtype.kind == "f" and array.dtype.itemsize > 4 else array


def _require_fitting(
    name: str, first: tuple[np.dtype, tuple[int, ...]], row: np.ndarray, number: int, role: str
) -> None:
    """Raise DataError where a row has another type of number than the first one, or a shape that does not fit it."""
    dtype, shape = first
    if row.dtype != dtype:
        raise DataError(
            f"{called(name)} of the {role} data is {dtype} in row 0 and {row.dtype} in row {number}. Give all rows one "
            "type of number, for instance float32."
        )
    if len(row.shape) != len(shape) or 0 in row.shape:
        raise DataError(
            f"{called(name)} of the {role} data has shape {shape} in row 0 and {row.shape} in row {number}: rows may "
            "differ in the length of one dimension, and none may be empty. Bring them to one shape."
        )


def _varying_axis(shapes: Sequence[tuple[int, ...]], name: str, role: str) -> int | None:
    """Return the one dimension that differs between rows, or None where all have one shape."""
    differing = [axis for axis, sizes in enumerate(zip(*shapes, strict=True)) if len(set(sizes)) > 1]
    if len(differing) > 1:
        other = next(row for row, shape in enumerate(shapes) if shape != shapes[0])
        raise DataError(
            f"{called(name)} of the {role} data differs in {len(differing)} dimensions, {shapes[0]} in row 0 and "
            f"{shapes[other]} in row {other} for two: rows may differ in the length of one, which is filled up with "
            "zeros. Crop or resize them to agree in the others."
        )
    return differing[0] if differing else None


def called(name: str) -> str:
    return "the input" if name == SINGLE else f"input {name!r}"


def examples_of(inputs: Any, targets: Any, role: str) -> Examples:
    """Return examples from inputs and targets in memory.

    Args:
        inputs: An array (rows, ...), a list of arrays, one a row, or a mapping from input names to either.
        targets: Labels or 0/1 columns: an array, list, Series or DataFrame.
        role: For errors.

    Raises:
        DataError: They are empty, of different numbers, or nothing that can be made arrays of numbers.
    """
    named = inputs if isinstance(inputs, Mapping) else {SINGLE: inputs}
    if not named:
        raise DataError(f"the {role} inputs are an empty mapping: give at least one array by its name.")
    fields = {_checked_name(name, role): field_of(name, rows, role) for name, rows in named.items()}
    array, labels = _targets(targets, role)
    counts = {**{called(name): len(field) for name, field in fields.items()}, "the targets": len(array)}
    if len(set(counts.values())) > 1:
        shown = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise DataError(
            f"the {role} data does not belong together: numbers of rows are {shown}. Give one target a row."
        )
    if not len(array):
        raise no_rows(role)
    return Examples(fields, array, labels)


def read_dataset(dataset: Any, role: str, scratch: Path | None = None) -> Examples:
    """Return examples from a dataset's items, each an (input, target) pair, read once and in order.

    Args:
        dataset: Has a length and gives items by their index, as a map-style `torch.utils.data.Dataset` does.
        role: "train" or "test", for errors.
        scratch: A folder for what is read, which need not fit the memory; None for the system's temporary folder.

    Raises:
        DataError: It is empty; or an item cannot be read, is no pair, does not fit the others, or changes when reread.
    """
    try:
        rows = len(dataset)
    except USER_ERRORS as error:
        raise DataError(
            f"the {role} dataset is a {type(dataset).__name__} without a length: {error}. Give a map-style dataset, "
            "with __len__ and __getitem__, or a pair of arrays (inputs, targets)."
        ) from error
    if rows == 0:
        raise no_rows(role)
    first, _ = _item(dataset, 0, role)
    with ExitStack() as files:
        writers = {name: files.enter_context(closing(FieldWriter(name, role, scratch))) for name in first}
        targets = _written(dataset, rows, writers, role)
        fields = {name: writer.field() for name, writer in writers.items()}
    _require_same_again(dataset, fields, role)
    array, labels = _targets(targets, role)
    return Examples(fields, array, labels)


def _written(dataset: Any, rows: int, writers: Mapping[str, FieldWriter], role: str) -> list[Any]:
    """Hand every item's inputs to the writers; return the targets."""
    targets = []
    for row in range(rows):
        inputs, target = _item(dataset, row, role)
        if inputs.keys() != writers.keys():
            raise DataError(
                f"item {row} of the {role} dataset has the inputs {listed(inputs)}, and item 0 has {listed(writers)}. "
                "Give every item the same ones."
            )
        for name, writer in writers.items():
            writer.add(inputs[name])
        targets.append(target)
    return targets


def _item(dataset: Any, row: int, role: str) -> tuple[dict[str, np.ndarray], Any]:
    try:
        item = dataset[row]
    except USER_ERRORS as error:
        raise DataError(
            f"item {row} of the {role} dataset cannot be read: {type(error).__name__}: {error}. Mend the dataset's "
            "__getitem__, or leave the row out."
        ) from error
    if not isinstance(item, tuple | list) or len(item) != 2:
        raise DataError(
            f"item {row} of the {role} dataset is a {type(item).__name__}, not a pair: give (input, target), the input "
            "an array or a dict of arrays."
        )
    inputs, target = item
    named = inputs if isinstance(inputs, Mapping) else {SINGLE: inputs}
    return {_checked_name(name, role): numbers(value, name, role, row) for name, value in named.items()}, plain(target)


def _targets(value: Any, role: str) -> tuple[np.ndarray, tuple[str, ...] | None]:
    """Return targets as an array of (rows,) or (rows, labels), and the names of columns that have any."""
    labels = tuple(str(name) for name in value.columns) if hasattr(value, "columns") else None
    check_column_names(labels or (), role)
    if isinstance(value, list | tuple):
        value = [plain(target) for target in value]
    if isinstance(value, list) or getattr(getattr(value, "dtype", None), "hasobject", False):
        check_texts_are_unicode(value, "the targets", role, are_names=True)  # NumPy would drop a NUL at their ends
    try:
        array = np.asarray(plain(value.to_numpy() if hasattr(value, "to_numpy") else value))
    except ValueError as error:
        raise DataError(
            f"the {role} targets differ in shape from row to row: {error}. Give one label per row, or for several "
            "labels per row 0/1 columns, the same for every row."
        ) from error
    if array.ndim == 2 and array.shape[1] == 1:
        array, labels = array[:, 0], None
    if array.ndim not in (1, 2):
        raise DataError(
            f"the {role} targets have shape {array.shape}: give one label per row, shape (rows,), or for several "
            "labels per row 0/1 columns, shape (rows, labels)."
        )
    _require_present(array, role)
    return _without_objects(array, role), labels


def _require_present(array: np.ndarray, role: str) -> None:
    import pandas as pd

    absent = pd.isna(array)
    missing = np.flatnonzero(absent if absent.ndim == 1 else absent.any(axis=1))
    if missing.size:
        raise DataError(
            f"{missing.size} of {len(array)} {role} targets are missing (NaN or None): {row_list(missing)}. Label "
            "these rows or remove them."
        )


def _without_objects(array: np.ndarray, role: str) -> np.ndarray:
    """Return an array that can be written without pickle."""
    if not array.dtype.hasobject:
        return array
    kinds = sorted({type(target).__name__ for target in array.flat})
    if len(kinds) > 1 or kinds[0] not in ("str", "int", "bool", "float"):
        raise DataError(
            f"the {role} targets are of the types {listed(kinds)}: give text, whole numbers or booleans, all of one "
            "type."
        )
    return np.asarray(array.tolist())


def _require_same_again(dataset: Any, fields: Mapping[str, Field], role: str) -> None:
    """Refuse a dataset that draws random numbers: reading it once would keep the first draw for ever."""
    for row in {0, len(next(iter(fields.values()))) - 1}:
        again, _ = _item(dataset, row, role)
        for name, field in fields.items():
            if not np.array_equal(field.row(row), again[name], equal_nan=field.elements.dtype.kind == "f"):
                raise DataError(
                    f"item {row} of the {role} dataset is another each time it is read: the dataset draws random "
                    "numbers (augmentation?), and rows are read once. Give the plain rows, and augment them in the "
                    "model's forward where self.training is true."
                )


def _checked_name(name: Any, role: str) -> str:
    if not isinstance(name, str) or not name.isidentifier() or not name.isascii():
        raise DataError(
            f"the {role} data has an input called {name!r}: inputs given by name are the arguments of the model's "
            "forward, so a name is a Python identifier."
        )
    return name
