"""One study replayed on a recorded grid, by the coordinator itself: what compute has found by when.

from benchmarks.grid_table import GridTable
from benchmarks.policy_replay import Ours, replay
replay(GridTable.read("digits"), Ours("bayesian", "asha"), seed=0).curve
"""

import logging
import math
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import optuna

from benchmarks.grid_table import GridTable, Untried
from benchmarks.memory_store import MemoryStore
from benchmarks.table_pool import TablePool
from hpsearch.metrics.direction import Objective
from hpsearch.policy.budget import Budget
from hpsearch.policy.limits import Limits
from hpsearch.policy.optuna_sampler import OptunaSampler
from hpsearch.policy.planned_cost import PlannedCost
from hpsearch.policy.policy import Policy as Rules
from hpsearch.policy.pruners import resolve_pruner
from hpsearch.policy.samplers import Sampler, resolve_sampler
from hpsearch.records import History, Trial, TrialState
from hpsearch.records.checkpoint_folder import CheckpointFolder
from hpsearch.records.store import Store
from hpsearch.records.urls import sqlite_url
from hpsearch.runtime.coordinator import Coordinator
from hpsearch.runtime.new_trials import Asker, RunKeys
from hpsearch.runtime.virtual_plan import VirtualPlan

WORKERS = 2
SHARED_MEMORY = Path("/dev/shm")
CHECKPOINT_BYTES = 2**30


@dataclass(frozen=True)
class Complete:
    """A trial that has come to the end of all of its folds.

    Attributes:
        compute: Epochs of a fold that had been trained by then, by all workers, parts included.
        configuration: Which it was.
        value: Its value over all folds.
    """

    compute: float
    configuration: int
    value: float


@dataclass(frozen=True)
class Until:
    """When a replay is over, if its trials are not before.

    Attributes:
        compute: Epochs of a fold.
        value: With a complete trial that is so good, and...
        least: ...with so many epochs of a fold.
    """

    compute: float = math.inf
    value: float = math.inf
    least: float = 0.0

    def reached(self, compute: float, best: float) -> bool:
        return compute >= self.compute or (best >= self.value and compute >= self.least)


@dataclass(frozen=True)
class Replayed:
    """What became of a study.

    Attributes:
        table: Name of the table.
        seed: The seed.
        complete: Trials that have all folds, in the order of their ends.
        trials: How many were begun.
        compute: Epochs of a fold trained in all.
        seconds: Simulated seconds.
    """

    table: str
    seed: int
    complete: tuple[Complete, ...]
    trials: int
    compute: float
    seconds: float

    @property
    def curve(self) -> tuple[Complete, ...]:
        """The best so far, each time it changes: greater values, the earlier of equals."""
        found: list[Complete] = []
        for each in self.complete:
            if not found or each.value > found[-1].value:
                found.append(each)
        return tuple(found)

    def incumbent(self, compute: float = math.inf) -> Complete | None:
        """Return the best that so much compute has found, None before the first."""
        return next((each for each in reversed(self.curve) if each.compute <= compute), None)

    def compute_to(self, value: float) -> float | None:
        """Return the compute until a value was reached, None where it never was."""
        return next((each.compute for each in self.complete if each.value >= value), None)


class Policy(Protocol):
    """How a study is searched: ours, or a peer's."""

    def replay(self, table: GridTable, seed: int, workers: int, trials: int | None, until: Until) -> Replayed:
        """Replay one study."""


def replay(
    table: GridTable,
    policy: Policy,
    seed: int,
    *,
    workers: int = WORKERS,
    trials: int | None = None,
    until: Until | None = None,
) -> Replayed:
    """Replay one study on a table.

    Args:
        table: The table.
        policy: `Ours`, or one of `benchmarks.policy_peers` and `benchmarks.policy_syne_tune`.
        seed: The study's seed, of its sampler and of what equally near grid configurations are chosen by.
        workers: Simulated workers.
        trials: Trials in all; None: as many as the table has configurations.
        until: When to end before that.
    """
    return policy.replay(table, seed, workers, trials, until or Until())


