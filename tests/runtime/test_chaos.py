"""Nothing is lost: studies whose processes are killed, stopped and interrupted end as if nothing had been.

A killed study is gone on with by a process of another kind (inline, or two workers) and then compared, bit by bit,
with one that was left alone: its table, all that was recorded, its Optuna trials, and the files in its folder.
"""

import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest
from study_processes import Launcher, StudyProcess, is_alive, until
from toy_studies import BIRTHS, DEATHS, count_evaluations, files_of, known_of, table, toy_study

from hpsearch.errors import LeaseHeldError

pytestmark = pytest.mark.chaos

RANDOM_MOMENTS = 20
DEATH_SECONDS = 5.0
"""What a worker may outlive its coordinator."""

STUDY: Mapping[str, Any] = {"devices": 2, "trials": 4, "task": {"pause": 0.01}, "checkpoint_every": 0.05}
"""Checkpoints are written all the time, so that a kill often comes while one is."""


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.setenv("HPSEARCH_CACHE", str(tmp_path / "cache"))
    return {"HPSEARCH_CACHE": str(tmp_path / "cache")}


class Undisturbed:
    """What a study is when it is left alone, and how long it takes."""

    def __init__(self, launcher: Launcher, folder: Path) -> None:
        started = time.monotonic()
        process = launcher.launch("run", {"HPSEARCH_CACHE": str(folder / "cache")}, folder=str(folder), **STUDY)
        assert process.wait() == 0, process.text()
        self.seconds = time.monotonic() - started
        self.table, self.known, self.files = table(folder), known_of(folder), files_of(folder)

    def compare(self, folder: Path, *, besides: frozenset[str] = frozenset()) -> None:
        """Check that a study is the same, down to the names of its files `besides` some."""
        found = known_of(folder)
        assert {state for state, *_ in found["optuna"].values()} == {"COMPLETE"}
        assert table(folder).equals(self.table)
        assert found == self.known
        assert files_of(folder) - besides == self.files


