"""Mistakes and misfortunes of folders, disks and databases. All are real: no error is made up."""

import contextlib
import os
import resource
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from mistake import TEXT, Mistake, run_earlier, written

from hpsearch.errors import DataError, LeaseHeldError, StoreError, StudyChangedError, StudyNotFoundError, UsageError

DATABASE = "runs/mine/study.db"


@contextlib.contextmanager
def _small_disk(size: int) -> Iterator[None]:
    """Let no file grow beyond so many bytes, which the system refuses as it refuses to fill a disk."""
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)


@contextlib.contextmanager
def _impatient() -> Iterator[None]:
    """Wait half a second for a locked database, not a minute, while another program writes to it."""
    from hpsearch.records import database, leased_study

    connection = sqlite3.connect(DATABASE)
    connection.execute("begin immediate")
    patience = database.BUSY_SECONDS, leased_study.LOCK_SECONDS
    database.BUSY_SECONDS = leased_study.LOCK_SECONDS = 0.5
    try:
        yield
    finally:
        database.BUSY_SECONDS, leased_study.LOCK_SECONDS = patience
        connection.close()


@contextlib.contextmanager
def _five_minutes() -> Iterator[None]:
    os.environ["HPSEARCH_DATABASE_WAIT"] = "5m"  # each mistake's world restores it
    yield


@contextlib.contextmanager
def _two_hours() -> Iterator[None]:
    os.environ["HPSEARCH_WORKER_WAIT"] = "2h"
    yield


def _lost(place: Path) -> None:
    run_earlier(place)
    for path in (place / "runs" / "mine").glob("study.db*"):
        path.unlink()


def _overwritten(place: Path) -> None:
    run_earlier(place)
    (place / DATABASE).write_bytes(b"not a database at all" * 300)


def _emptied(place: Path) -> None:
    run_earlier(place)
    for path in (place / "runs" / "mine").glob("study.db-*"):
        path.unlink()
    (place / DATABASE).write_bytes(b"")


