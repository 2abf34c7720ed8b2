"""A model tried in the precision that it will train in, before any trial: what cannot work is found here."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from hpsearch.data.ragged import is_finite
from hpsearch.errors import HpsearchError, TaskError
from hpsearch.training.base_model import BaseModel
from hpsearch.training.freezing import freeze
from hpsearch.training.gradients import accumulate_gradients
from hpsearch.training.hyperparameters import TrainingSettings
from hpsearch.training.learner import Learner
from hpsearch.training.memory import memory_errors
from hpsearch.training.numerics import Numerics
from hpsearch.training.prediction import predict
from hpsearch.training.random_states import isolated
from hpsearch.training.single_rows import joins_single


def rehearse(base: BaseModel, numerics: Numerics, config: Mapping[str, Any]) -> None:
    """Put a few rows through the model as training does, forwards and backwards, and as evaluation does.

    The batches are the longest row, the shortest (two where the model takes no single row), and three of different
    lengths, so that two are filled up. The base is left ready for the next run.

    Raises:
        TaskError: That fails, or its numbers are not finite; or the config makes batches that the model cannot take.
        torch.OutOfMemoryError: They do not fit.
    """
    settings = TrainingSettings.of(config)
    layers = base.layers() if settings.freeze_layers else ()
    model = base.fresh(config, seed=0)
    freezing = freeze(model, layers, settings.freeze_layers, base.head)
    rows = len(base.learner.lengths)
    joins_single(base, freezing, rows, settings.batch_size, numerics.micro_batch)  # which raises where nothing helps
    least = 2 if base.refuses_single_rows(freezing) else 1  # though no run may have such a batch
    freezing.train(model)
    try:
        with memory_errors(), isolated(0, base.device):
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
    loss, _ = accumulate_gradients(
        model, learner, rows, label_smoothing=settings.label_smoothing_factor, numerics=numerics, device=base.device,
        padding_multiple=numerics.training_padding_multiple, joins_single=True,
    )  # fmt: skip
    gradients = [weight.grad for weight in model.parameters() if weight.grad is not None]
    for quantity, value in (("training loss", loss), ("norm of the gradients", nn.utils.get_total_norm(gradients))):
        if not bool(value.isfinite()):
            raise _failed(model, numerics, f"has a {quantity} that is not finite, before any training")


def _evaluate(base: BaseModel, model: nn.Module, numerics: Numerics) -> None:
    learner = base.learner.fitted(np.arange(len(base.learner.lengths)))
    kept = predict(model, learner, np.array([np.argmin(learner.lengths)]), numerics, base.device)
    if not is_finite(kept):
        raise _failed(model, numerics, "gives outputs that are not finite, before any training")


def _failed(model: nn.Module, numerics: Numerics, what: str) -> TaskError:
    return TaskError(f"{type(model).__name__} cannot be trained in {numerics.precision}: it {what}.")
