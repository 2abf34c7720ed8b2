"""Studies whose runs measure what a formula says, on workers of any speed that fail and are killed as a test says.

The coordinator, its policies and the SQLite store are the real ones; only training is made up, and so is time.
"""

import contextlib
import hashlib
import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from sqlalchemy import Connection

import hpsearch as hp
from hpsearch.metrics.direction import Objective
from hpsearch.policy.budget import Budget
from hpsearch.policy.early_stopping import EarlyStopping
from hpsearch.policy.limits import Limits
from hpsearch.policy.planned_cost import PlannedCost
from hpsearch.policy.policy import Policy
from hpsearch.policy.pruners import resolve_pruner
from hpsearch.policy.samplers import resolve_sampler
from hpsearch.records import Decision, Evaluation, History, Outcome, Run, SegmentResult, Slot, Trial, TrialState
from hpsearch.records.checkpoint_folder import CheckpointFolder
from hpsearch.records.optuna_rows import OptunaRows
from hpsearch.records.order_log import Entry
from hpsearch.records.store import Store
from hpsearch.records.urls import sqlite_url
from hpsearch.runtime.coordinator import Coordinator
from hpsearch.runtime.messages import Checkpointed, Ended, Evaluated, Event, Probe, Probed, Train, Workload
from hpsearch.runtime.new_trials import Asker, RunKeys
from hpsearch.runtime.virtual_plan import VirtualPlan

T = TypeVar("T")

NAME = "made up"
F1 = Objective("f1")
ROWS = 40

SPACE = hp.Space(
    learning_rate=hp.Float(1e-5, 1e-1, log=True, grid=[1e-4, 1e-3, 1e-2]),
    batch_size=hp.Categorical([8, 16]),
    epochs=hp.Int(1, 3),
    freeze_layers=hp.Int(0, 4, grid=[0, 4]),
)

SMALL = hp.Space(
    learning_rate=hp.Categorical([1e-4, 1e-3]), batch_size=hp.Categorical([8, 16]), epochs=hp.Int(1, 2), freeze_layers=0
)
"""Eight configurations: a sampler that learns soon proposes one again."""

DEFAULT = {"learning_rate": 1e-3, "batch_size": 16, "epochs": 2, "freeze_layers": 0}


# ---------------------------------------------------------------------- what training comes to


@dataclass(frozen=True)
class Trouble:
    """How a run ends badly once it has come to an evaluation point."""

    point: int
    outcome: Outcome
    log: str = ""


Faults = Callable[[Run], Trouble | None]


def no_faults(_run: Run) -> Trouble | None:
    return None


def _draw(*what: Any) -> float:
    """Return a number from 0 to 1 that looks random and follows from what it is drawn for."""
    return int(hashlib.sha256(repr(what).encode()).hexdigest()[:12], 16) / 16**12


def measured(run: Run, point: int, evaluations_per_epoch: int, seconds: float = 0.0) -> Evaluation:
    """Return what a run measures at a point: better with each, up to where it overfits; worse at far learning rates."""
    config = run.config
    best = 2 + round(4 * _draw("best", config["learning_rate"], config["batch_size"]))
    far = abs(np.log10(config["learning_rate"]) + 2.5) + 0.1 * config["freeze_layers"]
    loss = float(0.3 + 0.2 * far + 0.15 * abs(point - best) + 0.05 * run.fold + 0.05 * _draw(run.key, point))
    return Evaluation(
        run.key, point, point / evaluations_per_epoch, loss, {"f1": 1 / (1 + loss), "loss": loss},
        config["learning_rate"], ROWS * point, seconds, 1,
    )  # fmt: skip


def outputs(run: str, point: int) -> np.ndarray:
    """Return what is kept of the outputs of two held-out rows."""
    return np.array([[_draw(run, point, row)] for row in range(2)], dtype=np.float32)


# ---------------------------------------------------------------------- who does it


class KilledError(Exception):
    """Stands for a kill: whatever the process would do from here on, it does not."""


@dataclass
class _Work:
    order: Train
    point: int
    due: float
    stops: bool = False
    leaves: bool = True


