"""What the coordinator costs: its own time a segment in a study that has a thousand trials already.

A real database is filled through the real store with finished trials of three folds. Then the real coordinator, asker,
policy, scheduler and store go on with it, over a pool that trains nothing and answers at once. What is measured is the
wall time between one segment's end and the next one's that was not spent in the pool: asking, ordering, recording
evaluations with their predictions, deciding, telling Optuna, the plain lines.

    python -m benchmarks coordinator [--trials 1000] [--segments 90] [--seconds 20]

The goals are 10 ms a segment with random search, 150 ms with TPE. Then it goes on with many simulated slots
(simulated_slots.py) whose segments take two seconds, or a fifth of one: how busy they are, and where the coordinator's
time goes. 64 of two seconds, random search, are to be busy 95% of the time.
"""

import argparse
import contextlib
import io
import math
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from benchmarks.measurements import machine, spread, write_measurements
from benchmarks.simulated_slots import Parts, SimulatedSlots
from hpsearch.display.plain import PlainLines
from hpsearch.display.standing import Watch
from hpsearch.metrics.direction import Objective
from hpsearch.policy.budget import Budget
from hpsearch.policy.limits import Limits
from hpsearch.policy.policy import Policy
from hpsearch.policy.pruner import Pruner
from hpsearch.policy.pruners import resolve_pruner
from hpsearch.policy.samplers import resolve_sampler
from hpsearch.records import Evaluation, Outcome, Run, Segment, SegmentResult, Slot, digest
from hpsearch.records.checkpoint_folder import CheckpointFolder
from hpsearch.records.store import Store
from hpsearch.records.urls import sqlite_url
from hpsearch.runtime.coordinator import Coordinator
from hpsearch.runtime.messages import Ended, Evaluated, Event, Train
from hpsearch.runtime.new_trials import Asker, RunKeys
from hpsearch.space import Categorical, Float, Int, Space
from hpsearch.tasks import TextClassification

OBJECTIVE, FOLDS, EVALUATIONS_PER_EPOCH = "f1_macro", 3, 2
AIM = Objective(OBJECTIVE)
HELD_OUT_ROWS, CLASSES = 200, 4
GOALS_MS = {"random": 10.0, "bayesian": 150.0}
BUSY_GOAL = 0.95
"""Of 64 slots of two seconds a segment, with random search and no pruner."""

LOADS = (
    (64, 2.0, "random", "none"),
    (64, 0.2, "random", "none"),
    (64, 2.0, "bayesian", "none"),
    (64, 2.0, "random", "racing"),
    (256, 2.0, "random", "none"),
    (256, 0.2, "random", "none"),
)
"""(slots, seconds a segment, sampler, pruner) of the simulated slots; the first has the goal."""

STUDY = "benchmark"


def measured(run: Run, point: int) -> Evaluation:
    """Return what a fine-tune might have measured: best near a learning rate of 1e-4, rising over the epochs."""
    config = run.config
    seed = int(digest([dict(config), run.fold])[:8], 16)
    noise = np.random.default_rng([seed, point]).normal(scale=0.01)
    distance = abs(math.log10(float(config["learning_rate"])) + 4.0)
    value = float(np.clip(0.8 - 0.2 * distance - 0.3 * 0.5**point + noise, 0.0, 1.0))
    return Evaluation(
        run=run.key, point=point, epoch=point / EVALUATIONS_PER_EPOCH, train_loss=1.0 - value,
        metrics={OBJECTIVE: value, "accuracy": value, "loss": 1.1 - value}, learning_rate=config["learning_rate"],
        rows_seen=200 * point, seconds=1.0,
    )  # fmt: skip


def predictions(run: Run, point: int) -> np.ndarray:
    return np.random.default_rng([point, run.fold]).normal(size=(HELD_OUT_ROWS, CLASSES)).astype(np.float32)


