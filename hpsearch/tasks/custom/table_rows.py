"""Tables as a custom task's rows: one column (or several) of targets, some beside the rows, the others are inputs."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hpsearch.data.hub_datasets import is_dataset, label_column
from hpsearch.data.pixels import read_picture, unreadable
from hpsearch.data.tables_in_memory import table_in_memory
from hpsearch.data.wording import listed
from hpsearch.errors import DataError, TaskError, nearest
from hpsearch.tasks.example_source import ExampleSource

if TYPE_CHECKING:
    import pandas as pd


def rows_of_table(
    given: Any, label: str | Sequence[str] | None, beside: Mapping[str, str], role: str
) -> tuple[Any, dict[str, np.ndarray]]:
    """Return (inputs, targets) of a table in memory, and the columns beside them by name; anything else as it is.

    Args:
        given: What the user gave as rows.
        label: The column of targets, or several. None: "label" or "labels"; of a `datasets.Dataset` else its one column
            of classes.
        beside: Name to column, of groups and weights. Those that are not there are left out.
        role: For errors.

    Raises:
        TaskError: It has no such column of targets, or no others.
    """
    if isinstance(given, ExampleSource | str | Path) or callable(given):
        return given, {}
    table = table_in_memory(given, (), role)
    if table is None:
        return given, {}
    targets = _targets(given, table, label, role)
    inputs = [name for name in table.columns if name not in targets and name not in beside.values()]
    if not inputs:
        raise TaskError(
            f"{role}= is a {type(given).__name__} with the columns {listed(map(str, table.columns))} only: there is "
            "none left for the model's inputs. Give it one, or a pair of arrays (inputs, targets)."
        )
    columns = {str(name): _column(table[name], str(name), role) for name in inputs}
    found = {name: table[column].to_numpy() for name, column in beside.items() if column in table.columns}
    named: Any = next(iter(columns.values())) if len(columns) == 1 else columns
    several = isinstance(label, list | tuple)
    return (named, table[list(targets)] if several else table[targets[0]].tolist()), found


def _targets(given: Any, table: "pd.DataFrame", label: str | Sequence[str] | None, role: str) -> Sequence[str]:
    """Return the columns of targets."""
    present = [str(name) for name in table.columns]
    if label is None:
        usual = next((name for name in ("label", "labels") if name in present), None)
        found = label_column(given) if usual is None and is_dataset(given) else usual
        if found is None:
            raise TaskError(
                f"{role}= is a {type(given).__name__}, and which of its columns holds the targets is not said. Name "
                f"it: label={present[-1] if present else 'label'!r}. Its columns: {listed(present, 20)}."
            )
        return [found]
    names = [label] if isinstance(label, str) else list(label)
    for name in names:
        if name not in present:
            raise TaskError(
                f"{role}= has no column {name!r} of targets.{nearest(name, present)} Its columns: "
                f"{listed(present, 20)}."
            )
    return names


def _column(column: "pd.Series[Any]", name: str, role: str) -> Any:
    """Return a column as an array, or as a list of arrays, one a row; images as they are in their files."""
    values = column.tolist()
    if column.dtype != object:
        return column.to_numpy()
    if values and isinstance(values[0], Mapping) and set(values[0]) & {"bytes", "path"}:
        return [_picture(value, name, role, row) for row, value in enumerate(values)]
    return [np.asarray(value) if isinstance(value, list | tuple) else value for value in values]


def _picture(value: Mapping[str, Any], name: str, role: str, row: int) -> np.ndarray:
    """Return an image's pixels, uint8 of shape (height, width) or (height, width, channels)."""
    content = value.get("bytes")
    try:
        return np.asarray(read_picture(str(value.get("path")) if content is None else io.BytesIO(content)).image)
    except unreadable() as error:
        raise DataError(
            f"the image in column {name!r} of the {role} data cannot be read in row {row} (counted from 0): {error}. "
            "Replace it or remove its row."
        ) from error
