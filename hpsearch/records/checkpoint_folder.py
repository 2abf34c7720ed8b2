"""Checkpoints on disk: one folder each, renamed into place, within a budget of bytes. No pickle.

`<run key>.<n>/` holds the files of one checkpoint and `checkpoint.json`, which lists them with their lengths. A newer
one gets the next n, and appears by one rename once all its bytes are on the disk; only then does the older one go. So a
kill at any moment leaves one of the two. Folders that end in `.partial` are leftovers.
"""

import json
import logging
import os
import re
import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
        return sum(map(len, files.values())) + len(_description(run, point, step, files))

    def runs(self) -> set[str]:
        """Return the keys of the runs that have a checkpoint."""
        return {_run_of(name) for name in self._sizes}

    def write(self, run: str, point: int, step: int, files: Mapping[str, bytes]) -> None:
        """Make a checkpoint durable, then remove the run's older one, which stays where this raises StoreError."""
        names_fit = _COMPLETE.fullmatch(f"{run}.0") and all(_FILE_NAME.fullmatch(name) for name in files)
        if not names_fit or DESCRIPTION in files:
            raise ValueError(f"run {run!r} with files {sorted(files)}: these names cannot be a checkpoint's")
        older = self._of(run)
        target = self.folder / f"{run}.{older[0][1] + 1 if older else 1}"
        partial = target.with_name(target.name + _PARTIAL)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(partial, ignore_errors=True)
            _write_folder(partial, {**files, DESCRIPTION: _description(run, point, step, files)})
            os.rename(partial, target)
            _sync_folder(self.folder)
        except OSError as error:
            shutil.rmtree(partial, ignore_errors=True)
            raise StoreError(
                f"{target}: a checkpoint of {sum(map(len, files.values()))} bytes cannot be written ({error}). Make "
                "room on the disk or lower the checkpoints' byte budget; the run continues from its older checkpoint."
            ) from error
        self._sizes[target.name] = _size(target)
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
            gone = path.with_name(path.name + _PARTIAL)
            shutil.rmtree(gone, ignore_errors=True)
            os.rename(path, gone)
        self._sizes.pop(path.name, None)
        if gone.is_dir():
            shutil.rmtree(gone, ignore_errors=True)
        else:
            gone.unlink(missing_ok=True)


def _description(run: str, point: int, step: int, files: Mapping[str, bytes]) -> bytes:
    lengths = {name: len(content) for name, content in files.items()}
    return json.dumps({"run": run, "point": point, "step": step, "bytes": lengths}).encode("utf-8")


def _run_of(name: str) -> str:
    return name.rpartition(".")[0]


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def _write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    folder.mkdir()
    for name, content in files.items():
        with (folder / name).open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    _sync_folder(folder)


def _sync_folder(folder: Path) -> None:
    """Wait until the names in `folder` are on the disk. Windows needs no such call: it keeps renames in order."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _read_folder(folder: Path, run: str) -> Checkpoint:
    """Read a checkpoint; raise OSError, ValueError, KeyError or TypeError where it is not whole."""
    description: dict[str, Any] = json.loads((folder / DESCRIPTION).read_bytes())
    if description["run"] != run:
        raise ValueError(f"it is of run {description['run']}")
    files = {name: (folder / name).read_bytes() for name in description["bytes"]}
    for name, content in files.items():
        if len(content) != description["bytes"][name]:
            raise ValueError(f"{name} has {len(content)} bytes, not {description['bytes'][name]}")
    return Checkpoint(int(description["point"]), int(description["step"]), files)
