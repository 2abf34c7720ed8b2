"""A pool in virtual time: so many workers that train nothing and take the seconds that a config says."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hpsearch.records import Evaluation, Outcome, Run, SegmentResult, Slot
from hpsearch.runtime.messages import Checkpointed, Ended, Evaluated, Event, Probe, Probed, Train, Workload
from hpsearch.training.numerics import detect_environment


@dataclass
class _Work:
    order: Train
    point: int
    due: float
    checkpoint: bool | None = None


class VirtualPool:
    """Answers orders one evaluation at a time, in the order of virtual time.

    Args:
        seconds: What one evaluation point of a run takes.

    Attributes:
        now: Virtual seconds since the beginning.
        spans: (slot, run, from, to) of each segment that has ended.
    """

    def __init__(self, workers: int, seconds: Callable[[Run], float]) -> None:
        self.deadline: float | None = None
        self.now = 0.0
        self.spans: list[tuple[int, str, float, float]] = []
        self._seconds = seconds
        self._slots = [Slot(index, ("cpu",)) for index in range(workers)]
        self._work: dict[int, _Work] = {}
        self._began: dict[int, float] = {}

    def environment(self) -> Mapping[str, Any]:
        return detect_environment("cpu")

    def prepare(self, workload: Workload) -> None:
        self._workload = workload

    def probe(self, order: Probe, slot: Slot | None = None) -> Probed:
        return Probed(order.rows or 0)

    def slots(self) -> Sequence[Slot]:
        return self._slots

    def idle(self) -> Sequence[Slot]:
        return [slot for slot in self._slots if slot.index not in self._work]

    def busy(self) -> bool:
        return bool(self._work)

    def training(self) -> Sequence[tuple[Slot, Train]]:
        return [(self._slots[index], work.order) for index, work in list(self._work.items())]

    def submit(self, slot: Slot, order: Train) -> None:
        start = json.loads(order.checkpoint["point"]) if order.checkpoint is not None else 0
        self._began[slot.index] = self.now
        self._work[slot.index] = _Work(order, start, self.now + self._seconds(order.segment.run))

    def completed(self, timeout: float) -> Iterator[Event]:
        index = min(self._work, key=lambda each: (self._work[each].checkpoint is None, self._work[each].due, each))
        work = self._work[index]
        if work.checkpoint is not None:
            yield from self._ended(index, Outcome.PAUSED)
            return
        self.now, seconds = work.due, self._seconds(work.order.segment.run)
        work.point, work.due = work.point + 1, work.due + seconds
        yield Evaluated(work.order.study, *self._measured(work, seconds))
        if work.point == work.order.segment.stop:
            yield from self._ended(index, Outcome.OK)

    def cancel(self, study: str, run: str) -> None:
        self._stop(lambda order: (order.study, order.segment.run.key) == (study, run), checkpoint=False)

    def interrupt(self, study: str) -> None:
        self._stop(lambda order: order.study == study, checkpoint=True)

    def rest(self, slot: Slot) -> None:
        """Nothing: no memory is kept."""

    def close(self) -> None:
        self._work.clear()

    def _stop(self, meant: Callable[[Train], bool], *, checkpoint: bool) -> None:
        for work in self._work.values():
            if meant(work.order) and work.checkpoint is None:
                work.checkpoint = checkpoint

    def _ended(self, index: int, outcome: Outcome) -> Iterator[Event]:
        work = self._work.pop(index)
        run = work.order.segment.run
        self.spans.append((index, run.key, self._began[index], self.now))
        if work.order.leaves_checkpoint and work.checkpoint is not False:
            files = {"point": json.dumps(work.point).encode()}
            yield Checkpointed(work.order.study, run.key, work.point, work.point, files)
        point = max(work.point, work.order.segment.start)
        yield Ended(work.order.study, SegmentResult(work.order.segment, outcome, point))

    def _measured(self, work: _Work, seconds: float) -> tuple[Evaluation, np.ndarray]:
        """Return what the config says, a little better at each point: bad at a far learning rate."""
        run, config = work.order.segment.run, work.order.segment.run.config
        loss = abs(np.log10(config["learning_rate"]) + 2.0) + 1.0 / work.point + 0.01 * run.fold
        metrics = {metric.name: 1.0 / (1.0 + loss) for metric in self._workload.metrics} | {"loss": float(loss)}
        held_out = len(self._workload.folds[run.fold][1])
        evaluation = Evaluation(
            run.key, work.point, work.point / self._workload.evaluations_per_epoch, float(loss), metrics, 1e-3,
            40 * work.point, seconds=seconds, peak_memory_bytes=1,
        )  # fmt: skip
        return evaluation, np.zeros((held_out, 3), dtype=np.float32)
