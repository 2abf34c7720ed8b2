"""What holds for every test: no hub is asked for anything, and what this machine cannot run is skipped and says why."""

import importlib.util
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# Test files of different rooms may share a name, so pytest imports each on its own; what they share within a room
# (records_samples.py, ...) is then found here.
sys.path.extend(str(folder) for folder in sorted(Path(__file__).parent.iterdir()) if folder.is_dir())

# Before any test imports transformers, which reads them once; child processes inherit them.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

# Before any test imports ray, which reads it once: its nodes here listen to this machine alone (runtime/ray_nodes.py).
os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"

# Studies take turns with those of other processes, which meet in the folder for temporary files: not with strangers.
os.environ["PYTEST_DEBUG_TEMPROOT"] = os.environ.get("PYTEST_DEBUG_TEMPROOT") or tempfile.gettempdir()
_meeting_place = tempfile.TemporaryDirectory(prefix="hpsearch-tests-")
os.environ["TMPDIR"] = tempfile.tempdir = _meeting_place.name

# Cores are shared, here and in CI: how long an example takes says nothing.
settings.register_profile("hpsearch", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("hpsearch")


@pytest.fixture(autouse=True, scope="session")
def _migrations_read_once() -> Iterator[None]:
    """Have Optuna read its migrations once a process, and not several times for each database that a test makes."""
    from alembic.script import ScriptDirectory

    read, known = ScriptDirectory.from_config, {}

    def read_once(config: Any) -> ScriptDirectory:
        place = config.get_main_option("script_location")
        if place not in known:
            known[place] = read(config)
        return known[place]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ScriptDirectory, "from_config", read_once)
        yield


def missing_for_browser() -> str | None:
    """Return what a browser test lacks on this machine, or None."""
    if importlib.util.find_spec("selenium") is None:
        return "selenium is not installed"
    for program in ("chromium", "chromedriver"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    return None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # Files go to processes as a whole, so that those with slow tests go first: none is left when the others are done.
    # (Those with markers of their own run at other times.)
    apart = ("extended", "chaos", "faults", "long", "ray", "servers")
    for item in items:
        is_on_a_server = any(kind in item.name for kind in ("postgresql", "mariadb"))
        if is_on_a_server and "servers" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.servers)
    slow = {
        item.path
        for item in items
        if item.get_closest_marker("slow") and not any(item.get_closest_marker(each) for each in apart)
    }
    items.sort(key=lambda item: item.path not in slow)
    lacking = missing_for_browser()
    for item in items:
        if item.get_closest_marker("ray") and importlib.util.find_spec("ray") is None:
            item.add_marker(pytest.mark.skip(reason="ray is not installed: nothing shows that its pool works"))
        if lacking and item.get_closest_marker("browser"):
            item.add_marker(pytest.mark.skip(reason=lacking))
        if os.name != "posix" and any(map(item.get_closest_marker, ("chaos", "faults"))):
            item.add_marker(pytest.mark.skip(reason="processes are killed by POSIX signals"))
