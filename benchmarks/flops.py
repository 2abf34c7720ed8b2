"""How many floating-point operations a list of trials had to see: matrix products only, two for a multiply and an add.

What is counted is distinct: of a frozen layer the forward pass of every row once, whatever trials, folds and epochs
read it; of a trained layer every step's forward and backward pass; of an evaluation the forward pass of the trained
layers. Padding does not count, nor does what is computed a second time in the backward pass.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.jobs import Config


@dataclass(frozen=True)
class Sizes:
    """The sizes of a BERT that decide its matrix products."""

    layers: int
    hidden: int
    intermediate: int
    classes: int

    @classmethod
    def of(cls, config: Any, classes: int) -> "Sizes":
        """Read them out of a config of transformers."""
        return cls(config.num_hidden_layers, config.hidden_size, config.intermediate_size, classes)

    def layer(self, lengths: np.ndarray) -> float:
        """Return the forward pass of one layer over rows of these lengths."""
        tokens, squares = float(lengths.sum()), float((lengths.astype(np.float64) ** 2).sum())
        linear = 2 * tokens * (4 * self.hidden**2 + 2 * self.hidden * self.intermediate)
        return linear + 4 * squares * self.hidden

    def head(self, rows: float) -> float:
        """Return the forward pass of pooler and classifier, which read one token a row."""
        return 2 * rows * (self.hidden**2 + self.hidden * self.classes)

    def forward(self, lengths: np.ndarray, layers: int) -> float:
        """Return the forward pass of the last `layers` layers and the head."""
        return layers * self.layer(lengths) + self.head(len(lengths))

    def backward(self, lengths: np.ndarray, layers: int) -> float:
        """Return the backward pass: of each product two, the gradients of both its factors, where they are needed.

        Below the lowest trained layer nothing is: with frozen embeddings the gradient of its input is not computed.
        """
        whole = 2 * self.forward(lengths, layers)
        if layers == self.layers:
            return whole
        tokens, rows = float(lengths.sum()), float(len(lengths))
        unneeded = 2 * tokens * 3 * self.hidden**2 if layers else 2 * rows * self.hidden**2
        return whole - unneeded


@dataclass(frozen=True)
class Work:
    """Distinct floating-point operations by their part."""

    features: float
    training: float
    evaluation: float

    @property
    def total(self) -> float:
        return self.features + self.training + self.evaluation


def distinct_work(
    sizes: Sizes, lengths: np.ndarray, folds: Iterable[tuple[np.ndarray, np.ndarray]], configs: Sequence[Config]
) -> Work:
    """Return what a list of trials had to see, each on every fold, evaluated after every epoch.

    Args:
        sizes: The model's.
        lengths: Tokens of every row.
        folds: (training rows, held-out rows) of each fold.
        configs: The configurations.
    """
    deepest = max(int(config["freeze_layers"]) for config in configs)
    features = deepest * sizes.layer(lengths)
    training = evaluation = 0.0
    for train, held_out in folds:
        for config in configs:
            layers, epochs = sizes.layers - int(config["freeze_layers"]), int(config["epochs"])
            epoch = sizes.forward(lengths[train], layers) + sizes.backward(lengths[train], layers)
            training += epoch * epochs
            evaluation += sizes.forward(lengths[held_out], layers) * epochs
    return Work(features, training, evaluation)


def as_dict(work: Work) -> Mapping[str, float]:
    """Return it in units of 10^9, as JSON has it."""
    parts = {"features": work.features, "training": work.training, "evaluation": work.evaluation, "all": work.total}
    return {name: round(value / 1e9, 1) for name, value in parts.items()}
