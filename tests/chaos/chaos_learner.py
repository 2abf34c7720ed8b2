"""What trains in the chaos suite: the learner of texts, which says what it trains and suffers what files tell it to."""

import json
import os
import time
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import torch
from chaos_task import DIVERGES, FOLDS, HANGS, HOARD, PAUSE, TRAINING, control

from hpsearch.tasks.tokens import TextLearner

MEGABYTE = 1 << 20
HANG_SECONDS = 3600.0
SAID = ("batch_size", "learning_rate")


class ChaosLearner(TextLearner):
    """Fitted to the training rows of a fold it knows which: each holds out one block of rows, in their order."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._config: dict[str, Any] = {}  # shared with its fitted copies
        self._fold: int | None = None
        self._batches = 0

    def fitted(self, rows: np.ndarray) -> Self:
        learner = super().fitted(rows)
        held_out = np.setdiff1d(np.arange(len(self.lengths)), rows)
        learner._fold = int(held_out[0]) * FOLDS // len(self.lengths) if len(held_out) else None
        learner._batches = 0
        return learner

    def configure(self, model: Any, config: Mapping[str, Any]) -> None:
        super().configure(model, config)
        self._config.clear()
        self._config.update({name: config.get(name) for name in SAID})

    def outputs(self, model: Any, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        outputs = super().outputs(model, batch)
        folder = control()
        if folder is None or self._fold is None or not model.training:
            return outputs
        self._batches += 1
        (folder / TRAINING.format(pid=os.getpid())).write_text(json.dumps({**self._config, "fold": self._fold}))
        if (folder / HANGS.format(pid=os.getpid())).exists():
            time.sleep(HANG_SECONDS)
        hoard = folder / HOARD.format(pid=os.getpid())
        if hoard.exists():
            megabytes = int(hoard.read_text())
            hoard.unlink()
            taken = [torch.ones(MEGABYTE // 4) for _ in range(megabytes)]
            del taken
        time.sleep(float(os.environ.get(PAUSE, "0")))
        diverging = folder / DIVERGES
        if self._batches > 2 and diverging.exists():
            fold = json.loads(diverging.read_text()).get(str(self._config["batch_size"]))
            return outputs * (float("nan") if fold == self._fold else 1.0)
        return outputs
