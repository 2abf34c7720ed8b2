"""A disk that fills up while a study runs: it pauses with a word on it, nothing is torn, and later nothing is missing.

On a file system of its own, where this process may mount one. It is filled when an event reaches the coordinator, up to
so many kilobytes that the next checkpoint, the database or a log no longer fits.
"""

import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from toy_studies import files_of, known_of, toy_study

from hpsearch.errors import StoreError
from hpsearch.runtime.coordinator import Coordinator
from hpsearch.study import Study

STUDY: Mapping[str, Any] = {"checkpoint_every": 0.0, "cv": 2}
TRIALS = 2


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("NOT TESTED: this process may not mount a file system, so no disk was filled")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def fill(place: Path, kilobytes: int) -> None:
    """Leave so many kilobytes."""
    free = os.statvfs(place)
    (place / "ballast").write_bytes(bytes(max(0, free.f_bavail * free.f_frsize - kilobytes * 1024)))


def run(folder: Path, trials: int = TRIALS, **more: Any) -> Study:
    study = toy_study(folder, **{**STUDY, **more})
    try:
        study.run(trials=trials, devices="inline", progress=False)
    finally:
        study.store().close()
    return study


def at_event(monkeypatch: pytest.MonkeyPatch, number: int, act: Any) -> None:
    """Do something as the coordinator takes its `number`-th event."""
    taken, take = [], Coordinator.take

    def counted(coordinator: Coordinator, event: Any) -> None:
        taken.append(event)
        if len(taken) == number:
            act()
        take(coordinator, event)

    monkeypatch.setattr(Coordinator, "take", counted)


FILLED = {
    "the first evaluation": (1, 0, "database"),
    "the first checkpoint": (1, 16, "checkpoint of"),
    "the end of a run": (9, 16, "database|checkpoint"),
}


@pytest.mark.parametrize("moment", FILLED)
def test_a_study_pauses_and_then_ends_as_if_the_disk_had_had_room(
    moment: str, disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    number, kilobytes, what = FILLED[moment]
    run(tmp_path / "roomy")
    with monkeypatch.context() as patched:
        at_event(patched, number, lambda: fill(disk, kilobytes))
        with pytest.raises(StoreError, match=what) as caught:
            run(disk)
    assert "The disk is full" in str(caught.value)
    (disk / "ballast").unlink()
    run(disk)
    assert known_of(disk) == known_of(tmp_path / "roomy")
    assert files_of(disk) == files_of(tmp_path / "roomy")


def test_a_log_that_finds_no_room_is_as_good_a_reason_to_pause(disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = {"task": {"trouble": "raise at 16"}}
    with monkeypatch.context() as patched:
        patched.setattr(Coordinator, "_write_log", filling(disk, Coordinator._write_log))
        with pytest.raises(StoreError, match="The disk is full"):
            run(disk, 6, **broken)
    (disk / "ballast").unlink()
    study = run(disk, 6, **broken)
    states = {trial.config["batch_size"]: trial.state.value for trial in study.result.history.trials.values()}
    assert states == {8: "complete", 16: "fail"}
    assert all("the toy is broken" in log.read_text() for log in (study.folder / "logs").iterdir())


def filling(disk: Path, method: Any) -> Any:
    def filled(*arguments: Any) -> None:
        (disk / "toy" / "logs").mkdir(exist_ok=True)
        fill(disk, 0)
        method(*arguments)

    return filled
