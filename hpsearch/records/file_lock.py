"""A lock that the operating system holds as long as a process lives, and whose file names the holder."""

import os
import sys
import weakref
from pathlib import Path

from hpsearch.errors import StoreError

if sys.platform == "win32":
    import msvcrt

    _LOCKED_BYTE = 1 << 20  # beyond the text, which others must be able to read while the byte is locked

    def _try_lock(descriptor: int) -> bool:
        os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        return True

    def _unlock(descriptor: int) -> None:
        os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _try_lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _unlock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


class FileLock:
    """An exclusive lock on the file at `path`, which stays there, empty, when nobody holds it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    @property
    def held(self) -> bool:
        return self._descriptor is not None

    def acquire(self, content: str) -> bool:
        """Take the lock and write `content` (one line that names the holder) into the file; False if it is taken.

        Raises StoreError where the file system has no locks or the file cannot be made.
        """
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise StoreError(
                f"{self.path}: the study's lock cannot be made ({error}). Choose a folder that you may write to."
            ) from error
        try:
            locked = _try_lock(descriptor)
        except OSError as error:
            os.close(descriptor)
            raise StoreError(
                f"{self.path}: this file system has no file locks ({error}). Put the study on a local disk "
                "(`folder=`), or give a database server's URL (`storage=`)."
            ) from error
        if not locked:
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        _held.add(self)
        self._write(content)
        return True

    def release(self) -> None:
        if self._descriptor is not None:
            self._write("")
            _unlock(self._descriptor)
            self.forget()

    def content(self) -> str:
        """Return what the holder wrote, or an empty text."""
        try:
            return self.path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""

    def forget(self) -> None:
        """Close the file without unlocking it: what a forked child does, so that the lock dies with its parent."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
        _held.discard(self)

    def _write(self, content: str) -> None:
        assert self._descriptor is not None
        os.ftruncate(self._descriptor, 0)
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        os.write(self._descriptor, content.encode("utf-8"))


_held: "weakref.WeakSet[FileLock]" = weakref.WeakSet()


def _forget_all() -> None:
    for lock in list(_held):
        lock.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
