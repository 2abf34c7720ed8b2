"""Which faults come when: a pure function of a seed. When is counted in recorded evaluations, not in seconds."""

import random
from collections.abc import Mapping
from dataclasses import dataclass

WORKER_KILLED = "worker killed"
COORDINATOR_KILLED = "coordinator killed"
ALL_STOPPED_THEN_KILLED = "workers stopped, coordinator killed"
WORKER_STOPPED = "worker stopped for a moment"
WORKER_HANGS = "worker stopped past the hang limit"
STEP_HANGS = "training step that does not end"
COORDINATOR_STOPPED = "coordinator stopped for a moment"
COORDINATOR_STOPPED_LONG = "coordinator stopped past the hang limit"
DISK_FULL = "disk full"
MEMORY_KILLS = "out of memory: killed by the system"
MEMORY_REFUSED = "out of memory: refused by the system"
LOSS_NAN = "loss becomes NaN"
TORN_DATABASE = "torn write: the database's log"
TORN_CHECKPOINT = "torn write: a checkpoint cut short"
HALF_CHECKPOINT = "torn write: a checkpoint half written"
TORN_LIST = "torn write: lists and logs"
CLOCK_FORWARDS = "clock one hour on"
CLOCK_BACK = "clock one hour back"
SERVER_STOPPED = "database server stopped"
SERVER_KILLED = "database server killed"
NODE_KILLED = "Ray node killed"
RAYLET_KILLED = "Ray node's own process killed"
NODE_LEAVES = "Ray node announces its end"

OF_SILENCE = (WORKER_HANGS, STEP_HANGS, COORDINATOR_STOPPED_LONG)
"""Faults that are over once a silent worker would have been ended: such a study waits less long for one."""

AFTER = (1, 4)
"""Least and most evaluations that are recorded between two faults."""


@dataclass(frozen=True)
class Fault:
    """One fault, once `after` more evaluations have been recorded than at the last one."""

    kind: str
    after: int


def scheduled(counts: Mapping[str, int], seed: int | str, after: tuple[int, int] = AFTER) -> list[Fault]:
    """Return as many faults of each kind as `counts` says, in an order that the seed draws.

    A loss that becomes NaN is decided on before a study begins, so these come first.
    """
    drawn = random.Random(seed)
    kinds = [kind for kind, count in counts.items() for _ in range(count)]
    drawn.shuffle(kinds)
    kinds.sort(key=lambda kind: kind != LOSS_NAN)
    return [Fault(kind, 0 if kind == LOSS_NAN else drawn.randint(*after)) for kind in kinds]
