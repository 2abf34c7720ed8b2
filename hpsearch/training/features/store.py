"""Features on disk, filled block by block by any number of processes, within a budget of bytes.

An entry is a folder, named by a digest of all that its numbers depend on. Its one file holds the vectors of all rows in
order, then a byte a block: its state, then four bytes a block: the checksum (CRC-32) of its vectors, which begins with
that of the entry's name. A block is done once its vectors are on the disk, so a kill costs the block in progress, and
the next process continues. A file of zeros is an entry of which nothing is done. A process compares the checksums when
it first uses an entry, which takes 0.04 s of CPU time for 100 MB; what differs is computed anew.
"""

import contextlib
import os
import shutil
import time
import weakref
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from hpsearch.data.atomic_write import open_no_link, reserve
from hpsearch.training.features import NotKeptError

DEFAULT_BYTES = 20 * 1024**3
VALUES = "values.bin"
NEW, BEGUN, DONE = 0, 1, 2  # states of a block
CHECKSUM_BYTES = 4


class FeatureEntry:
    """The features of all rows of one dataset, as far as they are computed; usable even after its eviction."""

    def __init__(self, path: Path, counts: np.ndarray, vector_bytes: int, blocks: Sequence[np.ndarray]) -> None:
        """Open an entry's file, made where there is none, of `counts` vectors a row, computed in `blocks` of rows."""
        self._blocks, self._vector_bytes = blocks, vector_bytes
        self._ends = np.cumsum(counts)
        self._values_bytes = int(self._ends[-1]) * vector_bytes
        path.parent.mkdir(parents=True, exist_ok=True)
        # Written through a file, not the map: a full disk is then an error, and no signal that ends the process.
        self._file = os.fdopen(open_no_link(path, os.O_RDWR | os.O_CREAT), "r+b")
        weakref.finalize(self, self._file.close)
        now = time.time_ns()  # of its last use, finer than the clock of the file system
        os.utime(path, ns=(now, now))
        self._name = zlib.crc32(path.parent.name.encode())
        size = self._values_bytes + len(blocks) * (1 + CHECKSUM_BYTES)
        if path.stat().st_size != size:
            try:
                reserve(self._file, size)
                self._file.truncate(size)
            except OSError:
                path.unlink(missing_ok=True)
                raise
        content = np.memmap(path, np.uint8, mode="r", shape=(size,))
        self._values = content[: self._values_bytes].reshape(-1, vector_bytes)
        self.states = content[self._values_bytes : self._values_bytes + len(blocks)]
        self._checksums = content[self._values_bytes + len(blocks) :].reshape(-1, CHECKSUM_BYTES)

    def forget_damaged(self) -> int:
        """Mark the blocks as new whose vectors are not those that were written; return how many there are."""
        damaged = 0
        for block in np.flatnonzero(self.states == DONE).tolist():
            if self._checksums[block].tobytes() != self._checksum(block):
                self._write(self._values_bytes + block, bytes([NEW]))
                damaged += 1
        return damaged

    def missing(self) -> Iterator[int]:
        """Yield the blocks to compute until all are done; those that another process has begun last: it may be dead."""
        for state in (NEW, BEGUN):
            for block in range(len(self.states)):
                if self.states[block] <= state:
                    self._write(self._values_bytes + block, bytes([BEGUN]))
                    yield block

    def write(self, block: int, rows: Sequence[Tensor]) -> None:
        """Write the vectors of each row of a block; OSError where the disk refuses them."""
        for row, vectors in zip(self._blocks[block].tolist(), rows, strict=True):
            content = vectors.contiguous().view(-1).view(torch.uint8).numpy().data
            self._write(int(self._ends[row]) * self._vector_bytes - len(content), content)
        place = self._values_bytes + len(self._blocks) + block * CHECKSUM_BYTES
        self._write(place, self._checksum(block))
        os.fsync(self._file.fileno())
        self._write(self._values_bytes + block, bytes([DONE]))

    def _checksum(self, block: int) -> bytes:
        """Return the checksum of a block's vectors as they lie in the file."""
        checksum = self._name
        for row in self._blocks[block].tolist():
            checksum = zlib.crc32(self._of(row).data, checksum)
        return checksum.to_bytes(CHECKSUM_BYTES, "little")

    def _of(self, row: int) -> np.ndarray:
        return self._values[self._ends[row - 1] if row else 0 : self._ends[row]]

    def _write(self, offset: int, content: bytes | memoryview) -> None:
        self._file.seek(offset)
        self._file.write(content)
        self._file.flush()

    def read(self, rows: np.ndarray, width: int) -> Tensor:
        """Return the vectors of rows, filled up with zeros: bytes, shape (rows, width, vector_bytes)."""
        vectors = np.zeros((len(rows), width, self._vector_bytes), dtype=np.uint8)
        for place, row in enumerate(rows.tolist()):
            stored = self._of(row)
            vectors[place, : len(stored)] = stored
        return torch.from_numpy(vectors)


@dataclass
class FeatureStore:
    """The entries of one machine, shared by all its studies and workers.

    Where a new entry would exceed the budget, those unused for longest are evicted whole. A process that is using one
    can finish; its room on the disk is free afterwards.
    """

    folder: Path
    budget: int

    @classmethod
    def within(cls, folder: Path, budget: int | None) -> "FeatureStore":
        """Return a store; by default its budget is 20 GiB, or a tenth of the disk's free room if that is less."""
        store = cls(folder, DEFAULT_BYTES if budget is None else budget)
        if budget is None:
            existing = next(parent for parent in (folder, *folder.absolute().parents) if parent.is_dir())
            room = shutil.disk_usage(existing).free + sum(store.entries().values())
            store.budget = min(DEFAULT_BYTES, room // 10)
        return store

    def entry(self, digest: str, counts: np.ndarray, vector_bytes: int, blocks: Sequence[np.ndarray]) -> FeatureEntry:
        """Return the entry of this digest, made where there is none; NotKeptError where the budget is too small."""
        path = self.folder / digest / VALUES
        if not path.exists():
            needed = int(counts.sum()) * vector_bytes + len(blocks) * (1 + CHECKSUM_BYTES)
            if needed > self.budget:
                allowed = f"feature_cache_bytes allows {self.budget / 2**20:,.1f}"
                raise NotKeptError(f"they need {needed / 2**20:,.1f} MiB, and {allowed}")
            self._evict_until(self.budget - needed)
        entry = FeatureEntry(path, counts, vector_bytes, blocks)
        self._evict_until(self.budget)  # two processes may have made room for one entry each, at once
        return entry

    def entries(self) -> dict[str, int]:
        """Return the digest and the bytes of each entry, the one unused for longest first."""
        files = []
        for path in self.folder.glob(f"*/{VALUES}"):
            with contextlib.suppress(OSError):  # evicted by another process meanwhile
                facts = path.stat()
                files.append((facts.st_mtime_ns, path.parent.name, facts.st_size))
        return {digest: size for _, digest, size in sorted(files)}

    def _evict_until(self, budget: int) -> None:
        entries = self.entries()
        for digest in list(entries):
            if sum(entries.values()) <= budget:
                return
            shutil.rmtree(self.folder / digest, ignore_errors=True)  # on Windows, unless a process holds it open
            del entries[digest]
