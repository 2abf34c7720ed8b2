"""What a killed coordinator left is ended, and no process that only looks like it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from study_processes import is_alive, until

from hpsearch.runtime.left_processes import FILE, ProcessRecord, end_left_processes, recorded_processes

pytestmark = pytest.mark.skipif(os.name != "posix", reason="processes that can be stopped")

SLEEP = "import time; time.sleep(600)"


@pytest.fixture
def worker() -> Iterator[psutil.Process]:
    """A process with the command of a worker, stopped."""
    started = subprocess.Popen([sys.executable, "-c", SLEEP, "joblib.externals.loky.backend.popen_loky_posix"])
    process = psutil.Process(started.pid)
    process.suspend()
    yield process
    started.kill()
    started.wait()


@pytest.fixture
def dead() -> list[Any]:
    """The number of a process that has ended, and when it began."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    began = facts(psutil.Process(ended.pid))
    ended.wait()
    return began


def facts(process: psutil.Process) -> list[Any]:
    """A process as the list has it: its number, and when it began, in seconds since the machine did."""
    return [process.pid, process.create_time() - psutil.boot_time()]


def write(folder: Path, coordinator: list[Any], processes: list[list[Any]], host: str = "") -> None:
    content = {"host": host or socket.gethostname(), "coordinator": coordinator, "processes": processes}
    (folder / FILE).write_text(json.dumps(content))


def survives(worker: psutil.Process, folder: Path) -> bool:
    end_left_processes(folder)
    time.sleep(0.1)
    return is_alive(worker)


def test_it_is_ended_once_its_coordinator_is_gone(tmp_path: Path, worker: psutil.Process, dead: list[Any]) -> None:
    write(tmp_path, dead, [facts(worker), dead])
    end_left_processes(tmp_path)
    until(lambda: not is_alive(worker), 5, "the worker lives")
    assert not (tmp_path / FILE).exists()


@pytest.mark.parametrize("seconds", [-30, -1, 1, 30])
def test_it_is_ended_after_a_step_of_the_clock(
    tmp_path: Path, worker: psutil.Process, dead: list[Any], seconds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, dead, [facts(worker)])
    with recorded_processes(tmp_path) as record:  # psutil tells times by when the machine began, which the clock tells
        record.look()
        began = psutil.boot_time()
        for module in (psutil, psutil._psplatform):
            monkeypatch.setattr(module, "boot_time", lambda: began + seconds)
    assert not (tmp_path / FILE).exists()
    until(lambda: not is_alive(worker), 5, "the worker lives")


KILLED_WITH_ITS_TRACKER_STOPPED = """
import os, signal, sys
from joblib.externals.loky.backend import resource_tracker
from joblib.externals.loky.backend.synchronize import Semaphore
kept = Semaphore(1)
tracker = resource_tracker._resource_tracker._pid
os.kill(tracker, signal.SIGSTOP)
print(tracker, kept._semlock.name, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="semaphores that can be seen")
def test_a_stopped_tracker_removes_the_semaphores_of_the_dead(tmp_path: Path, dead: list[Any]) -> None:
    with (tmp_path / "said").open("w") as said:  # no pipe, which the tracker would hold open
        subprocess.run([sys.executable, "-c", KILLED_WITH_ITS_TRACKER_STOPPED], check=False, stdout=said, stderr=said)
    number, name = (tmp_path / "said").read_text().split()
    tracker, semaphore = psutil.Process(int(number)), Path("/dev/shm") / f"sem.{name.lstrip('/')}"
    until(lambda: tracker.status() == psutil.STATUS_STOPPED, 5, "the tracker goes on")
    assert semaphore.exists()
    write(tmp_path, dead, [facts(tracker)])
    end_left_processes(tmp_path)
    assert not is_alive(tracker)
    assert not semaphore.exists()


KILLED_AS_IT_WRITES = """
import os, signal, sys
from pathlib import Path
from hpsearch.data.atomic_write import replaced_file
Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
with replaced_file(Path(sys.argv[1])) as file:
    file.write(b"half")
"""


@pytest.mark.parametrize("name", [FILE, "folds.npz", "study.json", "report.html"])
def test_what_a_killed_coordinator_was_writing_is_removed_though_nobody_writes_it_again(
    tmp_path: Path, name: str
) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED_AS_IT_WRITES, str(tmp_path / name)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert [path.suffix for path in tmp_path.iterdir()] == [".partial"]
    with recorded_processes(tmp_path):
        assert not list(tmp_path.iterdir())


def test_a_stranger_that_only_has_its_number_lives(tmp_path: Path, worker: psutil.Process, dead: list[Any]) -> None:
    mine = facts(worker)
    write(tmp_path, dead, [[worker.pid, mine[1] - 60]])  # the number was given again
    assert survives(worker, tmp_path)
    write(tmp_path, facts(psutil.Process()), [mine])  # its coordinator lives
    assert survives(worker, tmp_path)
    write(tmp_path, dead, [mine], host="another-host")
    assert survives(worker, tmp_path)
    for content in (
        "",
        "{",
        "[]",
        "[" * 100_000,
        '{"host": 1}',
        json.dumps({"host": 1, "coordinator": [], "processes": [[]]}),
    ):
        (tmp_path / FILE).write_text(content)
        assert survives(worker, tmp_path)
    other = subprocess.Popen([sys.executable, "-c", SLEEP])  # it is none of ours by its command
    write(tmp_path, dead, [facts(psutil.Process(other.pid))])
    assert survives(psutil.Process(other.pid), tmp_path)
    other.kill()
    other.wait()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can make another's file")
def test_a_strangers_list_ends_nothing(tmp_path: Path, worker: psutil.Process, dead: list[Any]) -> None:
    write(tmp_path, dead, [facts(worker)])
    os.chown(tmp_path / FILE, 65534, 65534)
    assert survives(worker, tmp_path)


def test_the_list_has_our_processes_while_they_are_needed(tmp_path: Path, worker: psutil.Process) -> None:
    with recorded_processes(tmp_path) as record:
        record.look()
        content = json.loads((tmp_path / FILE).read_text())
        assert content["coordinator"] == facts(psutil.Process())
        assert facts(worker) in content["processes"]
        before = (tmp_path / FILE).stat().st_mtime_ns
        record.look()
        assert (tmp_path / FILE).stat().st_mtime_ns == before
    assert not (tmp_path / FILE).exists()
    ProcessRecord(tmp_path).close()


def test_the_list_of_a_coordinator_that_took_the_study_over_stays(tmp_path: Path, worker: psutil.Process) -> None:
    with recorded_processes(tmp_path):
        write(tmp_path, facts(worker), [])
    assert (tmp_path / FILE).exists()


def test_a_list_that_cannot_be_read_goes_at_the_end(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("{")
    with recorded_processes(tmp_path):
        pass
    assert not (tmp_path / FILE).exists()
