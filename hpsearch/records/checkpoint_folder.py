"""Checkpoints on disk: one folder each, renamed into place, within a budget of bytes. No pickle.

`<run key>.<n>/` holds the files of one checkpoint and `checkpoint.json`, which lists them with lengths and a checksum.
A newer one gets the next n, and appears by one rename once all its bytes are on the disk; only then does the older
one go. So a kill at any moment leaves one of the two. Folders that end in `.partial` are leftovers.
"""

import contextlib
import json
import logging
import os
import re
import shutil
import zlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpsearch.data.atomic_write import refuse_strangers_link, remedy, sync_folder, synced_file, writing
from hpsearch.errors import StoreError

DESCRIPTION = "checkpoint.json"
_PARTIAL = ".partial"
_COMPLETE = re.compile(r"[A-Za-z0-9_-]+\.[0-9]+")
_FILE_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")

logger = logging.getLogger("hpsearch")


@dataclass(frozen=True)
class Checkpoint:
    """A run's state after `step` optimizer steps, having passed evaluation point `point`."""

    point: int
    step: int
    files: Mapping[str, bytes]


class CheckpointFolder:
    """The last checkpoint of each run. Only the process that holds the study's lease may use the folder.

    Args:
        folder: Where they are; made when first needed.
        budget_bytes: How many bytes they may take. The caller enforces it, with `over_budget` and `remove`.
    """

    def __init__(self, folder: Path, budget_bytes: int) -> None:
        self.folder = folder
        self.budget_bytes = budget_bytes
        with writing(folder):
            refuse_strangers_link(folder)
        self._sizes = {path.name: _size(path) for path in self._entries() if _COMPLETE.fullmatch(path.name)}

    @property
    def bytes_used(self) -> int:
        return sum(self._sizes.values())

    def over_budget(self, more: int = 0) -> int:
        """Return how many bytes must go so that `more` of them fit, 0 where none."""
        return max(0, self.bytes_used + more - self.budget_bytes)

    def bytes_of(self, run: str) -> int:
        """Return the bytes of a run's checkpoint, 0 where it has none."""
        return sum(self._sizes[path.name] for path, _ in self._of(run))

    @staticmethod
    def bytes_needed(run: str, point: int, step: int, files: Mapping[str, bytes]) -> int:
        """Return how many bytes `write` will write."""
        return sum(map(len, files.values())) + len(_description(run, point, step, files, "0" * 8))  # as long as any

    def runs(self) -> set[str]:
        """Return the keys of the runs that have a checkpoint."""
        return {_run_of(name) for name in self._sizes}

    def write(self, run: str, point: int, step: int, files: Mapping[str, bytes]) -> None:
        """Make a checkpoint durable, then remove the run's older one, which stays where this raises StoreError.

        Where somebody deleted the folder meanwhile, its cause is a FileNotFoundError: another attempt makes it again.
        """
        names_fit = _COMPLETE.fullmatch(f"{run}.0") and all(_FILE_NAME.fullmatch(name) for name in files)
        if not names_fit or DESCRIPTION in files:
            raise ValueError(f"run {run!r} with files {sorted(files)}: these names cannot be a checkpoint's")
        older = self._of(run)
        target = self.folder / f"{run}.{older[0][1] + 1 if older else 1}"
        content = {**files, DESCRIPTION: _description(run, point, step, files, _checksum(files))}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            refuse_strangers_link(self.folder)
            shutil.rmtree(_partial(target), ignore_errors=True)
            _write_folder(_partial(target), content)
            os.rename(_partial(target), target)
            sync_folder(self.folder)
        except OSError as error:
            shutil.rmtree(_partial(target), ignore_errors=True)
            raise StoreError(
                f"{target}: a checkpoint of {sum(map(len, files.values()))} bytes cannot be written ({error}). "
                f"{remedy(error, 'folder=, or a lower checkpoint_bytes=')} The run continues from its older checkpoint."
            ) from error
        self._sizes[target.name] = sum(map(len, content.values()))
        for path, _ in older:
            self._discard(path)

    def read(self, run: str) -> Checkpoint | None:
        """Return a run's newest intact checkpoint, or None; log and skip a damaged one."""
        for path, _ in self._of(run):
            try:
                return _read_folder(path, run)
            except (OSError, ValueError, KeyError, TypeError) as error:
                logger.warning("%s: this checkpoint is damaged and not used (%s)", path, error)
        return None

    def remove(self, run: str) -> bool:
        """Delete a run's checkpoint; False where it has none."""
        paths = self._of(run)
        for path, _ in reversed(paths):  # oldest first: a kill in between must not bring an older one back
            self._discard(path)
        return bool(paths)

    def sweep(self, keep: Collection[str]) -> list[str]:
        """Delete half-written checkpoints and those of runs not in `keep`; return their names."""
        newest = {run: path for run in keep for path, _ in self._of(run)[:1]}
        dropped = []
        for path in self._entries():
            if path not in newest.values():
                dropped.append(path.name)
                self._discard(path)
        return dropped

    def _entries(self) -> list[Path]:
        return sorted(self.folder.iterdir()) if self.folder.is_dir() else []

    def _of(self, run: str) -> list[tuple[Path, int]]:
        """Return a run's checkpoints, newest first: two where a kill came before the older one was removed."""
        paths = [(self.folder / name, int(name.rpartition(".")[2])) for name in self._sizes if _run_of(name) == run]
        return sorted(paths, key=lambda numbered: numbered[1], reverse=True)

    def _discard(self, path: Path) -> None:
        """Remove a checkpoint by one rename, then free its bytes."""
        gone = path
        if path.suffix != _PARTIAL and path.is_dir():
            gone = _partial(path)
            shutil.rmtree(gone, ignore_errors=True)
            with contextlib.suppress(FileNotFoundError):  # somebody else deleted it just now
                os.rename(path, gone)
        self._sizes.pop(path.name, None)
        if gone.is_dir():
            shutil.rmtree(gone, ignore_errors=True)
        else:
            gone.unlink(missing_ok=True)


