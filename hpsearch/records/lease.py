"""The lease: at most one coordinator writes to a study, and one that lost it can write nothing more.

On SQLite the lease is a file lock, which the operating system holds until the process ends, even while it is stopped.
On a server it is a row, taken over by compare-and-swap once it has expired on the server's clock (Gray and Cheriton
1989). A thread renews it: models load, and callbacks wait, for longer than a lease lasts. Each acquisition draws a
fencing token, and every write checks it in its own transaction, so a writer that slept through the end of its lease is
refused.
"""

import contextlib
import json
import logging
import math
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import (
    ColumnElement,
    Connection,
    Double,
    Engine,
    and_,
    bindparam,
    insert,
    literal_column,
    or_,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from hpsearch.errors import LeaseLostError, StoreError
from hpsearch.records import tables
from hpsearch.records.file_lock import FileLock
from hpsearch.records.lease_holder import held_error, hold, holder, is_gone
from hpsearch.records.outage import raised_with

LIFETIME_SECONDS = 60.0
"""How long a server's lease lasts without renewal."""

logger = logging.getLogger("hpsearch")


class Lease(Protocol):
    """The right to write to one study."""

    @property
    def held(self) -> bool:
        """Whether this process believes that it holds the lease."""

    def acquire(self) -> None:
        """Take the lease. Raises LeaseHeldError while another coordinator holds it."""

    def renew(self) -> None:
        """Show that this coordinator is alive; cheap enough for every turn of the loop. Raises LeaseLostError."""

    def release(self) -> None:
        """Release the lease, if it is held."""

    def abandon(self) -> None:
        """Drop the lease here without a word to the database, which does not answer; there it expires."""

    def fence(self, connection: Connection, write: str | None = None, *, again: bool = False) -> bool:
        """Check the token and lock it until the transaction of `connection` ends. Raises LeaseLostError.

        Args:
            write: What tells this write from all others.
            again: Whether the write was tried before, and how that ended is not known.

        Returns:
            Whether it has been committed already: with the write, its name is put down beside the token.
        """

    def guard(self) -> AbstractContextManager[None]:
        """Return a block in which Optuna may write for us, on connections of its own. Raises LeaseLostError."""


def server_clock(dialect: str) -> ColumnElement[float]:
    """Return the database's own clock, in seconds since 1970, as an SQL expression of `dialect`."""
    text = {
        "sqlite": "((julianday('now') - 2440587.5) * 86400.0)",
        "postgresql": "extract(epoch from clock_timestamp())",
        "mysql": "unix_timestamp(now(6))",
        "mariadb": "unix_timestamp(now(6))",
    }[dialect]
    return literal_column(text, Double)


class TokenRow:
    """A study's row in the lease table, and the fencing token that this process has drawn."""

    def __init__(self, engine: Engine, study: str, clock: ColumnElement[float] | None = None) -> None:
        self.engine = engine
        self.study = study
        self.clock = server_clock(engine.dialect.name) if clock is None else clock
        self.token: int | None = None
        self._owner = ""
        self._row = tables.lease.c.study == study
        # Made once: each write looks at the token, and names itself.
        ours = and_(self._row, tables.lease.c.token == bindparam("ours"))
        self._look = select(tables.lease.c.token).where(self._row)
        self._name_write = update(tables.lease).where(ours).values(owner=bindparam("named"))

    def take(self, lifetime: float | None, gone: str = "") -> bool:
        """Draw a new token if the lease is free, expired, or that of an owner who is `gone`.

        Where a file lock guards it, `lifetime` is None, and it is free.
        """
        row = tables.lease
        is_free = or_(row.c.owner.is_(None), row.c.owner == gone, row.c.expires <= self.clock)
        free = is_free if lifetime is not None else self._row
        self._insert_missing()
        self._owner = holder()
        with self.engine.begin() as connection:
            taken = connection.execute(
                update(row)
                .where(and_(self._row, free))
                .values(
                    token=row.c.token + 1, owner=self._owner, since=self.clock, expires=self.clock + (lifetime or 0.0)
                )
            )
            if taken.rowcount != 1:
                return False
            token = connection.execute(select(row.c.token).where(self._row)).scalar_one()
        self.token = token  # not before the commit: where that fails, nothing is held
        return True

    def _insert_missing(self) -> None:
        with self.engine.connect() as connection:
            if connection.execute(select(tables.lease.c.token).where(self._row)).first() is not None:
                return
        try:
            with self.engine.begin() as connection:
                connection.execute(insert(tables.lease).values(study=self.study, token=0, since=0.0, expires=0.0))
        except IntegrityError:
            logger.debug("study %s: another process made its lease row first", self.study)

    def owner(self) -> tuple[str, float]:
        """Return who holds the lease, as `holder` says it there, and in how many seconds it ends."""
        with self.engine.connect() as connection:
            columns = tables.lease.c.owner, tables.lease.c.expires - self.clock
            owner, seconds = connection.execute(select(*columns).where(self._row)).one()
        return owner or "", max(float(seconds), 0.0)

    def renew_until(self, is_over: threading.Event, token: int | None, lifetime: float, pause: float) -> None:
        """Renew the lease of `token`, `pause` seconds apart, until that is over or another has taken the lease over.

        A database that is away is asked again; who writes speaks of it.
        """
        ours = and_(self._row, tables.lease.c.token == token)
        renewal = update(tables.lease).where(ours).values(expires=self.clock + lifetime)
        while not is_over.wait(pause):
            with contextlib.suppress(*raised_with("OptunaError")), self.engine.begin() as connection:
                if is_over.is_set():  # while it waited for a connection
                    return
                if connection.execute(renewal).rowcount != 1:
                    return  # taken over: the next write says so

    def fence(self, connection: Connection, write: str | None, *, again: bool) -> bool:
        """Lock the row until the transaction ends, name `write` in it, and return whether it did so before."""
        if write is None:
            self.change(connection, token=tables.lease.c.token)
            return False
        token = self._our_token()
        owner = json.dumps({**json.loads(self._owner), "write": write})
        if again:  # a commit that is still on its way holds the row's lock
            row = select(tables.lease.c.token, tables.lease.c.owner).where(self._row).with_for_update()
            if connection.execute(row).first() == (token, owner):
                return True
        if connection.execute(self._name_write, {"ours": token, "named": owner}).rowcount != 1:
            raise self._lost()
        return False

    def change(self, connection: Connection, **values: Any) -> None:
        """Write `values`, and lock the row until the transaction ends. Raises LeaseLostError if our token is gone."""
        ours = and_(self._row, tables.lease.c.token == self._our_token())
        if connection.execute(update(tables.lease).where(ours).values(**values)).rowcount != 1:
            raise self._lost()

    def check(self) -> None:
        """Raise LeaseLostError where the token is no longer ours."""
        token = self._our_token()
        with self.engine.connect() as connection:
            if connection.execute(self._look).scalar() != token:
                raise self._lost()

    def _our_token(self) -> int:
        if self.token is None:
            raise LeaseLostError(
                f"This process does not hold study {self.study!r}, so nothing is recorded. Acquire its lease first."
            )
        return self.token

    def _lost(self) -> LeaseLostError:
        self.token = None
        return LeaseLostError(
            f"Study {self.study!r} has been taken over by another coordinator; nothing that this process says is "
            "recorded any more, and nothing recorded before is lost. End this process; the other one continues."
        )

    def leave(self) -> None:
        """Mark the row as free, unless the token is no longer ours."""
        if self.token is not None:
            try:
                with self.engine.begin() as connection:
                    self.change(connection, owner=None, expires=0.0)
            except LeaseLostError as error:
                logger.warning("%s", error)
            self.token = None


class FileLease:
    """The lease in a SQLite file: an OS lock on a file beside it, and the token row."""

    def __init__(self, engine: Engine, study: str, path: Path) -> None:
        self._row = TokenRow(engine, study)
        self._lock = FileLock(path)
        self._database = Path(str(engine.url.database))
        self._identity: tuple[int, int] | None = None

    @property
    def held(self) -> bool:
        return self._lock.held and self._row.token is not None

    def acquire(self) -> None:
        if self.held:
            return
        self._lock.release()
        hold(
            self._lock,
            self._row.study,
            holder(),
            "Wait until it ends, or end it (Ctrl-C there, or `kill` with its number; a stopped process must be "
            "continued or killed), then resume the study.",
        )
        try:
            self._row.take(lifetime=None)
            self._identity = _identity(self._database)
        except BaseException:
            self._lock.release()
            raise

    def renew(self) -> None:
        with self.guard():
            pass

    def _check_file(self) -> None:
        """Raise StoreError where the database is not the file that was opened: what is written to that is lost."""
        if self.held and _identity(self._database) != self._identity:
            self._row.token = None
            raise StoreError(
                f"{self._database}: the study's database was deleted, renamed or replaced while the study ran, so "
                "nothing more can be kept, and what this process shows may be kept nowhere. If the study's folder was "
                "moved, move it back, or resume the study where it lies now. Otherwise run it again."
            )

    def release(self) -> None:
        try:
            self._check_file()
            if self.held:
                self._row.leave()
        finally:
            self._lock.release()

    def abandon(self) -> None:
        self._row.token = None

    def fence(self, connection: Connection, write: str | None = None, *, again: bool = False) -> bool:
        self._check_file()
        self._forget_in_child()
        return self._row.fence(connection, write, again=again)

    def _forget_in_child(self) -> None:
        if not self._lock.held:  # this is a forked child: lock and token are its parent's
            self._row.token = None

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Check the token first: SQLite has one writer at a time, so our transaction may not stay open."""
        self._check_file()
        self._forget_in_child()
        self._row.check()
        yield


def _identity(path: Path) -> tuple[int, int] | None:
    """Return what tells a file from another one that takes its name, or None where there is none."""
    try:
        facts = path.stat()
    except FileNotFoundError:
        return None
    return facts.st_dev, facts.st_ino


class RowLease:
    """The lease on a database server: a row that expires on the server's clock unless renewed.

    Args:
        lifetime: Seconds until an unrenewed lease may be taken over.
        clock: SQL for the server's clock in seconds; by default that of the engine's dialect.
    """

    def __init__(
        self,
        engine: Engine,
        study: str,
        lifetime: float = LIFETIME_SECONDS,
        clock: ColumnElement[float] | None = None,
    ) -> None:
        self._row = TokenRow(engine, study, clock)
        self.lifetime = lifetime
        self._pause = lifetime / 3  # between renewals
        self._renewed = 0.0
        self._is_over = threading.Event()  # ends the thread that renews
        self._thread: threading.Thread | None = None

    @property
    def held(self) -> bool:
        return self._row.token is not None

    def acquire(self) -> None:
        if self.held:
            return
        try:
            self._take()
            self._start_renewing()
        except BaseException:
            self.abandon()
            raise

    def _take(self) -> None:
        """Take the lease, at once from an owner that is gone; raise LeaseHeldError of one that is not."""
        gone = ""
        while not self._row.take(self.lifetime, gone):
            owner, seconds = self._row.owner()
            if owner and not is_gone(owner):
                raise held_error(
                    self._row.study,
                    owner,
                    "Wait until it ends, or end it, then resume the study. If it was killed, or its machine is gone, "
                    f"its lease ends in {math.ceil(seconds)} s.",
                )
            gone = owner
        self._renewed = time.monotonic()

    def _start_renewing(self) -> None:
        """Renew the lease from a thread until it is given back, or this object is gone."""
        self._is_over = is_over = threading.Event()
        weakref.finalize(self, is_over.set)
        arguments = (is_over, self._row.token, self.lifetime, self._pause)
        self._thread = threading.Thread(
            target=self._row.renew_until, args=arguments, name="hpsearch-lease", daemon=True
        )
        self._thread.start()

    def renew(self) -> None:
        if self.held and time.monotonic() - self._renewed < self._pause:
            return
        with self._row.engine.begin() as connection:
            self._row.change(connection, expires=self._row.clock + self.lifetime)
        self._renewed = time.monotonic()

    def release(self) -> None:
        self._is_over.set()
        if self._thread is not None:
            self._thread.join()
        self._row.leave()

    def abandon(self) -> None:
        self._is_over.set()
        self._thread, self._row.token = None, None

    def fence(self, connection: Connection, write: str | None = None, *, again: bool = False) -> bool:
        return self._row.fence(connection, write, again=again)

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Lock the row in a transaction of ours, so that nobody can take over before the block ends."""
        with self._row.engine.begin() as connection:
            self.fence(connection)
            yield