@dataclass
class Pool:
    """Workers in simulated time, each as fast as it happens to be.

    Attributes:
        workers: How many there are.
        luck: Decides how long each evaluation takes, and what a worker still reports after it is told to stop.
        faults: How runs end badly, wherever they are trained.
        losses: By run, how many workers are still to be lost before they measure anything.
        trained: (run, point) of every evaluation that was reported.
        most: How many segments were in training at a time.
    """

    workers: int
    luck: random.Random
    evaluations_per_epoch: int = 2
    faults: Faults = no_faults
    losses: dict[str, int] = field(default_factory=dict)
    trained: list[tuple[str, int]] = field(default_factory=list)
    most: int = 0
    now: float = 0.0
    deadline: float | None = None

    def __post_init__(self) -> None:
        self._slots = [Slot(index, ("cpu",)) for index in range(self.workers)]
        self._speeds = [self.luck.choice([0.5, 1.0, 3.0]) for _ in self._slots]
        self._work: dict[int, _Work] = {}

    def environment(self) -> Mapping[str, Any]:
        return {}

    def prepare(self, workload: Workload) -> None:
        """Nothing: a formula says all."""

    def probe(self, order: Probe, slot: Slot | None = None) -> Probed | None:
        return Probed(order.rows or 0)

    def slots(self) -> Sequence[Slot]:
        return self._slots

    def idle(self) -> Sequence[Slot]:
        return [slot for slot in self._slots if slot.index not in self._work]

    def busy(self) -> bool:
        return bool(self._work)

    def training(self) -> Sequence[tuple[Slot, Train]]:
        return [(self._slots[index], work.order) for index, work in self._work.items()]

    def submit(self, slot: Slot, order: Train) -> None:
        start = json.loads(order.checkpoint["point"]) if order.checkpoint is not None else 0
        assert start <= order.segment.start
        self._work[slot.index] = _Work(order, start, self.now + self._seconds(slot.index))
        self.most = max(self.most, len(self._work))

    def completed(self, timeout: float) -> Iterator[Event]:
        if not self._work:
            return
        index = min(self._work, key=lambda each: (self._work[each].due, each))
        work = self._work[index]
        self.now = work.due
        yield from self._steps(index, work)

    def cancel(self, study: str, run: str) -> None:
        self._stop(lambda order: order.segment.run.key == run, leaves=False)

    def interrupt(self, study: str) -> None:
        self._stop(lambda order: True, leaves=True)

    def rest(self, slot: Slot) -> None:
        """Nothing: no memory is kept."""

    def close(self) -> None:
        self._work.clear()

    def _stop(self, meant: Callable[[Train], bool], *, leaves: bool) -> None:
        for work in self._work.values():
            if meant(work.order) and not work.stops:
                work.stops, work.leaves = True, leaves
                if self.luck.random() < 0.7:  # else it hears of it only after one more evaluation
                    work.due = self.now

    def _seconds(self, index: int) -> float:
        return self.luck.lognormvariate(0.0, 1.0) / self._speeds[index]

    def _steps(self, index: int, work: _Work) -> Iterator[Event]:
        run, segment = work.order.segment.run, work.order.segment
        trouble = self.faults(run)
        if self.losses.get(run.key, 0):
            self.losses[run.key] -= 1
            yield from self._ended(index, Outcome.LOST, "its process was killed")
        elif work.stops and work.due == self.now and self.luck.random() < 0.7:
            yield from self._ended(index, Outcome.PAUSED)
        elif trouble is not None and work.point + 1 >= trouble.point:
            yield from self._ended(index, trouble.outcome, trouble.log)
        else:
            work.point, seconds = work.point + 1, self._seconds(index)
            work.due = self.now + seconds
            self.trained.append((run.key, work.point))
            evaluation = measured(run, work.point, self.evaluations_per_epoch, seconds)
            yield Evaluated(work.order.study, evaluation, outputs(run.key, work.point))
            if work.point >= segment.stop:
                yield from self._ended(index, Outcome.OK)
            elif work.stops:
                yield from self._ended(index, Outcome.PAUSED)

    def _ended(self, index: int, outcome: Outcome, log: str = "") -> Iterator[Event]:
        work = self._work.pop(index)
        segment = work.order.segment
        is_clean = outcome in (Outcome.OK, Outcome.PAUSED)
        if is_clean and work.order.leaves_checkpoint and work.leaves and work.point:
            files = {"point": json.dumps(work.point).encode()}
            yield Checkpointed(work.order.study, segment.run.key, work.point, work.point, files)
        yield Ended(work.order.study, SegmentResult(segment, outcome, max(work.point, segment.start), log))


class DyingStore(Store):
    """A store whose process is killed at one of its writes: before it is durable, or right after.

    Attributes:
        left: How many writes are still done; None: all of them.
        is_after: Whether the last one is.
    """

    left: int | None = None
    is_after = False

    def _write(self, doing: str, work: Callable[[Connection], T]) -> T:
        return self._once(lambda: super(DyingStore, self)._write(doing, work))

    def _write_optuna(self, doing: str, work: Callable[[OptunaRows, Sequence[Trial]], T]) -> T:
        return self._once(lambda: super(DyingStore, self)._write_optuna(doing, work))

    def _once(self, write: Callable[[], T]) -> T:
        if self.left is None:
            return write()
        self.left -= 1
        if self.left == 0 and self.is_after:
            write()
        if self.left <= 0:
            raise KilledError
        return write()


# ---------------------------------------------------------------------- a study of it


@dataclass(frozen=True)
class Told:
    """All that a study says of itself but seconds: what has to be the same however it was run."""

    trials: Mapping[int, Trial]
    evaluations: Mapping[str, Sequence[Evaluation]]
    ends: Mapping[str, Sequence[tuple[Outcome, int, str]]]
    decisions: Sequence[Decision]
    entries: Sequence[Entry]
    predictions: Mapping[tuple[str, int], bool]


