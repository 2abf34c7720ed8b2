"""Opening a study's database: drivers, bounds in time, durability, and errors that say what to do."""

import math
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.exc import NoSuchModuleError
from sqlalchemy.pool import NullPool

from hpsearch.data.atomic_write import refuse_strangers_link
from hpsearch.errors import StoreError
from hpsearch.records import silence
from hpsearch.records.outage import WAIT_VARIABLE, optuna_errors, raised_with, unavailable
from hpsearch.records.urls import shown, sqlite_path, without_secrets

BUSY_SECONDS = 5.0
"""How long a statement waits for another's lock before it fails, and is perhaps repeated (outage.py)."""

CONNECT_SECONDS = 10
"""How long a server may take to answer a new connection."""


_DRIVERS = {
    "psycopg": "psycopg[binary]",
    "psycopg2": "psycopg2-binary",
    "asyncpg": "psycopg[binary]",
    "MySQLdb": "mysqlclient",
    "pymysql": "pymysql",
    "mysql": "mysql-connector-python",
    "mariadb": "mariadb",
}


def _bounds(driver: str) -> Mapping[str, int]:
    """Return what bounds a driver's time of connecting and of silence; what the URL says goes before."""
    seconds = math.ceil(silence.SILENCE_SECONDS)
    of_libpq = {
        "connect_timeout": CONNECT_SECONDS,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 4,
        "tcp_user_timeout": seconds * 1000,
    }
    of_mysql = {"connect_timeout": CONNECT_SECONDS, "read_timeout": seconds, "write_timeout": seconds}
    return {
        "psycopg": of_libpq,
        "psycopg2": of_libpq,
        "pymysql": of_mysql,
        "mysqldb": of_mysql,
        "mysqlconnector": {"connection_timeout": CONNECT_SECONDS},
        "mariadbconnector": {"connect_timeout": CONNECT_SECONDS},
    }.get(driver, {})


def engine_arguments(url: URL, *, for_reading: bool = False) -> dict[str, Any]:
    """Return what both engines, Optuna's and ours, are made with.

    `for_reading` a SQLite file is open only while a query runs: so it can leave write-ahead mode when a run ends.
    """
    if sqlite_path(url):
        pool = {"poolclass": NullPool} if for_reading else {}
        return {"connect_args": {"timeout": BUSY_SECONDS}, **pool}
    on_connect = [_postgresql_locks if url.get_backend_name() == "postgresql" else _mysql_locks]
    if url.get_driver_name() == "psycopg":
        on_connect.insert(0, silence.limit_silence)
    return {
        "connect_args": {
            name: value for name, value in _bounds(url.get_driver_name()).items() if name not in url.query
        },
        "pool_pre_ping": True,
        "pool_events": [(listener, "connect") for listener in on_connect],
    }


def _postgresql_locks(connection: Any, _record: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"set lock_timeout = {round(BUSY_SECONDS * 1000)}")
    connection.commit()


def _mysql_locks(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    seconds = max(1, round(BUSY_SECONDS))
    cursor.execute(f"set innodb_lock_wait_timeout = {seconds}, lock_wait_timeout = {seconds}")
    cursor.close()


def make_durable(engine: Engine, synchronous: Literal["FULL", "NORMAL"] = "FULL") -> None:
    """Set whether commits of `engine`'s SQLite connections wait for the disk; servers decide for themselves.

    In SQLite's write-ahead mode a kill never loses a committed transaction. With "FULL" a power cut loses none either:
    each commit waits for the disk. With "NORMAL" a commit is safe after the next "FULL" one, for both are in one log,
    written in order. Open connections are closed.
    """

    def set_on(connection: sqlite3.Connection, _record: object) -> None:
        connection.execute(f"PRAGMA synchronous={synchronous}")

    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", set_on)
        engine.dispose()


def open_engine(url: URL, *, for_reading: bool = False) -> Engine:
    """Return an engine on `url`, not yet connected. Raises StoreError where the driver is missing."""
    try:
        engine = create_engine(url, **engine_arguments(url, for_reading=for_reading))
    except NoSuchModuleError as error:
        raise StoreError(f"storage={shown(url)!r}: SQLAlchemy knows no driver {url.drivername!r}.") from error
    except ImportError as error:
        driver = error.name or url.get_driver_name()
        package = _DRIVERS.get(driver.partition(".")[0], driver)
        raise StoreError(
            f"storage={shown(url)!r} needs the Python package {package!r}, which is not installed here. "
            f"Install it with: pip install '{package}'"
        ) from error
    make_durable(engine)
    event.listen(engine, "do_connect", _connect)
    return engine


def _connect(dialect: Any, _record: object, arguments: Any, named: Any) -> Any:
    try:
        return dialect.connect(*arguments, **named)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):  # whose texts may quote a password
        raise StoreError(
            f"storage='{dialect.name}+{dialect.driver}://...': its driver cannot use this URL. A parameter after the "
            "'?' is unknown to it or has an odd value, or the user or password has a character that it cannot send. "
            "Leave out what it does not know; its documentation says what it takes."
        ) from None


