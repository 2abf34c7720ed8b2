"""Does a batch fit? The real thing tried once, at its worst, before a study's micro-batch is fixed."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from hpsearch.training.base_model import BaseModel
from hpsearch.training.batches import EVALUATION_ROWS
from hpsearch.training.freezing import freeze
from hpsearch.training.gradients import accumulate_gradients
from hpsearch.training.hyperparameters import TrainingSettings
from hpsearch.training.memory import memory_errors
from hpsearch.training.numerics import Numerics
from hpsearch.training.optimizers import make_optimizer
from hpsearch.training.prediction import predict
from hpsearch.training.random_states import isolated


def memory_trial(base: BaseModel, numerics: Numerics, config: Mapping[str, Any]) -> Callable[[int], None]:
    """Return the `try_batch` of `hpsearch.training.numerics.probe_micro_batch`.

    It takes that many of the longest rows and trains on them with nothing frozen, twice: a later micro-batch finds
    gradients and AdamW's state in memory. Then it predicts the longest rows. It raises `torch.OutOfMemoryError` if they
    do not fit, and leaves the base ready for the next run. On a CPU a probe says little: the operating system rarely
    refuses memory. It does not read the micro_batch of `numerics`; of all configs, `config` should need the most
    memory, but for `freeze_layers`, which is overridden.
    """
    learner, device = base.learner, base.device
    longest_first = np.argsort(-np.asarray(learner.lengths), kind="stable")
    unfrozen = {**config, "freeze_layers": 0}
    settings = TrainingSettings.of(unfrozen)

    def try_batch(rows: int) -> None:
        tried = replace(numerics, micro_batch=rows)
        model = base.fresh(unfrozen, seed=0)
        if rows == 1 and base.refuses_single_rows(freeze(model, (), 0, base.head)):
            raise torch.OutOfMemoryError("One row fits, and this model can only be trained on two or more.")
        model.train()
        base.before_training(name for name, parameter in model.named_parameters() if parameter.requires_grad)
        optimizer = make_optimizer(model, settings)
        try:
            with memory_errors(), isolated(0, device):
                for _ in range(2):
                    accumulate_gradients(
                        model, learner, longest_first[:rows], label_smoothing=0.0, numerics=tried, device=device,
                        padding_multiple=numerics.padding_multiple,
                    )  # fmt: skip
                    optimizer.step()
                predict(model, learner, longest_first[:EVALUATION_ROWS], tried, device)
                if device.type == "cuda":
                    torch.cuda.synchronize(device)
        finally:
            optimizer.zero_grad(set_to_none=True)
            optimizer.state.clear()
            if device.type == "cuda":
                torch.cuda.empty_cache()

    return try_batch
