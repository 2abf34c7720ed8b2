"""Runs one party of the systems benchmarks in fresh processes, and watches their time and memory from outside."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil

from benchmarks.jobs import Findings, Job

ROOT = Path(__file__).parents[1]
MODULES = {"hpsearch": "benchmarks.hpsearch_party", "tuned": "benchmarks.peer", "written": "benchmarks.peer"}
NAMES = {"hpsearch": "hpsearch", "tuned": "Optuna and Trainer, tuned", "written": "Optuna and Trainer, as written"}
WATCH_SECONDS = 0.5


@dataclass(frozen=True)
class Run:
    """One job, done.

    Attributes:
        seconds: From the start of the first process to the last score known.
        startup: From the start of the first process to the beginning of the first training.
        training: Of all processes together, evaluation too where `evaluation` is None.
        evaluation: Of all processes together.
        processes: Those that trained.
        memory: Bytes: the resident peaks of all processes, added up.
        coordinator: Processor seconds of the first process between the first training and the last score.
        scores: (index of the configuration, fold) to the objective after the last epoch.
        notes: What else the party told.
    """

    seconds: float
    startup: float
    training: float
    evaluation: float | None
    processes: int
    memory: int
    coordinator: float
    scores: Mapping[tuple[int, int], float]
    notes: Mapping[str, Any]

    @property
    def idle(self) -> float:
        """Seconds that the processes were there and did not train, added up, from the first training on."""
        return self.processes * (self.seconds - self.startup) - self.training - (self.evaluation or 0.0)

    def summary(self) -> dict[str, Any]:
        """Return it as JSON has it, without the scores."""
        return {
            "seconds": round(self.seconds, 2), "startup": round(self.startup, 2), "training": round(self.training, 2),
            "evaluation": None if self.evaluation is None else round(self.evaluation, 2), "idle": round(self.idle, 2),
            "processes": self.processes, "peak memory, MB": round(self.memory / 1e6),
            "coordinator, processor seconds": round(self.coordinator, 2), **self.notes,
        }  # fmt: skip


@dataclass
class Watch:
    """What is seen of a process and its descendants from outside, from time to time."""

    process: psutil.Process
    peaks: dict[int, int] = field(default_factory=dict)
    processor: list[tuple[float, float]] = field(default_factory=list)

    def look(self) -> None:
        try:
            times = self.process.cpu_times()
            self.processor.append((time.time(), times.user + times.system))
            for each in (self.process, *self.process.children(recursive=True)):
                self._look_at(each)
        except psutil.NoSuchProcess:
            return

    def _look_at(self, process: psutil.Process) -> None:
        try:
            resident = int(process.memory_info().rss)
        except psutil.NoSuchProcess:
            return
        self.peaks[process.pid] = max(self.peaks.get(process.pid, 0), resident)

    def processor_between(self, began: float, ended: float) -> float:
        """Return the processor seconds of the first process between two times."""
        inside = [seconds for at, seconds in self.processor if began <= at <= ended]
        return inside[-1] - inside[0] if inside else 0.0


def environment(folder: Path) -> dict[str, str]:
    """Return what every party finds: cold caches of its own, the code of this checkout, no network."""
    chosen = {
        "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))),
        "HPSEARCH_CACHE": str(folder / "cache"),
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
    # How many threads there are is each party's own to say.
    kept = {name: value for name, value in os.environ.items() if name not in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    return {**kept, **chosen}


def run(job: Job) -> Run:
    """Do a job in a folder of its own below `job.folder`, which is removed, and return what came of it.

    Raises:
        RuntimeError: The party failed; the message has the end of what it said.
    """
    with tempfile.TemporaryDirectory(prefix=f"{job.party}-", dir=job.folder) as folder:
        job = replace(job, folder=folder)
        started, watch = launch([MODULES[job.party], str(job.write())], Path(folder))
        found = Findings.read(job)
        if not found:
            raise RuntimeError(f"The party {job.party} ended without findings: {_said(Path(folder))}")
        return _run(started, found, watch)


def launch(module: Sequence[str], folder: Path) -> tuple[float, Watch]:
    """Run a module with its arguments in a new process until it ends, and watch it.

    Returns:
        When it was started, in seconds since 1970, and what was seen of it.

    Raises:
        RuntimeError: It failed.
    """
    with (folder / "said").open("wb") as said:
        started = time.time()
        command = [sys.executable, "-m", *module]
        process = subprocess.Popen(command, cwd=ROOT, env=environment(folder), stdout=said, stderr=subprocess.STDOUT)
        watch = Watch(psutil.Process(process.pid))
        try:
            while process.poll() is None:
                watch.look()
                time.sleep(WATCH_SECONDS)
        finally:
            _end(process)
    if process.returncode:
        raise RuntimeError(f"{module[0]} failed with status {process.returncode}: {_said(folder)}")
    return started, watch


def _said(folder: Path) -> str:
    return (folder / "said").read_text(encoding="utf-8", errors="replace")[-3000:]


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End a party that nobody waits for any more, with all that it started."""
    if process.poll() is not None:
        return
    for each in (*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)):
        each.kill()
    process.wait()


def _run(started: float, found: Sequence[Findings], watch: Watch) -> Run:
    finished, began = max(each.finished for each in found), min(each.began for each in found)
    evaluations = [each.evaluation for each in found if each.evaluation is not None]
    notes = found[0].notes
    return Run(
        seconds=finished - started,
        startup=began - started,
        training=sum(each.training for each in found),
        evaluation=sum(evaluations) if evaluations else None,
        processes=int(notes.get("workers", len(found))),
        memory=sum(watch.peaks.values()),
        coordinator=watch.processor_between(began, finished),
        scores={(index, fold): score for each in found for index, fold, score in each.scores},
        notes=notes,
    )
