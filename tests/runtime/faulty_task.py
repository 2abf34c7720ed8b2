"""The toy, with faults of a machine: errors of a device, hangs of native code, crashes. Workers import it by name."""

import ctypes
import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from toy_task import REHEARSED, ToyLearner, ToyTask

from hpsearch.tasks import Prepared

_batches: list[int] = []
"""One for each training batch of this process."""


@dataclass(frozen=True, eq=False)
class FaultyTask(ToyTask):
    """The toy, whose training batches meet a fault.

    Args:
        error: What a device says; "" where it says nothing.
        on: The numbers of the GPUs on which that happens, as CUDA_VISIBLE_DEVICES has them; "" for everywhere.
        loading: Whether it happens as the model is loaded, and not in training.
        fault: "die at 4" kills each process at its fourth batch, "lock" waits for ever with the interpreter's lock
            held, "crash" reads where nothing is.
    """

    error: str = ""
    on: str = ""
    loading: bool = False
    fault: str = ""

    def learner(self, prepared: Prepared, split: str = "train") -> "FaultyLearner":
        plain = super().learner(prepared, split)
        return FaultyLearner(self, plain._inputs, plain._targets)

    def fail(self) -> None:
        _batches.append(os.getpid())
        if self.fault == "die at 4" and len(_batches) == 4:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.flag and Path(self.flag).exists():  # it has been mended
            return
        if self.error and (not self.on or os.environ.get("CUDA_VISIBLE_DEVICES") in self.on.split()):
            raise torch.AcceleratorError(self.error)
        if self.fault == "lock":
            lock = ctypes.create_string_buffer(64)
            for _ in range(2):
                ctypes.PyDLL(None).pthread_mutex_lock(lock)
        if self.fault == "crash":
            ctypes.string_at(0)


class FaultyLearner(ToyLearner):
    _task: FaultyTask

    def load_model(self) -> nn.Module:
        if self._task.loading:
            self._task.fail()
        return super().load_model()

    def outputs(self, model: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
        if model.training and len(batch["inputs"]) > REHEARSED and not self._task.loading:
            time.sleep(self._task.pause)
            self._task.fail()
        return super().outputs(model, batch)
