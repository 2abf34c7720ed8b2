"""The worker's own answers; what it trains is tested by the pools and the exactness tests."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from orders import workload
from toy_task import ToyLearner, ToyTask

from hpsearch.errors import TaskError
from hpsearch.records import Slot
from hpsearch.runtime.messages import Probe
from hpsearch.runtime.pools import InlinePool


class Hungry(ToyLearner):
    """Allocates more memory than there is, whatever the batch."""

    def logits(self, model: Any, batch: Mapping[str, Any]) -> Any:
        if model.training:
            torch.empty(10**15)
        return super().logits(model, batch)


@dataclass(frozen=True, eq=False)
class HungryTask(ToyTask):
    def learner(self, prepared: Any, split: str = "train") -> Hungry:
        plain = super().learner(prepared, split)
        return Hungry(self, plain._inputs, plain._targets)


def test_a_model_that_fits_no_memory_at_all_is_said_before_any_trial(tmp_path: Path) -> None:
    pool = InlinePool(Slot(0, ("cpu",)))
    made = workload(pool, tmp_path, "hungry")
    config = made.task.complete({"batch_size": 8})
    object.__setattr__(made, "task", HungryTask())
    pool.prepare(made)
    with pytest.raises(TaskError, match=r"Not one row of the longest .* memory of cpu .* smaller model"):
        pool.probe(Probe("hungry", config, 8))
    pool.close()
