"""Databases for these tests: a SQLite file, and real servers where they are installed."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from database_servers import Server, Servers, folder_of_servers
from records_samples import new_store, url_of

from hpsearch.records.store import Store

EXTENDED = pytest.mark.extended
SERVERS: list[Any] = ["postgresql", pytest.param("mariadb", marks=EXTENDED)]


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    with folder_of_servers() as folder:
        servers = Servers(folder)
        yield servers
        servers.stop()


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest, servers: Servers) -> Server:
    """A real database server with an empty database."""
    return servers.started(request.param)


@pytest.fixture(params=["sqlite", *(pytest.param(kind, marks=EXTENDED) for kind in ("postgresql", "mariadb"))])
def kind(request: pytest.FixtureRequest) -> str:
    """What has the database: a file, or a server."""
    return str(request.param)


@pytest.fixture
def url(kind: str, tmp_path: Path, servers: Servers) -> str:
    """An empty database."""
    return url_of(tmp_path) if kind == "sqlite" else servers.started(kind).url()


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    """A new study, its lease held."""
    store = new_store(url)
    yield store
    store.close()
