"""Fixtures for tests that start processes: a cache of their own, and what starts them."""

from collections.abc import Iterator

import pytest
from study_processes import Launcher


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HPSEARCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def session_launcher(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launcher]:
    made = Launcher(tmp_path_factory.mktemp("processes"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def launcher(session_launcher: Launcher, tmp_path_factory: pytest.TempPathFactory) -> Launcher:
    """What starts processes; those of a module share a cache."""
    session_launcher.environment = {"HPSEARCH_CACHE": str(tmp_path_factory.mktemp("cache"))}
    return session_launcher