def _truncated(place: Path) -> None:
    run_earlier(place)
    with contextlib.closing(sqlite3.connect(place / DATABASE)) as connection:
        connection.execute("pragma wal_checkpoint(truncate)")
    content = (place / DATABASE).read_bytes()
    (place / DATABASE).write_bytes(content[: len(content) // 2])


def _changed(statement: str) -> object:
    def change(place: Path) -> None:
        run_earlier(place)
        with contextlib.closing(sqlite3.connect(place / DATABASE)) as connection:
            connection.execute(statement)
            connection.commit()

    return change


def _lost_folds(place: Path) -> None:
    run_earlier(place)
    (place / "runs" / "mine" / "folds.npz").write_bytes(b"PK")


_SPLITTER = 'cv=__import__("sklearn.model_selection").model_selection.KFold(2)'
STORAGE = [
    Mistake(
        "a folder of studies below a file",
        ("train.csv/runs/mine cannot be written", "is a file", "folder="),
        StoreError,
        settings='folder="train.csv/runs"',
        code=1,
        process=True,
    ),
    Mistake(
        "a folder of studies that is a file",
        ("train.csv/mine cannot be written", "is a file", "folder="),
        StoreError,
        settings='folder="train.csv"',
        code=1,
    ),
    Mistake(
        "a limit of waiting for a database that is no number: `5m`",
        ("HPSEARCH_DATABASE_WAIT='5m'", "600 for ten minutes"),
        UsageError,
        within=_five_minutes,
    ),
    Mistake(
        "a limit of waiting for a silent worker that is no number: `2h`",
        ("HPSEARCH_WORKER_WAIT='2h'", "7200 for two hours"),
        UsageError,
        within=_two_hours,
    ),
    Mistake(
        "a cache that cannot be made",
        ("is a file", "HPSEARCH_CACHE"),
        StoreError,
        task=TEXT,
        world=written("cache", ""),
        code=1,
    ),
    Mistake(
        "a disk that is full", ("cannot be written", "Make room"), StoreError, within=lambda: _small_disk(500), code=1
    ),
    Mistake(
        "a disk that is full when the database grows",
        ("database", "the disk has room"),
        StoreError,
        within=lambda: _small_disk(30_000),
        code=1,
        says_otherwise=True,
        quotes=True,
    ),
    Mistake(
        "a disk that is full when a report is written",
        ("report.html cannot be written", "Make room"),
        StoreError,
        world=lambda place: run_earlier(place),
        within=lambda: _small_disk(100_000),
        call='hp.load("mine").result.report("report.html")',
        command="report mine --output report.html",
        code=1,
    ),
    Mistake(
        "a report below a file",
        ("train.csv/report.html cannot be written", "is a file"),
        StoreError,
        world=run_earlier,
        call='hp.load("mine").result.report("train.csv/report.html")',
        command="report mine --output train.csv/report.html",
        code=1,
    ),
    Mistake(
        "a model exported below a file",
        ("train.csv", "is a file"),
        StoreError,
        world=run_earlier,
        call='hp.load("mine").result.export("train.csv/model")',
        command="export mine train.csv/model",
        code=1,
    ),
    Mistake(
        "a database that is gone",
        ("study.json", "database is not there", "storage="),
        StudyNotFoundError,
        world=_lost,
        process=True,
    ),
    Mistake(
        "a study loaded whose database is gone",
        ("database is not there", "storage="),
        StudyNotFoundError,
        world=_lost,
        call='hp.load("mine")',
        command="show mine",
    ),
    Mistake(
        "a database that was overwritten by something else",
        ("file is not a database", "Put a copy"),
        StoreError,
        world=_overwritten,
        code=1,
        quotes=True,
    ),
    Mistake("a database that was emptied", ("database is not there", "storage="), StudyNotFoundError, world=_emptied),
    Mistake(
        "a database that is cut off", ("is damaged", "Put a copy"), StoreError, world=_truncated, code=1, quotes=True
    ),
    Mistake(
        "a database that another program has locked",
        ("locked", "Close the other program"),
        LeaseHeldError,
        world=run_earlier,
        within=_impatient,
        code=3,
        quotes=True,
    ),
    Mistake(
        "a database of a later version of hpsearch",
        ("later version of hpsearch", "Upgrade hpsearch"),
        StoreError,
        world=_changed("update hpsearch_studies set layout = 99"),
        code=1,
    ),  # type: ignore[arg-type]
    Mistake(
        "a description of another version of hpsearch",
        ("format 99", "new study"),
        StudyChangedError,
        world=_changed("update hpsearch_studies set description = json_set(description, '$.format', 99)"),
    ),  # type: ignore[arg-type]
    Mistake(
        "a database of another version of Optuna",
        ("study.db: The runtime optuna version", "pip install"),
        StoreError,
        world=_changed("update alembic_version set version_num = 'v9.0.0.a'"),
        code=1,
        quotes=True,
    ),  # type: ignore[arg-type]
    Mistake(
        "a study.json that is broken",
        ("study.json cannot be read", "remove it"),
        StoreError,
        world=lambda place: (run_earlier(place), written("runs/mine/study.json", "{")(place)),
        call='hp.load("mine")',
        command="show mine",
        code=1,
    ),
    Mistake(
        "a URL that is not one",
        ("storage='my database' is not a database URL", "sqlite:///"),
        StoreError,
        settings='storage="my database"',
        code=1,
    ),
    Mistake(
        "a kind of database that cannot store studies",
        ("not in 'oracle'", "SQLite, PostgreSQL or MySQL"),
        StoreError,
        settings='storage="oracle://user:secret@host/studies"',
        code=1,
    ),
    Mistake(
        "a database whose driver is not installed",
        ("needs the Python package 'mysqlclient'", "pip install"),
        StoreError,
        settings='storage="mysql+mysqldb://user:secret@localhost/studies"',
        code=1,
    ),
    Mistake(
        "a study without the folds of its splitter",
        ("folds.npz' cannot be read", "Remove the file"),
        DataError,
        settings=_SPLITTER,
        world=_lost_folds,
        call='hp.load("mine").run(trials=2, devices=1)',
        command="resume mine --trials 2",
    ),
]

GROUPS = {"Folders, disks and databases": STORAGE}