@dataclass
class _Pausing:
    coordinator: Coordinator
    left: int

    def observe(self, history: History, trial: Trial | None) -> None:
        self.left -= 1
        if self.left <= 0:
            self.coordinator.stop()


@dataclass(frozen=True)
class Study:
    """A study of made-up runs in a folder.

    Attributes:
        reproducible: Whether it is decided in virtual time.
        facts: What a run of it was given, by name.
        works_ahead: Whether idle workers train what may not be needed.
    """

    folder: Path
    sampler: Any = "bayesian"
    pruner: Any = "racing"
    budget: Budget = Budget(trials=12)  # noqa: RUF009 (it is frozen)
    space: hp.Space = SPACE
    folds: int = 3
    evaluations_per_epoch: int = 2
    early_stopping: EarlyStopping | None = EarlyStopping(1.0)  # noqa: RUF009 (it is frozen)
    slots: int | None = 4
    seed: int = 0
    faults: Faults = no_faults
    reproducible: bool = True
    facts: Mapping[str, str] = field(default_factory=dict)
    works_ahead: bool = True

    @property
    def url(self) -> str:
        return sqlite_url(self.folder / "study.db")

    def run(
        self,
        workers: int = 1,
        luck: int = 0,
        dies: tuple[int, bool] | None = None,
        losses: Mapping[str, int] | None = None,
        pauses: int | None = None,
    ) -> Pool:
        """Run it to its end, or until it is killed or paused.

        Args:
            dies: At which write it is killed, and whether that is durable.
            losses: By run, how many of its workers are lost.
            pauses: After how many changes it is asked to pause.

        Raises:
            KilledError: It was killed.
        """
        if not (self.folder / "study.db").exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            Store.create(self.url, NAME, {}, F1.direction).close()
        pool = Pool(workers, random.Random(luck), self.evaluations_per_epoch, self.faults, dict(losses or {}))
        with DyingStore.open(self.url, NAME) as store:
            store.acquire()
            if dies is not None:
                store.left, store.is_after = dies
            coordinator = self.coordinator(store, pool)
            if pauses is not None:
                coordinator.observers = [_Pausing(coordinator, pauses)]
            coordinator.run()
        return pool

    def run_in_parts(self, workers: int, luck: int, parts: int) -> "Study":
        """Run it on workers of random speed, killed at a random write or paused at a random moment in between."""
        choice = random.Random(f"parts {luck}")
        for part in range(parts - 1):
            moment, again = choice.randrange(1, 120), 1 + (workers + part) % 4
            if choice.random() < 0.3:
                self.run(again, luck + 1000 * part, pauses=moment)
            else:
                with contextlib.suppress(KilledError):
                    self.run(again, luck + 1000 * part, (moment, choice.random() < 0.5))
        self.run(workers, luck + 999)
        return self

    def coordinator(self, store: Store, pool: Pool) -> Coordinator:
        sampler = resolve_sampler(self.sampler, self.space, F1, self.seed)
        policy = Policy(
            F1, self.evaluations_per_epoch, self.early_stopping, resolve_pruner(self.pruner, self.space, F1),
            self.budget.of_a_trial,
        )  # fmt: skip
        limits = Limits(self.budget, F1, None, pool.workers, policy.waits)
        rows = (ROWS,) * self.folds
        keys = RunKeys(self.seed, NAME, "none", {}, self.folds, 1, self.evaluations_per_epoch, rows)
        default = DEFAULT if self.space is SPACE else None
        asker = Asker(store, self.space, sampler, keys, lambda config: {"warmup_ratio": 0.0, **config}, default)
        cost = PlannedCost([ROWS // 2] * self.folds, lambda _: 4)
        ahead = replace(policy, pruner=resolve_pruner(self.pruner, self.space, F1)) if self.works_ahead else None
        plan = VirtualPlan(cost, self.slots, pool.workers, ahead, self.facts)
        return Coordinator(
            store, pool, asker.ask, limits, policy, CheckpointFolder(self.folder / "checkpoints", 2**20),
            self.folder / "logs", virtual=plan if self.reproducible else None,
        )  # fmt: skip

    def store(self) -> Store:
        return Store.open(self.url, NAME)

    def told(self) -> Told:
        """Return all that a stranger reads of it."""
        with self.store() as store:
            history = store.reload()
            ends = {run: [(end.outcome, end.point, end.log) for end in ended] for run, ended in history.results.items()}
            return Told(
                dict(history.trials), dict(history.evaluations), ends,
                [decision for _, decision in store.decisions()], list(store.entries),
                {
                    (run.key, trial.point): store.predictions(run.key, trial.point) is not None
                    for trial in history.finished(TrialState.COMPLETE)
                    for run in trial.runs
                    if trial.point is not None
                },
            )  # fmt: skip


def in_folder(study: Study, name: str) -> Study:
    """Return the same study in another folder beside it."""
    return replace(study, folder=study.folder.with_name(name))
