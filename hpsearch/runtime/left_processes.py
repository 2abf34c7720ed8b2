"""Processes that a killed coordinator left: written down while it runs, and ended by whoever runs the study next.

Workers end with their coordinator, and what loky starts beside them ends when it next looks. A process that is stopped
(SIGSTOP, a batch system that suspends) cannot look, and would hold its memory for ever.
"""

import contextlib
import json
import logging
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from hpsearch.data.atomic_write import open_no_link, replaced_file, sweep_partials
from hpsearch.errors import StoreError
from hpsearch.records import History, Trial

FILE = "processes.json"
LOOK_SECONDS = 10.0
"""How often a coordinator looks which processes it has: one that died was replaced."""

TRACKER = "resource_tracker"
OURS = ("popen_loky_posix", "popen_loky_win32", TRACKER)
"""Words of the commands that our processes are started by."""

TRACKER_SECONDS = 5.0
"""How long loky's tracker may take to remove what ended processes have left in the system's memory."""

SAME_START_SECONDS = 3.0
"""How far two readings of when a process began may lie apart: the machine's own beginning is read in whole seconds."""

_NOT_OURS = (ValueError, KeyError, TypeError, RecursionError)
"""What reading a list raises that we did not write."""

logger = logging.getLogger("hpsearch")


class ProcessRecord:
    """Keeps the list of this process's workers in the study's folder; an observer of the study."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._written: list[Any] = []
        self._looked = -LOOK_SECONDS

    def observe(self, history: History, trial: Trial | None) -> None:
        self.look()

    def look(self) -> None:
        """Look which processes there are, at most every `LOOK_SECONDS`."""
        if time.monotonic() - self._looked < LOOK_SECONDS:
            return
        self._looked = time.monotonic()
        processes = [_facts(child) for child in psutil.Process().children(recursive=True) if _is_ours(child)]
        if processes != self._written:
            content = {"host": socket.gethostname(), "coordinator": _facts(psutil.Process()), "processes": processes}
            with contextlib.suppress(StoreError):  # the study's own writes report what the disk refuses
                with replaced_file(self._path) as file:
                    file.write(json.dumps(content).encode("utf-8"))
                self._written = processes

    def close(self) -> None:
        """Remove the list, unless it is that of another coordinator, which has taken the study over."""
        with contextlib.suppress(OSError):
            try:
                is_other = not _is(psutil.Process(), json.loads(self._path.read_bytes())["coordinator"])
            except _NOT_OURS:
                is_other = False
            if not is_other:
                self._path.unlink()


@contextlib.contextmanager
def recorded_processes(folder: Path) -> Iterator[ProcessRecord]:
    """End what an earlier coordinator left, and remove what it was writing; then record the processes of this one."""
    end_left_processes(folder)
    sweep_partials(folder)
    record = ProcessRecord(folder)
    try:
        yield record
    finally:
        record.close()


def end_left_processes(folder: Path) -> None:
    """End the recorded processes of a coordinator that is gone, never what only has their numbers; remove its list.

    Outside POSIX nothing can be stopped, so nothing is left.
    """
    if os.name != "posix":
        return
    try:
        with open(folder / FILE, "rb", opener=open_no_link) as file:
            if os.fstat(file.fileno()).st_uid != os.getuid():  # a stranger's, who would choose what we end
                return
            content = json.load(file)
        host, coordinator, processes = content["host"], content["coordinator"], content["processes"]
        left = [found for facts in processes if (found := _found(*facts)) is not None]
        is_over = host == socket.gethostname() and _found(*coordinator) is None
    except (OSError, *_NOT_OURS):
        return
    if not is_over:
        return
    trackers = [_end(process) for process in left]
    _, hung = psutil.wait_procs(filter(None, trackers), TRACKER_SECONDS)
    for tracker in hung:
        tracker.kill()
    with contextlib.suppress(OSError):
        (folder / FILE).unlink()


def _end(process: psutil.Process) -> psutil.Process | None:
    """Kill a process that is ours; return it where it ends by itself, once it goes on and the others are gone.

    That is loky's tracker: killed, it would leave their semaphores in the system's memory until that is started anew.
    """
    with contextlib.suppress(psutil.Error):
        if _is_ours(process) and process.uids().real == os.getuid():
            logger.warning("Process %d, which an earlier run of this study left, was ended.", process.pid)
            if any(TRACKER in word for word in process.cmdline()):
                process.resume()
                return process
            process.kill()
    return None


def _facts(process: psutil.Process) -> list[Any]:
    """Return its number, and when it began, in seconds since the machine did: no step of the clock changes that."""
    return [process.pid, process.create_time() - psutil.boot_time()]


def _is(process: psutil.Process, facts: list[Any]) -> bool:
    pid, started = facts
    return process.pid == pid and abs(_facts(process)[1] - started) < SAME_START_SECONDS


def _found(pid: int, started: float) -> psutil.Process | None:
    """Return the process of this number that began then, or None: another one may have the number by now."""
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        if _is(process, [pid, started]) and process.status() != psutil.STATUS_ZOMBIE:
            return process
    return None


def _is_ours(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        command = " ".join(process.cmdline())
        return any(word in command for word in OURS)
    return False
