"""Processes that are killed, and that are stopped: for a moment, and for longer than a silent worker is waited for."""

import contextlib
import signal
import time

import psutil
from chaos_task import HANGS
from disturbed_study import DEATH_SECONDS, PATIENCE, DisturbedStudy, StudyOverError, gone
from study_processes import is_alive, until

from hpsearch.runtime.pools.silence import GRACE_SECONDS

MOMENT = 2.0
"""Seconds that a process is stopped which nobody should miss."""

HANG = 15.0
"""Seconds after which the studies of this suite take a silent worker for hung."""

PAUSED = "select count(*) from hpsearch_results where outcome in ('paused', 'timed_out')"


def kill_worker(study: DisturbedStudy) -> None:
    worker = study.victim()
    worker.kill()
    until(lambda: not is_alive(worker), DEATH_SECONDS)


def kill_coordinator(study: DisturbedStudy) -> None:
    study.begin_again(study.kill())


def stop_all_and_kill_coordinator(study: DisturbedStudy) -> None:
    """Its processes cannot see that it is gone: the next coordinator ends them."""
    victims, started = study.victims(everybody=True), study.started()
    for each in started:
        with contextlib.suppress(psutil.NoSuchProcess):  # it has ended meanwhile
            each.suspend()
    study.hit(victims.values())
    study.process.kill()
    study.look()
    study.start()
    gone(started, PATIENCE)


def stop_worker(study: DisturbedStudy) -> None:
    [worker] = study.victims()
    worker.suspend()
    time.sleep(MOMENT)
    worker.resume()


def hang_worker(study: DisturbedStudy) -> None:
    """Its pool has it go on, or kills it and gives its segment to another."""
    worker = study.victim()
    worker.suspend()
    until(lambda: not _is_stopped(worker), HANG + GRACE_SECONDS + DEATH_SECONDS)


def hang_step(study: DisturbedStudy) -> None:
    """A worker lives and does not get on: its pool asks it to end, kills it, and gives its segment to another."""
    worker = study.victim()
    (study.place.control / HANGS.format(pid=worker.pid)).touch()
    until(lambda: not is_alive(worker), HANG + GRACE_SECONDS + DEATH_SECONDS)


def _is_stopped(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.status() == psutil.STATUS_STOPPED
    return False


def stop_coordinator(study: DisturbedStudy) -> None:
    _stop_coordinator(study, MOMENT)


def stop_coordinator_long(study: DisturbedStudy) -> None:
    """Its workers go on meanwhile, and none of them may be taken for hung when it wakes."""
    workers, before = study.victims(everybody=True), study.rows(PAUSED)
    _stop_coordinator(study, HANG + 2.0)
    with contextlib.suppress(StudyOverError):
        study.await_evaluations(study.count() + 1)
    assert all(map(is_alive, workers)) or not study.is_running(), "a worker was ended that went on"
    assert study.rows(PAUSED) == before, "a worker was asked to end that went on while its coordinator was stopped"


def _stop_coordinator(study: DisturbedStudy, seconds: float) -> None:
    study.process.send(signal.SIGSTOP)
    time.sleep(seconds)
    study.process.send(signal.SIGCONT)
