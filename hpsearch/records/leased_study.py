"""A study's database under its lease: opened to be read, and written to by whoever holds it.

Every access goes through here: under the lease it waits for a database that is away or locked (outage.py).
"""

import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self, TypeVar

from sqlalchemy import Connection

from hpsearch.errors import LeaseHeldError
from hpsearch.records.database import database_errors, prepare_file
from hpsearch.records.lease import FileLease, Lease, RowLease
from hpsearch.records.optuna_rows import OptunaRows
from hpsearch.records.outage import LOCK_SECONDS, Patience, Unavailable, patience_seconds
from hpsearch.records.read_only import leave_write_ahead
from hpsearch.records.studies import OpenStudy, described, lock_path, open_study
from hpsearch.records.types import Trial
from hpsearch.records.urls import shown, sqlite_path

T = TypeVar("T")


class LeasedStudy:
    """The database of one study.

    Attributes:
        url: The database, as an SQLAlchemy URL object.
        name: The study's name.
    """

    def __init__(self, study: OpenStudy, name: str) -> None:
        self.url = study.url
        self.name = name
        self._use(study)

    def _use(self, study: OpenStudy) -> None:
        """Read and write through this database from now on."""
        self._study = study
        self._engine = study.engine
        self._optuna = study.rows
        self._description: Mapping[str, Any] = described(study.description, study.url, self.name)
        path = sqlite_path(study.url)
        if path is None:
            self._lease: Lease = RowLease(study.engine, self.name)
        else:
            self._lease = FileLease(study.engine, self.name, lock_path(path, self.name))

    def _reopen(self, *, for_reading: bool) -> None:
        """Open the database anew: to write to it, or for reading alone."""
        self._study.close()
        url = self.url.render_as_string(hide_password=False)
        self._use(open_study(url, self.name, for_reading=for_reading))

    @property
    def place(self) -> str:
        """The database, as messages show it."""
        return shown(self.url)

    def close(self) -> None:
        """Release the lease and close the connections."""
        try:
            self.release()
        finally:
            self._study.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    @property
    def held(self) -> bool:
        return self._lease.held

    def _take_lease(self) -> None:
        is_file = sqlite_path(self.url) is not None
        try:
            if is_file and self._study.source is not None:
                self._persist("opening the study", lambda _again: prepare_file(self.url))
                self._reopen(for_reading=False)
            self._persist("taking the study's lease", lambda _again: self._lease.acquire())
        except BaseException as error:
            if is_file:
                self._reopen(for_reading=True)
            if isinstance(error.__cause__, Unavailable) and error.__cause__.is_locked:
                raise LeaseHeldError(str(error)) from error
            raise

    def renew(self) -> None:
        self._persist("renewing the study's lease", lambda _again: self._lease.renew())

    def release(self) -> None:
        """Release the lease, if it is held; a SQLite database is then one file again."""
        is_over = self._lease.held and sqlite_path(self.url) is not None
        if is_over:
            self._study.close()
            leave_write_ahead(self.url)
        self._persist("giving back the study's lease", lambda _again: self._lease.release())
        if is_over:
            self._reopen(for_reading=True)

    def _persist(self, doing: str, operation: Callable[[bool], T]) -> T:
        """Do something with the database; under our lease, wait for it where it is away or locked.

        `operation` is told whether it was begun before.
        """
        away, locked = (patience_seconds(), patience_seconds()) if self.held else (0.0, LOCK_SECONDS)
        with database_errors(self.url, doing):
            return Patience(self._engine, self.url, away, locked, self._lease.abandon).run(operation)

    def _write(self, doing: str, work: Callable[[Connection], T]) -> T:
        """Do `work` in a transaction that commits under our lease once, or not at all."""
        name = secrets.token_hex(8)
        results: list[T] = []

        def once(again: bool) -> T:
            with self._engine.begin() as connection:
                if not self._lease.fence(connection, name, again=again):
                    results[:] = [work(connection)]
            return results[0]

        return self._persist(doing, once)

    def _write_optuna(self, doing: str, work: Callable[[OptunaRows, Sequence[Trial]], T]) -> T:
        """Let Optuna write under our lease; `work`, which gets our trials as they are there, may do so twice."""

        def guarded(again: bool) -> T:
            with self._lease.guard():
                return work(self._optuna, self._optuna.reread() if again else ())

        return self._persist(doing, guarded)
