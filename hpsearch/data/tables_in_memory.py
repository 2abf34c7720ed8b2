"""Rows in memory as a DataFrame: Datasets, dicts of columns, lists of records, and pairs (inputs, labels)."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hpsearch.data.example_reading import plain
from hpsearch.data.hub_datasets import dataset_table, is_dataset, is_dataset_dict
from hpsearch.data.wording import counted, listed, no_rows
from hpsearch.errors import DataError

if TYPE_CHECKING:
    import pandas as pd


def table_in_memory(value: Any, columns: Sequence[str], role: str) -> "pd.DataFrame | None":
    """Return rows in memory as a DataFrame; None where a value is no table.

    Args:
        value: A DataFrame, a `datasets.Dataset`, another table with `to_pandas` (of pyarrow, of polars), a dict of
            columns, or a list of dicts, one a row.
        columns: Those that are read, so that a large Dataset gives no others.
        role: For errors.

    Raises:
        DataError: It is one of these, and cannot be read.
    """
    import pandas as pd

    if hasattr(value, "columns") and hasattr(value, "iloc"):
        return value
    if is_dataset_dict(value):
        raise DataError(
            f"{role}= is a DatasetDict, and only train= takes one, with all of its splits. Give one of them: "
            f"{role}=dataset[{next(iter(value))!r}]."
        )
    if is_dataset(value):
        return dataset_table(value, columns, role)
    if hasattr(value, "to_pandas"):
        table: pd.DataFrame = value.to_pandas()
        return table
    if isinstance(value, Mapping):
        return columns_table(value, role)
    if isinstance(value, list | tuple) and value and all(isinstance(row, Mapping) for row in value):
        return pd.DataFrame([dict(row) for row in value])
    return None


def columns_table(value: Mapping[Any, Any], role: str) -> "pd.DataFrame":
    """Return the rows of a dict of columns, each a list, array or Series, all of one length."""
    import pandas as pd

    wrong = [
        name for name, column in value.items() if isinstance(column, str | bytes) or not hasattr(column, "__len__")
    ]
    if wrong or not value:
        shown = f"and {listed(wrong)} is none, but {value[wrong[0]]!r}" if wrong else "and it is empty"
        raise DataError(
            f"the {role} data is a dict, which is taken for columns, each a list or array, {shown}. "
            "Give {'text': [...], 'label': [...]}, or a list of dicts, one a row."
        )
    columns = {str(name): _column(column) for name, column in value.items()}
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"{name!r} {length}" for name, length in lengths.items())
        raise DataError(
            f"the {role} data is a dict of columns of different lengths: {shown}. Give each one value a row, in order."
        )
    return pd.DataFrame({name: pd.Series(column) for name, column in columns.items()})


def _column(values: Any) -> Any:
    """Return a column as pandas takes it: of an array of several dimensions a list of rows."""
    if hasattr(values, "iloc"):
        return values.reset_index(drop=True)
    array = plain(values)
    if isinstance(array, np.ndarray):
        return list(array) if array.ndim > 1 else array
    held = list(array)
    return held if held and isinstance(held[0], str | int | float | bool) else _objects(held)


def _objects(values: Sequence[Any]) -> np.ndarray:
    """Return an object array of these values, which may be lists and arrays themselves."""
    array = np.empty(len(values), dtype=object)
    for place, value in enumerate(values):
        array[place] = value
    return array


def is_pair(value: Any) -> bool:
    """Whether a value is a pair (inputs, labels), not two rows."""
    return isinstance(value, tuple | list) and len(value) == 2 and not all(isinstance(row, Mapping) for row in value)


def pair_of_texts(value: Any, text: str | tuple[str, ...], label: Any, role: str) -> "tuple[pd.DataFrame, Any]":
    """Return texts and labels as a table, and the names of its columns of labels.

    Args:
        value: The pair: texts, one a row (of pairs of texts two a row, or a dict of two columns), and labels: one a
            row, or several columns.
        text: The column of texts, or the two columns of a pair.
        label: The column of labels, or several. Where labels have several columns and `label` names one, they keep
            their names, or are called label_0, label_1, ...
        role: For errors.

    Raises:
        DataError: There are not as many labels as texts, or other things than texts.
    """
    import pandas as pd

    inputs, labels = (plain(part) for part in value)
    names = (text,) if isinstance(text, str) else text
    if isinstance(inputs, str) or not hasattr(inputs, "__len__"):
        raise DataError(
            f"{role}= is a pair, which is taken for (texts, labels), and {inputs!r} is no list of texts. Give two "
            "lists of one length, or a table."
        )
    columns = _text_columns(inputs, names, role)
    of_labels = _label_columns(labels, label)
    numbers = {len(column) for column in columns.values()} | {len(column) for column in of_labels.values()}
    if len(numbers) != 1:
        texts, given = (len(next(iter(each.values()))) for each in (columns, of_labels))
        raise DataError(
            f"there are {counted(texts, f'{role} text')} and {counted(given, 'label')}. Give one label for each text, "
            "in order."
        )
    if numbers == {0}:
        raise no_rows(role)
    found = label if len(of_labels) == 1 or not isinstance(label, str) else tuple(of_labels)
    return pd.DataFrame({**columns, **of_labels}), found


def _text_columns(inputs: Any, names: Sequence[str], role: str) -> dict[str, Any]:
    """Return columns of texts by name."""
    if isinstance(inputs, Mapping) or hasattr(inputs, "columns"):
        given = [_column(inputs[name]) for name in inputs]
        if len(given) != len(names):
            raise DataError(
                f"text={list(names)!r} names {counted(len(names), 'column')}, and the {role} texts have {len(given)}. "
                "Give one name for each."
            )
        return dict(zip(names, given, strict=True))
    if len(names) == 1:
        texts = list(inputs)
        if texts and isinstance(texts[0], tuple | list):
            raise DataError(
                f"the {role} data has {len(texts[0])} texts a row, and text={names[0]!r} names one column. Name one "
                "for each, such as text=('text', 'text_pair')."
            )
        return {names[0]: _objects(texts)}
    rows = [tuple(row) if isinstance(row, tuple | list | np.ndarray) else (row,) for row in inputs]
    wrong = [row for row, texts in enumerate(rows) if len(texts) != len(names)]
    if wrong:
        raise DataError(
            f"text={list(names)!r} names two columns, and row {wrong[0]} (counted from 0) of the {role} texts is "
            f"{rows[wrong[0]]!r}. Give two texts a row: [(first, second), ...]."
        )
    return {name: _objects([row[place] for row in rows]) for place, name in enumerate(names)}


def _label_columns(labels: Any, label: Any) -> dict[str, Any]:
    """Return the columns of labels by name: those that `label` gives, else their own, else label_0, label_1, ..."""
    if hasattr(labels, "iloc") and hasattr(labels, "columns"):
        own: list[Any] = [str(name) for name in labels.columns]
        columns = [labels.iloc[:, place].reset_index(drop=True) for place in range(len(own))]
    elif getattr(labels, "ndim", 1) == 2 or (
        isinstance(labels, list) and labels and isinstance(labels[0], list | tuple)
    ):
        columns = [_column(list(column)) for column in zip(*labels, strict=True)]
        own = [f"{label}_{place}" for place in range(len(columns))]
    else:
        own, columns = [label], [_column(labels)]
    names = own if isinstance(label, str) and len(own) > 1 else [label] if isinstance(label, str) else list(label)
    if len(names) != len(columns):
        raise DataError(
            f"label={list(label)!r} names {counted(len(names), 'column')}, and the labels have {len(columns)}. Give "
            "one name for each."
        )
    return dict(zip(names, columns, strict=True))