@dataclass(frozen=True)
class Clocks:
    """Wall time, and this process's own, in seconds: the difference is the disk, and who else was on the machine."""

    wall: float = 0.0
    processor: float = 0.0

    @classmethod
    def now(cls) -> "Clocks":
        return cls(time.perf_counter(), time.process_time())

    def __add__(self, other: "Clocks") -> "Clocks":
        return Clocks(self.wall + other.wall, self.processor + other.processor)

    def __sub__(self, other: "Clocks") -> "Clocks":
        return Clocks(self.wall - other.wall, self.processor - other.processor)


@dataclass
class InstantPool:
    """A pool of one slot whose segments are trained in no time, and which keeps the time that the others take.

    Attributes:
        seconds: Of each segment, the time since the last one's end that was not spent in here.
        asked: Of each segment, whether a trial was asked for meanwhile.
        evaluations: Of each segment, how many.
        on_end: Called after each segment.
    """

    on_end: Callable[[], None] = lambda: None
    seconds: list[Clocks] = field(default_factory=list)
    asked: list[bool] = field(default_factory=list)
    evaluations: list[int] = field(default_factory=list)
    inside: Clocks = field(default_factory=Clocks)
    started: Clocks = field(default_factory=Clocks.now)
    has_asked: bool = False
    order: Train | None = None

    def idle(self) -> Sequence[Slot]:
        return [] if self.busy() else [Slot(0, ("cpu",))]

    def busy(self) -> bool:
        return self.order is not None

    def training(self) -> Sequence[tuple[Slot, Train]]:
        return []

    def submit(self, slot: Slot, order: Train) -> None:
        self.order = order

    def completed(self, timeout: float) -> Iterator[Event]:
        order, self.order = self.order, None
        if order is None:
            return
        segment = order.segment
        for point in range(segment.start + 1, segment.stop + 1):
            entered = Clocks.now()
            event = Evaluated(order.study, measured(segment.run, point), predictions(segment.run, point))
            self.inside += Clocks.now() - entered
            yield event
        yield Ended(order.study, SegmentResult(segment, Outcome.OK, segment.stop))
        now = Clocks.now()
        self.seconds.append(now - self.started - self.inside)
        self.asked.append(self.has_asked)
        self.evaluations.append(segment.stop - segment.start)
        self.started, self.inside, self.has_asked = now, Clocks(), False
        self.on_end()

    def cancel(self, study: str, run: str) -> None:
        """Nothing: what is trained in no time cannot be cancelled."""

    def interrupt(self, study: str) -> None:
        """Nothing likewise."""


@dataclass(frozen=True)
class Setting:
    """What the coordinator goes on with."""

    space: Space
    task: TextClassification
    keys: RunKeys

    def asker(self, store: Store, sampler: str) -> Asker:
        made = resolve_sampler(sampler, self.space, AIM, seed=0)
        default = {**(self.space.default or {}), **self.space.fixed}
        return Asker(store, self.space, made, self.keys, self.task.complete, default)


def setting() -> Setting:
    """Return the search that the README shows: about five evaluations a segment."""
    space = Space(
        default={"learning_rate": 2e-5, "batch_size": 32, "epochs": 3, "weight_decay": 0.01, "freeze_layers": 0},
        learning_rate=Float(1e-6, 1e-3, log=True),
        batch_size=Categorical([8, 16, 32]),
        epochs=Int(1, 4),
        weight_decay=Float(1e-5, 0.3, log=True),
        freeze_layers=Int(0, 6),
        warmup_ratio=0.1,
    )
    keys = RunKeys(0, "data", "model", {"precision": "fp32"}, FOLDS, 1, EVALUATIONS_PER_EPOCH)
    return Setting(space, TextClassification("a-model", train="train.csv"), keys)


def fill(store: Store, given: Setting, trials: int) -> None:
    """Put finished trials into a study, as a coordinator would have."""
    policy = Policy(AIM, EVALUATIONS_PER_EPOCH, None, Pruner())
    asker = given.asker(store, "random")
    for _ in range(trials):
        trial = asker.ask()
        assert trial is not None
        for run in trial.runs:
            for point in range(1, run.horizon + 1):
                store.record_evaluation(measured(run, point), predictions(run, point))
            store.record_result(SegmentResult(Segment(run, 0, run.horizon), Outcome.OK, run.horizon))
            while (decision := policy.decide(store.history, trial.number)).stop is not None:
                store.apply(decision)
                if decision.final_state is not None:
                    break


