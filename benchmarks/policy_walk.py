"""How a peer trains: one worker takes a trial through its folds, one after the other, and reports on the way.

Workers are simulated in the same time and charged the same compute as in `benchmarks.table_pool`.
"""

import enum
import math
from collections.abc import Iterator, Sized
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from benchmarks.grid_table import GridTable
from benchmarks.policy_replay import Complete, Replayed, Until
from hpsearch.policy.pruning_steps import RUNGS_PER_RUN, rung

Axis = Literal["points", "quarters"]
"""What a step counts: a trial's own evaluation points, fold after fold, or quarters of its own folds.

The first is what people write, step = fold * points + point. On the second, ours, trials of one epoch and of four meet
at every step; whichever serves a peer better is given to it.
"""


@dataclass(frozen=True)
class Reached:
    """A point on a trial's way through its folds.

    Attributes:
        seconds: What the way from the last point took.
        fold: Index of the fold.
        steps: Axis to the step that was reached here, if one was.
        value: Mean over the folds begun of the best each has shown: what is reported to a pruner.
        best: The best that this fold has shown.
        score: The objective here.
        ends_fold: Whether the fold is done.
        is_last: Whether all are.
    """

    seconds: float
    fold: int
    steps: dict[Axis, int | None]
    value: float
    best: float
    score: float
    ends_fold: bool
    is_last: bool


class Ways:
    """The ways of a table's configurations, each worked out once."""

    def __init__(self, table: GridTable) -> None:
        self._table = table
        self._known: dict[int, tuple[Reached, ...]] = {}

    def of(self, configuration: int) -> tuple[Reached, ...]:
        """Return every point that a trial of a configuration reaches, in order."""
        if configuration not in self._known:
            self._known[configuration] = tuple(self._reached(configuration))
        return self._known[configuration]

    def _reached(self, configuration: int) -> Iterator[Reached]:
        ended: list[float] = []
        folds = self._table.points[configuration]
        step = 0
        for fold, points in enumerate(folds):
            best = -math.inf
            for number, point in enumerate(points, 1):
                step += 1
                score = point.metrics[self._table.objective]
                best = max(best, score)
                yield Reached(
                    seconds=point.seconds,
                    fold=fold,
                    steps={"points": step, "quarters": rung(fold, number, len(points), len(points))},
                    value=(sum(ended) + best) / (len(ended) + 1),
                    best=best,
                    score=score,
                    ends_fold=number == len(points),
                    is_last=number == len(points) and fold == len(folds) - 1,
                )
            ended.append(best)


def longest(table: GridTable, axis: Axis) -> int:
    """Return the last step that any configuration has."""
    if axis == "quarters":
        return RUNGS_PER_RUN * table.folds
    return max(sum(map(len, folds)) for folds in table.points)


class Verdict(enum.Enum):
    """What becomes of a trial after a report."""

    GOES_ON = "goes on"
    ENDS = "ends"
    PAUSES = "pauses"


@dataclass
class Walk:
    """A trial on its way.

    Attributes:
        trial: The peer's own object.
        configuration: What is trained.
        position: Points behind it.
        began: When it left the last, in simulated seconds.
        due: When it will be at the next.
    """

    trial: Any
    configuration: int
    position: int = 0
    began: float = 0.0
    due: float = 0.0


class Peer(Protocol):
    """Whose code decides."""

    def begin(self) -> Walk | None:
        """Return a trial to train, a new one or a paused one; None where there is none at present."""

    def report(self, walk: Walk, reached: Reached) -> Verdict:
        """Say where a trial has come, and hear what becomes of it; after the last point it ends."""


def simulated(peer: Peer, table: GridTable, seed: int, workers: int, until: Until, begun: Sized) -> Replayed:
    """Run a peer until it is over, or has nothing more to train.

    Args:
        peer: The peer.
        table: The table.
        seed: The replay's seed.
        workers: Simulated workers.
        until: When it is over.
        begun: The configurations that the peer has begun, which it keeps up.
    """
    walking: dict[int, Walk] = {}
    ways = Ways(table)
    now, points, best = 0.0, 0, -math.inf
    complete: list[Complete] = []

    def compute() -> float:
        shares = sum((now - w.began) / (w.due - w.began) for w in walking.values() if w.due > w.began)
        return (points + shares) / table.evaluations_per_epoch

    while not until.reached(compute(), best):
        for worker in range(workers):
            walk = peer.begin() if worker not in walking else None
            if walk is not None:
                walk.began, walk.due = now, now + ways.of(walk.configuration)[walk.position].seconds
                walking[worker] = walk
        if not walking:
            break
        worker = min(walking, key=lambda each: (walking[each].due, each))
        walk = walking[worker]
        reached = ways.of(walk.configuration)[walk.position]
        now, points, walk.position = walk.due, points + 1, walk.position + 1
        walk.began = walk.due = now
        verdict = peer.report(walk, reached)
        if reached.is_last:
            best = max(best, table.values[walk.configuration])
            complete.append(Complete(compute(), walk.configuration, table.values[walk.configuration]))
        if reached.is_last or verdict is not Verdict.GOES_ON:
            del walking[worker]
        else:
            walk.due = now + ways.of(walk.configuration)[walk.position].seconds
    return Replayed(table.name, seed, tuple(complete), len(begun), compute(), now)
