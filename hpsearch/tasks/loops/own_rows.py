"""Rows of whatever type the user's code takes: counted, told apart by their content, and taken by their index."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hpsearch.errors import DataError, TaskError

_ALLOWED = (
    "a DataFrame, a datasets.Dataset, a list, an array, a dict of columns, a tuple of arrays such as (inputs, labels), "
    "or a map-style dataset"
)


@dataclass(frozen=True, eq=False)
class OwnRows:
    """Rows as the user gives them; they travel to workers in memory.

    Attributes:
        role: "train" or "validation", for errors.
        value: A DataFrame, a datasets.Dataset, a list, an array, a dict of columns, a tuple of arrays, or a map-style
            dataset.
    """

    role: str
    value: Any = field(repr=False)

    @classmethod
    def of(cls, value: Any, role: str) -> "OwnRows":
        """Return rows given as an argument; `TaskError` where they are none."""
        if isinstance(value, OwnRows):
            return value
        is_sized = hasattr(value, "__len__") and hasattr(value, "__getitem__")
        if isinstance(value, str | bytes) or not is_sized or not len(value):
            raise TaskError(
                f"{role}= is a {type(value).__name__}"
                f"{' without rows' if is_sized and not isinstance(value, str | bytes) else ''}: give {_ALLOWED}. Code "
                f"that reads its own rows needs no {role}=."
            )
        if isinstance(value, Mapping) and any(hasattr(split, "column_names") for split in value.values()):
            raise TaskError(
                f"{role}= is a {type(value).__name__} of several splits, {', '.join(map(str, value))}: give one of "
                f"them, {role}=data[{next(iter(value))!r}]."
            )
        rows = cls(role, value)
        lengths = {len(column) for column in rows._columns or ()}
        if len(lengths) > 1:
            raise DataError(f"{role}= has columns of different lengths, {sorted(lengths)}: give each a value a row.")
        return rows

    @property
    def _columns(self) -> Sequence[Any] | None:
        if isinstance(self.value, Mapping):
            return list(self.value.values())
        return self.value if isinstance(self.value, tuple) else None

    def __len__(self) -> int:
        return len(self.value if self._columns is None else self._columns[0])

    def take(self, rows: np.ndarray) -> Any:
        """Return the rows of these indices, of the same type; a map-style dataset gives a list of its items."""
        return _taken(self.value, rows)

    @property
    def digest(self) -> str:
        """32 hexadecimal digits of the content.

        Raises:
            TaskError: A row holds an object whose content nobody can compare.
        """
        hashed = hashlib.sha256()
        _feed(hashed.update, self.value, self.role)
        return hashed.hexdigest()[:32]

    def describe(self) -> dict[str, Any]:
        return {"rows": self.digest, "count": len(self), "role": self.role}


def _taken(value: Any, rows: np.ndarray) -> Any:
    if hasattr(value, "iloc"):
        return value.iloc[rows]
    if hasattr(value, "select") and hasattr(value, "column_names"):
        return value.select([int(row) for row in rows])
    if isinstance(value, Mapping):
        return {name: _taken(column, rows) for name, column in value.items()}
    if isinstance(value, tuple):
        return tuple(_taken(column, rows) for column in value)
    if hasattr(value, "dtype"):
        return value[rows]
    return [value[int(row)] for row in rows]


def _feed(update: Callable[[bytes], None], value: Any, role: str) -> None:  # noqa: PLR0912  (a branch a type)
    """Hash a value with its type, part by part."""
    update(type(value).__name__.encode() + b"\x00")
    if value is None or isinstance(value, bool | int | float | complex | str):
        update(repr(value).encode() + b"\x00")
    elif isinstance(value, bytes | bytearray):
        update(len(value).to_bytes(8, "big") + bytes(value))
    elif hasattr(value, "iloc"):
        _feed(update, {str(name): value[name].tolist() for name in value.columns}, role)
    elif isinstance(value, Mapping):
        for name, part in value.items():
            _feed(update, name, role)
            _feed(update, part, role)
        update(b"}")
    elif hasattr(value, "dtype") and (hasattr(value, "numpy") or isinstance(value, np.ndarray | np.generic)):
        array = np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)
        if array.dtype.hasobject:
            _feed(update, array.tolist(), role)
        else:
            update(f"{array.dtype} {array.shape}".encode() + np.ascontiguousarray(array).tobytes())
    elif hasattr(value, "tobytes") and hasattr(value, "size"):  # an image of Pillow's
        update(f"{getattr(value, 'mode', '')} {value.size}".encode() + value.tobytes())
    elif hasattr(value, "isoformat"):
        update(value.isoformat().encode())
    elif hasattr(value, "__len__") and hasattr(value, "__getitem__"):
        for row in range(len(value)):
            _feed(update, value[row], role)
        update(b"]")
    else:
        raise TaskError(
            f"{role}= holds a {type(value).__name__}, whose content cannot be compared, so it could not be seen that "
            "the rows have changed. Give numbers, texts, arrays and images, or have your code read its own rows."
        )