def segments(folder: Path, given: Setting, sampler: str, pruner: str, count: int) -> InstantPool:
    """Go on with the filled study for so many segments and return the pool that timed them."""
    store = Store.open(sqlite_url(folder / "study.db"), STUDY)
    store.acquire()
    pool = InstantPool()
    asker = given.asker(store, sampler)

    def ask() -> Any:
        pool.has_asked = True
        return asker.ask()

    policy = Policy(AIM, EVALUATIONS_PER_EPOCH, None, resolve_pruner(pruner, given.space, AIM))
    lines = PlainLines(Watch(STUDY, folder, OBJECTIVE, None, EVALUATIONS_PER_EPOCH), io.StringIO())
    coordinator = Coordinator(
        store, pool, ask, Limits(Budget(), AIM), policy, CheckpointFolder(folder / "checkpoints", 2**30),  # type: ignore[arg-type]
        logs=folder / "logs", observers=[lines],
    )  # fmt: skip
    pool.on_end = lambda: coordinator.stop() if len(pool.seconds) > count else None
    pool.started = Clocks.now()
    coordinator.run()
    store.close()
    return pool


def simulated(folder: Path, given: Setting, load: tuple[int, float, str, str], seconds: float) -> dict[str, Any]:
    """Go on with the filled study on simulated slots, for so long after all of them have begun; return the figures."""
    slots, duration, sampler, pruner = load
    store = Store.open(sqlite_url(folder / "study.db"), STUDY)
    store.acquire()
    parts = Parts()
    pool = SimulatedSlots(slots, duration, lambda run, point: (measured(run, point), predictions(run, point)), parts)
    asker = given.asker(store, sampler)
    propose = parts.timed("the sampler", asker.sampler.propose)
    asker = replace(asker, sampler=SimpleNamespace(propose=propose, is_finite=False))
    policy = Policy(AIM, EVALUATIONS_PER_EPOCH, None, resolve_pruner(pruner, given.space, AIM))
    lines = PlainLines(Watch(STUDY, folder, OBJECTIVE, None, EVALUATIONS_PER_EPOCH), io.StringIO())
    observer = SimpleNamespace(observe=parts.timed("the display", lines.observe))
    coordinator = Coordinator(
        store, pool, asker.ask, Limits(Budget(), AIM), policy, CheckpointFolder(folder / "checkpoints", 2**30),  # type: ignore[arg-type]
        logs=folder / "logs", observers=[observer],
    )  # fmt: skip
    window: dict[str, Any] = {}

    def look() -> None:
        now = time.perf_counter()
        if not window and not pool.idle():
            window.update(began=now, segments=len(pool.spans))
            parts.seconds.clear()
        elif window and now - window["began"] > seconds:
            window.update(ended=now, segments=len(pool.spans) - window["segments"], parts=dict(parts.seconds))
            raise _TimeIsUpError

    pool.on_turn = look
    with parts.of_the_coordinator(), contextlib.suppress(_TimeIsUpError):
        coordinator.run()
    store.close()
    wall = window["ended"] - window["began"]
    shares = {part: each / wall for part, each in sorted(window["parts"].items(), key=lambda pair: -pair[1])}
    working = wall - window["parts"].get("waiting for events", 0.0)
    return {
        "slots": slots, "seconds a segment": duration, "sampler": sampler, "pruner": pruner, "seconds": wall,
        "busy": pool.busy_share(window["began"], window["ended"]), "segments": window["segments"],
        "milliseconds a segment": 1000.0 * working / max(1, window["segments"]), "shares of the time": shares,
    }  # fmt: skip


class _TimeIsUpError(Exception):
    """Leaves the coordinator's loop in the middle: nobody goes on with the study."""


def figures(pool: InstantPool) -> dict[str, Any]:
    """Return milliseconds a segment; the first, which projects the whole study at once, apart."""
    first, *wall = (1000.0 * seconds.wall for seconds in pool.seconds)
    asking = [each for each, asked in zip(wall, pool.asked[1:], strict=True) if asked]
    return {
        "segments": len(wall),
        "evaluations a segment": statistics.mean(pool.evaluations[1:]),
        "every segment": spread(wall),
        "segments that begin a trial": spread(asking),
        "processor, every segment": spread([1000.0 * seconds.processor for seconds in pool.seconds[1:]]),
        "the first": first,
    }


