"""Prepared data on disk: a folder of .npy files and a facts.json, made whole by one rename, opened memory-mapped.

`checksums.json` has the folder's name and a checksum (CRC-32) of each file. A process compares them when it first opens
a file, which takes 0.04 s of CPU time for 100 MB, and again when the file has changed since.
"""

import json
import logging
import re
import shutil
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from hpsearch.data.atomic_write import partial_path, save_array, sync_folder, synced_file, writing
from hpsearch.errors import PreparedDataError

_FACTS = "facts.json"
_CHECKSUMS = "checksums.json"
_NAME = re.compile(r"[A-Za-z0-9_]+")

logger = logging.getLogger("hpsearch")

_compared: set[tuple[Any, ...]] = set()
"""The files, as they were, that this process has compared with their checksums."""


@dataclass(frozen=True, eq=False)
class RaggedRows:
    """Rows of different lengths, laid end to end.

    Attributes:
        values: All rows one after the other, shape (total,).
        offsets: int64, shape (rows + 1,): row i is `values[offsets[i]:offsets[i + 1]]`.
    """

    values: np.ndarray
    offsets: np.ndarray

    def __post_init__(self) -> None:
        if self.offsets.ndim != 1 or len(self.offsets) == 0 or self.values.ndim != 1:
            raise ValueError(f"ragged rows of shapes {self.values.shape} and {self.offsets.shape}")
        if self.offsets[0] != 0 or self.offsets[-1] != len(self.values):
            raise ValueError(f"offsets run from {self.offsets[0]} to {self.offsets[-1]} over {len(self.values)} values")

    @classmethod
    def from_rows(cls, rows: Iterable[Sequence[Any] | np.ndarray], dtype: Any) -> "RaggedRows":
        arrays = [np.asarray(row, dtype=dtype) for row in rows]
        offsets = np.concatenate([[0], np.cumsum([len(array) for array in arrays], dtype=np.int64)]).astype(np.int64)
        return cls(np.concatenate(arrays) if arrays else np.empty(0, dtype=dtype), offsets)

    @property
    def lengths(self) -> np.ndarray:
        """Elements of each row, int64, shape (rows,)."""
        return np.diff(np.asarray(self.offsets, dtype=np.int64))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> np.ndarray:
        position = range(len(self))[row]
        return np.asarray(self.values[self.offsets[position] : self.offsets[position + 1]])

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[row] for row in range(len(self)))

    def take(self, rows: np.ndarray | Sequence[int]) -> "RaggedRows":
        """Return these rows, in this order, copied into memory; a row may be taken several times."""
        chosen = np.asarray(rows, dtype=np.int64)
        lengths = self.lengths[chosen]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        starts = np.asarray(self.offsets[:-1], dtype=np.int64)[chosen]
        # Position in `values` of each element taken: its row's start there, plus its place within the row.
        positions = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], lengths)
        return RaggedRows(np.asarray(self.values)[positions], offsets)

    def to_arrays(self, name: str) -> dict[str, np.ndarray]:
        """Return the two arrays that a dataset keeps these rows in; `Dataset.ragged(name)` reads them back."""
        return {f"{name}_values": self.values, f"{name}_offsets": self.offsets}


@dataclass(frozen=True, eq=False)
class Dataset:
    """A prepared dataset: arrays that stay on disk until they are read, and facts about them.

    Attributes:
        folder: Where it lies.
        arrays: Name to a read-only memory-mapped array.
        facts: What was written beside them: anything that JSON keeps.
    """

    folder: Path
    arrays: Mapping[str, np.ndarray]
    facts: Mapping[str, Any]

    def __getitem__(self, name: str) -> np.ndarray:
        return self.arrays[name]

    def __contains__(self, name: str) -> bool:
        return name in self.arrays

    def get(self, name: str) -> np.ndarray | None:
        """Return an array, or None where there is none of that name (groups, weights)."""
        return self.arrays.get(name)

    def ragged(self, name: str) -> RaggedRows:
        return RaggedRows(self.arrays[f"{name}_values"], self.arrays[f"{name}_offsets"])

    def __reduce__(self) -> tuple[Any, ...]:
        return open_dataset, (self.folder,)


