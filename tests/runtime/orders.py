"""Orders for pools, made by hand."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from toy_task import ToyTask

from hpsearch.policy.early_stopping import EarlyStopping
from hpsearch.records import Run, Segment
from hpsearch.runtime.messages import Checkpointed, Ended, Evaluated, Event, Train, Workload
from hpsearch.runtime.pools.base import Pool
from hpsearch.tasks.classes.metric import resolve_metric
from hpsearch.training.numerics import resolve_numerics

ROWS = 60
FOLDS = tuple(
    (np.flatnonzero(np.arange(ROWS) % 3 != fold), np.flatnonzero(np.arange(ROWS) % 3 == fold)) for fold in range(3)
)


def workload(pool: Pool, cache: Path, study: str, early_stopping: EarlyStopping | None = None, **task: Any) -> Workload:
    toy = ToyTask(**task)
    return Workload(
        study=study,
        task=toy,
        prepared=toy.prepare(cache),
        folds=FOLDS,
        metrics=(resolve_metric("accuracy", "multiclass", ("a", "b", "c")),),
        seed=0,
        evaluations_per_epoch=2,
        early_stopping=early_stopping,
        numerics=resolve_numerics(pool.environment(), precision="fp32"),
        checkpoint_every=300.0,
    )


def run_of(key: str, fold: int = 0, **config: Any) -> Run:
    whole: Mapping[str, Any] = {"learning_rate": 0.01, "batch_size": 8, "epochs": 2, "warmup_ratio": 0.0, **config}
    return Run(key, whole, fold, 0, 2 * whole["epochs"])


def order_of(study: str, run: Run, stop: int | None = None, **more: Any) -> Train:
    return Train(study, Segment(run, 0, stop or run.horizon), **more)


def resumed(order: Train, events: list[Event]) -> Train:
    """Return the order that goes on where `events` paused."""
    found = tuple(event.evaluation for event in events if isinstance(event, Evaluated))
    known = (*order.previous, *found)
    files = next((event.files for event in events if isinstance(event, Checkpointed)), None)
    return replace(order, segment=replace(order.segment, start=len(known)), previous=known, checkpoint=files)


def finish(pool: Pool, at_most: int = 2000) -> list[Event]:
    """Return everything up to the end of all orders."""
    events: list[Event] = []
    for _ in range(at_most):
        if not pool.busy():
            return events
        events += pool.completed(0.2)
    raise AssertionError(f"still busy after {events}")


def train(pool: Pool, order: Train) -> list[Event]:
    pool.submit(pool.idle()[0], order)
    return finish(pool)


def first(pool: Pool, kind: type, at_most: int = 2000) -> list[Event]:
    """Return everything up to the first event of a kind."""
    events: list[Event] = []
    for _ in range(at_most):
        events += pool.completed(0.2)
        if any(isinstance(event, kind) for event in events):
            return events
    raise AssertionError(f"no {kind.__name__} in {events}")


def measured(events: list[Event]) -> list[tuple[Any, bytes]]:
    """Return evaluations and the bytes of their outputs."""
    return [(e.evaluation, e.outputs.tobytes()) for e in events if isinstance(e, Evaluated) and e.outputs is not None]


def ends(events: list[Event]) -> list[Ended]:
    return [event for event in events if isinstance(event, Ended)]
