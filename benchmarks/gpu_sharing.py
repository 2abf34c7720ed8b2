"""Several trials on one GPU: whether their numbers are those of each alone, and what they train together.

A part of `python -m benchmarks gpu_check`.
"""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.gpu_check import CONFIG, ROWS, Bench, Check
from hpsearch.records import Run, Segment, Slot
from hpsearch.runtime.devices import inventory
from hpsearch.runtime.messages import Ended, Evaluated, Event, Train, Workload
from hpsearch.runtime.mps import MpsRefusedError, MultiProcessService
from hpsearch.runtime.pools.local import LocalPool
from hpsearch.runtime.pools.shared_devices import measured_places
from hpsearch.tasks.classes.metric import resolve_metric

STUDY = "gpu-check"
COUNTS = {"cuda": (1, 2, 4, 8), "cpu": (1, 2)}
EPOCHS = {"cuda": 20, "cpu": 1}
READY_SECONDS = 120.0
SETTLE_SECONDS = {"cuda": 45.0, "cpu": 30.0}


def sharing(bench: Bench) -> Iterator[Check]:
    """Yield the checks of trials that share the device of `bench`."""
    yield from at_once(bench)
    if bench.device.type == "cuda":
        try:
            yield from at_once(bench, MultiProcessService)
        except MpsRefusedError as error:
            yield Check("trials through MPS", str(error), None)
    yield as_many_as_pay(bench)


def at_once(bench: Bench, service: Callable[[], Any] | None = None) -> Iterator[Check]:
    """Start as many workers as are to train at once at most: those that wait take memory and no time."""
    with pool_of(bench, max(COUNTS[bench.device.type]), service) as pool:
        yield alone_and_together(pool, bench, "" if service is None else " (MPS)")
        yield speeds(pool, bench, "in time slices" if service is None else "through MPS")


def workload(bench: Bench, numerics: Any = None) -> Workload:
    rows = np.arange(ROWS)
    return Workload(
        study=STUDY, task=bench.task, prepared=bench.prepared, folds=((rows[::2], rows[1::2]),),
        metrics=(resolve_metric("accuracy", "multiclass", bench.prepared.judge.classes),), seed=0,
        evaluations_per_epoch=2, early_stopping=None, numerics=numerics or bench.numerics, checkpoint_every=300.0,
    )  # fmt: skip


def order(bench: Bench, number: int, epochs: int) -> Train:
    """Return the order for a whole run; of each number the run has a learning rate of its own."""
    config = bench.task.complete({**CONFIG, "epochs": epochs, "learning_rate": 3e-4 / (1 + number)})
    run = Run(f"run {number}", config, 0, 0, 2 * epochs)
    return Train(STUDY, Segment(run, 0, run.horizon))


@contextlib.contextmanager
def pool_of(bench: Bench, count: int, service: Callable[[], Any] | None = None, numerics: Any = None) -> Iterator[Any]:
    """Start a pool of so many workers on the device, and wait until all are ready."""
    slots = [Slot(index, (str(bench.device),), 1 / count) for index in range(count)]
    with contextlib.closing(LocalPool(slots, mps=None if service is None else service())) as pool:
        pool.prepare(workload(bench, numerics))
        _wait_for(pool, count)
        yield pool


def _wait_for(pool: Any, count: int) -> None:
    until = time.monotonic() + READY_SECONDS
    while len(pool.idle()) < count and time.monotonic() < until:
        list(pool.completed(0.2))


def trained(pool: Any, orders: Sequence[Train]) -> list[Event]:
    """Train orders at once, one a worker, and return all that they report; a worker left over waits."""
    for slot, given in zip(pool.idle()[: len(orders)], orders, strict=True):
        pool.submit(slot, given)
    events: list[Event] = []
    while pool.busy():
        events += pool.completed(0.2)
    return events


def alone_and_together(pool: Any, bench: Bench, how: str) -> Check:
    """Compare two runs, each alone on the device, with the same two at once, to the last bit."""
    name = f"alone, and two at once{how}"
    pair = [order(bench, number, 2) for number in (0, 1)]
    expected = [found for given in pair for found in _measured(trained(pool, [given]))]
    found = _measured(trained(pool, pair))
    different = sorted({key for key, value in found if (key, value) not in expected})
    if len(found) != len(expected):
        return Check(name, f"{len(found)} evaluations at once, {len(expected)} alone", False)
    text = f"{len(different)} evaluations differ" if different else "metrics and logits equal, bit by bit"
    return Check(name, text, not different)


def _measured(events: Sequence[Event]) -> list[tuple[tuple[str, int], tuple[Any, bytes]]]:
    """Return (run, point) and what was measured there, without the seconds and memory that it took."""
    return [
        ((event.evaluation.run, event.evaluation.point), (event.evaluation, np.asarray(event.outputs).tobytes()))
        for event in events
        if isinstance(event, Evaluated)
    ]


def speeds(pool: Any, bench: Bench, how: str) -> Check:
    """Time 1, 2, 4 and 8 trials at once: the rows a second of all, each in its steady state."""
    kind = bench.device.type
    pool.prepare(workload(bench, replace(bench.numerics, deterministic=kind == "cpu")))
    _wait_for(pool, max(COUNTS[kind]))
    rates = {}
    for count in COUNTS[kind]:
        trained(pool, [order(bench, number, 1) for number in range(count)])  # kernels are loaded
        events = trained(pool, [order(bench, number, EPOCHS[kind]) for number in range(count)])
        ends = [event.result.outcome.value for event in events if isinstance(event, Ended)]
        if set(ends) != {"ok"}:
            return Check("trials at once", f"with {count} they ended as {', '.join(ends)}", False)
        rates[count] = sum(_rows_per_second(events, f"run {number}") for number in range(count))
    shown = ", ".join(f"{count}: {rate:,.0f}" for count, rate in rates.items())
    gain = max(rates.values()) / rates[1]
    how = how if kind == "cuda" else "on cores"
    return Check(f"trials at once {how}", f"rows a second of all together, {shown}; at best {gain:.2f} times one")


def _rows_per_second(events: Sequence[Event], run: str) -> float:
    found = [event.evaluation for event in events if isinstance(event, Evaluated) and event.evaluation.run == run]
    return (found[-1].rows_seen - found[0].rows_seen) / sum(evaluation.seconds for evaluation in found[1:])


def as_many_as_pay(bench: Bench) -> Check:
    """Keep a pool of trials_per_device="auto" full for a while; say what number it comes to."""
    name, machine, kind = 'trials_per_device="auto"', inventory(), bench.device.type
    named = [Slot(index, (str(bench.device),)) for index in range(1 if kind == "cuda" else machine.cores)]
    slots, occupancies, service = measured_places(named, machine)
    if not occupancies:
        return Check(name, "the device does not say how busy it is", None)
    counts = []
    with contextlib.closing(LocalPool(slots, occupancies, service)) as pool:
        pool.prepare(workload(bench, replace(bench.numerics, deterministic=kind == "cpu")))
        until, number = time.monotonic() + SETTLE_SECONDS[kind], 0
        while time.monotonic() < until:
            for slot in pool.idle():
                pool.submit(slot, order(bench, number, max(1, EPOCHS[kind] // 4)))
                number += 1
            list(pool.completed(0.2))
            if not counts or counts[-1] != len(pool.slots()):
                counts.append(len(pool.slots()))
    went = ", ".join(map(str, counts))
    return Check(name, f"trials on the device over {SETTLE_SECONDS[kind]:.0f} s: {went}", counts[-1] >= 1)
