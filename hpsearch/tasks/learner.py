"""What the fine-tune is given of a task: a `hpsearch.training.learner.Learner` over a prepared dataset and a model."""

import copy
import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from hpsearch.data.dataset import Dataset
from hpsearch.data.ragged import Ragged, Rows, rows_of
from hpsearch.errors import TaskError
from hpsearch.tasks.adapters.lora import LoraAdapters
from hpsearch.tasks.classes.weights import NAME, class_weights
from hpsearch.tasks.dropout import set_dropout
from hpsearch.tasks.heads import draw_head
from hpsearch.tasks.judge import Judge
from hpsearch.tasks.layers import find_layers
from hpsearch.tasks.pretrained import Pretrained, first_line
from hpsearch.training.measurement import weighted_mean


class RowsLearner(ABC):
    """What learners share, whatever the model: targets, weights, and layers. `Learner` describes the methods."""

    lengths: np.ndarray
    inputs_are_fixed = True
    """Rows are encoded once: a batch only lays them out."""

    def __init__(self, dataset: Dataset, judge: Judge) -> None:
        self.dataset = dataset
        self.judge = judge
        self._targets = rows_of(dataset.arrays, "targets")
        self._weights = None if "weights" not in dataset else np.asarray(dataset["weights"])
        self._layers: list[list[str]] | None = None
        self._class_weights: np.ndarray | None = None
        self._unweighed: Self | None = None

    @abstractmethod
    def batch(self, rows: np.ndarray, padding_multiple: int) -> dict[str, Tensor]: ...

    @abstractmethod
    def outputs(self, model: nn.Module, batch: Mapping[str, Tensor]) -> Tensor: ...

    @abstractmethod
    def losses(self, outputs: Tensor, targets: Tensor, label_smoothing: float) -> Tensor: ...

    def fitted(self, rows: np.ndarray) -> Self:
        learner = copy.copy(self)
        learner.judge = self.judge.fitted(self._targets[rows])
        return learner

    def for_answers(self) -> Self:
        return self

    def weighed(self, config: Mapping[str, Any], rows: np.ndarray) -> Self:
        """Return the learner of a run on these rows whose training loss weighs classes, where the config says so.

        What is evaluated is not weighed: scores and validation losses stay comparable between configs.
        """
        given = config.get(NAME)
        if given is None:
            return self
        learner = copy.copy(self)
        learner._class_weights = class_weights(given, self.judge.classes, np.asarray(self._targets[rows]))
        learner._unweighed = self
        return learner

    def keep(
        self, outputs: Tensor, batch: Mapping[str, Tensor], rows: np.ndarray, model: nn.Module
    ) -> Tensor | Sequence[Tensor]:
        """Return what the judge keeps; a learner whose judge needs targets, or generated text, computes it here."""
        return self.judge.keep(outputs, batch)

    def mean_loss(self, kept: Rows, rows: np.ndarray) -> float:
        """Return the mean of `losses` of what was kept: outputs. A learner that keeps other things has its own."""
        if self._unweighed is not None:
            return self._unweighed.mean_loss(kept, rows)
        losses = self.losses(torch.as_tensor(kept), self.targets(rows), 0.0)
        return weighted_mean(losses, self.weights(rows))

    def own_units(self, kept: Rows) -> Rows:
        return self.judge.own_units(kept)

    def _find_layers(self, model: nn.Module, run: Callable[[], object]) -> list[list[str]]:
        """Return the paths of the modules in each layer; `run` puts one row through the model."""
        return find_layers(model, run)

    def layers(self, model: nn.Module) -> Sequence[Sequence[nn.Module]]:
        if self._layers is None:
            row = self.batch(np.zeros(1, dtype=np.int64), 16)
            device = next(model.parameters()).device
            inputs = {name: tensor.to(device) for name, tensor in row.items()}
            self._layers = self._find_layers(model, lambda: self.outputs(model, inputs))
        return [[model.get_submodule(path) for path in layer] for layer in self._layers]

    def truth(self, rows: np.ndarray) -> Rows:
        return self._targets[rows]

    def targets(self, rows: np.ndarray) -> Tensor:
        """Return targets as they are; a learner of ragged ones lays them out itself."""
        truth = self.truth(rows)
        if isinstance(truth, Ragged):
            raise NotImplementedError(f"{type(self).__name__} has targets of different lengths: define its targets()")
        return torch.from_numpy(truth)

    def weights(self, rows: np.ndarray) -> Tensor | None:
        weights, targets = self.sample_weights(rows), self._targets
        if self._class_weights is not None and isinstance(targets, np.ndarray) and targets.ndim == 1:
            of_classes = self._class_weights[targets[rows]]
            weights = of_classes if weights is None else weights * of_classes
        return None if weights is None else torch.from_numpy(weights)

    def _judged_losses(self, outputs: Tensor, targets: Tensor, label_smoothing: float) -> Tensor:
        """Return the judge's losses; where a row has several labels, their positives weigh as the classes do."""
        if self._class_weights is None or targets.ndim == 1:
            return self.judge.losses(outputs, targets, label_smoothing)
        judge: Any = self.judge
        positives = torch.from_numpy(self._class_weights).to(outputs.device)
        return judge.losses(outputs, targets, label_smoothing, positives=positives)

    def sample_weights(self, rows: np.ndarray) -> np.ndarray | None:
        return None if self._weights is None else self._weights[rows]


