"""The part of a run that features depend on: the model, its rows, and how they are computed."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from hpsearch.training.features.frozen_stack import FrozenStack
from hpsearch.training.features.output_templates import NotExactError
from hpsearch.training.learner import Learner
from hpsearch.training.numerics import Numerics
from hpsearch.training.transfer import batch_to_device

Company = tuple[int, int | None, bool]
"""Rows and width of a batch, and whether it is without padding: all that its kernels are chosen by."""


@dataclass(frozen=True)
class FrozenPart:
    """What one run computes with: a model and its learner, and how they compute."""

    model: nn.Module
    learner: Learner
    numerics: Numerics
    device: torch.device

    def batch(self, rows: np.ndarray) -> dict[str, Tensor]:
        return batch_to_device(self.learner.batch(rows, self.numerics.padding_multiple), self.device)

    def logits(self, batch: Mapping[str, Tensor]) -> Tensor:
        with self.numerics.autocast():
            return self.learner.logits(self.model, batch)

    @property
    def lengths(self) -> np.ndarray:
        return np.asarray(self.learner.lengths)

    def width(self, rows: np.ndarray, batch: Mapping[str, Tensor]) -> int | None:
        """Return what the rows are padded to, or None where no row of the dataset has a length."""
        if self.lengths.max() <= 1:
            return None
        longest = int(self.lengths[rows].max())
        widths = [tensor.shape[1] for tensor in batch.values() if tensor.ndim > 1 and tensor.shape[1] >= longest]
        if not widths:
            raise NotExactError("its inputs are not padded to the longest row")
        return int(widths[0])

    def company(self, rows: np.ndarray, width: int | None) -> Company:
        return len(rows), width, width is not None and int(self.lengths[rows].min()) == width

    def real(self, rows: np.ndarray, width: int, *, left: bool) -> Tensor:
        """Return which positions are no padding, bool (rows, width)."""
        places, lengths = np.arange(width), self.lengths[rows][:, None]
        return torch.from_numpy(places >= width - lengths if left else places < lengths)


@dataclass(frozen=True)
class TriedStack:
    """A stack, and whether rows are padded on the left."""

    stack: FrozenStack
    left: bool


def bits_of(tensor: Tensor) -> Tensor:
    """Return a tensor's bytes: equal bits, unlike equal numbers, tell 0 from -0 and know NaN."""
    return tensor.contiguous().reshape(-1).view(torch.uint8)
