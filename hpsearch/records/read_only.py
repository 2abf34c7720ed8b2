"""A SQLite database opened to be read: nothing is written beside it, and one that may not be written to can be read.

Where a study is being run its file is in write-ahead mode, and readers share the memory of the process that runs it.
At the end of a run it leaves that mode: then one file is all there is, and a reader leaves no trace. After a kill the
log stays; reading it makes SQLite's shared-memory file at most. Where not even that can be made, a copy is read.
"""

import os
import shutil
import sqlite3
import tempfile
import weakref
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from sqlalchemy.engine import URL

from hpsearch.records.urls import sqlite_path

BUSY_SECONDS = 60.0
_FORMAT_BYTE, _WRITE_AHEAD = 18, 2  # https://www.sqlite.org/fileformat.html, the file format write version


class ReadOnly:
    """A database to be read.

    Attributes:
        url: What to connect to.
    """

    def __init__(self, url: URL) -> None:
        self._path = sqlite_path(url)
        self._copied: tuple[int, ...] | None = None
        self._remove: weakref.finalize[..., ReadOnly] | None = None
        self.url = url
        if self._path is None or not self._path.is_file():
            return
        if not (_is_write_ahead(self._path) and not _log(self._path).exists() and _is_writable(self._path)):
            self.url = self._without_writing(self._path)

    @property
    def is_writable(self) -> bool:
        """Whether this process may write to the database, as far as its file tells."""
        return self._path is None or _is_writable(self._path)

    @property
    def is_outdated(self) -> bool:
        """Whether this is a copy, and the database has changed since."""
        return self._copied is not None and self._path is not None and self._copied != _stamp(self._path)

    def close(self) -> None:
        """Remove the copy, if there is one."""
        if self._remove is not None:
            self._remove()

    def _without_writing(self, path: Path) -> URL:
        """Return a URL of the file for reading alone, or of a copy of it."""
        query = {"mode": "ro", "uri": "true"}
        url = URL.create("sqlite", database=f"file:{quote(str(path))}", query=query)
        try:
            with closing(sqlite3.connect(f"{url.database}?mode=ro", uri=True, timeout=BUSY_SECONDS)) as connection:
                connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.OperationalError:  # SQLite would make a file beside it first
            return self._copy(path)
        except sqlite3.Error:  # told by whoever reads it
            return url
        return url

    def _copy(self, path: Path) -> URL:
        folder = Path(tempfile.mkdtemp(prefix="hpsearch-"))
        self._remove = weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self._copied = _stamp(path)
        for source in (path, _log(path)):
            if source.exists():
                shutil.copyfile(source, folder / source.name)
        return URL.create("sqlite", database=str(folder / path.name))


def leave_write_ahead(url: URL) -> None:
    """Have a SQLite database be one file again, unless somebody else has it open; then the last one does so some day.

    The caller has closed its own connections. A database that is gone is not made anew.
    """
    path = sqlite_path(url)
    if path is None:
        return
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=rw", uri=True, timeout=0.0)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            connection.execute("PRAGMA journal_mode=DELETE")
    except sqlite3.Error:
        return  # it is as whole as it was


def _log(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def _is_write_ahead(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(_FORMAT_BYTE + 1)[_FORMAT_BYTE:] == bytes([_WRITE_AHEAD])
    except OSError:  # told by whoever reads it
        return False


def _is_writable(path: Path) -> bool:
    """Whether SQLite may make its files beside this one, and remove them when it is closed."""
    return os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)


def _stamp(path: Path) -> tuple[int, ...]:
    stats = [file.stat() for file in (path, _log(path)) if file.exists()]
    return tuple(number for each in stats for number in (each.st_mtime_ns, each.st_size))
