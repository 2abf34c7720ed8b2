"""Where a task's rows come from: files, or tables and arrays in memory that can be written down beside a study."""

import functools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hpsearch.data import fingerprint_arrays, fingerprint_table
from hpsearch.data.durable import partial_path, save_array, writing
from hpsearch.data.sources import refuse_address
from hpsearch.errors import DataError, TaskError


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
        # Not Path.resolve: a link (such as to a folder of data that moves) is followed when it is read, not now.
        return cls(str(path), os.path.abspath(Path(path).expanduser()))  # noqa: PTH100  (see above)

    def __str__(self) -> str:
        return self.resolved

    @property
    def value(self) -> Path:
        return Path(self.resolved)

    def describe(self) -> dict[str, Any]:
        return {"path": self.given, "resolved": self.resolved}

    def snapshot(self, folder: Path, name: str) -> "Location":
        return self


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
        """The DataFrame; read anew from the file, and checked against its fingerprint, where there is one."""
        if self.file is None:
            return self.frame
        import pandas as pd

        frame = read_snapshot(self.file, pd.read_parquet)
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
        target = folder / f"{name}-{self.fingerprint}.parquet"

        def write(path: Path) -> None:
            import pyarrow as pa

            try:
                table.to_parquet(path, index=False)
            except (pa.ArrowException, TypeError, ValueError) as error:
                raise DataError(
                    f"the {name} DataFrame cannot be written to Parquet, so the study could not be loaded again: "
                    f"{error}. Give every column values of one type, or write a file yourself and give its path."
                ) from error

        write_once(target, write)
        return Table(self.columns, file=str(target.absolute()), stored_fingerprint=self.fingerprint)


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
        files = []
        for position, array in enumerate(self.arrays):
            target = folder / f"{name}-{self.fingerprint}-{position}.npy"
            write_once(target, functools.partial(write_array, array))
            files.append(str(target.absolute()))
        return Arrays(files=tuple(files), stored_fingerprint=self.fingerprint)


Source = Location | Table | Arrays


def source_of(value: Any, columns: Sequence[str], role: str) -> Source:
    """Return the source for what a user gave as rows.

    Args:
        value: A path, a DataFrame, or a tuple of arrays; or a source, which is returned as it is.
        columns: The columns that the task reads.
        role: "train" or "test", for errors.

    Raises:
        TaskError: It is none of these.
    """
    if isinstance(value, Location | Table | Arrays):
        return value
    if isinstance(value, str | Path):
        refuse_address(value, role)
        return Location.of(value)
    if hasattr(value, "columns") and hasattr(value, "iloc"):
        return Table(tuple(columns), frame=value)
    if isinstance(value, tuple | list) and len(value) == 2:
        return Arrays(tuple(plain_array(array, role) for array in value))
    raise TaskError(
        f"{role}= is a {type(value).__name__}: give the path of a file or folder, a pandas.DataFrame, or for images a "
        "pair of arrays (images, labels)."
    )


def plain_array(value: Any, role: str) -> np.ndarray:
    """Return an array that can be written without pickle: text in an object array becomes fixed-width text."""
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
    """Return the source that a description is of.

    Args:
        description: What `describe` gave.
        folder: Where snapshots lie, if not where the description says (a study that was moved).

    Raises:
        TaskError: The rows were in memory and never written down.
    """
    if "path" in description:
        return Location(description["path"], description["resolved"])
    files = tuple(description.get("files", ()))
    if not files:
        raise TaskError(
            "the study was made from a DataFrame or arrays that were not kept. Make the task again from the same data "
            "and give it: hp.load(name, task=...)."
        )
    if folder is not None:
        files = tuple(str(folder / Path(file).name) if (folder / Path(file).name).exists() else file for file in files)
    if "table" in description:
        return Table(tuple(description["columns"]), file=files[0], stored_fingerprint=description["table"])
    return Arrays(files=files, stored_fingerprint=description["arrays"])


def _digest(arrays: Sequence[np.ndarray]) -> str:
    return fingerprint_arrays({str(position): array for position, array in enumerate(arrays)})


def read_array(path: str) -> np.ndarray:
    """Return an array of a .npy file, memory-mapped."""
    array: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    return array


def write_array(array: np.ndarray, path: Path) -> None:
    """Write an array as a .npy file."""
    with path.open("wb") as file:
        save_array(file, array)


def read_snapshot(file: str, read: Callable[[str], Any]) -> Any:
    """Return what `read` makes of a snapshot.

    Raises:
        DataError: It cannot be read.
    """
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


def write_once(target: Path, write: Callable[[Path], None]) -> None:
    """Write `target` whole or not at all; a file named by its content that is there is left as it is."""
    if target.exists():
        return
    with writing(target, "folder="):
        target.parent.mkdir(parents=True, exist_ok=True)
        with _partial(target) as partial:
            write(partial)
            with partial.open("rb+") as file:
                os.fsync(file.fileno())
            partial.replace(target)


@contextmanager
def _partial(target: Path) -> Iterator[Path]:
    partial = partial_path(target)
    try:
        yield partial
    finally:
        partial.unlink(missing_ok=True)
