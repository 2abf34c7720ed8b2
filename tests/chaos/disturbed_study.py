"""A study that is disturbed: its processes, what it has recorded, whom a fault may hit, and how it begins again."""

import contextlib
import random
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import sqlalchemy
from chaos_studies import NAME, StudyPlace
from chaos_task import training_of
from study_processes import Launcher, StudyProcess, is_alive, is_worker, until

import hpsearch as hp

PATIENCE = 300.0
"""Seconds within which a study has recorded what comes next: workers start within it, on a busy machine too."""

DEATH_SECONDS = 30.0
"""Seconds within which a worker is gone whose coordinator was killed: at once, but for a machine that is busy."""

MOST_HITS = 2
"""How often a segment may be hit without progress: the third time its trial fails, as it should."""

COUNTED = "select run, count(*) from hpsearch_evaluations group by run"
RECORDED = "select run, point, metrics from hpsearch_evaluations"

Identity = tuple[Any, ...]
"""A run as its worker calls it: batch size, learning rate, fold."""


def in_memory() -> frozenset[str]:
    """Return the names of what processes share in the system's memory: semaphores."""
    return frozenset(path.name for path in Path("/dev/shm").glob("*"))


def gone(processes: Sequence[psutil.Process], seconds: float) -> None:
    """Wait until processes are gone."""
    until(lambda: not any(map(is_alive, processes)), seconds, lambda: f"left: {list(filter(is_alive, processes))}")


