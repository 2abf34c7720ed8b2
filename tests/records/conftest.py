"""Databases for these tests: a SQLite file, and the server that HPSEARCH_TEST_DATABASE names, if it names one."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy

sys.path.insert(0, str(Path(__file__).resolve().parent))

from records_samples import new_store, url_of

from hpsearch.records.store import Store

SERVER = os.environ.get("HPSEARCH_TEST_DATABASE")


@pytest.fixture(params=["sqlite", "server"] if SERVER else ["sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database."""
    if request.param == "sqlite":
        yield url_of(tmp_path)
        return
    assert SERVER
    engine = sqlalchemy.create_engine(SERVER)
    found = sqlalchemy.MetaData()
    found.reflect(engine)
    found.drop_all(engine)
    engine.dispose()
    yield SERVER


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    """A new study, its lease held."""
    store = new_store(url)
    yield store
    store.close()
