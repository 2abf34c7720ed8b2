"""Learners whose frozen layers cannot be left out, each for a reason of its own, and runs with and without a cache."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from training_learners import CPU, HELD_OUT_ROWS, Encoder, TextLearner, fine_tune, numerics

from hpsearch.training.base_model import BaseModel
from hpsearch.training.features.cache import FeatureCache
from hpsearch.training.features.store import FeatureStore
from hpsearch.training.fine_tune import FineTune
from hpsearch.training.numerics import Numerics


class FixedTextLearner(TextLearner):
    """Rows whose inputs are the same whenever they come up."""

    inputs_are_fixed = True


class AugmentedLearner(TextLearner):
    """Rows of which a token is left out at random."""

    inputs_are_fixed = False

    def batch(self, rows: np.ndarray, padding_multiple: int) -> dict[str, Tensor]:
        batch = super().batch(rows, padding_multiple)
        batch["tokens"] = batch["tokens"] * (torch.rand(batch["tokens"].shape) > 0.1)
        return batch


class Stacked(Encoder):
    """An encoder to be changed below its last layer."""

    def between(self, hidden: Tensor) -> Tensor:
        return hidden

    def above(self, hidden: Tensor, embedded: Tensor) -> Tensor:
        return hidden

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        embedded = self.embedding_norm(self.words(tokens))
        hidden = embedded
        for index, layer in enumerate(self.layers):
            hidden = layer(self.between(hidden) if index == 0 else hidden, mask)
        return self.classifier(self.dropout(torch.tanh(self.pooler(self.above(hidden, embedded)[:, 0]))))


class _DropsBetween(Stacked):
    def between(self, hidden: Tensor) -> Tensor:
        return functional.dropout(hidden, 0.1, self.training)


class _DropsLayers(Stacked):
    """Layer dropout as wav2vec2 and BART have it: a number is drawn for each layer, whatever comes of it."""

    def between(self, hidden: Tensor) -> Tensor:
        return hidden * 2 if self.training and torch.rand([]) < 0.01 else hidden


class _LooksBack(Stacked):
    """The head reads the embeddings too: they run, the layers do not."""

    def above(self, hidden: Tensor, embedded: Tensor) -> Tensor:
        return hidden + embedded


class _SharesLayers(Stacked):
    """The second layer reads what the first one began with: a layer below is read beyond the next."""

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        first = self.layers[0](self.embedding_norm(self.words(tokens)), mask)
        second = self.layers[1](first, mask)
        return self.classifier(self.dropout(torch.tanh(self.pooler((first + second)[:, 0]))))


class _ReadsPadding(Stacked):
    def above(self, hidden: Tensor, embedded: Tensor) -> Tensor:
        return hidden.mean(dim=1, keepdim=True)


class BuiltLearner(FixedTextLearner):
    """A learner of one of the models above."""

    def __init__(self, model: type[Stacked], rows: int = 22) -> None:
        super().__init__(rows)
        self._model = model

    def build(self) -> nn.Module:
        return self._model(16, 2, noise=False)

    def layers(self, model: Any) -> Sequence[Sequence[nn.Module]]:
        return [[model.words, model.embedding_norm], *([layer] for layer in model.layers)]


class NewLayerLearner(BuiltLearner):
    """One of its layers is drawn with the head."""

    def initialize_head(self, model: Any) -> None:
        super().initialize_head(model)
        nn.init.normal_(model.layers[0].inner.weight, std=0.02)


NOT_EXACT: Mapping[str, tuple[TextLearner, str]] = {
    "augmented": (AugmentedLearner(), "its inputs are not the same whenever a row comes up"),
    "silent": (TextLearner(), "its inputs are not the same whenever a row comes up"),
    "dropout between layers": (BuiltLearner(_DropsBetween), "random numbers are drawn below its last frozen layer"),
    "layer dropout": (BuiltLearner(_DropsLayers), "random numbers are drawn below its last frozen layer"),
    "shared layers": (BuiltLearner(_SharesLayers), "more than the output of its last frozen layer is read above it"),
    "padding": (BuiltLearner(_ReadsPadding), "padding included"),
    "a new layer": (NewLayerLearner(Stacked), "'layers.0.inner.weight' in its frozen layers is drawn anew"),
}
"""A learner to what the line in the log says of it; two layers are frozen."""

LOOKS_BACK = BuiltLearner(_LooksBack)


def store(folder: Path, budget: int = 2**30) -> FeatureStore:
    return FeatureStore(folder / "features", budget)


def cached(
    learner: Any,
    features: FeatureStore,
    identity: Sequence[str] = ("a model", "rows"),
) -> BaseModel:
    return BaseModel(learner, CPU, FeatureCache(features, identity))


def run_of(
    learner: Any, base: BaseModel, config: Mapping[str, Any], computing: Numerics | None = None, rows: int = 22
) -> FineTune:
    """Return a run of several epochs with dropout, whose last batch is smaller."""
    whole = {"learning_rate": 3e-3, "batch_size": 6, "epochs": 2, "warmup_ratio": 0.2, "dropout": 0.2, **config}
    if rows == 22:
        return fine_tune(learner, whole, base=base, computing=computing, held_out_rows=HELD_OUT_ROWS)
    order = np.random.default_rng(0).permutation(rows)
    return FineTune(
        learner,
        whole,
        train_rows=order[: 2 * rows // 3],
        held_out_rows=order[2 * rows // 3 :],
        seed=5,
        evaluations_per_epoch=2,
        numerics=computing or numerics(),
        device=CPU,
        base=base,
    )
