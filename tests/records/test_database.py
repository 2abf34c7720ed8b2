import builtins
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from records_samples import url_of
from sqlalchemy import text

from hpsearch.errors import StoreError
from hpsearch.records.database import database_errors, open_engine, prepare_file
from hpsearch.records.urls import parse_url, shown, sqlite_url


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("study.db", "not a database URL"),
        ("oracle://host/x", "'oracle'"),
        ("sqlite://", "plain SQLite file"),
        ("sqlite:///:memory:", "plain SQLite file"),
        ("sqlite:///file:x?mode=memory&uri=true", "plain SQLite file"),
        ("nonsense://host/x", "'nonsense'"),
    ],
)
def test_a_url_that_cannot_keep_a_study_is_refused(url: str, says: str) -> None:
    with pytest.raises(StoreError, match=says):
        parse_url(url)


def test_an_unknown_driver_of_a_known_database_is_named() -> None:
    with pytest.raises(StoreError, match=r"postgresql\+nonsense"):
        open_engine(parse_url("postgresql+nonsense://host/x"))


def test_a_missing_driver_is_named_as_the_package_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real_import = builtins.__import__

    def without_driver(name: str, *arguments: Any, **named: Any) -> Any:
        if name.partition(".")[0] == "psycopg2":
            raise ModuleNotFoundError("No module named 'psycopg2'", name="psycopg2")
        return real_import(name, *arguments, **named)

    monkeypatch.setattr(builtins, "__import__", without_driver)
    with pytest.raises(StoreError, match="pip install 'psycopg2-binary'") as caught:
        open_engine(parse_url("postgresql+psycopg2://me:secret@host/x"))
    assert "secret" not in str(caught.value)


def test_a_relative_path_stays_where_it_was_when_the_process_moves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    url = parse_url("sqlite:///runs/study.db")
    assert shown(url) == str(tmp_path / "runs" / "study.db")
    assert parse_url(sqlite_url(Path("runs/study.db"))) == url


def test_every_connection_is_durable_and_the_file_is_in_wal_mode(tmp_path: Path) -> None:
    url = parse_url(url_of(tmp_path / "new" / "folder"))
    prepare_file(url)
    engine = open_engine(url)
    for _ in range(2):
        with engine.connect() as connection:
            assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
            assert connection.execute(text("PRAGMA synchronous")).scalar() == 2  # FULL
            assert connection.execute(text("PRAGMA busy_timeout")).scalar() == 5_000
        engine.dispose()


def test_a_folder_that_cannot_be_made_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match=r"cannot be made here.*folder"):
        prepare_file(parse_url(url_of(tmp_path / "file")))


def test_a_file_that_is_no_database_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "study.db").write_bytes(b"no database at all, but long enough to look at" * 40)
    with pytest.raises(StoreError, match="not a database"):
        prepare_file(parse_url(url_of(tmp_path)))


@pytest.mark.parametrize(
    "reason",
    [
        "database or disk is full",
        'could not extend file "base/16384/16397": No space left on device',
        "(1021, 'Disk full (/tmp/#sql); waiting for someone to free some space...')",
        """(1030, 'Got error 28 "No space left on device" from storage engine InnoDB')""",
        "(1114, \"The table 'hpsearch_predictions' is full\")",
    ],
)
def test_a_full_disk_is_said_to_be_full_whichever_database_says_it(tmp_path: Path, reason: str) -> None:
    said = r"The disk is full, so the study is paused.* is safe"
    with pytest.raises(StoreError, match=said), database_errors(parse_url(url_of(tmp_path)), "counting sheep"):
        raise sqlite3.OperationalError(reason)


def test_what_the_database_raises_becomes_a_store_error_that_says_what_was_done(tmp_path: Path) -> None:
    url = parse_url(url_of(tmp_path))
    said = r"study\.db: .* while counting sheep \(disk full\)"
    with pytest.raises(StoreError, match=said), database_errors(url, "counting sheep"):
        raise sqlite3.OperationalError("disk full")
    with pytest.raises(KeyError), database_errors(url, "counting sheep"):
        raise KeyError("a programming error stays what it is")
