"""Gradual unfreezing: the head trains first, then one layer after the other joins it, from the head down."""

import math
from collections.abc import Sequence

from torch import nn

from hpsearch.training.freezing import Freezing


class Unfreezing:
    """Which layers of a run's model are trained in a step (Howard and Ruder 2018, section 3.3).

    It begins with all layers frozen, the embeddings with them, where what is above them has a weight matrix to train: a
    head. Where it has none (an output that is tied to the embeddings, adapters in layers only), it begins with as many
    of the highest layers as it takes. After every `epochs` epochs the highest frozen layer
    joins, the embeddings last. What is trained is a function of the step alone, so a run can be left and resumed
    anywhere. Frozen layers are in eval mode, and have no state in the optimizer before their first step.
    """

    def __init__(
        self,
        model: nn.Module,
        freezing: Freezing,
        layers: Sequence[Sequence[nn.Module]],
        *,
        never: int,
        epochs: float | None,
        steps_per_epoch: int,
    ) -> None:
        """Take a model that is frozen as it will be at last.

        Args:
            model: The model.
            freezing: What of it is frozen for good.
            layers: [embeddings, layer 1, ..., layer n]; not looked at without `epochs`.
            never: How many of these are frozen for good.
            epochs: Epochs between a layer and the next below it; None trains all from the beginning.
            steps_per_epoch: Optimizer steps an epoch.
        """
        self._model, self._freezing, self._layers, self._never = model, freezing, layers, never
        self._interval = None if epochs is None else epochs * steps_per_epoch
        self._trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self._start = len(layers) if epochs is None else self._first()
        self._frozen: int | None = None

    def _first(self) -> int:
        """Return how many of the layers can be frozen at most such that a matrix is left to train; a norm is none."""
        matrices = {id(parameter) for parameter in self._trained if parameter.ndim >= 2}
        for frozen in range(len(self._layers), 0, -1):
            if not matrices <= self._held(frozen):
                return frozen
        return 0

    def _held(self, frozen: int) -> set[int]:
        """Return the ids of the parameters of so many layers."""
        return {id(item) for layer in self._layers[:frozen] for module in layer for item in module.parameters()}

    def frozen(self, step: int) -> int:
        """Return how many of [embeddings, layer 1, ..., layer n] are frozen in the step after this many."""
        if self._interval is None:
            return self._never
        joined = math.floor(step / self._interval + 1e-9)
        return max(self._never, self._start - joined)

    def train(self, step: int) -> None:
        """Have the model ready for the step after this many: in train mode, with what is frozen in eval mode."""
        frozen = self.frozen(step)
        if self._model.training and frozen == self._frozen:
            return
        self._freezing.train(self._model)
        for module in (module for layer in self._layers[self._never : frozen] for module in layer):
            module.eval()
        if self._interval is not None:
            held = self._held(frozen)
            for parameter in self._trained:
                parameter.requires_grad_(id(parameter) not in held)
        self._frozen = frozen
