"""Prediction: what is kept of a model's outputs for rows, whatever their order and the other rows."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from hpsearch.data.ragged import Ragged, Rows
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
) -> Rows:
    """Return what the learner keeps of the outputs of `rows`, in the order given; the model is left in eval mode.

    The batches depend on the rows' lengths and on the numerics only. On a CPU, a row's outputs do not depend on the
    other rows either, where tokens are padded to multiples of 16; rows are, by repeating the last one. With `features`
    the model's frozen layers do not run.
    """
    if len(rows) == 0:
        raise DataError("There are no rows to predict; pass at least one.")
    device = torch.device(device)
    limits = (rows_without_graph(numerics.micro_batch), getattr(learner, "evaluation_rows", None))
    largest = min((limit for limit in limits if limit is not None), default=None)
    batches = evaluation_batches(np.asarray(learner.lengths)[rows], numerics.padding_multiple, largest)
    model.eval()
    parts = []
    with isolated(0, device):
        for positions in batches:
            filled = filled_up(rows[positions])
            batch = batch_to_device(learner.batch(filled, numerics.padding_multiple), device)
            with numerics.autocast():
                outputs = learner.outputs(model, batch) if features is None else features.outputs(filled, batch)
                # Also around what is generated: frozen weights may be in another type than adapters.
                parts.append(learner.keep(outputs, batch, filled, model)[: len(positions)])
    return gathered(parts, np.concatenate(batches))


def gathered(parts: Sequence[Tensor | Sequence[Tensor]], positions: np.ndarray) -> Rows:
    """Return the rows of all parts, each at its position; the device is waited for once."""
    tensors = [part for part in parts if isinstance(part, Tensor)]
    if tensors and len(tensors) < len(parts):
        raise TypeError("a learner's keep() returned a tensor for one batch and a list for another")
    if tensors:
        computed = torch.cat(tensors).cpu().numpy()
        ordered = np.empty_like(computed)
        ordered[positions] = computed
        return ordered
    rows = [row for part in parts for row in part]
    if not all(isinstance(row, Tensor) and row.ndim for row in rows):
        raise TypeError("a learner's keep() must return a tensor, or a list of one tensor of one axis or more a row")
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
    return Ragged(torch.cat(rows).cpu().numpy(), offsets)[np.argsort(positions)]
