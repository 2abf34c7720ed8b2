"""Numbers in, float64 targets out: what cannot be learned from is an error before any training."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from hpsearch.data.wording import listed, no_rows, row_list
from hpsearch.errors import DataError, nearest

LARGEST = 1e150
"""The square of a greater number is beyond float64."""

LEAST_RANGE = 1e-150
"""The squares of smaller differences are lost in float64, and with them the deviation that targets are divided by."""

UNNAMED = "target"
"""What a target without a name is called where there must be one."""


def numbers_of(values: Any, names: Sequence[str] | None, role: str) -> tuple[tuple[str, ...], np.ndarray]:
    """Return the targets' names, and float64 numbers of shape (rows, targets).

    Args:
        values: A column (array, list or Series) of numbers, shape (rows,); a DataFrame with a column for each target;
            or an array of shape (rows, targets).
        names: The targets that were learned, which a DataFrame must have; None for those that are given.
        role: For errors.

    Raises:
        DataError: There are no rows, two columns have one name, or a value is missing, no number, not finite, or too
            large to be squared.
    """
    columns = _columns(values, names, role)
    found = tuple(columns)
    if not found or not len(columns[found[0]]):
        raise no_rows(role)
    return found, np.stack([_numbers(name, columns[name], role) for name in found], axis=1)


def check_differ(names: Sequence[str], numbers: np.ndarray, where: str, remedy: str) -> None:
    """Raise DataError where a target is the same number in all rows, or so nearly that deviations are no numbers.

    Args:
        names: Of the targets.
        numbers: Shape (rows, targets).
        where: Which rows these are, for the error.
        remedy: What to do.
    """
    for name, column in zip(names, numbers.T, strict=True):
        if column.min() == column.max():
            raise DataError(
                f"{called(name)} is {float(column[0])!r} in each of the {len(column)} {where}: there is nothing to "
                f"tell apart. {remedy}"
            )
        low, high = float(column.min()), float(column.max())
        if high - low < LEAST_RANGE:
            raise DataError(
                f"{called(name)} lies between {low!r} and {high!r} in the {len(column)} {where}: a range below "
                f"{LEAST_RANGE:g}, whose square is 0 in float64. Give the targets in smaller units: multiply them, "
                "by 1e200 say."
            )


def called(name: str) -> str:
    """Return a target's name as errors and remarks say it; a single column may have none."""
    return f"target {name!r}" if name else "the target"


def _columns(values: Any, names: Sequence[str] | None, role: str) -> dict[str, Any]:
    """Return the column of each target by name; those of an array are called "0", "1", ... unless named."""
    if hasattr(values, "columns"):
        present = [str(name) for name in values.columns]
        _check_names(names or present, present, role)
        for name in names or ():
            if name not in present:
                raise DataError(
                    f"the {role} data has no column {name!r} of targets.{nearest(name, present)} "
                    f"Its columns: {listed(present, 20)}."
                )
        return {name: values.iloc[:, present.index(name)] for name in names or present}
    if getattr(values, "ndim", 1) == 1 and not _has_rows_of_several(values):
        own = str(getattr(values, "name", None) or "")
        _check_number(1, names, role)
        return {names[0] if names else own: values}
    array = np.asarray(values)
    if array.ndim != 2:
        raise DataError(
            f"the {role} targets have shape {array.shape}: give one number a row, shape (rows,), or several, shape "
            "(rows, targets)."
        )
    _check_number(array.shape[1], names, role)
    found = names or (("",) if array.shape[1] == 1 else [str(place) for place in range(array.shape[1])])
    return {name: array[:, place] for place, name in enumerate(found)}


def _check_names(names: Sequence[str], present: Sequence[str], role: str) -> None:
    """Raise DataError where two columns have one name, with those that have none called as `UNNAMED` says."""
    filled = [name or UNNAMED for name in present]
    for name in names:
        places = [place for place, other in enumerate(filled) if other == (name or UNNAMED)]
        if len(places) > 1:
            raise DataError(
                f"columns {listed(places)} (counted from 0) of the {role} targets are called {filled[places[0]]!r}; a "
                f"column without a name is called {UNNAMED!r}. Give each a name of its own."
            )


def _has_rows_of_several(values: Any) -> bool:
    """Return whether a list holds the numbers of each row together: [[1.0, 2.0], [3.0, 4.0]]."""
    first = next(iter(values), None) if not hasattr(values, "dtype") else None
    return hasattr(first, "__len__") and not isinstance(first, str)


def _check_number(given: int, names: Sequence[str] | None, role: str) -> None:
    if names is not None and given != len(names):
        raise DataError(
            f"the {role} rows have {given} target{'' if given == 1 else 's'} each, and {len(names)} were learned. "
            "Give the same ones."
        )


def _numbers(name: str, column: Any, role: str) -> np.ndarray:
    """Return a column as finite float64, shape (rows,)."""
    import pandas as pd

    series = pd.Series(column).reset_index(drop=True)
    kinds = pd.api.types
    if not kinds.is_numeric_dtype(series) or kinds.is_bool_dtype(series) or kinds.is_complex_dtype(series):
        wrong = [row for row, value in enumerate(series.tolist()) if not _is_number(value)]
        odd = [row for row in wrong if pd.isna(pd.to_numeric(series.iloc[[row]], errors="coerce")).all()]
        wrong = odd or wrong  # of a file's column with one cell that is no number all are texts
        if wrong:
            first = series.tolist()[wrong[0]]
            raise DataError(
                f"{called(name)} of the {role} data has {first!r}, a {type(first).__name__}, in {row_list(wrong)}: "
                f"numbers are needed. {_remedy(first)}"
            )
    array = series.to_numpy(dtype=np.float64, na_value=np.nan)
    for what, wrong_rows, remedy in (
        ("missing (NaN)", np.flatnonzero(np.isnan(array)), "Fill the gaps in or remove these rows."),
        ("infinite", np.flatnonzero(np.isinf(array)), "Correct these rows or remove them."),
        (f"beyond {LARGEST:g}", np.flatnonzero(np.abs(array) > LARGEST), "Give the targets in larger units."),
    ):
        if wrong_rows.size:
            raise DataError(
                f"{called(name)} of the {role} data is {what} in {wrong_rows.size} of {len(array)} rows: "
                f"{row_list(wrong_rows)}. {remedy}"
            )
    return np.asarray(array)


def _is_number(value: Any) -> bool:
    import numbers

    import pandas as pd

    if pd.api.types.is_scalar(value) and pd.isna(value):
        return True  # missing, which is said in its own words
    return isinstance(value, numbers.Real | np.number) and not isinstance(value, bool | np.bool_)


def _remedy(value: Any) -> str:
    if isinstance(value, bool | np.bool_):
        return "True and False are two classes: use a classification, or convert the column with .astype(float)."
    return "Convert the column (pandas.to_numeric), or use a classification where these are classes."