def _description(run: str, point: int, step: int, files: Mapping[str, bytes], checksum: str) -> bytes:
    lengths = {name: len(content) for name, content in files.items()}
    return json.dumps({"run": run, "point": point, "step": step, "bytes": lengths, "crc32": checksum}).encode("utf-8")


def _checksum(files: Mapping[str, bytes]) -> str:
    """Return the CRC-32 of all files, one after the other, as 8 hexadecimal digits."""
    checksum = 0
    for content in files.values():
        checksum = zlib.crc32(content, checksum)
    return f"{checksum:08x}"


def _partial(path: Path) -> Path:
    return path.with_name(path.name + _PARTIAL)


def _run_of(name: str) -> str:
    return name.rpartition(".")[0]


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def _write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    folder.mkdir()
    for name, content in files.items():
        with synced_file(folder / name) as file:
            file.write(content)
    sync_folder(folder)


def _read_folder(folder: Path, run: str) -> Checkpoint:
    """Read a checkpoint; raise OSError, ValueError, KeyError or TypeError where it is not whole."""
    description: dict[str, Any] = json.loads((folder / DESCRIPTION).read_bytes())
    if description["run"] != run:
        raise ValueError(f"it is of run {description['run']}")
    files = {name: (folder / name).read_bytes() for name in description["bytes"]}
    for name, content in files.items():
        if len(content) != description["bytes"][name]:
            raise ValueError(f"{name} has {len(content)} bytes, not {description['bytes'][name]}")
    if "crc32" in description and description["crc32"] != _checksum(files):  # earlier versions wrote none
        raise ValueError("its bytes are not those that were written")
    return Checkpoint(int(description["point"]), int(description["step"]), files)
