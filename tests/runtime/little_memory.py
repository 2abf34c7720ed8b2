"""A toy whose training batches need much memory, and a process of its own in which a whole one does not fit."""

import resource
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
import torch
from orders import ends, measured, order_of, run_of, train, workload
from toy_task import ToyLearner, ToyTask

from hpsearch.records import Fit, Outcome, Run, Slot
from hpsearch.runtime.messages import Event
from hpsearch.runtime.pools.inline import InlinePool

BATCH = 40
MEGABYTE = 1 << 20
ROOM = BATCH * 7 * MEGABYTE
"""Less than a whole batch needs, and more than half a batch and the 64 MB that glibc sets aside when it is refused."""


class WideLearner(ToyLearner):
    """Computes three tensors of many numbers for each row, and keeps them until the backward pass."""

    def outputs(self, model: Any, batch: Mapping[str, Any]) -> Any:
        logits = super().outputs(model, batch)
        if not model.training or len(logits) < BATCH // 4:
            return logits
        wide = logits[:, :1].expand(-1, self._task.wide) * 1.0
        for _ in range(3):
            wide = torch.tanh(wide)
        return logits + 0.0 * wide.mean(dim=1, keepdim=True)


@dataclass(frozen=True, eq=False)
class WideTask(ToyTask):
    wide: int = 1

    def learner(self, prepared: Any, split: str = "train") -> WideLearner:
        plain = super().learner(prepared, split)
        return WideLearner(self, plain._inputs, plain._targets)


def prepare(pool: InlinePool, folder: Path, wide: int) -> None:
    made = workload(pool, folder, "wide")
    object.__setattr__(made, "task", WideTask(wide=wide))
    pool.prepare(made)


def wide_run(fit: Fit | None) -> Run:
    return replace(run_of(f"run {fit}", batch_size=BATCH), fit=fit)


def trained(pool: InlinePool, fit: Fit | None = None, **more: Any) -> list[Event]:
    return train(pool, order_of("wide", wide_run(fit), **more))


def run_out_of_memory(folder: str) -> None:
    """Train halves, then twice a whole batch and halves, within a limit of memory that the system enforces."""
    pool = InlinePool(Slot(0, ("cpu",)))
    prepare(pool, Path(folder), MEGABYTE // 2)
    process, half = psutil.Process(), Fit(BATCH // 2)
    expected = measured(trained(pool, half))
    resident, limit = process.memory_info().rss, process.memory_info().vms + ROOM
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    for _ in range(2):
        (end,) = ends(trained(pool))
        assert end.result.outcome is Outcome.OUT_OF_MEMORY, end
        assert "DefaultCPUAllocator: can't allocate memory" in end.result.log
        assert process.memory_info().rss < resident + BATCH * MEGABYTE, "what the attempt held is still there"
        events = trained(pool, half)
        assert ends(events)[0].result.outcome is Outcome.OK, ends(events)
        assert [each[1] for each in measured(events)] == [each[1] for each in expected]
    pool.close()
    print("survived")
