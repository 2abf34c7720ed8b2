import inspect
from pathlib import Path

import numpy as np
import torch
from toy_task import ToyTask

from hpsearch.runtime.counted_learner import CountedLearner
from hpsearch.training.learner import Learner


def test_it_passes_everything_on_and_counts_the_batches_that_go_through_the_model(tmp_path: Path) -> None:
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
    logits = counted.logits(model, batch)
    assert calls == [1]
    assert torch.equal(logits, plain.logits(model, plain.batch(rows, 16)))
    assert torch.equal(counted.losses(logits, targets, 0.1), plain.losses(logits, targets, 0.1))


def test_it_knows_every_method_of_a_learner() -> None:
    asked = {name for name, _ in inspect.getmembers(Learner) if not name.startswith("_")}
    assert len(asked) == 11
    assert all(name in vars(CountedLearner) for name in asked)
