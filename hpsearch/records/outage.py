"""A database that is away, or locked by somebody else: it is waited for, with word of it, up to a limit.

A server is restarted, a connection is cut, a transaction of another program holds a lock: none of it need end a study.
Who waits repeats the whole operation, so it must do no harm to do it twice: a commit whose answer was lost may have
taken place (`Lease.fence` and `OptunaRows.reread` find out).
"""

import logging
import math
import os
import sqlite3
import sys
import time
from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import Engine, event
from sqlalchemy.engine import URL, ExceptionContext
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError

from hpsearch.errors import UsageError
from hpsearch.records.lock_holders import lock_holder
from hpsearch.records.urls import shown, without_secrets

PATIENCE_SECONDS = 300.0
"""How long a running study waits for a database that is away or locked, unless WAIT_VARIABLE sets another limit."""

WAIT_VARIABLE = "HPSEARCH_DATABASE_WAIT"

LOCK_SECONDS = 60.0
"""How long everything else waits for a lock; for a server that is away, it does not wait."""

RETRY_SECONDS = 1.0
"""Pause before an operation is repeated."""

REPEAT_WORD_SECONDS = 60.0

_LOCKED: set[str | int] = {"55P03", "40P01", "40001", 1205, 1213}
"""PostgreSQL's and MySQL's codes: a lock waited for too long, a deadlock, a transaction that met another."""

_AWAY: set[str | int] = {"57P01", "57P02", "57P03", "53300", 1040, 1053}
"""The server stops, starts, or has no connections left."""

_SQLITE_LOCKED = (5, 6)

logger = logging.getLogger("hpsearch")
T = TypeVar("T")


class Unavailable(Exception):  # noqa: N818 - no error yet: it is waited for
    """The database is away or locked; whether what was committed last has taken place is not known."""

    def __init__(self, reason: str, *, is_locked: bool, holder: str = "", waited: float = 0.0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.is_locked = is_locked
        self.holder = holder
        self.waited = waited


def optuna_errors(name: str) -> tuple[type[Exception], ...]:
    """Return Optuna's kind of error of this name; none where nothing has loaded Optuna, which then raised none."""
    module = sys.modules.get("optuna.exceptions")
    return () if module is None else (getattr(module, name),)


def raised_with(name: str) -> tuple[type[Exception], ...]:
    """Return what working with a database may raise, with Optuna's errors of this name."""
    return SQLAlchemyError, sqlite3.Error, Unavailable, *optuna_errors(name)


def unavailable(error: BaseException | None) -> Unavailable | None:
    """Return what an error says about a database that is worth waiting for, or None for any other error."""
    if isinstance(error, Unavailable):
        return error
    if isinstance(error, optuna_errors("UpdateFinishedTrialError")):  # by a commit whose answer was lost
        return Unavailable("the trial has ended there", is_locked=True)
    if isinstance(error, optuna_errors("StorageInternalError")):
        error = error.__cause__
    cause = error.orig if isinstance(error, DBAPIError) else error
    reason = str(cause).strip().partition("\n")[0]
    if isinstance(cause, sqlite3.Error):
        is_locked = (getattr(cause, "sqlite_errorcode", 0) & 0xFF) in _SQLITE_LOCKED
        return Unavailable(reason, is_locked=True) if is_locked else None
    if not isinstance(error, DBAPIError):
        return None
    codes = _codes(error.orig)
    if codes & _LOCKED:
        return Unavailable(reason, is_locked=True)
    cannot_connect = error.statement is None and isinstance(error, OperationalError | InterfaceError)
    if error.connection_invalidated or cannot_connect or codes & _AWAY:
        return Unavailable(reason, is_locked=False)
    return None


def _codes(error: Any) -> set[str | int]:
    """Return what a driver's error is known by: PostgreSQL's five characters, MySQL's number."""
    first = error.args[0] if getattr(error, "args", None) else None
    codes = (getattr(error, "sqlstate", None), getattr(error, "pgcode", None), first)
    return {code for code in codes if isinstance(code, str | int)}


def tell_outages(engine: Engine) -> None:
    """Have `engine` raise Unavailable at once where Optuna's storage would repeat a commit whose answer was lost."""

    def tell(context: ExceptionContext) -> Unavailable | None:
        return None if context.is_pre_ping else unavailable(context.sqlalchemy_exception)

    event.listen(engine, "handle_error", tell)


def patience_seconds() -> float:
    """Return how long a running study waits for its database."""
    given = os.environ.get(WAIT_VARIABLE, "")
    try:
        seconds = float(given) if given else PATIENCE_SECONDS
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise UsageError(
            f"{WAIT_VARIABLE}={given!r} is not a number of seconds. It says how long a running study waits for a "
            f"database that is away or locked: 600 for ten minutes, 0 for not at all. Leave it out for "
            f"{PATIENCE_SECONDS:.0f}."
        )
    return seconds


class Patience:
    """Repeats an operation on the database at `url` until it succeeds, or the limits are reached.

    Args:
        away: Seconds to wait for a server that is away.
        locked: Seconds to wait for a lock.
        give_up: Called when the waiting ends without success, also by Ctrl-C.
    """

    def __init__(
        self, engine: Engine, url: URL, away: float, locked: float, give_up: Callable[[], None] = lambda: None
    ) -> None:
        self._engine, self._url = engine, url
        self._limits = {True: locked, False: away}
        self._give_up = give_up
        self._spoke: float | None = None

    def run(self, operation: Callable[[bool], T]) -> T:
        """Return what `operation` returns; its argument says whether it was begun before. Raises Unavailable."""
        began = time.monotonic()
        again = False
        try:
            while True:
                try:
                    result = operation(again)
                except raised_with("OptunaError") as error:
                    self._wait(error, began)
                    again = True
                else:
                    if self._spoke is not None:
                        logger.warning("%s is back after %.0f s.", shown(self._url), time.monotonic() - began)
                    return result
        except BaseException as error:
            if again or isinstance(error, Unavailable):
                self._give_up()
            raise

    def _wait(self, error: BaseException, began: float) -> None:
        """Wait a moment, and say what for; raise what it cannot wait for."""
        cause = unavailable(error)
        if cause is None:
            raise error
        waited = time.monotonic() - began
        limit = self._limits[cause.is_locked]
        is_over = waited + RETRY_SECONDS > limit
        speaks = self._spoke is None or waited - self._spoke >= REPEAT_WORD_SECONDS
        reason = without_secrets(cause.reason, self._url)
        holder = lock_holder(self._engine, self._url) if cause.is_locked and (is_over or speaks) else ""
        if is_over:
            raise Unavailable(reason, is_locked=cause.is_locked, holder=holder, waited=waited) from error
        if speaks:
            what = f"is locked by {holder}" if cause.is_locked else f"does not answer ({reason})"
            until = f"{limit:.0f} s" if cause.is_locked else f"{limit:.0f} s ({WAIT_VARIABLE})"
            logger.warning("%s %s. Waiting for it, up to %s; nothing is lost meanwhile.", shown(self._url), what, until)
            self._spoke = waited
        time.sleep(RETRY_SECONDS)
