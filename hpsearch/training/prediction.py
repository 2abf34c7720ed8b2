"""Prediction: a model's outputs for rows, whatever their order and the other rows."""

import numpy as np
import torch
from torch import nn

from hpsearch.errors import DataError
from hpsearch.training.batches import evaluation_batches, filled_up, rows_without_graph
from hpsearch.training.features.cache import FrozenFeatures
from hpsearch.training.learner import Learner
from hpsearch.training.numerics import Numerics
from hpsearch.training.random_states import isolated
from hpsearch.training.to_device import batch_to_device


@torch.no_grad()
def predict(
    model: nn.Module,
    learner: Learner,
    rows: np.ndarray,
    numerics: Numerics,
    device: torch.device | str,
    features: FrozenFeatures | None = None,
) -> np.ndarray:
    """Return the logits of `rows` in the order given, float32, shape (rows, outputs); the model is left in eval mode.

    The batches depend on the rows' lengths and on the numerics only. On a CPU, a row's logits do not depend on the
    other rows either, where tokens are padded to multiples of 16; rows are, by repeating the last one. With `features`
    the model's frozen layers do not run.
    """
    if len(rows) == 0:
        raise DataError("There are no rows to predict; pass at least one.")
    device = torch.device(device)
    largest = rows_without_graph(numerics.micro_batch)
    batches = evaluation_batches(np.asarray(learner.lengths)[rows], numerics.padding_multiple, largest)
    model.eval()
    parts = []
    with isolated(0, device), numerics.autocast():
        for positions in batches:
            filled = filled_up(rows[positions])
            batch = batch_to_device(learner.batch(filled, numerics.padding_multiple), device)
            logits = learner.outputs(model, batch) if features is None else features.outputs(filled, batch)
            parts.append(logits[: len(positions)].float())
    computed = torch.cat(parts).cpu().numpy()
    ordered = np.empty_like(computed)
    ordered[np.concatenate(batches)] = computed
    return ordered
