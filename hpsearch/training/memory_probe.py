"""Does a batch fit? The real thing tried once, at its worst, before a configuration of this shape is trained."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from hpsearch.records import Savings
from hpsearch.training.base_model import BaseModel
from hpsearch.training.batches import EVALUATION_ROWS, rows_without_graph
from hpsearch.training.freezing import Freezing, freeze
from hpsearch.training.gradient_checkpointing import batch_statistics, can_checkpoint
from hpsearch.training.gradients import accumulate_gradients
from hpsearch.training.hyperparameters import TrainingSettings
from hpsearch.training.memory import free_memory, memory_errors, reset_peak_memory
from hpsearch.training.numerics import Numerics
from hpsearch.training.optimizers import make_optimizer
from hpsearch.training.prediction import predict
from hpsearch.training.random_states import isolated


def memory_trial(base: BaseModel, numerics: Numerics, config: Mapping[str, Any]) -> Callable[[int], None]:
    """Return the `try_batch` of `hpsearch.training.numerics.probe_micro_batch`.

    It takes that many of the longest rows and trains on them as `config` says, twice: a later micro-batch finds
    gradients and AdamW's state in memory. Then it predicts the longest rows, and answers the longest prompts where
    answers are generated. No run needs more later: what is frozen stays so. It raises `torch.OutOfMemoryError` if they
    do not fit, and leaves the base ready for the next run. The peak memory is then that of this attempt. On a CPU a
    probe says little: the operating system rarely refuses memory. It does not read the micro_batch of `numerics`.
    """
    learner, device = base.learner, base.device
    longest_first = np.argsort(-np.asarray(learner.lengths), kind="stable")
    settings = TrainingSettings.of(config)

    def try_batch(rows: int) -> None:
        free_memory(device)  # of an attempt that failed
        reset_peak_memory(device)
        tried = replace(numerics, micro_batch=rows)
        with memory_errors():
            freezing = _ready(base, config)
            model = base.model
            if rows == 1 and base.refuses_single_rows(freezing):
                raise torch.OutOfMemoryError("One row fits, and this model can only be trained on two or more.")
            freezing.train(model)
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
                _try_answers(model, learner, tried)
                if device.type == "cuda":
                    torch.cuda.synchronize(device)
        finally:
            optimizer.zero_grad(set_to_none=True)
            optimizer.state.clear()

    return try_batch


def _try_answers(model: nn.Module, learner: Any, numerics: Numerics) -> None:
    """Generate one batch of the longest answers, where a run's evaluations generate some."""
    if not hasattr(learner, "answering"):
        return
    answering = learner.for_answers()
    if answering.answering:
        rows = rows_without_graph(numerics.micro_batch) or EVALUATION_ROWS
        with torch.no_grad(), numerics.autocast():
            answering.try_answers(model.eval(), min(rows, EVALUATION_ROWS, answering.evaluation_rows))


def possible_savings(base: BaseModel, config: Mapping[str, Any]) -> Savings:
    """Return in which ways a configuration may be trained in less memory; the base is ready for the next run."""
    freezing = _ready(base, config)
    freezing.train(base.model)
    return Savings(micro_batches=not batch_statistics(base.model), gradient_checkpointing=can_checkpoint(base.model))


def _ready(base: BaseModel, config: Mapping[str, Any]) -> Freezing:
    """Make the base's model ready for a run of a configuration, and return what of it is frozen."""
    frozen = TrainingSettings.of(config).freeze_layers
    layers = base.layers() if frozen else ()
    return freeze(base.fresh(config, seed=0), layers, frozen, base.head, has_adapters=base.has_adapters)
