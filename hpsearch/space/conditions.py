"""The values that hyperparameters take, and the condition under which one exists."""

import contextlib
import math
import numbers
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import PurePath
from typing import Any, TypeAlias, TypeGuard

from hpsearch.errors import SpaceError

Scalar: TypeAlias = bool | int | float | str | None
"""A value that JSON, Optuna and a database column can all hold."""


ROUNDING = 1e-12
"""Numbers that differ by a smaller share are the same one, computed in two ways."""

SINGLE = 1e-7
"""The same for numbers that have been of single precision on their way."""


def scalar(value: Any) -> Scalar:
    """Return `value` as a plain Python scalar (NumPy's and torch's numbers become Python's, a path its text).

    A number of half or single precision is what its shortest text says: `np.float32(1e-3)` is 0.001.

    Raises:
        SpaceError: It is not finite, or neither None, a bool, a number nor a string.
    """
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        value = _item(value)
    if isinstance(value, Decimal):
        value = float(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str | PurePath):
        return str(value)
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        if not math.isfinite(value):
            raise SpaceError(f"{value!r} cannot be written as JSON; use a finite number.")
        return float(value)
    raise SpaceError(
        f"{value!r} is a {type(value).__name__}, which a hyperparameter cannot be; "
        "use None, a bool, a number or a string, and turn it into what is meant inside the task."
    )


def _item(value: Any) -> Any:
    item, precision = value.item(), str(value.dtype).rpartition(".")[2]
    if isinstance(item, float) and precision in ("float16", "float32"):
        return _shortest(item, "e" if precision == "float16" else "f")
    return item


def _shortest(value: float, code: str) -> float:
    """Return the number of fewest digits that is `value` in a lower precision, `struct`'s code for it: 0.001."""
    for digits in range(1, 10):
        rounded = float(f"{value:.{digits}g}")
        with contextlib.suppress(OverflowError):
            if struct.unpack(code, struct.pack(code, rounded))[0] == value:
                return rounded
    return value


def snapped(value: Scalar, to: Iterable[Scalar]) -> Scalar:
    """Return the one of some values that a number is within rounding of, else the value as it is."""
    values = tuple(to)
    if not _is_number(value) or any(same(value, target) for target in values):
        return value
    return next((each for each in values if _is_number(each) and math.isclose(value, each, rel_tol=SINGLE)), value)


def _is_number(value: Scalar) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def same(one: Scalar, other: Scalar) -> bool:
    """Return whether two scalars are the same value: 1 and 1.0 are, 1 and True are not."""
    return isinstance(one, bool) == isinstance(other, bool) and one == other


@dataclass(frozen=True)
class Condition:
    """Hyperparameter `name` has one of `values`.

    Raises:
        SpaceError: There is no value, or one is not a scalar.
    """

    name: str
    values: Sequence[Scalar]

    def __post_init__(self) -> None:
        if not self.values:
            raise SpaceError(f"when({self.name}=()) would never hold; give at least one value.")
        object.__setattr__(self, "values", tuple(scalar(value) for value in self.values))

    def holds(self, value: Scalar) -> bool:
        """Return whether the condition holds where the hyperparameter has this value."""
        return any(same(value, wanted) for wanted in self.values)

    def __str__(self) -> str:
        return f"{self.name}={self.values[0] if len(self.values) == 1 else tuple(self.values)!r}"
