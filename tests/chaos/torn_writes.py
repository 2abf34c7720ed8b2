"""What a power cut leaves of writes that had not reached the disk, put there between a coordinator and the next.

Only what had not been forced to the disk may be torn: nothing of it was promised.
"""

import os
import shutil
from pathlib import Path

import psutil
from disturbed_study import PATIENCE, DisturbedStudy
from study_processes import until

FRAME = 24 + 4096
"""Bytes of a page in SQLite's log, with its header."""


def tear_database(study: DisturbedStudy) -> None:
    """The log's next transaction has been written in part: a frame with the salt of its neighbours, cut short."""
    log = study.place.study_folder / "study.db-wal"
    until(
        lambda: not study.is_running() or (log.exists() and log.stat().st_size > 32 + FRAME),
        PATIENCE,
        study.process.text,
    )
    started = study.kill()
    content = log.read_bytes() if log.exists() else b""
    if len(content) > 32 + FRAME:
        with log.open("r+b") as file:  # frames are written where the last ended, or from the start again
            file.seek(0, os.SEEK_END)
            file.write(content[32 : 32 + FRAME // 2] + os.urandom(100))
    study.begin_again(started)


def cut_checkpoint(study: DisturbedStudy) -> None:
    """A checkpoint that is there has a file cut short: as on a disk that said it had it, and had not."""
    started = _kill_with_checkpoint(study)
    for folder in _checkpoints(study)[:1]:
        largest = max(folder.iterdir(), key=lambda path: path.stat().st_size)
        os.truncate(largest, largest.stat().st_size // 2)
    study.begin_again(started)


def half_write_checkpoint(study: DisturbedStudy) -> None:
    """The next checkpoint of a run was being written: a folder without the name that makes it one."""
    started = _kill_with_checkpoint(study)
    for folder in _checkpoints(study)[:1]:
        run, _, number = folder.name.rpartition(".")
        half = folder.with_name(f"{run}.{int(number) + 1}.partial")
        shutil.copytree(folder, half, dirs_exist_ok=True)
        for path in half.iterdir():
            os.truncate(path, path.stat().st_size // 2)
    study.begin_again(started)


def tear_lists(study: DisturbedStudy) -> None:
    """The list of processes is empty, and the log of a trial ends in the middle of a letter."""
    started = study.kill()
    folder = study.place.study_folder
    (folder / "processes.json").write_bytes(b"")
    for log in sorted((folder / "logs").glob("*.log"))[:1]:
        with log.open("ab") as file:
            file.write("lost at poin\xc3".encode("latin-1"))
    study.begin_again(started)


def _kill_with_checkpoint(study: DisturbedStudy) -> list[psutil.Process]:
    """Kill the coordinator once there is a checkpoint: a study that has just begun, or a run that has, has none."""
    until(lambda: _checkpoints(study) or not study.is_running(), PATIENCE, study.process.text)
    return study.kill()


def _checkpoints(study: DisturbedStudy) -> list[Path]:
    place = study.place.study_folder / "checkpoints"
    return sorted(path for path in place.glob("*") if path.suffix != ".partial")