def milliseconds_to_sync(folder: Path) -> float:
    """Return the median time in which the disk says that four kilobytes more of a file are safe."""
    found = []
    with (folder / "sync").open("wb") as file:
        for _ in range(50):
            began = time.perf_counter()
            file.write(b"0" * 4096)
            file.flush()
            os.fsync(file.fileno())
            found.append(1000.0 * (time.perf_counter() - began))
    return statistics.median(found)


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(prog="python -m benchmarks coordinator", description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=1000, help="trials that are stored before (default: 1000)")
    parser.add_argument("--segments", type=int, default=90, help="segments to time, each way (default: 90)")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each load of simulated slots (default: 20)")
    given = parser.parse_args(arguments)
    made, found = setting(), {}
    with tempfile.TemporaryDirectory(prefix="hpsearch-coordinator-") as temporary:
        filled = Path(temporary) / "filled"
        began = time.perf_counter()
        with Store.create(sqlite_url(filled / "study.db"), STUDY, {}) as store:
            store.acquire()
            fill(store, made, given.trials)
        print(f"{given.trials} trials of {FOLDS} folds stored in {time.perf_counter() - began:.0f} s")
        sync, load = milliseconds_to_sync(Path(temporary)), os.getloadavg()[0]
        print(f"the disk syncs in {sync:.1f} ms; the machine's load is {load:.1f}")
        columns = "".join(f"{name:>8}" for name in ("median", "p95", "asking", "p95", "cpu"))
        print(f"{'sampler':<10}{'pruner':<8}{columns}  goal  ms a segment")
        for sampler, goal in GOALS_MS.items():
            for pruner in ("none", "median", "racing"):
                folder = Path(temporary) / f"{sampler}-{pruner}"
                shutil.copytree(filled, folder)
                row = figures(segments(folder, made, sampler, pruner, given.segments))
                found[f"{sampler}, pruner {pruner}"] = {"goal": goal, **row}
                print(f"{sampler:<10}{pruner:<8}{_line(row, goal)}")
        print("slots  seconds  sampler   pruner    busy  ms a segment  where the time goes")
        loads = []
        for index, slots in enumerate(LOADS if given.seconds else ()):
            folder = Path(temporary) / f"load-{index}"
            shutil.copytree(filled, folder)
            loads.append({**simulated(folder, made, slots, given.seconds), "goal": None if index else BUSY_GOAL})
            print(_load_line(loads[-1]), flush=True)
    measurements = {
        "machine": {**machine(), "load": load, "milliseconds to sync": sync},
        "trials": given.trials,
        "milliseconds a segment": found,
        "simulated slots": loads,
    }
    write_measurements("coordinator", measurements)
    return measurements


def _load_line(load: Mapping[str, Any]) -> str:
    shares = ", ".join(f"{part} {share:.0%}" for part, share in load["shares of the time"].items() if share >= 0.01)
    rules = f"{load['sampler']:<10}{load['pruner']:<8}"
    line = f"{load['slots']:>5}{load['seconds a segment']:>9}  {rules}{load['busy']:>6.1%}"
    goal = load["goal"]
    verdict = f"  goal {goal:.0%} {'met' if load['busy'] >= goal else 'MISSED'}" if goal else ""
    return f"{line}{load['milliseconds a segment']:>14.1f}  {shares}{verdict}"


def _line(row: Mapping[str, Any], goal: float) -> str:
    every, asking = row["every segment"], row["segments that begin a trial"]
    numbers = [
        every["median"],
        every["p95"],
        asking["median"],
        asking["p95"],
        row["processor, every segment"]["median"],
    ]
    return (
        "".join(f"{number:>8.1f}" for number in numbers)
        + f"{goal:>6.0f}  {'met' if every['median'] < goal else 'MISSED'}"
    )


if __name__ == "__main__":
    main()
