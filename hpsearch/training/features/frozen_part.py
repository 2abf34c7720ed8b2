"""The frozen part of a run's model, and whether it can be bypassed: tried, not assumed."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hpsearch.training.features import NotKeptError
from hpsearch.training.features.bypass import record
from hpsearch.training.freezing import Freezing
from hpsearch.training.learner import Learner
from hpsearch.training.numerics import Numerics
from hpsearch.training.random_states import current_states, isolated
from hpsearch.training.transfer import batch_to_device, to_device

TRIED_ROWS = 8
"""Rows of the batch that a bypass is tried on."""


@dataclass(frozen=True)
class FrozenPart:
    """What features depend on: a run's model and rows, its frozen layers as `Learner` has them, and its numerics."""

    model: nn.Module
    learner: Learner
    layers: Sequence[Sequence[nn.Module]]
    freezing: Freezing
    numerics: Numerics
    device: torch.device

    @property
    def lengths(self) -> np.ndarray:
        return np.asarray(self.learner.lengths, dtype=np.int64)

    def batch(self, rows: np.ndarray) -> dict[str, Tensor]:
        return batch_to_device(self.learner.batch(rows, self.numerics.padding_multiple), self.device)

    def logits(self, batch: Mapping[str, Tensor]) -> Tensor:
        with self.numerics.autocast():
            return self.learner.logits(self.model, batch)

    def vectors(self, boundary: Tensor, rows: np.ndarray) -> Tensor:
        """Return the output of the last frozen layer as vectors of shape (rows, width, ...), with zeros for padding.

        Each token has a vector; where rows have no lengths, each row is one vector.
        """
        vectors, lengths = boundary if self.lengths.max() > 1 else boundary[:, None], self.lengths[rows]
        if vectors.ndim < 2 or len(vectors) != len(rows) or vectors.shape[1] < lengths.max():
            raise NotKeptError("its last frozen layer does not return a vector for each token of each row")
        padding = torch.from_numpy(np.arange(vectors.shape[1]) >= lengths[:, None]).to(vectors.device)
        return vectors.masked_fill(padding.reshape(*padding.shape, *[1] * (vectors.ndim - 2)), 0.0).contiguous()

    def try_bypass(self, head: Collection[str]) -> tuple[list[nn.Module], Tensor]:
        """Bypass the frozen layers in a batch of rows of many lengths; return their calls, and the batch's vectors.

        What is computed before the first layer may be read above, too (a table of relative positions). So where not
        everything can be bypassed, the embeddings run. So do modules without weights: trained layers may share them.

        Raises:
            NotKeptError: A bypass changes something.
        """
        if not getattr(self.learner, "inputs_are_fixed", False):
            raise NotKeptError("its inputs are not the same whenever a row comes up")
        frozen = {id(parameter) for layer in self.layers for module in layer for parameter in module.parameters()}
        for name, parameter in self.model.named_parameters():
            if name in head and id(parameter) in frozen:
                raise NotKeptError(f"{name!r} in its frozen layers is drawn anew for every run")
        order = np.argsort(self.lengths, kind="stable")
        count = min(TRIED_ROWS, self.numerics.micro_batch or TRIED_ROWS)
        rows = order[np.linspace(0, len(order) - 1, count).round().astype(np.int64)]
        buffers = [(buffer, buffer.clone()) for buffer in self.model.buffers()]
        reason = None
        for layers in (self.layers, self.layers[1:]):
            modules = [module for layer in layers for module in layer if next(module.parameters(), None) is not None]
            try:
                return self._compare(modules, rows)
            except NotKeptError as error:
                reason = error
            finally:
                self.freezing.train(self.model)
                with torch.no_grad():
                    for buffer, before in buffers:
                        buffer.copy_(before)
        assert reason is not None
        raise reason

    def _compare(self, modules: Sequence[nn.Module], rows: np.ndarray) -> tuple[list[nn.Module], Tensor]:
        """Compare a batch with and without these modules, in train and in eval mode."""
        batch, targets = self.batch(rows), to_device(self.learner.targets(rows), self.device)
        with torch.no_grad(), isolated(0, self.device):
            recording, boundary = record(modules, lambda: self.logits(batch), self.device, whole=True)
        if all(recording.modules[-1] is not module for layer in self.layers[1:] for module in layer):
            raise NotKeptError("its frozen layers are not called after its embeddings")
        vectors = self.vectors(boundary, rows)

        def outcome(trained: Sequence[nn.Parameter]) -> tuple[list[Tensor], tuple[Any, ...]]:
            """Return logits and gradients, and the random states after them."""
            with isolated(1, self.device), torch.set_grad_enabled(bool(trained)):
                logits = self.logits(batch)
                loss = self.learner.losses(logits.float(), targets, 0.0).sum()
                gradients = torch.autograd.grad(loss, trained, materialize_grads=True) if trained else ()
                return [logits.detach(), *gradients], current_states(self.device)

        for trained in ([parameter for parameter in self.model.parameters() if parameter.requires_grad], []):
            if not trained:
                self.model.eval()
            computed, states = outcome(trained)
            try:
                with recording.bypass(vectors.view(boundary.shape).clone()):
                    read, states_after_reading = outcome(trained)
            except torch.OutOfMemoryError:
                raise
            except (RuntimeError, ValueError, TypeError, StopIteration) as error:  # a model may check what it is given
                raise NotKeptError(f"its forward pass fails without them ({error})") from error
            if states != states_after_reading or not all(map(torch.equal, computed, read)):
                raise NotKeptError("more than the output of its last frozen layer is read above it, padding included")
        return recording.modules, vectors
