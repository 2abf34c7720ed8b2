"""Where examples come from: arrays in memory, or a dataset read once, item by item."""

from collections.abc import Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import numpy as np

from hpsearch.data.example_rows import USER_ERRORS, FieldWriter, called, field_of, numbers, plain, require_rows
from hpsearch.data.examples import SINGLE, Examples, Field
from hpsearch.data.wording import listed, row_list
from hpsearch.errors import DataError


def examples_of(inputs: Any, targets: Any, role: str) -> Examples:
    """Return examples from inputs and targets in memory.

    Args:
        inputs: An array (rows, ...), a list of arrays, one a row, or a mapping from input names to either.
        targets: Labels or 0/1 columns: an array, list, Series or DataFrame.
        role: "train" or "test", for errors.

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
    require_rows(len(array), role)
    return Examples(fields, array, labels)


def read_dataset(dataset: Any, role: str, scratch: Path | None = None) -> Examples:
    """Return examples from a dataset's items, each an (input, target) pair, read once and in order.

    Args:
        dataset: Has a length and gives items by their index, as a map-style `torch.utils.data.Dataset` does.
        role: "train" or "test", for errors.
        scratch: A folder for what is read, which need not fit the memory; None for the system's temporary folder.

    Raises:
        DataError: It is empty, an item cannot be read, is no pair, does not fit the others, or differs when it is
            read a second time.
    """
    try:
        rows = len(dataset)
    except USER_ERRORS as error:
        raise DataError(
            f"the {role} dataset is a {type(dataset).__name__} without a length: {error}. Give a map-style dataset, "
            "with __len__ and __getitem__, or a pair of arrays (inputs, targets)."
        ) from error
    require_rows(rows, role)
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
    if isinstance(value, list | tuple):
        value = [plain(target) for target in value]
    try:
        array = np.asarray(plain(value.to_numpy() if hasattr(value, "to_numpy") else value))
    except ValueError as error:
        raise DataError(
            f"the {role} targets differ in shape from row to row: {error}. Give one label a row, or for several labels "
            "a row 0/1 columns, the same for every row."
        ) from error
    if array.ndim == 2 and array.shape[1] == 1:
        array, labels = array[:, 0], None
    if array.ndim not in (1, 2):
        raise DataError(
            f"the {role} targets have shape {array.shape}: give one label a row, shape (rows,), or for several labels "
            "a row 0/1 columns, shape (rows, labels)."
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
    """Find a dataset that draws random numbers: what is read once would keep the first draw for ever."""
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
