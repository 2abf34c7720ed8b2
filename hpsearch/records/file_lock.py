"""A lock that the operating system holds for a process until it ends, and whose file names the holder."""

import errno
import os
import sys
from pathlib import Path

import filelock

from hpsearch.data.atomic_write import refuse_second_name, remedy
from hpsearch.errors import StoreError

_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL, errno.EIO)
_FIRST_READABLE = 1 if sys.platform == "win32" else 0
"""On Windows nobody else can read the first byte of a locked file."""


class FileLock:
    """An exclusive lock on the file at `path`, which stays there, empty, when nobody holds it.

    A forked child neither holds it nor keeps it alive when its parent dies.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = -1
        self._lock: filelock.BaseFileLock | None = None

    @property
    def held(self) -> bool:
        return self._lock is not None and self._lock.is_locked

    def acquire(self, content: str) -> bool:
        """Take the lock and write `content`, a line that names the holder, into the file; return False if it is taken.

        Raises StoreError where the file system has no locks or the file cannot be made.
        """

        def name_holder(descriptor: int) -> None:
            refuse_second_name(descriptor, self.path)
            self._descriptor = descriptor
            os.ftruncate(descriptor, 0)
            os.lseek(descriptor, 0, os.SEEK_SET)
            os.write(descriptor, b" " * _FIRST_READABLE + content.encode("utf-8"))

        lock = filelock.FileLock(
            self.path, thread_local=False, fallback_to_soft=False, preserve_lock_file=True, on_acquired=name_holder
        )
        try:
            self.path.parent.stat()  # the lock would make a folder that is gone
            lock.acquire(blocking=False)
        except filelock.Timeout:
            return False
        except OSError as error:
            if error.errno in _NO_LOCKS:
                raise StoreError(
                    f"{self.path}: this file system has no file locks ({error}). Put the study on a local disk "
                    "(`folder=`), or give a database server's URL (`storage=`)."
                ) from error
            raise StoreError(f"{self.path}: the study's lock cannot be made ({error}). {remedy(error)}") from error
        self._lock = lock
        return True

    def release(self) -> None:
        if self._lock is not None and self._lock.is_locked:
            os.ftruncate(self._descriptor, 0)
            self._lock.release()

    def content(self) -> str:
        """Return what the holder wrote, or "" where nothing can be read."""
        try:
            with self.path.open("rb", buffering=0) as file:
                file.seek(_FIRST_READABLE)
                return file.read().decode("utf-8", "replace")
        except OSError:
            return ""
