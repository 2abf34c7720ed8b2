"""What holds for every test: no hub is asked for anything, and what this machine cannot run is skipped and says why."""

import importlib.util
import os
import shutil
import sys
from pathlib import Path

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

# Cores are shared, here and in CI: how long an example takes says nothing.
settings.register_profile("hpsearch", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("hpsearch")


def missing_for_browser() -> str | None:
    """Return what a browser test lacks on this machine, or None."""
    if importlib.util.find_spec("selenium") is None:
        return "selenium is not installed"
    for program in ("chromium", "chromedriver"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    return None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    lacking = missing_for_browser()
    for item in items:
        if lacking and item.get_closest_marker("browser"):
            item.add_marker(pytest.mark.skip(reason=lacking))
        if os.name != "posix" and item.get_closest_marker("chaos"):
            item.add_marker(pytest.mark.skip(reason="processes are killed by POSIX signals"))
