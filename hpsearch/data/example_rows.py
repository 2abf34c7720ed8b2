"""The rows of one input of examples: arrays of numbers that agree in shape, or differ in one dimension's length."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

import numpy as np

from hpsearch.data.examples import SINGLE, Field
from hpsearch.data.wording import no_rows, shortened
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
"""What code of a user's raises when it does not work."""


def plain(value: Any) -> Any:
    """Return a tensor of torch as an array of NumPy; anything else as it is."""
    if hasattr(value, "detach") and hasattr(value, "cpu"):
        value = value.detach().cpu()
        return value.float().numpy() if str(value.dtype) == "torch.bfloat16" else value.numpy()
    return value


class FieldWriter:
    """Takes the rows of one input one after the other, on disk, and tells in the end what they have in common."""

    def __init__(self, name: str, role: str, scratch: Path | None) -> None:
        self._name, self._role = name, role
        self._shapes: list[tuple[int, ...]] = []
        self._dtype: np.dtype | None = None
        if scratch is not None:
            scratch.mkdir(parents=True, exist_ok=True)
        self._file: IO[bytes] = TemporaryFile(dir=scratch)  # noqa: SIM115  # its maker calls `close`

    def close(self) -> None:
        """Close the file; what was mapped from it stays, and goes with it."""
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
    require_rows(len(rows), role)
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


def require_rows(rows: int, role: str) -> None:
    if rows == 0:
        raise no_rows(role)


def called(name: str) -> str:
    return "the input" if name == SINGLE else f"input {name!r}"
