"""Folders that another machine wrote: used where they lie if this machine sees them, else copied once.

A folder is seen where its files have the same sizes and times of change at the same path: then nothing of them is read.
Otherwise their content counts, by SHA-256. A copy is named by it, made whole by one rename, compared when a process
first uses it, and made anew where it is not what was written.
"""

import contextlib
import functools
import hashlib
import os
import shutil
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import filelock

from hpsearch.data.atomic_write import partial_path, sync_folder, synced_file, writing
from hpsearch.data.fingerprint import file_digest
from hpsearch.errors import PreparedDataError, StoreError

PART_BYTES = 64 * 1024**2
"""How much of a file travels at once."""

COPIES_BYTES = 20 * 1024**3
"""How much a machine keeps of copies, those unused for longest removed first; what is in use may exceed it."""

IN_USE_SECONDS = 24 * 3600.0
"""How long a copy counts as in use after a process has asked for it."""

_SETTING = "HPSEARCH_CACHE in the environment that Ray was started with on this node"
_LOCK = "copies.lock"


@dataclass(frozen=True)
class Listing:
    """Files of a folder, as the machine that wrote them sees them.

    Attributes:
        folder: Its absolute path there.
        files: (name, bytes, time of its last change in nanoseconds) of each; none where there is no such folder.
    """

    folder: str
    files: tuple[tuple[str, int, int], ...]

    @classmethod
    def of(cls, folder: Path, names: Sequence[str] | None = None) -> "Listing":
        """Return a listing of these files, by default of all that lie directly in the folder."""
        with contextlib.suppress(OSError):
            chosen = [path.name for path in folder.iterdir() if path.is_file()] if names is None else names
            facts = [(name, (folder / name).stat()) for name in sorted(chosen)]
            return cls(str(folder), tuple((name, fact.st_size, fact.st_mtime_ns) for name, fact in facts))
        return cls(str(folder), ())

    @property
    def is_seen(self) -> bool:
        """Whether this machine sees the same files at the same path."""
        return Listing.of(Path(self.folder), [name for name, _, _ in self.files]) == self

    def content(self) -> "Content":
        """Return what the files hold, which reads them; PreparedDataError where they changed since they were listed."""
        folder = Path(self.folder)
        with contextlib.suppress(OSError):
            if self.is_seen:
                files = [(name, size, _digest_of(folder / name)) for name, size, _ in self.files]
                return Content(folder.name, tuple(files))
        raise _changed(folder)

    def part(self, name: str, start: int) -> bytes:
        """Return up to `PART_BYTES` of a listed file; PreparedDataError where it cannot be read."""
        if name not in {listed for listed, _, _ in self.files}:
            raise _changed(Path(self.folder))
        try:
            with (Path(self.folder) / name).open("rb") as file:
                file.seek(start)
                return file.read(PART_BYTES)
        except OSError as error:
            raise _changed(Path(self.folder)) from error


@dataclass(frozen=True)
class Content:
    """What the files of a folder hold, wherever they lie.

    Attributes:
        name: The folder's name, which a prepared dataset's files have written down.
        files: (name, bytes, SHA-256) of each.
    """

    name: str
    files: tuple[tuple[str, int, str], ...]

    @property
    def digest(self) -> str:
        return hashlib.sha256(repr((self.name, self.files)).encode()).hexdigest()[:32]

    @property
    def size(self) -> int:
        return sum(size for _, size, _ in self.files)

    def is_in(self, folder: Path) -> bool:
        """Whether a folder holds it; each file is read once by a process, unless it changes."""
        try:
            sizes = all((folder / name).stat().st_size == size for name, size, _ in self.files)
            return sizes and all(_digest_of(folder / name) == digest for name, _, digest in self.files)
        except OSError:
            return False


@dataclass(frozen=True)
class Folders:
    """Folders of one machine.

    Attributes:
        machine: Its name.
        listings: What it sees of each folder.
        modules: Where its process looks for modules.
    """

    machine: str
    listings: tuple[Listing, ...]
    modules: tuple[str, ...] = ()


class Sender(Protocol):
    """The machine that has a folder, as it is asked from another one."""

    def content(self, listing: Listing) -> Content:
        """Return `listing.content()` there."""

    def part(self, listing: Listing, name: str, start: int) -> bytes:
        """Return `listing.part(name, start)` there."""