def prepare_file(url: URL) -> None:
    """Make the folder and the file of a SQLite database, in WAL mode: readers never wait for the writer."""
    path = sqlite_path(url)
    if path is None:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        refuse_strangers_link(path)
        connection = sqlite3.connect(path, timeout=BUSY_SECONDS)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        finally:
            connection.close()
    except (OSError, sqlite3.Error) as error:
        if unavailable(error) is not None:
            raise
        raise StoreError(
            f"{path}: the study's database cannot be made here ({error}). Choose a folder on a local disk that you may "
            "write to (`folder=`), or give a database server's URL (`storage=`)."
        ) from error


@contextmanager
def database_errors(url: URL, doing: str) -> Iterator[None]:
    """Turn the database's errors into a StoreError that names what was being done."""
    try:
        yield
    except raised_with("StorageInternalError") as error:
        cause = error.__cause__ if isinstance(error, optuna_errors("StorageInternalError")) else error
        first_line = without_secrets(str(cause or error).strip().partition("\n")[0], url)
        outage = unavailable(error)
        if outage is not None and not outage.is_locked:
            waited = (
                f"It was waited for {outage.waited:.0f} s ({WAIT_VARIABLE} sets how long). " if outage.waited else ""
            )
            raise StoreError(
                f"{shown(url)}: the database cannot be reached for {doing} ({first_line}). {waited}Check that its "
                "server runs, and that host, port, user and password in the URL are right. What was recorded before "
                "is safe: when the server is back, resume the study."
            ) from error
        if outage is not None and outage.holder:
            raise StoreError(
                f"{shown(url)}: the database is locked by {outage.holder}. {doing.capitalize()} waited "
                f"{outage.waited:.0f} s for it ({first_line}). {_REMEDIES['locked']}"
            ) from error
        raise StoreError(
            f"{shown(url)}: the database failed while {doing} ({first_line}). {_remedy(first_line)}"
        ) from error


_REMEDIES = {
    "file is not a database": (
        "Something else has been written in its place, or storage= names the wrong file. Put a copy of the database "
        "back, or move the study's folder away and start again."
    ),
    "no such table": (
        "Its tables are gone: the file was emptied, or another was put in its place. Put a copy of it back, or move "
        "the study's folder away and start again."
    ),
    "malformed": "The file is damaged. Put a copy of it back, or move the study's folder away and start again.",
    "locked": (
        "What was recorded before is safe. Close the other program that has it open (a database browser, a backup), "
        "or end that transaction, then resume the study."
    ),
    "unable to open": (
        "What was recorded before is safe. Check that its folder is still there, that this process may write to it, "
        "and that it has not too many files open (`ulimit -n`), then resume the study."
    ),
    "readonly database": (
        "This process may not write to it. Change its permissions, or copy the study's folder to where you may write."
    ),
}
"""Words in SQLite's errors to what the user can do."""


_FULL = ("disk is full", "disk full", "no space left", "' is full")
"""Words of SQLite, PostgreSQL (53100) and MySQL (1021, 1030, 1114) for a disk that is full, in small letters."""


def _remedy(reason: str) -> str:
    if any(words in reason.lower() for words in _FULL):
        return (
            "The disk is full, so the study is paused. What was recorded before is safe: once the disk has room again, "
            "resume the study."
        )
    for words, remedy in _REMEDIES.items():
        if words in reason:
            return remedy
    return (
        "What was recorded before is safe. Check that the disk has room and the database can be reached, then resume "
        "the study."
    )
