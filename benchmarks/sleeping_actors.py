"""Actors of a Ray cluster that train nothing: each answers as a worker does, after it has slept."""

import time
from collections.abc import Callable, Iterator
from typing import Any

from hpsearch.records import Outcome, SegmentResult
from hpsearch.runtime.ray_actor import WorkerActor

SECONDS_VARIABLE = "HPSEARCH_BENCHMARK_SECONDS"
"""What a segment takes, in the environment of the actors' processes."""


class SleepingWorker:
    """A worker whose segments take so many seconds, in equal parts up to each evaluation."""

    progress = 0

    def __init__(self, device: str) -> None:
        import torch

        self.device = torch.device(device)

    def prepare(self, workload: Any) -> None:
        """There are no rows; what a segment needs is imported before the worker says that it is ready."""
        import benchmarks.coordinator  # noqa: F401

    def rest(self) -> None:
        """Nothing: nothing is kept."""

    def train(self, order: Any, stop_order: Callable[[], Any]) -> Iterator[Any]:
        import os

        from benchmarks.coordinator import measured, predictions
        from hpsearch.runtime.messages import Ended, Evaluated

        segment, seconds = order.segment, float(os.environ[SECONDS_VARIABLE])
        for point in range(segment.start + 1, segment.stop + 1):
            time.sleep(seconds / (segment.stop - segment.start))
            yield Evaluated(order.study, measured(segment.run, point), predictions(segment.run, point))
        yield Ended(order.study, SegmentResult(segment, Outcome.OK, segment.stop))


class SleepingActor(WorkerActor):
    """A worker's actor, in whose process no worker trains."""

    def _follow(self, device: str) -> None:
        from hpsearch.runtime import worker

        worker.Worker = SleepingWorker  # type: ignore[assignment,misc]
        super()._follow(device)
