"""Too little memory: a worker in a control group whose limit the system enforces, and one that it refuses memory."""

import contextlib
import os
import resource
from collections.abc import Iterator
from pathlib import Path

from chaos_task import HOARD
from disturbed_study import DEATH_SECONDS, PATIENCE, DisturbedStudy, StudyOverError
from study_processes import is_alive, until

GROUPS = Path("/sys/fs/cgroup")
MEGABYTE = 1 << 20
ROOM, WANTED = 64, 512
"""Megabytes that a worker may take more than it has, and that it tries to take."""


def missing() -> str | None:
    """Return why no worker can be put into a control group here, or None."""
    try:
        with _group(ROOM):
            return None
    except OSError as error:
        return f"no control group can be made ({error})"


@contextlib.contextmanager
def _group(megabytes: int) -> Iterator[Path]:
    """Make a control group of so much memory, of the first or the second kind."""
    is_first = (GROUPS / "memory").is_dir()
    folder = GROUPS / ("memory" if is_first else "") / f"hpsearch-chaos-{os.getpid()}"
    folder.mkdir()
    try:
        (folder / ("memory.limit_in_bytes" if is_first else "memory.max")).write_text(str(megabytes * MEGABYTE))
        swap = folder / "memory.swap.max"
        if swap.exists():
            swap.write_text("0")  # else what it takes is moved there, and nobody is killed
        yield folder / "cgroup.procs"
    finally:
        folder.rmdir()


def kill_by_memory(study: DisturbedStudy) -> None:
    """The system kills a worker that takes more than there is, as it does on a machine whose memory is full."""
    worker = study.victim()
    with _group(ROOM) as processes:
        processes.write_text(str(worker.pid))
        (study.place.control / HOARD.format(pid=worker.pid)).write_text(str(WANTED))
        until(lambda: not is_alive(worker), DEATH_SECONDS + PATIENCE)
        until(lambda: not processes.read_text(), DEATH_SECONDS)


def refuse_memory(study: DisturbedStudy) -> None:
    """A worker is refused memory; its trial is trained in less, or pruned."""
    [worker] = study.victims()
    before = study.rows(ENDED)
    _, hard = resource.prlimit(worker.pid, resource.RLIMIT_AS)
    resource.prlimit(worker.pid, resource.RLIMIT_AS, (worker.memory_info().vms + ROOM * MEGABYTE, hard))
    (study.place.control / HOARD.format(pid=worker.pid)).write_text(str(WANTED))
    until(lambda: study.rows(ENDED) != before or not study.is_running(), PATIENCE, study.process.text)
    if not study.is_running():
        raise StudyOverError
    resource.prlimit(worker.pid, resource.RLIMIT_AS, (hard, hard))
    refused = {run for (run,) in study.rows(ENDED)}  # not what it trained before: it may have begun the next meanwhile
    for trial in study.history().trials.values():
        if any(run.key in refused for run in trial.all_runs):
            study.injected.add(trial.config["batch_size"])


ENDED = "select run from hpsearch_results where outcome = 'out_of_memory'"
"""The runs that were refused memory."""
