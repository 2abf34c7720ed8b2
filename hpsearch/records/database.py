"""Opening a study's database: URLs, drivers, durability, and errors that say what to do."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import optuna
from sqlalchemy import Engine, create_engine, event, make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from hpsearch.errors import StoreError

BUSY_SECONDS = 60.0
"""How long a SQLite connection waits for another's write before it gives up."""

_DRIVERS = {
    "psycopg": "psycopg[binary]",
    "psycopg2": "psycopg2-binary",
    "asyncpg": "psycopg[binary]",
    "MySQLdb": "mysqlclient",
    "pymysql": "pymysql",
    "mysql": "mysql-connector-python",
    "mariadb": "mariadb",
}


def sqlite_url(path: Path) -> str:
    """Return the URL of the SQLite database at `path`."""
    return URL.create("sqlite", database=str(path.absolute())).render_as_string(hide_password=False)


def sqlite_path(url: URL) -> Path | None:
    """Return the path of the database at `url`, or None where it is not a SQLite file."""
    return Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None


def shown(url: URL) -> str:
    """Return `url` as messages show it: the path of a SQLite file, or the URL without its password."""
    path = sqlite_path(url)
    return str(path) if path else url.render_as_string(hide_password=True)


def parse_url(url: str) -> URL:
    """Check `url`, and make the path of a SQLite file absolute. Raises StoreError."""
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise StoreError(
            f"storage={url!r} is not a database URL. Write 'sqlite:///path/to/study.db', "
            "'postgresql+psycopg://user:password@host/database' or 'mysql+pymysql://user:password@host/database'."
        ) from error
    if parsed.get_backend_name() not in ("sqlite", "postgresql", "mysql", "mariadb"):
        raise StoreError(
            f"storage={shown(parsed)!r}: hpsearch keeps studies in SQLite, PostgreSQL or MySQL (also MariaDB), not in "
            f"{parsed.get_backend_name()!r}. Use one of those, or leave `storage` out for a SQLite file."
        )
    path = sqlite_path(parsed)
    in_file = path is not None and not str(path).startswith((":", "file:")) and not parsed.query
    if parsed.get_backend_name() == "sqlite" and not in_file:
        raise StoreError(
            f"storage={url!r} does not name a plain SQLite file; a study must outlive its process. Write "
            "'sqlite:///path/to/study.db' (a path without '?')."
        )
    return parsed if path is None else parsed.set(database=str(path.absolute()))


def optuna_url(url: URL) -> str:
    """Return `url` as optuna.storages.RDBStorage takes it: it formats the text, so braces are doubled."""
    return url.render_as_string(hide_password=False).replace("{", "{{").replace("}", "}}")


def engine_arguments(url: URL, *, for_reading: bool = False) -> dict[str, Any]:
    """Return what both engines, Optuna's and ours, are made with.

    `for_reading` a SQLite file is open only while a query runs: so it can leave write-ahead mode when a run ends.
    """
    if sqlite_path(url):
        pool = {"poolclass": NullPool} if for_reading else {}
        return {"connect_args": {"timeout": BUSY_SECONDS}, **pool}
    return {"pool_pre_ping": True}


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
    return engine


def prepare_file(url: URL) -> None:
    """Make the folder and the file of a SQLite database, in WAL mode: readers never wait for the writer."""
    path = sqlite_path(url)
    if path is None:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(path, timeout=BUSY_SECONDS)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        finally:
            connection.close()
    except (OSError, sqlite3.Error) as error:
        raise StoreError(
            f"{path}: the study's database cannot be made here ({error}). Choose a folder on a local disk that you may "
            "write to (`folder=`), or give a database server's URL (`storage=`)."
        ) from error


@contextmanager
def database_errors(url: URL, doing: str) -> Iterator[None]:
    """Turn the database's errors into a StoreError that names what was being done."""
    try:
        yield
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError, sqlite3.Error) as error:
        cause = error.__cause__ if isinstance(error, optuna.exceptions.StorageInternalError) else error
        first_line = str(cause or error).strip().partition("\n")[0]
        raise StoreError(
            f"{shown(url)}: the database failed while {doing} ({first_line}). {_remedy(first_line)}"
        ) from error


_REMEDIES = {
    "file is not a database": (
        "Something else has been written in its place, or storage= names the wrong file. Put a copy of the database "
        "back, or move the study's folder away and start again."
    ),
    "malformed": "The file is damaged. Put a copy of it back, or move the study's folder away and start again.",
    "locked": (
        "What was recorded before is safe. Close the other program that has it open (a database browser, a backup), "
        "then resume the study."
    ),
    "readonly database": (
        "This process may not write to it. Change its permissions, or copy the study's folder to where you may write."
    ),
}
"""Words in SQLite's errors to what the user can do."""


def _remedy(reason: str) -> str:
    for words, remedy in _REMEDIES.items():
        if words in reason:
            return remedy
    return (
        "What was recorded before is safe. Check that the disk has room and the database can be reached, then resume "
        "the study."
    )
