"""Features on disk: one memory-mapped file an entry, filled block by block by any number of processes, within a budget.

An entry is a folder named by a digest of all that its numbers depend on:

- `facts.json`: what it holds; its time of change is that of the entry's last use.
- `values.bin`: the vectors of all rows, laid end to end in the order of the blocks; its room is claimed beforehand.
- `notes.jsonl`: what processes found out about it and tell each other, a line each.
- `blocks.bin`: two bytes a block, first those of all blocks that someone has begun, then those of all that are done.

A block is done once its bytes are on the disk, so an entry whose filling was ended by a kill is gone on with by the
next process. Two that fill at once share the blocks; where they meet, both write the same bytes.
"""

import contextlib
import json
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hpsearch.data.durable import partial_path, reserve, sync_folder, synced_file

DEFAULT_BYTES = 20 * 1024**3
FACTS, VALUES, BLOCKS, NOTES = "facts.json", "values.bin", "blocks.bin", "notes.jsonl"
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_CARRIERS = {4: (np.int32, torch.int32), 2: (np.int16, torch.int16)}
"""By bytes a number: what NumPy and torch move it as; NumPy knows no bfloat16."""


@dataclass(frozen=True, eq=False)
class Layout:
    """Where the vectors of which row lie.

    Attributes:
        counts: Vectors of each row (its tokens; 1 where a row is one array), int64, shape (rows,).
        blocks: The rows that are computed together, each as indices; every row is in one.
        vector_shape: Shape of a vector.
        dtype: Name of its type, a key of `DTYPES`.
    """

    counts: np.ndarray
    blocks: tuple[np.ndarray, ...]
    vector_shape: tuple[int, ...]
    dtype: str

    @cached_property
    def starts(self) -> np.ndarray:
        """Where each row begins in the file, in vectors, int64, shape (rows,)."""
        order = np.concatenate(self.blocks)
        starts = np.empty(len(self.counts), dtype=np.int64)
        starts[order] = np.cumsum(self.counts[order]) - self.counts[order]
        return starts

    @property
    def vectors(self) -> int:
        return int(self.counts.sum())

    @property
    def width(self) -> int:
        """Numbers of a vector."""
        return int(np.prod(self.vector_shape, dtype=np.int64))

    @property
    def nbytes(self) -> int:
        return self.vectors * self.width * DTYPES[self.dtype].itemsize

    def facts(self) -> dict[str, Any]:
        """Return what is written beside the values, as JSON takes it."""
        return {
            "rows": len(self.counts),
            "vectors": self.vectors,
            "blocks": len(self.blocks),
            "vector_shape": list(self.vector_shape),
            "dtype": self.dtype,
        }


class FeatureEntry:
    """The features of all rows of one dataset, as far as they are computed; it stays usable when it is evicted."""

    def __init__(self, folder: Path, layout: Layout) -> None:
        """Open an entry; OSError or ValueError where it is not whole."""
        self.folder = folder
        self.layout = layout
        carrier, self._moved_as = _CARRIERS[DTYPES[layout.dtype].itemsize]
        shape = (layout.vectors, layout.width)
        self._values = np.memmap(folder / VALUES, carrier, mode="r", shape=shape)
        self._blocks = np.memmap(folder / BLOCKS, np.uint8, mode="r+", shape=(2, len(layout.blocks)))
        # Kept open, so that what is being filled can be filled to its end though another process evicts it.
        self._file = (folder / VALUES).open("r+b")
        with contextlib.suppress(OSError):
            now = time.time_ns()  # finer than the clock that the system stamps files by
            os.utime(folder / FACTS, ns=(now, now))

    def close(self) -> None:
        """Let go of the file; what was read of it stays."""
        self._file.close()

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            self._file.close()

    @property
    def is_complete(self) -> bool:
        return bool(self._blocks[1].all())

    def missing(self) -> Iterator[int]:
        """Yield the blocks that are to be computed, until none is.

        Those that another process has begun come last, and only while they are not done: it may have been killed, and
        where it lives there is nothing better to do than its work.
        """
        for others in (False, True):
            for block in range(len(self.layout.blocks)):
                if self._blocks[1, block] or (self._blocks[0, block] and not others):
                    continue
                self._blocks[0, block] = 1
                yield block

    def write(self, block: int, vectors: Tensor) -> None:
        """Write the vectors of a block's rows, laid end to end; when this returns they are on the disk.

        Raises OSError where the disk refuses.
        """
        layout = self.layout
        start = int(layout.starts[layout.blocks[block][0]]) * layout.width * DTYPES[layout.dtype].itemsize
        content = vectors.detach().cpu().contiguous().reshape(-1).view(self._moved_as).numpy()
        self._file.seek(start)
        self._file.write(content.data)
        self._file.flush()
        os.fsync(self._file.fileno())
        self._blocks[1, block] = 1
        self._blocks.flush()

    def note(self, lines: Sequence[Any]) -> None:
        """Tell other processes, and later ones, what JSON takes; where the disk refuses they find it out themselves."""
        text = "".join(f"{json.dumps(line)}\n" for line in lines)
        with contextlib.suppress(OSError), (self.folder / NOTES).open("a", encoding="utf-8") as file:
            file.write(text)

    def notes(self) -> list[Any]:
        """Return what was noted; a line that a kill has torn is left out."""
        found = []
        with contextlib.suppress(OSError):
            for line in (self.folder / NOTES).read_text(encoding="utf-8").splitlines():
                with contextlib.suppress(ValueError):
                    found.append(json.loads(line))
        return found

    def read(self, rows: np.ndarray, width: int | None, *, left: bool = False) -> Tensor:
        """Return the features of some rows, copied into memory.

        Args:
            rows: Which rows.
            width: Vectors a row is filled up to with zeros: shape (rows, width, *vector_shape). None where a row is
                one vector: shape (rows, *vector_shape).
            left: Whether the zeros come first.
        """
        layout, values = self.layout, self._values
        starts, counts = layout.starts[rows].tolist(), layout.counts[rows].tolist()
        filled_to = () if width is None else (width,)
        found = torch.zeros((len(rows), *filled_to, *layout.vector_shape), dtype=DTYPES[layout.dtype])
        target = found.view(self._moved_as).numpy().reshape(len(rows), width or 1, layout.width)
        for place, (start, count) in enumerate(zip(starts, counts, strict=True)):
            first = target.shape[1] - count if left else 0
            target[place, first : first + count] = values[start : start + count]
        return found


