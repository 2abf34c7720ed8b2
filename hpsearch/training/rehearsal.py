"""A model tried in the precision that it will train in, before any trial: what cannot work is found here."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hpsearch.data.ragged import is_finite
from hpsearch.errors import HpsearchError, TaskError
from hpsearch.training.base_model import BaseModel
from hpsearch.training.freezing import freeze
from hpsearch.training.gradients import accumulate_gradients
from hpsearch.training.hyperparameters import TrainingSettings
from hpsearch.training.learner import Learner
from hpsearch.training.memory import memory_errors
from hpsearch.training.numerics import FP16_MAX, Numerics
from hpsearch.training.prediction import predict
from hpsearch.training.random_states import isolated
from hpsearch.training.single_rows import joins_single

SCALES = tuple(2.0**power for power in range(16, -1, -1))
"""What the loss is multiplied by in fp16, tried in turn: GradScaler's first scale, and its halves down to 1."""

FP16_ROOM = 2.0
"""How many times greater numbers must fit that a model computes in fp16. They differ from row to row, and grow: a
T5-base reached 66,246 after 34 steps (transformers' issue 5651)."""


def rehearse(base: BaseModel, numerics: Numerics, config: Mapping[str, Any]) -> None:
    """Put a few rows through the model as training does, forwards and backwards, and as evaluation does.

    The batches are the longest row, the shortest (two where the model takes no single row), and three of different
    lengths, so that two are filled up. In fp16 the loss is scaled by as much as the gradients allow. The base is left
    ready for the next run.

    Raises:
        TaskError: That fails, or its numbers are not finite, or in fp16 nearly so; or the config makes batches that
            the model cannot take.
        torch.OutOfMemoryError: They do not fit.
    """
    settings = TrainingSettings.of(config)
    layers = base.layers() if settings.needs_layers else ()
    model = base.fresh(config, seed=0)
    freezing = freeze(model, layers, settings.freeze_layers, base.head, has_adapters=base.has_adapters)
    rows = len(base.learner.lengths)
    joins_single(base, freezing, rows, settings.batch_size, numerics.micro_batch)  # which raises where nothing helps
    least = 2 if base.refuses_single_rows(freezing) else 1  # though no run may have such a batch
    freezing.train(model)
    try:
        with memory_errors(), isolated(0, base.device), _room_in_fp16(model, numerics):
            for batch in _batches(base.learner, least):
                what = f"a training batch of {len(batch)}"
                _step(base, model, batch, numerics, settings)
            what = "rows to evaluate"
            _evaluate(base, model, numerics)
    except (HpsearchError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # whatever a model raises that cannot compute in this precision
        lines = str(error).splitlines() or ["no message"]
        raise _failed(model, numerics, f"fails on {what}: {type(error).__name__}: {lines[0].rstrip('.')}") from error
    finally:
        model.zero_grad(set_to_none=True)


def _batches(learner: Learner, least: int) -> list[np.ndarray]:
    by_length = np.argsort(np.asarray(learner.lengths), kind="stable")
    middle = len(by_length) // 2
    return [by_length[-least:], by_length[:least], np.unique(by_length[[0, middle // 2, middle]])]


def _step(base: BaseModel, model: nn.Module, rows: np.ndarray, numerics: Numerics, settings: TrainingSettings) -> None:
    learner = base.learner.fitted(np.arange(len(base.learner.lengths)))  # as a run is, though not to as many rows
    for scale in SCALES if numerics.precision == "fp16" else (1.0,):
        model.zero_grad(set_to_none=True)
        loss, _ = accumulate_gradients(
            model, learner, rows, label_smoothing=settings.label_smoothing_factor, numerics=numerics,
            device=base.device, padding_multiple=numerics.training_padding_multiple, joins_single=True,
            scaled=partial(torch.mul, other=scale),
        )  # fmt: skip
        if not bool(loss.isfinite()):
            raise _failed(model, numerics, "has a training loss that is not finite, before any training")
        gradients = [weight.grad for weight in model.parameters() if weight.grad is not None]
        if bool(nn.utils.get_total_norm(gradients).isfinite()):
            return
    raise _failed(model, numerics, "has a norm of the gradients that is not finite, before any training")


@contextmanager
def _room_in_fp16(model: nn.Module, numerics: Numerics) -> Iterator[None]:
    """Look at every number that a layer with weights computes in fp16. Some models hide those that are infinite."""

    def look(_module: nn.Module, _inputs: Any, output: Any) -> None:
        for tensor in output if isinstance(output, tuple) else (output,):
            if isinstance(tensor, Tensor) and tensor.dtype == torch.float16 and tensor.numel():
                reached = tensor.detach().abs().amax().item()
                if not reached * FP16_ROOM <= FP16_MAX:
                    what = f"up to {reached:,.0f}, too near to" if np.isfinite(reached) else "above"
                    raise _failed(model, numerics, f"computes numbers {what} {FP16_MAX:,.0f}, the greatest of fp16")

    layers = [module for module in model.modules() if next(module.parameters(recurse=False), None) is not None]
    handles = [layer.register_forward_hook(look) for layer in layers] if numerics.precision == "fp16" else []
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _evaluate(base: BaseModel, model: nn.Module, numerics: Numerics) -> None:
    learner = base.learner.fitted(np.arange(len(base.learner.lengths)))
    kept = predict(model, learner, np.array([np.argmin(learner.lengths)]), numerics, base.device)
    if not is_finite(kept):
        raise _failed(model, numerics, "gives outputs that are not finite, before any training")


def _failed(model: nn.Module, numerics: Numerics, what: str) -> TaskError:
    return TaskError(f"{type(model).__name__} cannot be trained in {numerics.precision}: it {what}.")
