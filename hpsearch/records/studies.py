"""The studies of a database: listing, making and opening them."""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import optuna
from optuna.storages import RDBStorage
from optuna.study import StudyDirection
from sqlalchemy import Engine, Row, insert, inspect, select
from sqlalchemy.engine import URL

from hpsearch.errors import StoreError, StudyNotFoundError, UsageError, nearest
from hpsearch.metrics.direction import Direction
from hpsearch.records import tables
from hpsearch.records.database import database_errors, open_engine, parse_url, prepare_file, shown, sqlite_path
from hpsearch.records.digest import digest
from hpsearch.records.file_lock import FileLock
from hpsearch.records.lease import held_error, holder
from hpsearch.records.optuna_rows import OptunaRows, open_storage
from hpsearch.records.read_only import ReadOnly


@dataclass(frozen=True)
class OpenStudy:
    """A study's open database: our engine, Optuna's rows, and the description as JSON text.

    Attributes:
        source: How it is read, where it is not to be written to.
    """

    url: URL
    engine: Engine
    rows: OptunaRows
    description: str
    source: ReadOnly | None = None

    def close(self) -> None:
        """Close the connections."""
        self.rows.storage.remove_session()
        self.rows.storage.engine.dispose()
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

    Raises StoreError where it exists already or its database cannot be made.
    """
    parsed = parse_url(url)
    if not 1 <= len(name) <= tables.NAME_LENGTH:
        raise UsageError(
            f"name={name!r} has {len(name)} characters; a study's name has 1 to {tables.NAME_LENGTH}. Choose another."
        )
    text = json.dumps(dict(description))
    prepare_file(parsed)
    with _engine(parsed) as engine, database_errors(parsed, f"making study {name!r}"), _making(parsed, name):
        storage = open_storage(parsed)
        try:
            tables.metadata.create_all(engine)
            if _study_row(engine, name) is not None:
                raise StoreError(f"{shown(parsed)}: study {name!r} exists already. Open it, or choose another name.")
            _make_optuna_study(parsed, storage, name, direction)
        finally:
            storage.engine.dispose()
        row = {"study": name, "layout": tables.LAYOUT, "description": text, "created": time.time()}
        with engine.begin() as connection:
            connection.execute(insert(tables.studies).values(row))


def open_study(url: str, name: str, *, is_checked: bool = False, for_reading: bool = False) -> OpenStudy:
    """Open a study, to write to it or `for_reading` alone; `is_checked` says that this process has made or opened it.

    Raises StudyNotFoundError where there is none, StoreError where it cannot be read.
    """
    parsed = parse_url(url)
    source = ReadOnly(parsed) if for_reading else None
    place = parsed if source is None else source.url
    engine = open_engine(place, for_reading=for_reading)
    with database_errors(parsed, f"opening study {name!r}"):
        row = _study_row(engine, name) if _has_studies(parsed, engine) else None
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
        storage = open_storage(place, is_checked=is_checked, for_reading=for_reading)
        rows = OptunaRows(storage, storage.get_study_id_from_name(name))
        return OpenStudy(parsed, engine, rows, row.description, source)


def lock_path(database: Path, study: str) -> Path:
    """Return a study's lock file, beside its database, which several studies may share."""
    name = quote(study, safe=" ")
    short = name if len(name) <= 100 else f"{name[:60]}-{digest(study)}"
    return database.with_name(f"{database.name}.{short}.lock")


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


def _study_row(engine: Engine, name: str) -> Row[Any] | None:
    with engine.connect() as connection:
        return connection.execute(select(tables.studies).where(tables.studies.c.study == name)).first()


@contextmanager
def _making(url: URL, name: str) -> Iterator[None]:
    """Let only one process at a time make a study in a SQLite file."""
    path = sqlite_path(url)
    if path is None:
        yield
        return
    lock = FileLock(lock_path(path, name))
    if not lock.acquire(holder()):
        raise held_error(name, lock.content(), "Wait until that process has ended, then open the study.")
    try:
        yield
    finally:
        lock.release()


def _make_optuna_study(url: URL, storage: RDBStorage, name: str, direction: Direction) -> None:
    """Make Optuna's study, or use another tool's of this name if it has one value of this direction."""
    wanted = [StudyDirection[direction.name]]
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