class FeatureStore:
    """The entries of one machine, of all its studies and workers, within a budget of bytes.

    When a new entry would exceed the budget, those longest unused are evicted whole. A process that is using one goes
    on with it: its room on the disk is free once that process lets go.
    """

    def __init__(self, folder: Path, budget: int) -> None:
        self.folder = folder
        self.budget = budget

    @classmethod
    def within(cls, folder: Path, budget: int | None) -> "FeatureStore":
        """Return a store; by default its budget is 20 GiB, or a tenth of the disk's room beside it if that is less."""
        store = cls(folder, DEFAULT_BYTES if budget is None else budget)
        if budget is None:
            existing = next(each for each in (folder, *folder.absolute().parents) if each.is_dir())
            room = shutil.disk_usage(existing).free + sum(store.entries().values())
            store.budget = min(DEFAULT_BYTES, room // 10)
        return store

    def find(self, digest: str, counts: np.ndarray, blocks: Sequence[np.ndarray]) -> FeatureEntry | None:
        """Return the entry of this digest, or None; one that is not whole, or not of these rows, is removed."""
        folder = self.folder / digest
        try:
            written = json.loads((folder / FACTS).read_text(encoding="utf-8"))
            layout = Layout(counts, tuple(blocks), tuple(written["vector_shape"]), written["dtype"])
            sizes = [(folder / name).stat().st_size for name in (VALUES, BLOCKS)]
            if layout.facts() == written and sizes == [layout.nbytes, 2 * len(layout.blocks)]:
                return FeatureEntry(folder, layout)
        except FileNotFoundError:
            if not folder.exists():
                return None
        except OSError:
            return None  # too many open files, say: nothing is wrong with the entry
        except (ValueError, KeyError, TypeError):
            pass  # written by another version, or damaged
        self.remove(digest)
        return None

    def make(self, digest: str, layout: Layout) -> FeatureEntry | None:
        """Return a new entry, or None where it does not fit the budget; of two processes the first one's counts.

        Raises OSError where the disk refuses.
        """
        if layout.nbytes > self.budget:
            return None
        target = self.folder / digest
        self.folder.mkdir(parents=True, exist_ok=True)
        self._evict_until(self.budget - layout.nbytes)
        partial = partial_path(self.folder / "new")
        partial.mkdir()
        try:
            with synced_file(partial / VALUES) as file:
                reserve(file, layout.nbytes)
                file.truncate(layout.nbytes)
            with synced_file(partial / BLOCKS) as file:
                file.write(bytes(2 * len(layout.blocks)))
            with synced_file(partial / FACTS) as file:
                file.write(json.dumps(layout.facts()).encode("utf-8"))
            sync_folder(partial)
            try:
                partial.rename(target)
            except OSError:
                if not target.is_dir():
                    raise  # otherwise another process was first
            self._evict_until(self.budget)  # two processes may have made room for one entry each, at once
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        return self.find(digest, layout.counts, layout.blocks)

    def remove(self, digest: str) -> None:
        """Remove an entry, whole and at once, if it is there."""
        trash = partial_path(self.folder / "evicted")
        try:
            (self.folder / digest).rename(trash)
        except OSError:
            return  # gone already, or held open by a process on Windows
        shutil.rmtree(trash, ignore_errors=True)

    def entries(self) -> dict[str, int]:
        """Return the digest and the bytes of each entry, the one longest unused first."""
        found = []
        with contextlib.suppress(OSError):
            for folder in self.folder.iterdir():
                with contextlib.suppress(OSError):  # evicted by another process meanwhile
                    if not folder.name.startswith("."):
                        used = (folder / FACTS).stat().st_mtime_ns
                        found.append((used, folder.name, (folder / VALUES).stat().st_size))
        return {name: size for _, name, size in sorted(found)}

    def _evict_until(self, budget: int) -> None:
        entries = self.entries()
        for digest in list(entries):
            if sum(entries.values()) <= budget:
                return
            del entries[digest]
            self.remove(digest)