@dataclass(frozen=True)
class Ours:
    """A sampler and a pruner of hpsearch, by the real coordinator, scheduler, policy, asker and store.

    Attributes:
        sampler: As `hp.Study` takes it.
        pruner: As `hp.Study` takes it.
        in_memory: Keep nothing in a database: the same numbers in less time (see `benchmarks.memory_store`).
        virtual_slots: Decide in virtual time with so many; None: on arrival.
        imputes: Tell a Parzen estimator of waiting trials at imputed values, as "bayesian" does; else as pruned ones.
    """

    sampler: Any = "bayesian"
    pruner: Any = "none"
    in_memory: bool = False
    imputes: bool = True
    virtual_slots: int | None = None

    def replay(self, table: GridTable, seed: int, workers: int, trials: int | None, until: Until) -> Replayed:
        return self.replay_on(TablePool(table, workers), table, seed, trials, until)[0]

    def replay_on(
        self, pool: TablePool, table: GridTable, seed: int, trials: int | None, until: Until
    ) -> tuple[Replayed, History]:
        """Replay one study on a pool, and return what became of it, and all that it decided on."""
        objective = Objective(table.objective)
        sampler = OnGrid(self._sampler(table, seed), table, seed)
        pruner = resolve_pruner(self.pruner, table.space, objective)
        rules = Rules(objective, table.evaluations_per_epoch, None, pruner)
        rows = (table.rows,) * table.folds
        keys = RunKeys(0, table.name, "recorded", {}, table.folds, 1, table.evaluations_per_epoch, rows)
        default = None if table.default is None else table.space.config(table.proposal(table.default))
        with _opened(table.name, self.in_memory) as (store, folder), _quietly():
            asker = Asker(store, table.space, sampler, keys, table.config, default)
            watch = _Watch(table, pool, until)
            coordinator = Coordinator(
                store, pool, asker.ask, Limits(Budget(trials=trials), objective), rules,
                CheckpointFolder(folder / "checkpoints", CHECKPOINT_BYTES), logs=folder / "logs", observers=[watch],
                virtual=self._virtual(table, rules),
            )  # fmt: skip
            watch.stop = coordinator.stop
            history = coordinator.run()
        found = Replayed(table.name, seed, tuple(watch.complete), len(history.trials), pool.compute, pool.now)
        return found, history

    def _virtual(self, table: GridTable, rules: Rules) -> VirtualPlan | None:
        if self.virtual_slots is None:
            return None
        ahead = replace(rules, pruner=resolve_pruner(self.pruner, table.space, rules.objective))
        return VirtualPlan(planned_cost(table), self.virtual_slots, ahead=ahead)

    def _sampler(self, table: GridTable, seed: int) -> Sampler:
        if self.imputes:
            return resolve_sampler(self.sampler, table.space, Objective(table.objective), seed)
        if self.sampler != "bayesian":
            raise ValueError(f"imputes=False is of 'bayesian', not of {self.sampler!r}")
        aim = Objective(table.objective)
        return OptunaSampler(table.space, aim, seed, lambda ask: optuna.samplers.TPESampler(seed=ask))


def planned_cost(table: GridTable) -> PlannedCost:
    """Return the planned cost of a table's runs: as many layers as its deepest configuration freezes, at least one."""
    frozen = [params.get("freeze_layers", 0) for params in table.params]
    layers = max([1, *(value for value in frozen if isinstance(value, int))])
    return PlannedCost((table.rows // max(1, table.folds - 1),) * table.folds, lambda _config: layers)


class OnGrid:
    """A sampler whose proposals are configurations of the table, each once.

    Args:
        sampler: What proposes.
        table: The table.
        seed: The replay's seed.
    """

    is_finite = True

    def __init__(self, sampler: Sampler, table: GridTable, seed: int) -> None:
        self._sampler = sampler
        self._table = table
        self._untried = Untried(table, seed)

    def propose(self, history: History) -> Mapping[str, Any] | None:
        tried = {self._table.proposed(trial.params) for trial in history.trials.values()}
        if len(tried) == len(self._table.params):
            return None
        proposal = self._sampler.propose(history)
        chosen = None if proposal is None else self._untried.nearest(proposal, tried)
        return None if chosen is None else self._table.proposal(chosen)


@dataclass
class _Watch:
    """Notes what is complete, and ends the study when it is over."""

    table: GridTable
    pool: TablePool
    until: Until
    complete: list[Complete] = field(default_factory=list)
    best: float = -math.inf

    def stop(self) -> None:
        """Put in its place: the coordinator's."""

    def observe(self, history: History, trial: Trial | None) -> None:
        if trial is not None and trial.state is TrialState.COMPLETE and trial.value is not None:
            self.complete.append(Complete(self.pool.compute, self.table.proposed(trial.params), trial.value))
            self.best = max(self.best, trial.value)
        if self.until.reached(self.pool.compute, self.best):
            self.stop()


@contextmanager
def _opened(name: str, in_memory: bool) -> Iterator[tuple[Any, Path]]:
    """Yield a store with its lease, and a folder: in the machine's memory where it has a file system there."""
    place = SHARED_MEMORY if SHARED_MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="hpsearch-replay-", dir=place) as temporary:
        folder = Path(temporary)
        if in_memory:
            yield MemoryStore(name), folder
            return
        with Store.create(sqlite_url(folder / "study.db"), name, {}) as store:
            store.acquire()
            yield store, folder


@contextmanager
def _quietly() -> Iterator[None]:
    logger = logging.getLogger("hpsearch")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
