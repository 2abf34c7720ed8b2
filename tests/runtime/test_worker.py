"""The worker's own answers; what it trains is tested by the pools and the exactness tests."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from orders import measured, order_of, resumed, run_of, train, workload
from toy_task import ToyLearner, ToyTask

from hpsearch.errors import TaskError
from hpsearch.records import Slot
from hpsearch.runtime.messages import Probe
from hpsearch.runtime.pools.inline import InlinePool
from hpsearch.runtime.worker import CountedLearner
from hpsearch.training.learner import Learner


class Hungry(ToyLearner):
    """Allocates more memory than there is, whatever the batch."""

    def outputs(self, model: Any, batch: Mapping[str, Any]) -> Any:
        if model.training:
            torch.empty(10**15)
        return super().outputs(model, batch)


@dataclass(frozen=True, eq=False)
class HungryTask(ToyTask):
    def learner(self, prepared: Any, split: str = "train") -> Hungry:
        plain = super().learner(prepared, split)
        return Hungry(self, plain._inputs, plain._targets)


def test_a_counted_learner_counts_the_batches_that_go_through_the_model(tmp_path: Path) -> None:
    task, calls = ToyTask(), []
    plain = task.learner(task.prepare(tmp_path))
    counted = CountedLearner(plain, lambda: calls.append(1))
    rows = np.arange(6)
    model = counted.load_model().eval()
    counted.configure(model, {"dropout": 0.3})
    assert model.dropout.p == 0.3
    counted.initialize_head(model)
    assert counted.layers(model) == plain.layers(model)
    assert (counted.lengths == plain.lengths).all()
    assert counted.weights(rows) is None
    batch, targets = counted.batch(rows, 16), counted.targets(rows)
    assert calls == []
    logits = counted.outputs(model, batch)
    assert calls == [1]
    assert torch.equal(logits, plain.outputs(model, plain.batch(rows, 16)))
    assert torch.equal(counted.losses(logits, targets, 0.1), plain.losses(logits, targets, 0.1))


def test_a_counted_learner_passes_every_method_on(tmp_path: Path) -> None:
    task = ToyTask()
    plain = task.learner(task.prepare(tmp_path))
    counted = CountedLearner(plain, lambda: None)
    own = {"outputs", "lengths", "fitted", "for_answers"}
    names = {name for name, _ in inspect.getmembers(Learner) if not name.startswith("_")} - own
    assert len(names) == 14
    absent = object()
    assert all(getattr(counted, name, absent) == getattr(plain, name, absent) for name in names)


def test_a_model_that_fits_no_memory_at_all_is_said_before_any_trial(tmp_path: Path) -> None:
    pool = InlinePool(Slot(0, ("cpu",)))
    made = workload(pool, tmp_path, "hungry")
    config = made.task.complete({"batch_size": 8})
    object.__setattr__(made, "task", HungryTask())
    pool.prepare(made)
    with pytest.raises(TaskError, match=r"Not one row of the longest .* memory of cpu .* smaller model"):
        pool.probe(Probe("hungry", config, 8))
    pool.close()


def halves(pool: InlinePool, study: str, run: Any, between: Callable[[], object] = lambda: None) -> tuple[list, int]:
    """Return what a run measures in two segments, and the steps of the second, to which no checkpoint is sent."""
    first = train(pool, order_of(study, run, stop=2, leaves_checkpoint=True))
    between()
    before = pool._worker.steps
    second = train(pool, replace(resumed(order_of(study, run), first), checkpoint=None))
    return measured(first) + measured(second)[-2:], pool._worker.steps - before


def test_a_worker_goes_on_with_the_run_that_it_has_kept(tmp_path: Path) -> None:
    pool = InlinePool(Slot(0, ("cpu",)))
    pool.prepare(workload(pool, tmp_path, "kept"))
    whole, steps = measured(train(pool, order_of("kept", run_of("run")))), pool._worker.steps

    def other() -> None:
        train(pool, order_of("kept", run_of("other", learning_rate=0.02)))

    for between, trained in (
        (lambda: None, steps // 2),
        (other, steps),  # without a checkpoint it is trained again from its beginning
        (lambda: pool.prepare(workload(pool, tmp_path, "kept")), steps),
        (lambda: pool.probe(Probe("kept", run_of("run").config)), steps),
    ):
        assert halves(pool, "kept", run_of("run"), between) == (whole, trained)
    pool.close()


def test_what_cannot_go_on_is_not_kept(tmp_path: Path) -> None:
    pool = InlinePool(Slot(0, ("cpu",)))
    pool.prepare(workload(pool, tmp_path, "done"))
    train(pool, order_of("done", run_of("run")))
    assert pool._worker._kept is None
    train(pool, order_of("done", run_of("run"), stop=2, leaves_checkpoint=True))
    assert pool._worker._kept is not None
    pool.close()
