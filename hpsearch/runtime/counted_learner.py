"""A learner that reports every batch: so a worker shows that a long evaluation makes progress."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor, nn

from hpsearch.training.learner import Learner


@dataclass(frozen=True)
class CountedLearner:
    """Another learner, with a call before each batch that goes through the model, in training and in evaluation.

    Attributes:
        learner: Does all the work.
        called: Called without arguments before each batch; it must not raise.
    """

    learner: Learner
    called: Callable[[], None]

    @property
    def lengths(self) -> np.ndarray:
        return self.learner.lengths

    @property
    def inputs_are_fixed(self) -> bool:
        return bool(getattr(self.learner, "inputs_are_fixed", False))

    def load_model(self) -> nn.Module:
        return self.learner.load_model()

    def initialize_head(self, model: nn.Module) -> None:
        self.learner.initialize_head(model)

    def configure(self, model: nn.Module, config: Mapping[str, Any]) -> None:
        self.learner.configure(model, config)

    def layers(self, model: nn.Module) -> Sequence[Sequence[nn.Module]]:
        return self.learner.layers(model)

    def batch(self, rows: np.ndarray, padding_multiple: int) -> dict[str, Tensor]:
        return self.learner.batch(rows, padding_multiple)

    def targets(self, rows: np.ndarray) -> Tensor:
        return self.learner.targets(rows)

    def weights(self, rows: np.ndarray) -> Tensor | None:
        return self.learner.weights(rows)

    def logits(self, model: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
        self.called()
        return self.learner.logits(model, batch)

    def losses(self, logits: Tensor, targets: Tensor, label_smoothing: float) -> Tensor:
        return self.learner.losses(logits, targets, label_smoothing)
