"""Where a task's rows come from: files, or tables and arrays in memory that can be written down beside a study."""

import functools
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from hpsearch.data.atomic_write import replaced_file, save_array, writing
from hpsearch.data.fingerprint import fingerprint_arrays, fingerprint_table
from hpsearch.data.hub_datasets import is_dataset_dict, splits_of
from hpsearch.data.nested import is_nested, plain_nested, read_parquet, write_parquet
from hpsearch.data.sources import refuse_address
from hpsearch.data.tables_in_memory import is_pair, table_in_memory
from hpsearch.data.unicode import check_texts_are_unicode, fault_in
from hpsearch.errors import DataError, TaskError

logger = logging.getLogger("hpsearch")


@dataclass(frozen=True)
class Location:
    """A file or folder.

    Attributes:
        given: The path as the user wrote it.
        resolved: The absolute path that it meant when the task was made.
    """

    given: str
    resolved: str

    @classmethod
    def of(cls, path: str | Path) -> "Location":
        fault = fault_in(str(path), is_name=True)
        if fault:
            raise DataError(f"the path {str(path)!a} cannot be written down: {fault}")
        # Not Path.resolve: a link (such as to a folder of data that moves) is followed when it is read, not now.
        return cls(str(path), os.path.abspath(Path(path).expanduser()))  # noqa: PTH100  (see above)

    def __str__(self) -> str:
        return self.resolved

    @property
    def value(self) -> Path:
        return Path(self.resolved)

    def describe(self) -> dict[str, Any]:
        return {"path": self.given, "resolved": self.resolved}


@dataclass(frozen=True, eq=False)
class Table:
    """A DataFrame in memory, or one that was written to a Parquet file.

    Attributes:
        columns: The columns that the task reads; others are neither fingerprinted nor written.
        frame: The DataFrame, or None where it lies in `file`.
        file: The Parquet file.
        stored_fingerprint: The fingerprint of a table in a file.
    """

    columns: tuple[str, ...]
    frame: Any = None
    file: str | None = None
    stored_fingerprint: str | None = None

    @property
    def value(self) -> Any:
        """The DataFrame. A file is read anew and checked against its fingerprint."""
        if self.file is None:
            return self.frame
        frame = read_snapshot(self.file, read_parquet)
        _check(self.file, self.stored_fingerprint, fingerprint_table(frame, self._present(frame)))
        return frame

    @property
    def fingerprint(self) -> str:
        return self.stored_fingerprint or fingerprint_table(self.frame, self._present(self.frame))

    def _present(self, frame: Any) -> list[str]:
        return [column for column in self.columns if column in frame.columns]

    def describe(self) -> dict[str, Any]:
        where = {} if self.file is None else {"files": [self.file]}
        return {"table": self.fingerprint, "columns": list(self.columns), **where}

    def snapshot(self, folder: Path, name: str) -> "Table":
        if self.file is not None:
            return self
        table = self.frame[self._present(self.frame)].reset_index(drop=True)
        nested = [column for column in table.columns if is_nested(table[column])]
        table = table.assign(**{column: plain_nested(table[column], column, name) for column in nested})
        target = folder / f"{name}-{self.fingerprint}.parquet"

        def write(file: BinaryIO) -> None:
            import pyarrow as pa

            try:
                write_parquet(table, file, nested)
            except (pa.ArrowException, TypeError, ValueError) as error:
                raise DataError(
                    f"the {name} DataFrame cannot be written to Parquet, so the study could not be loaded again: "
                    f"{error}. Give every column values of one type, or write a file yourself and give its path."
                ) from error

        return Table(self.columns, file=_write_once(target, write), stored_fingerprint=self.fingerprint)


@dataclass(frozen=True, eq=False)
class Arrays:
    """Arrays in memory, one or several, or in .npy files.

    Attributes:
        arrays: The arrays, or empty where they lie in `files`.
        files: The .npy files.
        stored_fingerprint: The fingerprint of arrays in files.
    """

    arrays: tuple[np.ndarray, ...] = ()
    files: tuple[str, ...] = ()
    stored_fingerprint: str | None = None

    @property
    def value(self) -> tuple[np.ndarray, ...]:
        """The arrays; memory-mapped where they lie in files."""
        if not self.files:
            return self.arrays
        arrays = tuple(read_snapshot(file, read_array) for file in self.files)
        _check(self.files[0], self.stored_fingerprint, _digest(arrays))
        return arrays

    @property
    def fingerprint(self) -> str:
        return self.stored_fingerprint or _digest(self.arrays)

    def describe(self) -> dict[str, Any]:
        where = {"files": list(self.files)} if self.files else {}
        return {"arrays": self.fingerprint, **where}

    def snapshot(self, folder: Path, name: str) -> "Arrays":
        if self.files:
            return self
        files = write_arrays(_numbered(self.arrays), folder, f"{name}-{self.fingerprint}")
        return Arrays(files=tuple(files.values()), stored_fingerprint=self.fingerprint)


