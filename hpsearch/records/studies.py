"""The studies of a database: listing, making and opening them."""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from sqlalchemy import Engine, Row, func, insert, inspect, select
from sqlalchemy.engine import URL
from sqlalchemy.exc import OperationalError, ProgrammingError

from hpsearch.errors import StoreError, StudyExistsError, StudyNotFoundError, UsageError, nearest
from hpsearch.metrics.direction import Direction
from hpsearch.records import tables
from hpsearch.records.database import database_errors, open_engine, prepare_file
from hpsearch.records.digest import digest
from hpsearch.records.file_lock import FileLock
from hpsearch.records.lease_holder import hold, holder
from hpsearch.records.optuna_rows import OptunaRows, open_storage
from hpsearch.records.outage import LOCK_SECONDS, Patience, Unavailable
from hpsearch.records.read_only import ReadOnly
from hpsearch.records.urls import parse_url, shown, sqlite_path

if TYPE_CHECKING:
    from optuna.storages import RDBStorage


@dataclass(frozen=True)
class OpenStudy:
    """A study's open database: our engine, Optuna's rows, and the description as JSON text.

    Attributes:
        layout: The version of our tables that it was made with.
        source: How it is read, where it is not to be written to.
    """

    url: URL
    engine: Engine
    rows: OptunaRows
    description: str
    layout: int
    source: ReadOnly | None = None

    def close(self) -> None:
        """Close the connections."""
        self.rows.close()
        self.engine.dispose()
        if self.source is not None:
            self.source.close()


def study_names(url: str) -> list[str]:
    """Return the names of the studies in a database, oldest first; empty where there is no database yet."""
    parsed = parse_url(url)
    source = ReadOnly(parsed)
    with closing(source), _engine(source.url) as engine, database_errors(parsed, "listing its studies"):
        if not _has_studies(parsed, engine):
            return []
        with engine.connect() as connection:
            return list(connection.execute(select(tables.studies.c.study).order_by(tables.studies.c.created)).scalars())


def make_study(url: str, name: str, description: Mapping[str, Any], direction: Direction = Direction.MAXIMIZE) -> None:
    """Make a study; write its row last, so that a kill leaves nothing that looks like a study.

    Raises StudyExistsError where it exists already, StoreError where its database cannot be made.
    """
    parsed = parse_url(url)
    if not 1 <= len(name) <= tables.NAME_LENGTH:
        raise UsageError(
            f"name={name!r} has {len(name)} characters; a study's name has 1 to {tables.NAME_LENGTH}. Choose another."
        )
    text = json.dumps(dict(description))
    with _engine(parsed) as engine, database_errors(parsed, f"making study {name!r}"):

        def make(_again: bool) -> None:
            prepare_file(parsed)
            with _making(engine, parsed, name):
                _make(engine, parsed, name, text, direction)

        Patience(engine, parsed, 0.0, LOCK_SECONDS).run(make)


def _make(engine: Engine, url: URL, name: str, description: str, direction: Direction) -> None:
    storage = open_storage(url)
    try:
        tables.metadata.create_all(engine)
        if _study_row(engine, name) is not None:
            raise StudyExistsError(f"{shown(url)}: study {name!r} exists already. Open it, or choose another name.")
        _make_optuna_study(url, storage, name, direction)
    finally:
        storage.engine.dispose()
    row = {"study": name, "layout": tables.LAYOUT, "description": description, "created": time.time()}
    with engine.begin() as connection:
        connection.execute(insert(tables.studies).values(row))


