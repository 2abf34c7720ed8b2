"""What a power cut leaves of writes that had not reached the disk, put there between a coordinator and the next.

Only what had not been forced to the disk may be torn: nothing of it was promised. What is to be torn may be gone by the
time that the coordinator is: then the fault is not done, and the study goes on.
"""

import os
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil
from chaos_studies import EVALUATIONS_PER_EPOCH
from disturbed_study import PATIENCE, DisturbedStudy, NothingHitError, StudyOverError
from study_processes import until

FRAME = 24 + 4096
"""Bytes of a page in SQLite's log, with its header."""


def tear_database(study: DisturbedStudy) -> None:
    """The log's next transaction has been written in part: a frame with the salt of its neighbours, cut short."""
    log = study.place.study_folder / "study.db-wal"
    started = _kill_once(study, lambda: log.exists() and log.stat().st_size > 32 + FRAME)
    content = log.read_bytes() if log.exists() else b""
    is_torn = len(content) > 32 + FRAME
    if is_torn:
        with log.open("r+b") as file:  # frames are written where the last ended, or from the start again
            file.seek(0, os.SEEK_END)
            file.write(content[32 : 32 + FRAME // 2] + os.urandom(100))
    _begin_again(study, started, is_torn=is_torn)


def cut_checkpoint(study: DisturbedStudy) -> None:
    """A checkpoint that is there has a file cut short, as on a disk that said it had it, and had not: it is noticed."""
    started = _kill_once(study, lambda: _checkpoints_to_read(study))
    cut = _checkpoints_to_read(study)[:1]
    for folder in cut:
        largest = max(folder.iterdir(), key=lambda path: path.stat().st_size)
        os.truncate(largest, largest.stat().st_size // 2)
    _begin_again(study, started, is_torn=bool(cut))
    word = f"{cut[0].name}: this checkpoint is damaged and not used"
    until(lambda: word in study.process.text() or not study.is_running(), PATIENCE, study.process.text)
    assert word in study.process.text(), study.process.text()


def half_write_checkpoint(study: DisturbedStudy) -> None:
    """The next checkpoint of a run was being written: a folder without the name that makes it one."""
    started = _kill_once(study, lambda: _checkpoints(study))
    copied = _checkpoints(study)[:1]
    for folder in copied:
        run, _, number = folder.name.rpartition(".")
        half = folder.with_name(f"{run}.{int(number) + 1}.partial")
        shutil.copytree(folder, half, dirs_exist_ok=True)
        for path in half.iterdir():
            os.truncate(path, path.stat().st_size // 2)
    _begin_again(study, started, is_torn=bool(copied))


def tear_lists(study: DisturbedStudy) -> None:
    """The list of processes is empty, and the log of a trial, if any was written, ends in the middle of a letter."""
    folder = study.place.study_folder
    processes = folder / "processes.json"
    started = _kill_once(study, lambda: processes.exists() and processes.stat().st_size)
    is_torn = processes.stat().st_size > 0
    processes.write_bytes(b"")
    for log in sorted((folder / "logs").glob("*.log"))[:1]:
        with log.open("ab") as file:
            file.write("lost at poin\xc3".encode("latin-1"))
    _begin_again(study, started, is_torn=is_torn)


def _kill_once(study: DisturbedStudy, is_there: Callable[[], Any]) -> list[psutil.Process]:
    """Kill the coordinator once there is something to tear: a study that has just begun, or a run that has, has none.

    Workers that may be hit are waited for first, or it would be gone again when they are there.
    """
    while True:
        study.victims(everybody=True)
        if is_there():
            return study.kill()
        if not study.is_running():
            raise StudyOverError
        time.sleep(0.02)


def _begin_again(study: DisturbedStudy, started: Sequence[psutil.Process], *, is_torn: bool) -> None:
    study.begin_again(started)
    if not is_torn:
        raise NothingHitError


def _checkpoints(study: DisturbedStudy) -> list[Path]:
    place = study.place.study_folder / "checkpoints"
    return sorted(path for path in place.glob("*") if path.suffix != ".partial")


def _checkpoints_to_read(study: DisturbedStudy) -> list[Path]:
    """Return the newest checkpoint of each run that goes on, and that has not passed its last evaluation.

    Trials that were tampered with are left out: they may begin anew.
    """
    counts, last = study.counts(), study.place.kind.epochs * EVALUATIONS_PER_EPOCH
    goes_on = {
        run.key
        for trial in study.history().trials.values()
        if trial.state.name == "RUNNING" and trial.config["batch_size"] not in study.injected
        for run in trial.runs
        if counts.get(run.key, 0) < last
    }
    newest = {path.name.rpartition(".")[0]: path for path in sorted(_checkpoints(study), key=_number)}
    return sorted(path for run, path in newest.items() if run in goes_on)


def _number(path: Path) -> int:
    return int(path.name.rpartition(".")[2])
