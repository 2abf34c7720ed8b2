"""Columns of lists and dicts (messages of a chat, spans): as plain Python has them, and in Parquet files."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from hpsearch.data.unicode import fault_in
from hpsearch.data.wording import shortened
from hpsearch.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

_MARK = b"hpsearch.json_columns"
"""In the metadata of a Parquet file: which columns hold JSON. Arrow's structs give every dict the keys of all."""


def is_nested(column: "pd.Series[Any]") -> bool:
    """Whether a value of a column is a list, tuple, dict or array."""
    import pandas as pd

    may_hold = column.dtype == object or isinstance(column.dtype, pd.ArrowDtype)
    return may_hold and any(isinstance(value, Mapping | list | tuple | np.ndarray) for value in column)


def plain_nested(column: "pd.Series[Any]", name: str, role: str) -> "pd.Series[Any]":
    """Return a nested column with lists, dicts, text, numbers, True, False and None only.

    Tuples and arrays become lists, what is missing becomes None.

    Raises:
        DataError: Something else is in it, a dict has a key that is no text, or a text has half a character.
    """
    import pandas as pd

    rows = [_plain(value, (), f"column {name!r} of the {role} data", row) for row, value in enumerate(column.tolist())]
    return pd.Series(rows, index=column.index, dtype=object)


def _plain(value: Any, path: tuple[Any, ...], what: str, row: int) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, str):
        fault = fault_in(value)
        if fault:
            raise DataError(f"{what} has {shortened(ascii(value))} in {_place(row, path)}: {fault}")
        return value
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return None if math.isnan(value) else value
    if isinstance(value, np.ndarray):
        value = list(value)
    if isinstance(value, list | tuple):
        return [_plain(part, (*path, place), what, row) for place, part in enumerate(value)]
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str) or fault_in(key):
                raise DataError(
                    f"{what} has a dict with the key {key!a}, a {type(key).__name__}, in {_place(row, path)}: "
                    "keys are texts. Convert them with str()."
                )
        return {key: _plain(part, (*path, key), what, row) for key, part in value.items()}
    import pandas as pd

    if pd.isna(value) is True:
        return None
    raise DataError(
        f"{what} holds {shortened(repr(value))}, a {type(value).__name__}, in {_place(row, path)}: lists and dicts may "
        "hold texts, numbers, True, False and None. Convert it, for instance with str()."
    )


def _place(row: int, path: tuple[Any, ...]) -> str:
    """Return where something stands: `row 3 (counted from 0), at [0]['content']`."""
    inside = "".join(f"[{part!r}]" for part in path)
    return f"row {row} (counted from 0){f', at {inside}' if inside else ''}"


def without_absent(value: Any) -> Any:
    """Return a value of Arrow's, its arrays as lists, its dicts without the keys that hold None.

    Arrow gives every dict of a column the keys of all of them: a key that was absent and one that held None are the
    same to it, and a chat template takes the first for the second.
    """
    if isinstance(value, np.ndarray | list | tuple):
        return [without_absent(part) for part in value]
    if isinstance(value, Mapping):
        return {key: without_absent(part) for key, part in value.items() if part is not None}
    return value


def read_parquet(path: str | Path) -> "pd.DataFrame":
    """Return the rows of a Parquet file, nested columns as lists and dicts.

    Raises:
        ArrowException, OSError: It is no such file.
    """
    import pandas as pd
    import pyarrow.parquet

    table = pd.read_parquet(path)
    encoded = json.loads((pyarrow.parquet.read_schema(path).metadata or {}).get(_MARK, b"[]"))
    for name in table.columns:
        if name in encoded:
            values = [json.loads(text) for text in table[name].tolist()]
        elif is_nested(table[name]):
            values = [without_absent(value) for value in table[name].tolist()]
        else:
            continue
        table[name] = pd.Series(values, index=table.index, dtype=object)
    return table


def write_parquet(table: "pd.DataFrame", file: BinaryIO, nested: Sequence[str]) -> None:
    """Write rows as `read_parquet` reads them back, equal dict for dict; the nested columns are plain ones.

    Raises:
        ArrowException, TypeError, ValueError: A column has values of several types.
    """
    if not nested:
        table.to_parquet(file, index=False)
        return
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet

    texts = {name: pd.Series(list(map(json.dumps, table[name])), index=table.index) for name in nested}
    written = pa.Table.from_pandas(table.assign(**texts), preserve_index=False)
    mark = {_MARK: json.dumps(list(nested)).encode()}
    pyarrow.parquet.write_table(written.replace_schema_metadata({**(written.schema.metadata or {}), **mark}), file)
