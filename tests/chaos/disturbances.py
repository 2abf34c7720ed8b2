"""What each kind of fault is, what this machine needs for it, and a study that is given a schedule of them."""

import contextlib
import json
import os
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import disk_faults
import fault_schedule as kinds
import memory_faults
import node_faults
import process_faults
import server_faults
import torn_writes
from chaos_studies import StudyPlace
from chaos_task import DIVERGES, FOLDS, PAUSE
from clock_faults import HOUR, SteppedClock
from disturbed_study import DisturbedStudy, NothingHitError, StudyOverError
from fault_schedule import Fault
from study_end import found_wrong
from study_processes import Launcher

BATCH_SECONDS = 0.05
"""Seconds that each training batch takes longer, so that a fault comes in the midst of it."""


@dataclass(frozen=True)
class Machine:
    """What faults are made with.

    Attributes:
        clock: The clock that the studies' processes see; None where none can be stepped.
        server: The database server of a study that has one.
        is_small_disk: Whether studies are on a small disk of their own.
    """

    launcher: Launcher
    clock: SteppedClock | None = None
    server: Any = None
    is_small_disk: bool = False

    def faults(self) -> Mapping[str, Callable[[DisturbedStudy], None]]:
        """Return how each kind of fault is done that can be done here."""
        done: dict[str, Callable[[DisturbedStudy], None]] = {
            kinds.WORKER_KILLED: process_faults.kill_worker,
            kinds.COORDINATOR_KILLED: process_faults.kill_coordinator,
            kinds.ALL_STOPPED_THEN_KILLED: process_faults.stop_all_and_kill_coordinator,
            kinds.WORKER_STOPPED: process_faults.stop_worker,
            kinds.WORKER_HANGS: process_faults.hang_worker,
            kinds.STEP_HANGS: process_faults.hang_step,
            kinds.COORDINATOR_STOPPED: process_faults.stop_coordinator,
            kinds.COORDINATOR_STOPPED_LONG: process_faults.stop_coordinator_long,
            kinds.MEMORY_REFUSED: memory_faults.refuse_memory,
            kinds.LOSS_NAN: let_diverge,
            kinds.TORN_DATABASE: torn_writes.tear_database,
            kinds.TORN_CHECKPOINT: torn_writes.cut_checkpoint,
            kinds.HALF_CHECKPOINT: torn_writes.half_write_checkpoint,
            kinds.TORN_LIST: torn_writes.tear_lists,
            kinds.NODE_KILLED: node_faults.kill_node,
            kinds.RAYLET_KILLED: node_faults.kill_raylet,
            kinds.NODE_LEAVES: node_faults.let_node_leave,
        }
        clock, server = self.clock, self.server
        if self.is_small_disk:
            done[kinds.DISK_FULL] = disk_faults.fill_disk
        if memory_faults.missing() is None:
            done[kinds.MEMORY_KILLS] = memory_faults.kill_by_memory
        if clock is not None:
            done[kinds.CLOCK_FORWARDS] = lambda study: clock.step(HOUR)
            done[kinds.CLOCK_BACK] = lambda study: clock.step(-HOUR)
        if server is not None:
            done[kinds.SERVER_STOPPED] = lambda study: server_faults.stop_server(study, server)
            done[kinds.SERVER_KILLED] = lambda study: server_faults.kill_server(study, server)
        return done


def let_diverge(study: DisturbedStudy) -> None:
    """The training loss of one more trial becomes NaN on one of its folds; before the study begins."""
    path = study.place.control / DIVERGES
    diverging = json.loads(path.read_text()) if path.exists() else {}
    left = [size for size in study.place.kind.batch_sizes if str(size) not in diverging]
    size = study.random.choice(left)
    path.write_text(json.dumps({**diverging, str(size): study.random.randrange(FOLDS)}))
    study.injected.add(size)


@dataclass
class Report:
    """What was done to a study, and what was wrong with it afterwards.

    Attributes:
        seconds: By kind of fault, how long each took from its beginning until something new was recorded.
        not_done: Faults that this machine cannot do, or that found nothing to hit.
        left: Faults that the study ended before.
        hits: The most often that a segment was hit without progress in between.
        wrong: What was lost or left behind, and where its trials differ from its twin's.
    """

    seconds: dict[str, list[float]] = field(default_factory=dict)
    not_done: list[Fault] = field(default_factory=list)
    left: list[Fault] = field(default_factory=list)
    hits: int = 0
    wrong: list[str] = field(default_factory=list)


def disturbed(
    machine: Machine, place: StudyPlace, twin: StudyPlace, faults: Sequence[Fault], seed: int | str,
    said: Callable[[str], None] = lambda line: None,
) -> Report:  # fmt: skip
    """Run a study under a schedule of faults, to its end, and compare it with its twin."""
    variables = {PAUSE: str(BATCH_SECONDS)}
    if any(fault.kind in kinds.OF_SILENCE for fault in faults):
        variables["HPSEARCH_WORKER_WAIT"] = str(process_faults.HANG)
    if machine.clock is not None:
        variables |= machine.clock.variables
    place = replace(place, variables={**place.variables, **variables})
    place.make()
    able = machine.faults()
    report = Report(not_done=[fault for fault in faults if fault.kind not in able])
    report.left = [fault for fault in faults if fault.kind in able]
    is_on_ray = place.devices.startswith("ray")
    with (
        disk_faults.small_disk(place.study_folder.parent) if machine.is_small_disk else contextlib.nullcontext(),
        node_faults.two_nodes(place) if is_on_ray else contextlib.nullcontext() as cluster,
    ):
        if cluster is not None:
            place = replace(place, variables={**place.variables, **cluster.environment})
        study = DisturbedStudy(machine.launcher, place, random.Random(seed), cluster=cluster)
        try:
            _give(study, able, report, said)
            study.finish()
            report.hits = max(study.hits.values(), default=0)
            report.wrong = found_wrong(study, twin)
        finally:
            study.end()
    return report


def _give(
    study: DisturbedStudy,
    able: Mapping[str, Callable[[DisturbedStudy], None]],
    report: Report,
    said: Callable[[str], None],
) -> None:
    """Start a study and give it the faults that are left, as long as it runs."""
    while report.left and report.left[0].kind == kinds.LOSS_NAN:
        able[report.left.pop(0).kind](study)
        report.seconds.setdefault(kinds.LOSS_NAN, []).append(0.0)
    study.start()
    with contextlib.suppress(StudyOverError):
        study.await_evaluations(1)
        while report.left:
            kind = report.left[0].kind
            study.await_evaluations(study.count() + report.left[0].after)
            try:
                seconds = study.suffer(able[kind])
            except NothingHitError:
                report.not_done.append(report.left.pop(0))
                said(f"NOT DONE: {kind}: nothing was there to hit")
                continue
            report.seconds.setdefault(kind, []).append(seconds)
            report.left.pop(0)
            said(f"{kind}: {seconds:.1f} s, {study.count()} evaluations")


@contextlib.contextmanager
def machine_of(folder: Path, server: Any = None) -> Iterator[Machine]:
    """Return what faults are made with here; its launcher's processes see a clock that can be stepped."""
    clock = SteppedClock(folder) if SteppedClock.missing() is None else None
    before = dict(os.environ)
    os.environ.update({} if clock is None else clock.variables)
    try:
        launcher = Launcher(folder)
    finally:
        os.environ.clear()
        os.environ.update(before)
    try:
        yield Machine(launcher, clock, server, disk_faults.missing() is None)
    finally:
        launcher.close()