Source = Location | Table | Arrays


def source_of(value: Any, columns: Sequence[str], role: str) -> Source:
    """Return the source of rows given as a path, a table in memory, a pair of arrays or a source.

    Raises:
        TaskError: They are given as anything else.
        DataError: They are a table that cannot be read: see `table_in_memory`.
    """
    if isinstance(value, Location | Table | Arrays):
        return value
    if isinstance(value, str | Path):
        refuse_address(value, role)
        return Location.of(value)
    table = table_in_memory(value, columns, role)
    if table is not None:
        return Table(tuple(columns), frame=table)
    if is_pair(value):
        return Arrays(tuple(plain_array(array, role) for array in value))
    raise TaskError(
        f"{role}= is a {type(value).__name__}: give the path of a file or folder, a pandas.DataFrame, a "
        "datasets.Dataset, a dict of columns, a list of dicts, or a pair (inputs, labels)."
    )


def with_splits(given: Mapping[str, Any], label: str | None) -> dict[str, Any]:
    """Return what was given as "train", "validation" and "test", with the splits of a DatasetDict in their places.

    What is given separately stays. Which split is what is said in a line.
    """
    if not is_dataset_dict(given["train"]):
        return dict(given)
    taken = [role for role in ("validation", "test") if given[role] is not None]
    found, said = splits_of(given["train"], taken, label)
    logger.warning("%s", said)
    return {**given, **found}


def plain_array(value: Any, role: str) -> np.ndarray:
    """Return an array that can be written without pickle: text in an object array becomes fixed-width text."""
    if isinstance(value, list | tuple):
        check_texts_are_unicode(value, "an array", role, are_names=True)  # NumPy would drop a NUL at their ends
    array = np.asarray(value)
    if array.dtype.hasobject:
        texts = np.asarray(array.tolist())
        if texts.dtype.hasobject or (texts.dtype.kind == "U" and not all(isinstance(item, str) for item in array.flat)):
            raise TaskError(
                f"an array of the {role} data holds Python objects of several types, {array.flat[0]!r} for one. Give "
                "numbers or text."
            )
        return texts
    return array


def source_from(description: Mapping[str, Any], folder: Path | None) -> Source:
    """Return the source that a description is of; see `Task.from_description`."""
    if "path" in description:
        return Location(description["path"], description["resolved"])
    files = tuple(snapshot_files(dict(enumerate(description.get("files", ()))), folder).values())
    if "table" in description:
        return Table(tuple(description["columns"]), file=files[0], stored_fingerprint=description["table"])
    return Arrays(files=files, stored_fingerprint=description["arrays"])


def snapshot_files(files: Mapping[Any, str], folder: Path | None) -> dict[Any, str]:
    """Return a description's files, those in `folder` if the study moved; `TaskError` if none were ever written."""
    if not files:
        raise TaskError(
            "the study was made from a DataFrame, arrays or a dataset that were not kept. Make the task again from the "
            "same data and give it: hp.load(name, task=...)."
        )
    moved = {} if folder is None else {name: folder / Path(file).name for name, file in files.items()}
    return {**files, **{name: str(path) for name, path in moved.items() if path.exists()}}


def _numbered(arrays: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    return {str(position): array for position, array in enumerate(arrays)}


def _digest(arrays: Sequence[np.ndarray]) -> str:
    return fingerprint_arrays(_numbered(arrays))


read_array = functools.partial(np.load, mmap_mode="r", allow_pickle=False)


def read_snapshot(file: str, read: Callable[[str], Any]) -> Any:
    """Return what `read` makes of a snapshot; `DataError` where it cannot be read."""
    try:
        return read(file)
    except (OSError, ValueError) as error:
        raise DataError(
            f"the snapshot {file!r} that the study keeps of its data cannot be read: {error}. Restore the file, or "
            "make the task again from the same data and give it: hp.load(name, task=...)."
        ) from error


def _check(file: str, stored: str | None, fingerprint: str) -> None:
    if stored is not None and fingerprint != stored:
        raise DataError(
            f"the snapshot {file!r} has changed: its fingerprint is {fingerprint}, and {stored} was written. Restore "
            "the file, or start a study under a new name."
        )


def write_arrays(arrays: Mapping[str, np.ndarray], folder: Path, prefix: str) -> dict[str, str]:
    """Write arrays as .npy files of `folder`; return name to file."""
    files = {}
    for name, array in arrays.items():
        files[name] = _write_once(folder / f"{prefix}-{name}.npy", functools.partial(save_array, array=array))
    return files


def _write_once(target: Path, write: Callable[[BinaryIO], object]) -> str:
    """Write `target` whole or not at all, and return its path; a file named by its content stays as it is."""
    if not target.exists():
        with writing(target, "folder="):
            target.parent.mkdir(parents=True, exist_ok=True)
        with replaced_file(target, "folder=") as file:
            write(file)
    return str(target.absolute())
