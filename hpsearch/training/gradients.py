"""The gradient of one optimizer step: the weighted mean over the batch, whatever the micro-batches."""

import numpy as np
import torch
from torch import Tensor, nn

from hpsearch.training.features.cache import FrozenFeatures
from hpsearch.training.learner import Learner
from hpsearch.training.numerics import Numerics
from hpsearch.training.to_device import batch_to_device, to_device


def accumulate_gradients(
    model: nn.Module,
    learner: Learner,
    rows: np.ndarray,
    *,
    label_smoothing: float,
    numerics: Numerics,
    device: torch.device,
    padding_multiple: int,
    features: FrozenFeatures | None = None,
) -> tuple[Tensor, float]:
    """Add to the parameters' gradients that of the weighted mean loss over `rows`.

    Each micro-batch's weighted sum is divided by the sum of the weights of the whole batch, so that the gradients of
    all micro-batches add up to that of the batch. Rows that all weigh nothing leave a gradient of zero. With `features`
    the model's frozen layers do not run.

    Returns:
        The sum of the weighted losses, a scalar on the device that nobody has waited for, and the sum of the weights.
    """
    weights = learner.weights(rows)
    total = float(len(rows)) if weights is None else float(weights.sum())
    largest = numerics.micro_batch or len(rows)
    loss_sum: Tensor | None = None
    for first in range(0, len(rows), largest):
        part = rows[first : first + largest]
        batch = batch_to_device(learner.batch(part, padding_multiple), device)
        with numerics.autocast():
            logits = learner.outputs(model, batch) if features is None else features.outputs(part, batch)
        losses = learner.losses(logits.float(), to_device(learner.targets(part), device), label_smoothing)
        if weights is not None:
            losses = losses * to_device(weights[first : first + largest], device)
        loss = losses.sum()
        (loss / total if total > 0.0 else loss * 0.0).backward()
        loss_sum = loss.detach() if loss_sum is None else loss_sum + loss.detach()
    if loss_sum is None:
        raise ValueError("a batch of no rows")
    return loss_sum, total