class PretrainedLearner(RowsLearner):
    """A learner for models of transformers; subclasses make the batches."""

    adapters = LoraAdapters()

    def __init__(self, dataset: Dataset, pretrained: Pretrained) -> None:
        super().__init__(dataset, pretrained.judge)
        self.pretrained = pretrained
        self._options: dict[str, Any] | None = None

    def load_model(self) -> nn.Module:
        return self.pretrained.load()

    def initialize_head(self, model: nn.Module) -> None:
        draw_head(model)

    def configure(self, model: nn.Module, config: Mapping[str, Any]) -> None:
        set_dropout(model, config.get("dropout"))

    def outputs(self, model: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
        if self._options is None:
            # A classifier reads each row once: the keys and values that decoders cache would only take memory.
            cached = "use_cache" in inspect.signature(model.forward).parameters
            self._options = {"use_cache": False} if cached else {}
        return model(**batch, **self._options).logits

    def losses(self, outputs: Tensor, targets: Tensor, label_smoothing: float) -> Tensor:
        return self._judged_losses(outputs, targets, label_smoothing)

    @abstractmethod
    def advice(self, model: nn.Module) -> str:
        """Return what to do where a model does not take the rows as they are prepared, as a sentence."""


FAILURES = (ValueError, RuntimeError, IndexError, KeyError, TypeError, AttributeError, AssertionError)
"""What models of transformers raise on rows that they do not take."""


def try_model(learner: PretrainedLearner, model: nn.Module) -> None:
    """Compute the outputs of the longest row and of the shortest.

    Raises:
        TaskError: The model does not take such rows, or has another number of outputs than the task has classes.
    """
    model.eval()
    for row in dict.fromkeys((int(np.argmax(learner.lengths)), int(np.argmin(learner.lengths)))):
        batch = learner.batch(np.array([row]), 16)
        try:
            with torch.no_grad():
                logits = learner.outputs(model, batch)
        except FAILURES as error:
            raise TaskError(
                f"{type(model).__name__} in {learner.pretrained.source!r} does not take the rows as they are prepared "
                f"({', '.join(f'{name} {tuple(tensor.shape)}' for name, tensor in batch.items())}): "
                f"{first_line(error)} {learner.advice(model)}"
            ) from error
        expected = (1, learner.judge.outputs)
        if learner.judge.outputs and tuple(logits.shape) != expected:
            raise TaskError(
                f"{type(model).__name__} in {learner.pretrained.source!r} gives outputs of shape "
                f"{tuple(logits.shape)} for one row, and the task has {learner.judge.targets_text}. Give a model with "
                "one output for each."
            )


def count_layers(learner: PretrainedLearner, model: nn.Module) -> int:
    """Return how many layers of a model can be kept as pretrained: 0 where nothing is, or no layers are found."""
    try:
        return len(learner.layers(model)) - 1
    except TaskError:
        return 0