def places(listings: Iterable[Listing], copies: Path, sender: Sender) -> dict[str, Path]:
    """Return where this machine has the folders that were listed on another: at the same path, else in `copies`.

    Of several processes of this machine one copies, and the others wait for it.

    Raises:
        PreparedDataError: Files changed meanwhile on the machine that has them.
        StoreError: This machine has no room for them.
    """
    unseen = [listing for listing in listings if not listing.is_seen]
    contents = {listing: sender.content(listing) for listing in unseen}
    found = {}
    for listing, content in contents.items():
        given, target = Path(listing.folder), copies / content.digest / content.name
        found[listing.folder] = given if content.is_in(given) else target
        if found[listing.folder] == target and not content.is_in(target):
            with writing(copies, _SETTING):
                copies.mkdir(parents=True, exist_ok=True)
            with _alone_in(copies):
                if not content.is_in(target):
                    _remove(target.parent)
                    _make_room(copies, content, {content.digest for content in contents.values()})
                    _copy(listing, content, target, sender)
        with contextlib.suppress(OSError):  # none, or a copy that another user made
            os.utime(target.parent)
    return {listing.folder: found.get(listing.folder, Path(listing.folder)) for listing in listings}


@contextlib.contextmanager
def _alone_in(copies: Path) -> Iterator[None]:
    """Keep other processes from writing to `copies`; without file locks, of two that write the first one counts."""
    lock = filelock.FileLock(copies / _LOCK, fallback_to_soft=False, preserve_lock_file=True)
    with contextlib.ExitStack() as held:
        with contextlib.suppress(OSError, NotImplementedError):
            held.enter_context(lock.acquire(poll_interval=0.2))
        yield


def _copy(listing: Listing, content: Content, target: Path, sender: Sender) -> None:
    with writing(target.parent, _SETTING):
        partial = partial_path(target.parent)
        try:
            folder = partial / content.name
            folder.mkdir(parents=True)
            for name, size, digest in content.files:
                _copy_file(listing, folder / name, size, digest, sender)
            sync_folder(folder)
            try:
                partial.rename(target.parent)
            except OSError:
                if not content.is_in(target):
                    raise  # else another process was first
            sync_folder(target.parent.parent)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def _copy_file(listing: Listing, path: Path, size: int, digest: str, sender: Sender) -> None:
    hashed, start = hashlib.sha256(), 0
    with synced_file(path) as file:
        while start < size:
            part = sender.part(listing, path.name, start)
            if not part:
                break
            file.write(part)
            hashed.update(part)
            start += len(part)
    if hashed.hexdigest() != digest:
        raise _changed(Path(listing.folder))


def _make_room(copies: Path, content: Content, needed: Collection[str]) -> None:
    """Remove copies unused for longest that exceed the budget; StoreError where the disk has no room even so."""
    sizes: dict[Path, int] = {}
    for path in sorted((path for path in copies.iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime_ns):
        sizes[path] = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    unused = [path for path in sizes if path.name not in needed and time.time() - path.stat().st_mtime > IN_USE_SECONDS]
    free = shutil.disk_usage(copies).free
    if content.size > free + sum(sizes[path] for path in unused):
        raise StoreError(
            f"{content.name!r} takes {_gigabytes(content.size)}, and {_gigabytes(free)} are free in {copies}. Make "
            f"room there, choose another disk ({_SETTING}), or put the study's cache (HPSEARCH_CACHE) and its model "
            "on a folder that all nodes see."
        )
    for path in unused:
        if sum(sizes.values()) + content.size <= COPIES_BYTES and content.size <= shutil.disk_usage(copies).free:
            return
        _remove(path)
        del sizes[path]


def _remove(folder: Path) -> None:
    """Remove a copy by one step; who has its files open keeps them."""
    if folder.exists():
        with writing(folder, _SETTING):
            gone = folder.rename(partial_path(folder))
            shutil.rmtree(gone, ignore_errors=True)


def _digest_of(path: Path) -> str:
    facts = path.stat()
    return _digest_of_state(path, (facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns))


@functools.lru_cache(maxsize=4096)
def _digest_of_state(path: Path, _: tuple[int, ...]) -> str:
    return file_digest(path)


def _changed(folder: Path) -> PreparedDataError:
    return PreparedDataError(
        f"the files in {str(folder)!r} changed while they were copied to another machine. What is damaged of the "
        "prepared rows is made anew, and all is copied again."
    )


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB"
