"""A pool that looks its segments up in a table: N workers in simulated time, every run to the same numbers."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.grid_table import GridTable
from hpsearch.records import Evaluation, Outcome, SegmentResult, Slot
from hpsearch.runtime.messages import Checkpointed, Ended, Evaluated, Event, Probe, Stop, Train, Workload

CHECKPOINT = "point.json"


@dataclass
class _Work:
    """What a slot is doing.

    Attributes:
        order: Its order.
        point: The last evaluation point that the run has reached, from where it is trained on.
        began: When it went on from there, in simulated seconds.
        due: When it will reach the next.
        stop: What it was told, if anything.
    """

    order: Train
    point: int
    began: float
    due: float
    stop: Stop | None = None


class TablePool:
    """Answers orders from a table, one evaluation at a time, in the order of simulated time.

    A point takes the seconds that were recorded for it. A run goes on from the checkpoint in its order; without one it
    is trained anew from the start, and that is charged. An order that is stopped ends at once, at its last point; what
    it had trained past it is charged too.

    Args:
        table: The table.
        workers: Slots.

    Attributes:
        now: Simulated seconds since the beginning.
    """

    def __init__(self, table: GridTable, workers: int) -> None:
        self._table = table
        self._slots = [Slot(index, ("cpu",)) for index in range(workers)]
        self._work: dict[int, _Work] = {}
        self._points = 0.0
        self.now = 0.0

    @property
    def compute(self) -> float:
        """Epochs of a fold trained so far, parts included."""
        under_way = sum(self._share(work) for work in self._work.values())
        return (self._points + under_way) / self._table.evaluations_per_epoch

    def environment(self) -> Mapping[str, Any]:
        return {}

    def prepare(self, workload: Workload) -> None:
        """Nothing: the table is there."""

    def probe(self, order: Probe) -> int:
        return order.rows

    def slots(self) -> Sequence[Slot]:
        return self._slots

    def idle(self) -> Sequence[Slot]:
        return [slot for slot in self._slots if slot.index not in self._work]

    def busy(self) -> bool:
        return bool(self._work)

    def training(self) -> Sequence[tuple[Slot, Train]]:
        return [(self._slots[index], work.order) for index, work in sorted(self._work.items())]

    def submit(self, slot: Slot, order: Train) -> None:
        files = order.checkpoint
        point = json.loads(files[CHECKPOINT]) if files is not None else 0
        self._work[slot.index] = _Work(order, point, self.now, self.now + self._seconds(slot.index, order, point))

    def completed(self, timeout: float) -> Iterator[Event]:
        if not self._work:
            return
        stopped = [index for index, work in self._work.items() if work.stop is not None]
        if stopped:
            yield from self._stopped(stopped[0])
            return
        index = min(self._work, key=lambda each: (self._work[each].due, each))
        work = self._work[index]
        order, segment = work.order, work.order.segment
        self.now = work.due
        self._points += 1.0
        work.point += 1
        is_over = work.point >= segment.stop
        work.began, work.due = self.now, self.now + (0.0 if is_over else self._seconds(index, order, work.point))
        yield self._evaluated(order, work.point)
        if is_over:
            if order.leaves_checkpoint:
                yield self._checkpointed(work)
            del self._work[index]
            yield Ended(order.study, SegmentResult(segment, Outcome.OK, work.point))

    def cancel(self, study: str, run: str) -> None:
        for work in self._work.values():
            if (work.order.study, work.order.segment.run.key) == (study, run):
                work.stop = Stop(checkpoint=False)

    def interrupt(self, study: str) -> None:
        for work in self._work.values():
            if work.order.study == study and work.stop is None:
                work.stop = Stop(checkpoint=True)

    def rest(self, slot: Slot) -> None:
        """Nothing: it keeps no memory."""

    def close(self) -> None:
        self._work.clear()

    def _stopped(self, index: int) -> Iterator[Event]:
        work = self._work[index]
        if work.stop is not None and work.stop.checkpoint and work.point > 0:
            yield self._checkpointed(work)
        self._points += self._share(work)
        del self._work[index]
        segment = work.order.segment
        yield Ended(work.order.study, SegmentResult(segment, Outcome.PAUSED, max(work.point, segment.start)))

    def _share(self, work: _Work) -> float:
        """Return how much of the way to its next point a slot has gone."""
        return (self.now - work.began) / (work.due - work.began) if work.due > work.began else 0.0

    def _seconds(self, slot: int, order: Train, point: int) -> float:
        """Return how long a slot takes from a point to the next."""
        run = order.segment.run
        return self._table.points[self._table.index(run.config)][run.fold][point].seconds

    def _evaluated(self, order: Train, number: int) -> Evaluated:
        run = order.segment.run
        point = self._table.points[self._table.index(run.config)][run.fold][number - 1]
        evaluation = Evaluation(
            run=run.key, point=number, epoch=number / self._table.evaluations_per_epoch, train_loss=point.train_loss,
            metrics=point.metrics, learning_rate=float(run.config["learning_rate"]), rows_seen=point.rows_seen,
            seconds=point.seconds,
        )  # fmt: skip
        return Evaluated(order.study, evaluation, None)

    def _checkpointed(self, work: _Work) -> Checkpointed:
        content = json.dumps(work.point).encode("ascii")
        run = work.order.segment.run.key
        return Checkpointed(work.order.study, run, work.point, work.point, {CHECKPOINT: content})