def write_dataset(
    folder: str | Path, arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any], setting: str = "HPSEARCH_CACHE"
) -> Dataset:
    """Write a dataset and return it opened; `StoreError` where the disk refuses, which names what `setting` gives it.

    A `folder` that exists is used as it is: name folders by their content. A temporary name, fsync and a rename keep
    it absent or whole whenever the process is killed. Of two processes that write at once, the first one counts.
    """
    target = Path(folder)
    for name, array in arrays.items():
        if not _NAME.fullmatch(name) or np.asarray(array).dtype.hasobject:
            raise ValueError(f"array {name!r} of type {np.asarray(array).dtype} cannot be kept without pickle")
    if is_prepared(target):
        return open_dataset(target)
    with writing(target, setting):
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = partial_path(target)
        partial.mkdir()
        try:
            _write_files(partial, target.name, arrays, facts)
            _rename(partial, target)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return open_dataset(target)


def is_prepared(folder: Path) -> bool:
    """Return whether a whole dataset is there. One that is damaged is removed, with a warning: make it anew."""
    if not folder.exists():
        return False
    try:
        open_dataset(folder)
    except PreparedDataError as error:
        logger.warning("%s", error)
        with writing(folder, "HPSEARCH_CACHE"):
            gone = partial_path(folder)
            folder.rename(gone)  # by one step; who has its files open keeps them
            shutil.rmtree(gone, ignore_errors=True)
        return False
    return True


def open_dataset(folder: str | Path) -> Dataset:
    """Open a dataset, its arrays memory-mapped and read-only; `PreparedDataError` where it is missing or damaged."""
    target = Path(folder)
    remedy = "It is made anew from the data when the study is run or resumed."
    try:
        written = json.loads((target / _FACTS).read_text(encoding="utf-8"))
        arrays = {name: _open_array(target / f"{name}.npy", shape) for name, shape in written["arrays"].items()}
        _compare_checksums(target)
    except FileNotFoundError as error:
        raise PreparedDataError(
            f"there is no whole prepared dataset in {str(target)!r}: {error.filename} is missing. {remedy}"
        ) from error
    except (ValueError, KeyError, TypeError, EOFError) as error:
        raise PreparedDataError(f"the prepared dataset in {str(target)!r} is damaged: {error}. {remedy}") from error
    return Dataset(target, MappingProxyType(arrays), MappingProxyType(written["facts"]))


def _compare_checksums(folder: Path) -> None:
    """Raise ValueError where a file is not what was written, or the folder is another one's."""
    listed = folder / _CHECKSUMS
    if not listed.exists():  # an earlier version wrote it
        return
    written = json.loads(listed.read_text(encoding="utf-8"))
    if written["folder"] != folder.name:
        raise ValueError(f"it was written as {written['folder']}")
    for name, checksum in written["files"].items():
        path = folder / name
        facts = path.stat()
        state = (str(path), checksum, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns)
        if state not in _compared:
            if _checksum(path) != checksum:
                raise ValueError(f"the bytes of {name} are not those that were written")
            _compared.add(state)


def _checksum(path: Path) -> int:
    checksum = 0
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            checksum = zlib.crc32(chunk, checksum)
    return checksum


def _open_array(path: Path, shape: Sequence[int]) -> np.ndarray:
    with path.open("rb") as file:
        if 0 in shape:  # nothing to map
            array: np.ndarray = np.load(file, allow_pickle=False)
        else:
            array = np.lib.format.open_memmap(path, mode="r")
    if list(array.shape) != list(shape):
        raise ValueError(f"{path.name} has shape {array.shape}, and {tuple(shape)} was written")
    return array


def _write_files(partial: Path, name: str, arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any]) -> None:
    checksums = {}
    for array_name, array in arrays.items():
        with synced_file(partial / f"{array_name}.npy") as file:
            checksums[f"{array_name}.npy"] = save_array(file, array)
    shapes = {array_name: list(np.asarray(array).shape) for array_name, array in arrays.items()}
    text = json.dumps({"arrays": shapes, "facts": dict(facts)}, allow_nan=False, indent=1).encode("utf-8")
    listed = json.dumps({"folder": name, "files": {**checksums, _FACTS: zlib.crc32(text)}}).encode("utf-8")
    for file_name, content in ((_FACTS, text), (_CHECKSUMS, listed)):
        with synced_file(partial / file_name) as file:
            file.write(content)
    sync_folder(partial)


def _rename(partial: Path, target: Path) -> None:
    try:
        partial.rename(target)
    except OSError:
        if not target.is_dir():
            raise
        return  # another process was first, with the same content
    sync_folder(target.parent)