@pytest.fixture(scope="module")
def undisturbed(launcher: Launcher, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    return Undisturbed(launcher, tmp_path_factory.mktemp("undisturbed"))


def kill(process: StudyProcess) -> None:
    """Kill a coordinator, and see that nothing of it lives on."""
    started = process.started()
    process.kill()
    gone(started)


def gone(processes: list[psutil.Process]) -> None:
    until(lambda: not any(map(is_alive, processes)), DEATH_SECONDS, lambda: f"{list(filter(is_alive, processes))}")


def go_on(launcher: Launcher, folder: Path, environment: Mapping[str, str], **changed: Any) -> None:
    """Resume a study and bring it to its end."""
    given = {"devices": "inline", "checkpoint_every": 300.0, "hurry": True, **changed}
    process = launcher.launch("run", environment, folder=str(folder), **{**STUDY, **given})
    assert process.wait() == 0, process.text()


# ---------------------------------------------------------------- the coordinator is killed


def killed_after(launcher: Launcher, place: Path, seconds: float) -> tuple[Path, StudyProcess, float]:
    """Return the folder of a new study, its process, killed after so many seconds or ended before, and when."""
    folder, started = place / f"{seconds:.3f} s", time.monotonic()
    process = launcher.launch("run", {"HPSEARCH_CACHE": str(folder / "cache")}, folder=str(folder), **STUDY)
    while (left := started + seconds - time.monotonic()) > 0 and process.poll() is None:
        time.sleep(min(left, 0.05))
    kill(process)
    return folder, process, time.monotonic() - started


MOMENTS = [(part + random.Random(part).random()) / RANDOM_MOMENTS for part in range(RANDOM_MOMENTS)]
"""Shares of a study's duration: one at random in each twentieth of it, so that no part is left out."""


@pytest.mark.parametrize("moment", MOMENTS, ids="{:.3f}".format)
def test_killed_at_a_random_moment_a_study_ends_as_if_nothing_had_been(
    launcher: Launcher, tmp_path: Path, undisturbed: Undisturbed, moment: float
) -> None:
    folder, process, seconds = killed_after(launcher, tmp_path, moment * undisturbed.seconds)
    while process.poll() != -signal.SIGKILL:  # it had ended: this machine has become faster meanwhile
        undisturbed.seconds = min(seconds, 0.95 * undisturbed.seconds)
        folder, process, seconds = killed_after(launcher, tmp_path, moment * undisturbed.seconds)
    go_on(launcher, folder, {"HPSEARCH_CACHE": str(folder / "cache")})
    undisturbed.compare(folder)


def test_killed_at_every_moment_that_matters_a_study_ends_as_if_nothing_had_been(
    launcher: Launcher, tmp_path: Path, environment: dict[str, str], undisturbed: Undisturbed
) -> None:
    """One study dies of all of them in turn, on two workers, each time in the process that goes on with it."""
    known, with_workers = 0, 0
    for moment in DEATHS:
        process = launcher.launch("run", environment, folder=str(tmp_path), die=(moment, 1), **STUDY)
        started: list[psutil.Process] = []
        while process.poll() is None:
            started = process.started() or started
            time.sleep(0.01)
        assert process.poll() == -signal.SIGKILL, f"{moment}: {process.text()}"
        with_workers += len(started) >= 2  # not where it dies as it tells what an earlier one did not come to tell
        gone(started)
        assert count_evaluations(tmp_path) >= known, moment
        known = count_evaluations(tmp_path)
    assert with_workers >= len(DEATHS) - 2
    go_on(launcher, tmp_path, environment)
    undisturbed.compare(tmp_path)


@pytest.mark.parametrize(
    ("moment", "count"), [*((moment, 3) for moment in DEATHS), *((moment, 1) for moment in BIRTHS)]
)
def test_killed_there_inline_it_ends_as_if_nothing_had_been(
    launcher: Launcher, tmp_path: Path, environment: dict[str, str], undisturbed: Undisturbed, moment: str, count: int
) -> None:
    """A fresh study for each of them: as it is made, or the third time that a moment comes."""
    inline = {**STUDY, "devices": "inline"}
    process = launcher.launch("run", environment, folder=str(tmp_path), die=(moment, count), **inline)
    assert process.wait() == -signal.SIGKILL, process.text()
    go_on(launcher, tmp_path, environment)
    undisturbed.compare(tmp_path)


# ---------------------------------------------------------------- a worker is killed


def test_a_study_goes_on_by_itself_when_its_workers_are_killed(
    launcher: Launcher, tmp_path: Path, environment: dict[str, str], undisturbed: Undisturbed
) -> None:
    process = launcher.launch("run", environment, folder=str(tmp_path), **STUDY)
    drawn, killed = random.Random(2), set()
    for evaluations in (1, 5, 9):
        until(lambda known=evaluations: count_evaluations(tmp_path) >= known, 120, process.text)
        victim = drawn.choice(process.workers())
        victim.kill()
        killed.add(victim.pid)
    assert process.wait() == 0, process.text()
    assert len(killed) == 3
    logs = {str(path.relative_to(tmp_path)) for path in (tmp_path / "toy" / "logs").iterdir()}
    assert logs
    assert all("killed" in (tmp_path / log).read_text() for log in logs)
    undisturbed.compare(tmp_path, besides=frozenset(logs))


# ---------------------------------------------------------------- two coordinators


def under_way(launcher: Launcher, folder: Path, environment: dict[str, str], **changed: Any) -> StudyProcess:
    """Return a process that has recorded an evaluation, with much left to do."""
    process = launcher.launch("run", environment, folder=str(folder), **{**STUDY, "task": {"pause": 0.1}, **changed})
    until(lambda: count_evaluations(folder) >= 1, 120, process.text)
    assert process.poll() is None, process.text()
    return process


def test_a_second_coordinator_is_refused_while_the_first_lives_stopped_or_not(
    launcher: Launcher, tmp_path: Path, environment: dict[str, str], undisturbed: Undisturbed
) -> None:
    process = under_way(launcher, tmp_path, environment)
    for stopped in (False, True):
        if stopped:
            process.send(signal.SIGSTOP)
            until(lambda: psutil.Process(process.pid).status() == psutil.STATUS_STOPPED, 10)
        before = count_evaluations(tmp_path)
        second = toy_study(tmp_path)
        with pytest.raises(LeaseHeldError, match=f"process {process.pid} .*resume the study"):
            second.run(trials=4, devices="inline", progress=False)
        assert len(second.result.history.trials) >= 1  # to read it is allowed
        second.store().close()
        if stopped:
            assert count_evaluations(tmp_path) == before
    process.send(signal.SIGCONT)
    assert process.wait() == 0, process.text()
    undisturbed.compare(tmp_path)


def test_what_a_coordinator_says_that_has_lost_its_study_is_refused(
    launcher: Launcher, tmp_path: Path, environment: dict[str, str], undisturbed: Undisturbed
) -> None:
    """It was stopped, somebody removed its lock, and another one went on to the end; then it wakes up."""
    process = under_way(launcher, tmp_path, environment, checkpoint_every=0.0)
    process.send(signal.SIGSTOP)
    until(lambda: psutil.Process(process.pid).status() == psutil.STATUS_STOPPED, 10)
    time.sleep(0.5)  # its workers meanwhile find results and write checkpoints for it to record
    (tmp_path / "toy" / "study.db.toy.lock").unlink()
    go_on(launcher, tmp_path, environment)
    its_own = frozenset({"toy/study.db-shm", "toy/study.db-wal", "toy/processes.json"})  # it lives, and has processes
    undisturbed.compare(tmp_path, besides=its_own)
    started = process.started()
    process.send(signal.SIGCONT)
    assert process.wait(60) == 1
    assert "LeaseLostError: Study 'toy' has been taken over by another coordinator" in process.text()
    gone(started)
    undisturbed.compare(tmp_path)


def test_resume_ends_what_a_coordinator_left_that_was_killed_while_its_processes_were_stopped(
    launcher: Launcher, tmp_path: Path, environment: dict[str, str], undisturbed: Undisturbed
) -> None:
    process = under_way(launcher, tmp_path, environment)
    started = process.started()
    assert len(started) >= 3
    for each in started:
        each.send_signal(signal.SIGSTOP)
    process.kill()
    left = [each for each in started if is_alive(each)]
    assert left  # they cannot see that they should end
    go_on(launcher, tmp_path, environment)
    gone(left)
    undisturbed.compare(tmp_path)


# ---------------------------------------------------------------- files go away under it


def delete(place: Path) -> None:
    while place.exists():  # the study may notice at once, and remove its list of processes itself
        shutil.rmtree(place, ignore_errors=True)


def rename(place: Path) -> None:
    place.rename(place.with_name("elsewhere"))


def replace_database(place: Path) -> None:
    shutil.copy(place / "study.db", place / "copy.db")
    (place / "copy.db").rename(place / "study.db")


@pytest.mark.parametrize("attack", [delete, rename, replace_database])
def test_a_study_whose_database_is_gone_says_that_nothing_is_kept(
    launcher: Launcher, tmp_path: Path, environment: dict[str, str], attack: Callable[[Path], None]
) -> None:
    process = under_way(launcher, tmp_path, environment, checkpoint_every=300.0)
    started = process.started()
    attack(tmp_path / "toy")
    assert process.wait(60) == 1
    assert "StoreError" in process.text()
    assert "deleted, renamed or replaced while the study ran, so nothing more can be kept" in process.text()
    gone(started)
    if attack is delete:
        assert not (tmp_path / "toy" / "study.db").exists()


def test_checkpoints_and_cache_that_are_deleted_are_made_again(
    launcher: Launcher, tmp_path: Path, environment: dict[str, str], undisturbed: Undisturbed
) -> None:
    process = under_way(launcher, tmp_path, environment, task={"pause": 0.1, "opens": True})
    for times in range(8):
        until(lambda: checkpoints(tmp_path) or process.poll() is not None, 60, process.text)
        shutil.rmtree(tmp_path / "toy" / "checkpoints", ignore_errors=True)
        if times == 0:  # with much left to do: a worker's successor looks for the rows
            shutil.rmtree(tmp_path / "cache")
            process.workers()[0].kill()
    assert process.wait() == 0, process.text()
    assert "room" not in process.text()
    logs = {str(path.relative_to(tmp_path)) for path in (tmp_path / "toy" / "logs").glob("*")}
    undisturbed.compare(tmp_path, besides=frozenset(logs))


# ---------------------------------------------------------------- Ctrl-C


def interrupt(process: StudyProcess) -> None:
    """Do what a terminal does: the whole process group is told."""
    os.killpg(process.pid, signal.SIGINT)


def checkpoints(folder: Path) -> list[Path]:
    place = folder / "toy" / "checkpoints"
    return [path for path in place.iterdir() if path.suffix != ".partial"] if place.exists() else []


def test_ctrl_c_pauses_with_checkpoints_and_says_how_to_resume(
    launcher: Launcher, tmp_path: Path, environment: dict[str, str], undisturbed: Undisturbed
) -> None:
    process = under_way(launcher, tmp_path, environment, checkpoint_every=300.0)
    started = process.started()
    assert checkpoints(tmp_path) == []
    interrupt(process)
    assert process.wait(30) == -signal.SIGINT, process.text()  # which a shell calls 130, as it does the command's
    gone(started)
    assert "interrupted" in process.text()
    assert f"hpsearch resume {tmp_path / 'toy'}" in process.text()
    assert process.text().count("Traceback") == 1
    assert process.text().splitlines()[-1] == "KeyboardInterrupt: the study 'toy' was paused; run it again to continue"
    states = [state for state, *_ in known_of(tmp_path)["optuna"].values()]
    assert "WAITING" in states
    assert "RUNNING" not in states
    assert 1 <= len(checkpoints(tmp_path)) <= 2  # a run a worker
    go_on(launcher, tmp_path, environment)
    undisturbed.compare(tmp_path)


def test_a_second_ctrl_c_ends_at_once(
    launcher: Launcher, tmp_path: Path, environment: dict[str, str], undisturbed: Undisturbed
) -> None:
    """The first one waits for the steps under way, one of which takes ten minutes here."""
    flag = tmp_path.with_name(f"{tmp_path.name}-flag")
    task = {"trouble": "hang", "flag": str(flag)}
    slow = launcher.launch("run", environment, folder=str(tmp_path), **{**STUDY, "task": task})
    until(lambda: flag.exists() and count_evaluations(tmp_path) >= 1, 120, slow.text)
    started = slow.started()
    interrupt(slow)
    time.sleep(1.0)
    assert slow.poll() is None
    interrupt(slow)
    until(lambda: slow.poll() is not None, DEATH_SECONDS, slow.text)
    assert slow.poll() != 0
    assert "KeyboardInterrupt" in slow.text()
    gone(started)
    assert "RUNNING" not in [state for state, *_ in known_of(tmp_path)["optuna"].values()]
    go_on(launcher, tmp_path, environment)
    undisturbed.compare(tmp_path)


@pytest.mark.parametrize("moment", ["importing", "starting"])
def test_ctrl_c_while_the_workers_start_loses_nothing(
    launcher: Launcher, tmp_path: Path, environment: dict[str, str], undisturbed: Undisturbed, moment: str
) -> None:
    process = launcher.launch("run", environment, folder=str(tmp_path), **STUDY)
    until(lambda: len(process.workers() if moment == "starting" else process.started()) >= 1, 60, process.text)
    started = process.started()
    interrupt(process)
    assert process.wait(30) != 0
    gone(started)
    go_on(launcher, tmp_path, environment)
    undisturbed.compare(tmp_path)


# ---------------------------------------------------------------- a cluster's notice

NOTICES = {"SIGTERM": signal.SIGTERM, "SIGUSR1": signal.SIGUSR1}


@pytest.mark.parametrize("told", ["the group", "the coordinator"])
@pytest.mark.parametrize("notice", NOTICES)
def test_a_notice_pauses_with_checkpoints_and_ends_with_a_code_to_requeue_on(
    launcher: Launcher, tmp_path: Path, environment: dict[str, str], undisturbed: Undisturbed, notice: str, told: str
) -> None:
    process = under_way(launcher, tmp_path, environment, checkpoint_every=300.0)
    started = process.started()
    for _ in range(2):  # a job script passes on what was sent to it and to all
        if process.poll() is None:
            (os.killpg if told == "the group" else os.kill)(process.pid, NOTICES[notice])
    assert process.wait(30) == 75, process.text()
    gone(started)
    assert "interrupted" in process.text()
    assert f"hpsearch resume {tmp_path / 'toy'}" in process.text()
    for unwanted in ("Traceback", "resource_tracker", "lost"):
        assert unwanted not in process.text()
    assert "RUNNING" not in [state for state, *_ in known_of(tmp_path)["optuna"].values()]
    assert 1 <= len(checkpoints(tmp_path)) <= 2  # a run a worker
    go_on(launcher, tmp_path, environment)
    undisturbed.compare(tmp_path)


@pytest.mark.parametrize("devices", [2, "inline"], ids=str)
def test_when_the_notice_is_over_it_ends_whatever_a_worker_does(
    launcher: Launcher, tmp_path: Path, environment: dict[str, str], undisturbed: Undisturbed, devices: int | str
) -> None:
    """A step takes ten minutes here."""
    flag = tmp_path.with_name(f"{tmp_path.name}-flag")
    task = {"trouble": "hang", "flag": str(flag)}
    given = {**STUDY, "task": task, "devices": devices, "notice_period": 2.0}
    slow = launcher.launch("run", environment, folder=str(tmp_path), **given)
    until(lambda: flag.exists() and (devices == "inline" or count_evaluations(tmp_path) >= 1), 120, slow.text)
    started, began = slow.started(), time.monotonic()
    os.killpg(slow.pid, signal.SIGUSR1)
    assert slow.wait(30) == 75, slow.text()
    assert 1.0 < time.monotonic() - began < 2.0 + DEATH_SECONDS
    assert "SIGUSR1: hpsearch did not pause within 2 seconds and has stopped." in slow.text()
    assert "Traceback" not in slow.text()
    gone(started)
    assert "RUNNING" not in [state for state, *_ in known_of(tmp_path)["optuna"].values()]
    go_on(launcher, tmp_path, environment)
    undisturbed.compare(tmp_path)


@pytest.mark.parametrize("moment", [0.02, 0.1, 0.2, 0.3, 0.45, 0.6, 0.95])
def test_a_notice_at_any_moment_leaves_nothing_torn(
    launcher: Launcher, tmp_path: Path, environment: dict[str, str], undisturbed: Undisturbed, moment: float
) -> None:
    """Rows are prepared and models loaded in the first of them, which is left at once. The last may find it over."""
    process = launcher.launch("run", environment, folder=str(tmp_path), **STUDY)
    until((tmp_path / "cache").exists, 60, process.text)  # from here on signals are heard
    time.sleep(moment * undisturbed.seconds)
    started = process.started()
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
    code = process.wait(30)
    is_over = "ended" in process.text()  # a script that is on its way out hears signals as any other
    assert code == 75 or (is_over and code in (0, -signal.SIGTERM)), process.text()
    assert "Traceback" not in process.text()
    gone(started)
    go_on(launcher, tmp_path, environment)
    undisturbed.compare(tmp_path)
