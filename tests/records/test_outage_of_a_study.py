"""A whole study on a real server that goes away in the middle of it: the same study as undisturbed."""

import json
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
from cut_connections import Line
from database_servers import Server
from records_samples import everything
from sqlalchemy import make_url
from toy_studies import toy_study

import hpsearch as hp
from hpsearch.errors import LeaseLostError, StoreError
from hpsearch.records import TrialState, silence
from hpsearch.records.store import Store
from hpsearch.runtime.left_processes import FILE as PROCESSES

SETTINGS: dict[str, Any] = {"sampler": "grid", "cv": 3, "pruner": "none"}


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPSEARCH_CACHE", str(tmp_path / "cache"))


def table(study: Any) -> pd.DataFrame:
    return study.result.table().drop(columns=["seconds"])


LONG = [pytest.mark.extended, pytest.mark.slow]


@pytest.mark.parametrize(
    ("how", "seconds", "devices"),
    [
        ("stopped", 2.0, "inline"),
        *(pytest.param(how, 20.0, 2, marks=LONG) for how in ("stopped", "killed", "frozen")),
    ],
)
def test_a_study_goes_on_when_its_server_is_back(
    server: Server,
    tmp_path: Path,
    how: str,
    seconds: float,
    devices: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(silence, "SILENCE_SECONDS", 5.0)
    undisturbed = toy_study(tmp_path / "undisturbed", **SETTINGS)
    undisturbed.run(trials=4, devices="inline", progress=False)
    stops: list[threading.Timer] = []
    away = {
        "stopped": lambda: server.stop(signal.SIGINT if server.kind == "PostgreSQL" else signal.SIGTERM),
        "killed": lambda: server.stop(signal.SIGKILL),
        "frozen": server.freeze,
    }[how]

    def stop(_study: Any, trial: Any) -> None:
        """Take the server away when the second trial has ended, and bring it back later."""
        if trial.number == 1 and not stops:
            away()
            stops.append(threading.Timer(seconds, server.thaw if how == "frozen" else server.start))
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


TAKES_OVER = """
import json, sys
from toy_studies import toy_study

folder, url, settings = sys.argv[1:]
toy_study(folder, storage=url, **json.loads(settings)).run(trials=4, devices="inline", progress=False)
"""


def test_a_coordinator_that_another_has_relieved_meanwhile_ends_and_writes_nothing_more(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its line to the server is down for longer than its lease; the other one sees the server all the time."""
    undisturbed = toy_study(tmp_path / "undisturbed", **SETTINGS)
    undisturbed.run(trials=4, devices="inline", progress=False)
    monkeypatch.setenv("HPSEARCH_DATABASE_WAIT", "20")
    line = Line(server.port, lambda _: None)
    states: list[Any] = []

    def state() -> Any:
        files = sorted(path for path in (tmp_path / "shared").rglob("*") if path.is_file() and path.name != PROCESSES)
        with Store.open(server.url(), "toy") as store:
            return everything(store), [(str(path), path.read_bytes()) for path in files if path.suffix != ".lock"]

    def lose(_study: Any, trial: Any) -> None:
        if trial.number != 1:
            return
        line.is_down = True
        line.cut_all()
        server.statements("update hpsearch_lease set expires = 0")
        words = [str(tmp_path / "shared"), server.url(), json.dumps(SETTINGS)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run([sys.executable, "-c", TAKES_OVER, *words], check=False, env=environment)
        states.append(state() if done.returncode == 0 else done)
        line.is_down = False

    through_line = make_url(server.url()).set(port=line.port).render_as_string(hide_password=False)
    study = toy_study(tmp_path / "shared", storage=through_line, callbacks=[lose], **SETTINGS)
    try:
        with pytest.raises(LeaseLostError, match=r"taken over by another coordinator.*End this process"):
            study.run(trials=4, devices="inline", progress=False)
        assert states == [state()]
        study.store().close()
    finally:
        line.close()
    taken = toy_study(tmp_path / "shared", storage=server.url(), **SETTINGS)
    pd.testing.assert_frame_equal(table(taken), table(undisturbed), check_exact=True)
    for each in (taken, undisturbed):
        each.store().close()


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
