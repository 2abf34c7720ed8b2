"""The gradient of one optimizer step: the weighted mean over the batch, whatever the micro-batches."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from hpsearch.training.batches import parts, without_single
from hpsearch.training.features.cache import FrozenFeatures
from hpsearch.training.gradient_checkpointing import checkpointed
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
    joins_single: bool = False,
    scaled: Callable[[Tensor], Tensor] = lambda loss: loss,
) -> tuple[Tensor, float]:
    """Add to the parameters' gradients that of the weighted mean loss over `rows`.

    Each micro-batch's weighted sum is divided by the sum of the weights of the whole batch, so that the gradients of
    all micro-batches add up to that of the batch. Rows that all weigh nothing leave a gradient of zero. With `features`
    the model's frozen layers do not run. With `joins_single` a last micro-batch of one row joins the one before it.
    `scaled` is what becomes of a loss before it is differentiated: in fp16 it is multiplied.

    Returns:
        The sum of the weighted losses, a scalar on the device that nobody has waited for, and the sum of the weights.
    """
    weights = learner.weights(rows)
    total = float(len(rows)) if weights is None else float(weights.sum())
    micro_batches = parts(rows, numerics.micro_batch or max(1, len(rows)))
    if joins_single:
        micro_batches = without_single(micro_batches)
    loss_sum: Tensor | None = None
    shares = [None] * len(micro_batches) if weights is None else weights.split([len(part) for part in micro_batches])
    # Also around the backward pass: a layer that is computed again may ask whether it is checkpointed.
    with checkpointed(model, wanted=numerics.gradient_checkpointing):
        for part, share in zip(micro_batches, shares, strict=True):
            batch = batch_to_device(learner.batch(part, padding_multiple), device)
            with numerics.autocast():
                logits = learner.outputs(model, batch) if features is None else features.outputs(part, batch)
            losses = learner.losses(logits.float(), to_device(learner.targets(part), device), label_smoothing)
            if share is not None:
                losses = losses * to_device(share, device)
            loss = losses.sum()
            scaled(loss / total if total > 0.0 else loss * 0.0).backward()
            loss_sum = loss.detach() if loss_sum is None else loss_sum + loss.detach()
    if loss_sum is None:
        raise ValueError("a batch of no rows")
    return loss_sum, total
