"""Fingerprints: 32 hexadecimal digits that say what data is, whatever file, index or machine it comes from."""

import hashlib
import json
import struct
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

_CHUNK_BYTES = 1 << 20


def fingerprint_table(table: "pd.DataFrame", columns: Sequence[str] | None = None) -> str:
    """Return the digest of these columns (default: all): their names, their values, and the order of the rows.

    The index, the order of the columns and the way a value is stored (category or text, 32 or 64 bits, a float that
    is a whole number or an integer) do not count, so a table written to another format keeps its fingerprint.
    """
    names = sorted(table.columns if columns is None else columns, key=str)
    return _digest_of_parts([(str(name), _column_digest(table[name])) for name in names])


def fingerprint_files(files: Iterable[str | Path]) -> str:
    """Return the digest of the contents of files in their order; paths and times do not count."""
    return fingerprint_contents(file_digest(path) for path in files)


def fingerprint_contents(digests: Iterable[str]) -> str:
    """Return the same of files that are known by their `file_digest`."""
    return _digest_of_parts([("", content) for content in digests])


def fingerprint_arrays(arrays: Mapping[str, np.ndarray | None]) -> str:
    """Return the digest of named arrays: names, element types, shapes and values. Memory layout does not count.

    None stands for an array that is absent, and differs from an empty one.
    """
    parts = [(name, "absent" if array is None else _array_digest(np.asarray(array))) for name, array in arrays.items()]
    return _digest_of_parts(sorted(parts))


def file_digest(path: str | Path) -> str:
    """Return 64 hexadecimal digits of the SHA-256 of a file's content."""
    content = hashlib.sha256()
    with Path(path).open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            content.update(chunk)
    return content.hexdigest()


def _digest_of_parts(parts: Sequence[tuple[str, str]]) -> str:
    return hashlib.sha256(json.dumps(parts).encode("ascii")).hexdigest()[:32]


def _column_digest(column: "pd.Series[Any]") -> str:
    import pandas as pd

    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(object)
    column = column.infer_objects()
    if pd.api.types.is_bool_dtype(column.dtype) and not column.isna().any():
        return _array_digest(column.to_numpy(dtype=bool))
    if pd.api.types.is_integer_dtype(column.dtype) and not column.isna().any():
        return _array_digest(column.to_numpy(dtype=np.int64))
    if pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype):
        return _number_digest(column.to_numpy(dtype=np.float64, na_value=np.nan))
    return _values_digest(column.tolist())


def _number_digest(values: np.ndarray) -> str:
    exact = np.isfinite(values) & (np.abs(values) < 2.0**53)
    if exact.all() and (values == np.floor(values)).all():
        return _array_digest(values.astype(np.int64))
    return _values_digest(values.tolist())


def _array_digest(array: np.ndarray) -> str:
    if array.dtype.kind in "OUST":
        return hashlib.sha256(f"{array.shape}{_values_digest(array.ravel().tolist())}".encode("ascii")).hexdigest()
    content = hashlib.sha256(f"{array.dtype.newbyteorder('<').str}{array.shape}".encode("ascii"))
    # A chunk of rows at a time: the array may be memory-mapped and larger than memory.
    rows = np.atleast_1d(array)
    step = max(1, _CHUNK_BYTES // max(1, rows[:1].nbytes))
    for start in range(0, len(rows), step):
        chunk = rows[start : start + step]
        content.update(np.ascontiguousarray(chunk.astype(chunk.dtype.newbyteorder("<"), copy=False)).tobytes())
    return content.hexdigest()


def _values_digest(values: Iterable[Any]) -> str:
    """Return the digest of Python values, each with its type, so that 1, "1" and True differ."""
    content = hashlib.sha256()
    for value in values:
        tag, encoded = _tagged(value)
        content.update(tag + struct.pack("<Q", len(encoded)) + encoded)
    return content.hexdigest()


def _tagged(value: Any) -> tuple[bytes, bytes]:
    import pandas as pd

    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, str):
        return b"s", value.encode("utf-8", "surrogatepass")
    if isinstance(value, bytes):
        return b"y", value
    if isinstance(value, np.ndarray | list | tuple):
        return b"l", _values_digest(value).encode("ascii")
    if isinstance(value, dict):
        parts = (part for key in sorted(value, key=str) for part in (key, value[key]))
        return b"d", _values_digest(parts).encode("ascii")
    if pd.isna(value):
        return b"n", b""
    if isinstance(value, bool):
        return b"b", b"1" if value else b"0"
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
        return b"i", str(int(value)).encode("ascii")
    return b"v", str(value).encode("utf-8")
