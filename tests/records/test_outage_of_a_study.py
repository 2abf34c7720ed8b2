"""A whole study on a real server that goes away in the middle of it: the same study as undisturbed."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from database_servers import Server
from toy_studies import toy_study

import hpsearch as hp
from hpsearch.errors import StoreError
from hpsearch.records import TrialState

SETTINGS: dict[str, Any] = {"sampler": "grid", "cv": 3, "pruner": "none"}


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPSEARCH_CACHE", str(tmp_path / "cache"))


def table(study: Any) -> pd.DataFrame:
    return study.result.table().drop(columns=["seconds"])


@pytest.mark.parametrize(
    ("seconds", "devices"), [(2.0, "inline"), pytest.param(20.0, 2, marks=[pytest.mark.extended, pytest.mark.slow])]
)
def test_a_study_goes_on_when_its_server_is_back(
    server: Server, tmp_path: Path, seconds: float, devices: Any, caplog: pytest.LogCaptureFixture
) -> None:
    undisturbed = toy_study(tmp_path / "undisturbed", **SETTINGS)
    undisturbed.run(trials=4, devices="inline", progress=False)
    stops: list[threading.Thread] = []

    def stop(_study: Any, trial: Any) -> None:
        """Stop the server when the second trial has ended, and start it again later."""
        if trial.number == 1 and not stops:
            server.stop(signal.SIGINT if server.kind == "PostgreSQL" else signal.SIGTERM)
            stops.append(threading.Timer(seconds, server.start))
            stops[0].start()

    study = toy_study(tmp_path / "disturbed", storage=server.url(), callbacks=[stop], **SETTINGS)
    began = time.monotonic()
    study.run(trials=4, devices=devices, progress=False)
    assert stops and time.monotonic() - began > seconds
    stops[0].join()
    pd.testing.assert_frame_equal(table(study), table(undisturbed), check_exact=True)
    assert all(trial.state is TrialState.COMPLETE for trial in study.store().reload().trials.values())
    study.store().close()
    undisturbed.store().close()
    assert "does not answer" in caplog.text and "is back after" in caplog.text and "p@ss" not in caplog.text


@pytest.mark.extended
def test_commands_that_read_say_in_one_line_that_the_server_is_away(server: Server, tmp_path: Path) -> None:
    study = toy_study(tmp_path / "runs", storage=server.url(), **SETTINGS)
    study.run(trials=1, devices="inline", progress=False)
    study.store().close()
    server.stop()
    for words in (["list"], ["show", "toy"], ["report", "toy"], ["resume", "toy", "--devices", "inline"]):
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "hpsearch", *words, "--storage", server.url()],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert done.returncode == 1 and time.monotonic() - began < 60
        said = (done.stdout + done.stderr).strip()
        assert said.count("\n") == 0 and said.startswith("hpsearch: ") and "cannot be reached" in said, said
        assert "hp:***@127.0.0.1" in said and "s3cr" not in said and "ss@127" not in said
    with pytest.raises(StoreError, match="cannot be reached"):
        hp.load("toy", folder=tmp_path / "runs", storage=server.url())