@dataclass(eq=False)
class DisturbedStudy:
    """A study in a process of its own, that of `hpsearch run`, and what is known of it from outside.

    Attributes:
        launcher: Forks the coordinators.
        random: Draws the victims.
        injected: Batch sizes of the trials that were given a NaN, or too little memory.
        hits: By run and its recorded evaluations, how often it was hit there.
        seen: All evaluations that were ever seen recorded.
        pids: Of all processes that it ever had.
        lost: What was recorded and is no more, or not as it was.
        others: Names in the system's memory from before; numbers of processes come again.
        cluster: The Ray cluster that its workers are on, if any.
    """

    launcher: Launcher
    place: StudyPlace
    random: random.Random
    injected: set[int] = field(default_factory=set)
    hits: Counter[tuple[Identity, int]] = field(default_factory=Counter)
    seen: dict[tuple[str, int], str] = field(default_factory=dict)
    pids: set[int] = field(default_factory=set)
    lost: list[str] = field(default_factory=list)
    others: frozenset[str] = field(default_factory=in_memory)
    cluster: Any = None
    _process: StudyProcess | None = None
    _keys: dict[Identity, str] = field(default_factory=dict)

    # ---------------------------------------------------------------- its processes

    @property
    def process(self) -> StudyProcess:
        assert self._process is not None
        return self._process

    def start(self) -> None:
        """Run the command that the study was run with before, if it was."""
        given = {"words": self.place.words()[2:], "folder": str(self.place.folder)}
        self._process = self.launcher.launch("command", self.place.environment(), **given)
        self.pids.add(self._process.pid)

    def is_running(self) -> bool:
        return self.process.poll() is None

    def started(self) -> list[psutil.Process]:
        """Return what the coordinator has started and still lives, here or on a cluster."""
        started = [each for each in self.process.started() if is_alive(each)]
        started += [] if self.cluster is None else self.cluster.workers()
        self.pids |= {each.pid for each in started}
        return started

    def workers(self) -> list[psutil.Process]:
        return list(filter(is_worker, self.started())) if self.cluster is None else self.cluster.workers()

    def zombies(self) -> list[int]:
        """Return the dead processes that the coordinator has not waited for."""
        return [each.pid for each in self.process.started() if not is_alive(each)]

    def training(self) -> dict[psutil.Process, Identity]:
        """Return the live workers that train, and what."""
        found = {}
        for worker in self.workers():
            said = training_of(worker.pid, self.place.control)
            if said is not None:
                found[worker] = (said["batch_size"], said["learning_rate"], said["fold"])
        return found

    def begin_again(self, started: Sequence[psutil.Process]) -> None:
        """Check that nothing is left of a coordinator that is gone, and start the next one."""
        gone(started, DEATH_SECONDS)
        self.look()
        self.start()

    def kill(self) -> list[psutil.Process]:
        """Kill the coordinator, and return what it had started; what trains there is hit."""
        self.hit(self.victims(everybody=True).values())
        started = self.started()
        self.process.kill()
        return started

    # ---------------------------------------------------------------- whom a fault may hit

    def victims(self, *, everybody: bool = False) -> dict[psutil.Process, Identity]:
        """Wait for a worker that may be hit, and return it with what it trains, or for all where all will be."""
        found: dict[psutil.Process, Identity] = {}

        def look() -> bool:
            training, counts = self.training(), self.counts()
            at = {worker: (run, counts.get(self._key(run), 0)) for worker, run in training.items()}
            spared = {worker for worker in training if self.hits[at[worker]] >= MOST_HITS}
            found.clear()
            if training and not (everybody and spared):
                found.update({worker: run for worker, run in training.items() if worker not in spared})
            return bool(found) or not self.is_running()

        until(look, PATIENCE, self.process.text)
        if not found:
            raise StudyOverError
        if everybody:
            return found
        worker = self.random.choice(sorted(found, key=lambda process: process.pid))
        return {worker: found[worker]}

    def victim(self) -> psutil.Process:
        """Return a worker that may be hit, and note that it is."""
        [(worker, run)] = self.victims().items()
        self.hit([run])
        return worker

    def hit(self, runs: Any) -> None:
        counts = self.counts()
        for run in runs:
            self.hits[run, counts.get(self._key(run), 0)] += 1

    def _key(self, run: Identity) -> str:
        """Return a run's key, "" where its trial is not recorded yet."""
        if run not in self._keys:
            for trial in self.history().trials.values():
                for each in trial.all_runs:
                    self._keys[each.config["batch_size"], each.config["learning_rate"], each.fold] = each.key
        return self._keys.get(run, "")

    # ---------------------------------------------------------------- what it has recorded

    def history(self) -> Any:
        with contextlib.closing(self.loaded().store()) as store:
            return store.reload()

    def loaded(self) -> Any:
        return hp.load(NAME, folder=self.place.study_folder.parent, storage=self.place.storage)

    def counts(self) -> dict[str, int]:
        """Return the number of recorded evaluations by run, none before the database is there."""
        return {run: int(count) for run, count in self.rows(COUNTED)}

    def count(self) -> int:
        return sum(self.counts().values())

    def rows(self, statement: str) -> list[Any]:
        """Return the rows of a statement, none while the database is not there."""
        if self.place.storage is not None:
            engine = sqlalchemy.create_engine(self.place.storage, poolclass=sqlalchemy.NullPool)
            try:
                with engine.connect() as connection:
                    return list(connection.exec_driver_sql(statement))
            except sqlalchemy.exc.SQLAlchemyError:
                return []
        path = self.place.study_folder / "study.db"
        if not path.exists():
            return []
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=20)) as connection:
            try:
                return connection.execute(statement).fetchall()
            except sqlite3.OperationalError:
                return []

    def look(self) -> None:
        """Note all that is recorded by now, and what was recorded before and is no more."""
        now = {(run, int(point)): metrics for run, point, metrics in self.rows(RECORDED)}
        if not now and self.seen:
            return  # the server is away
        changed = {key: value for key, value in self.seen.items() if now.get(key) != value}
        self.lost += [f"{key}: {value}, now {now.get(key)}" for key, value in changed.items()]
        self.seen |= now

    def await_evaluations(self, count: int) -> None:
        """Wait until so many evaluations are recorded; raise where the study is over before."""
        until(lambda: self.count() >= count or not self.is_running(), PATIENCE, self.process.text)
        self.look()
        if not self.is_running() and self.count() < count:
            raise StudyOverError

    # ---------------------------------------------------------------- the faults

    def suffer(self, fault: Callable[["DisturbedStudy"], None]) -> float:
        """Do a fault and undo it; return the seconds until something new is recorded after it, or the study is over."""
        began = time.monotonic()
        fault(self)
        with contextlib.suppress(StudyOverError):
            self.await_evaluations(self.count() + 1)
        until(lambda: not self.zombies(), DEATH_SECONDS, lambda: f"dead, and not waited for: {self.zombies()}")
        return time.monotonic() - began

    def end(self) -> None:
        """Kill whatever still runs: nothing does where all went well."""
        if self._process is not None and self.is_running():
            for process in [*self.started(), psutil.Process(self.process.pid)]:
                with contextlib.suppress(psutil.Error):
                    process.kill()

    def finish(self) -> None:
        assert self.process.wait(PATIENCE * 2) == 0, self.process.text()
        self.look()


class StudyOverError(Exception):
    """A study has ended before a fault could come."""


class NothingHitError(Exception):
    """What a fault was to hit was not there any more, so it has not been done."""