def open_study(url: str, name: str, *, is_checked: bool = False, for_reading: bool = False) -> OpenStudy:
    """Open a study, to write to it or `for_reading` alone; `is_checked` says that this process has just made it.

    Raises StudyNotFoundError where there is none, StoreError where it cannot be read.
    """
    parsed = parse_url(url)
    source = ReadOnly(parsed) if for_reading else None
    place = parsed if source is None else source.url
    engine = open_engine(place, for_reading=for_reading)
    with database_errors(parsed, f"opening study {name!r}"):
        row = _study_row_if_any(parsed, engine, name)
        if row is None:
            engine.dispose()
            names = study_names(url)
            listed = f" Known here: {', '.join(names[:10])}." if names else ""
            raise StudyNotFoundError(f"{shown(parsed)} has no study {name!r}.{nearest(name, names)}{listed}")
        if row.layout > tables.LAYOUT:
            engine.dispose()
            raise StoreError(
                f"{shown(parsed)}: study {name!r} was written by a later version of hpsearch (layout {row.layout}, "
                f"this version reads up to {tables.LAYOUT}). Upgrade hpsearch."
            )
        is_file = sqlite_path(parsed) is not None
        storage = None if for_reading and is_file else open_storage(parsed, is_checked=is_checked)
        return OpenStudy(parsed, engine, OptunaRows(engine, name, storage), row.description, row.layout, source)


def lock_path(database: Path, study: str) -> Path:
    """Return a study's lock file, beside its database, which several studies may share."""
    name = quote(study, safe=" ")
    short = name if len(name) <= 100 else f"{name[:60]}-{digest(study)}"
    return database.with_name(f"{database.name}.{short}.lock")


def described(text: str, url: URL, name: str) -> Mapping[str, Any]:
    """Read a study's description. Raises StoreError, which names the database, where it is not one."""
    try:
        values = json.loads(text)
    except ValueError as error:
        values = error
    if not isinstance(values, dict):
        raise StoreError(
            f"{shown(url)}: the description of study {name!r} is damaged ({values}). Put a copy of the database back, "
            "or start the study again under another name."
        )
    return MappingProxyType(values)


@contextmanager
def _engine(url: URL) -> Iterator[Engine]:
    engine = open_engine(url)
    try:
        yield engine
    finally:
        engine.dispose()


def _has_studies(url: URL, engine: Engine) -> bool:
    path = sqlite_path(url)
    return (path is None or path.exists()) and inspect(engine).has_table(tables.studies.name)


def _study_row_if_any(url: URL, engine: Engine, name: str) -> Row[Any] | None:
    path = sqlite_path(url)
    if path is not None and not path.exists():
        return None
    try:
        return _study_row(engine, name)
    except (OperationalError, ProgrammingError):
        if _has_studies(url, engine):
            raise
        return None  # a database of others


def _study_row(engine: Engine, name: str) -> Row[Any] | None:
    with engine.connect() as connection:
        return connection.execute(select(tables.studies).where(tables.studies.c.study == name)).first()


@contextmanager
def _making(engine: Engine, url: URL, name: str) -> Iterator[None]:
    """Let only one process at a time make a study: in a SQLite file, or in a server's database, with its tables."""
    path = sqlite_path(url)
    if path is None:
        with _server_lock(engine, url):
            yield
        return
    lock = FileLock(lock_path(path, name))
    hold(lock, name, holder(is_making=True), "Wait until that process has ended, then open the study.")
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _server_lock(engine: Engine, url: URL) -> Iterator[None]:
    """Hold a lock that servers have for any purpose: making tables that are there already is an error."""
    name = f"hpsearch:{digest(url.database)}"[:64]
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":  # until the transaction ends
            connection.execute(select(func.pg_advisory_xact_lock(int(digest(name)[:15], 16))))
            yield
            return
        if connection.execute(select(func.get_lock(name, 5))).scalar() != 1:
            raise Unavailable("another process is making a study", is_locked=True)
        try:
            yield
        finally:
            connection.execute(select(func.release_lock(name)))


def _make_optuna_study(url: URL, storage: "RDBStorage", name: str, direction: Direction) -> None:
    """Make Optuna's study, or use another tool's of this name if it has one value of this direction."""
    import optuna

    wanted = [optuna.study.StudyDirection[direction.name]]
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        storage.create_new_study(wanted, name)
    except optuna.exceptions.DuplicatedStudyError:
        directions = storage.get_study_directions(storage.get_study_id_from_name(name))
        if directions != wanted:
            raise StoreError(
                f"{shown(url)}: an Optuna study {name!r} exists that does not {direction} one value (its directions: "
                f"{[direction.name for direction in directions]}). Choose another name."
            ) from None
    finally:
        optuna.logging.set_verbosity(verbosity)
