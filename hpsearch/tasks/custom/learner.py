"""What the fine-tune is given of a custom task: a `Learner` over arrays on disk, a user's model and a user's loss."""

import copy
import inspect
from collections.abc import Callable, Mapping
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from hpsearch.data.dataset import Dataset
from hpsearch.data.examples import SINGLE, fields_of
from hpsearch.errors import TaskError
from hpsearch.tasks.base import Prepared
from hpsearch.tasks.classes.weights import NAME
from hpsearch.tasks.custom.model import check_head, custom_layers, draw, under_head
from hpsearch.tasks.custom.model_factory import DROPOUT, ModelFactory
from hpsearch.tasks.dropout import set_dropout
from hpsearch.tasks.learner import RowsLearner
from hpsearch.tasks.user_code import SMOOTHING, UserCode, accepts

LENGTHS = "lengths"
"""An argument of this name, where a model has one, gets the length of each row without its padding."""


class CustomLearner(RowsLearner):
    """A learner for any torch module, made with the same arguments throughout."""

    def __init__(
        self,
        dataset: Dataset,
        prepared: Prepared,
        *,
        factory: ModelFactory,
        arguments: Mapping[str, Any],
        head: tuple[str, ...] | None,
        loss: UserCode | None,
        collate: UserCode | None,
    ) -> None:
        super().__init__(dataset, prepared.judge)
        self.factory, self.arguments, self.head = factory, arguments, head
        self.loss: Any = None if loss is None else loss.value
        self.collate: Any = None if collate is None else collate.value
        self._fields = fields_of(dataset.arrays, dataset.facts["axes"])
        self.lengths = np.max([field.lengths for field in self._fields.values()], axis=0)
        # A user's collate may do anything; without one a batch only lays out what is on the disk.
        self.inputs_are_fixed = self.collate is None
        self._takes: frozenset[str] | None = None
        self._losses: dict[torch.device, Any] = {}

    def load_model(self) -> nn.Module:
        """Return a new model, drawn from the caller's random states; `TaskError` if it or its head cannot be made."""
        return self.copied(self.factory.original(self.arguments))

    def copied(self, original: nn.Module) -> nn.Module:
        """Return a copy of what the factory returned, as a run trains it; the user's own stays as it is."""
        model = self._complete(self.factory.copied(original))
        check_head(model, self.head)
        return model.eval()

    def _complete(self, model: nn.Module) -> nn.Module:
        model = model.cpu().float()
        if _is_lazy(model):
            model.eval()
            with torch.no_grad():  # lazy modules learn their shapes, and are drawn, when a row first goes through
                self.outputs(model, self.batch(np.zeros(1, dtype=np.int64), 16))
        return model

    def initialize_head(self, model: nn.Module) -> None:
        """Draw what is new by making the model once more; it is only read, and so not copied."""
        made = self.factory.original(self.arguments)
        draw(model, self._complete(self.factory.copied(made)) if _is_lazy(made) else made, self.head)

    def configure(self, model: nn.Module, config: Mapping[str, Any]) -> None:
        """Set the dropout that `config` names, unless the model was made with it."""
        if DROPOUT not in self.arguments:
            set_dropout(model, config.get(DROPOUT))

    def _find_layers(self, model: nn.Module, run: Callable[[], object]) -> list[list[str]]:
        head = under_head((name for name, _ in model.named_parameters()), self.head)
        return custom_layers(model, head, run)

    def batch(self, rows: np.ndarray, padding_multiple: int) -> dict[str, Tensor]:
        """Return the model's inputs for these rows, on the CPU.

        Zeros fill rows up to the longest, rounded up to the multiple. "lengths" (of a named input "<name>_lengths"),
        int64 (rows,), says how long each is.
        """
        if self.collate is not None:
            return self._collated(rows)
        batch = {}
        for name, field in self._fields.items():
            batch[name] = as_tensor(field.padded(rows, padding_multiple))
            if field.offsets is not None:
                batch.setdefault(_lengths_name(name), torch.from_numpy(field.lengths[rows]))
        return batch

    def _collated(self, rows: np.ndarray) -> dict[str, Tensor]:
        inputs = [{name: as_tensor(field.row(row)) for name, field in self._fields.items()} for row in rows]
        made = self.collate([row.get(SINGLE, row) for row in inputs])
        batch = dict(made) if isinstance(made, Mapping) else {SINGLE: made}
        for name, tensor in batch.items():
            if not isinstance(tensor, Tensor) or tensor.ndim == 0 or len(tensor) != len(rows):
                shape = tuple(tensor.shape) if isinstance(tensor, Tensor) else type(tensor).__name__
                raise TaskError(
                    f"collate= made {shape} of {len(rows)} rows for the input {name!r}: it must return a tensor, or a "
                    f"dict of tensors, whose first dimension is the rows."
                )
        return batch

    def outputs(self, model: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
        if self._takes is None:
            self._takes = frozenset(inspect.signature(model.forward).parameters)
        own = {_lengths_name(name) for name in self._fields} - self._fields.keys()  # which the user does not give
        inputs = {name: tensor for name, tensor in batch.items() if name not in own or name in self._takes}
        outputs: Any = model(inputs.pop(SINGLE), **inputs) if SINGLE in inputs else model(**inputs)
        return getattr(outputs, "logits", outputs)

    def weighed(self, config: Mapping[str, Any], rows: np.ndarray) -> Self:
        """See `RowsLearner.weighed`; what a model has an argument for is the model's."""
        return self if NAME in self.arguments else super().weighed(config, rows)

    def losses(self, outputs: Tensor, targets: Tensor, label_smoothing: float) -> Tensor:
        """Return each row's loss in float32, shape (rows,): the user's, or the judge's."""
        if self.loss is None:
            return self._judged_losses(outputs, targets, label_smoothing)
        loss = self._loss_on(outputs.device)
        smoothing = {SMOOTHING: label_smoothing} if accepts(loss, SMOOTHING) else {}
        return loss(*self.judge.loss_arguments(outputs, targets), **smoothing)

    def _loss_on(self, device: torch.device) -> Any:
        """Return the loss with what it holds (weights of classes) on a device."""
        if not isinstance(self.loss, nn.Module):
            return self.loss
        if device not in self._losses:
            self._losses[device] = copy.deepcopy(self.loss).to(device)
        return self._losses[device]


def _is_lazy(model: nn.Module) -> bool:
    return any(is_lazy(parameter) for parameter in model.parameters())


def as_tensor(array: np.ndarray) -> Tensor:
    """Return an input as models take it: float32, or int64 of whole numbers; bytes and booleans as they are."""
    if array.dtype.kind == "f":
        array = array.astype(np.float32, copy=False)
    elif array.dtype.kind in "iu" and array.dtype != np.uint8:
        array = array.astype(np.int64, copy=False)
    return torch.from_numpy(np.array(array, order="C"))


def _lengths_name(field: str) -> str:
    return LENGTHS if field == SINGLE else f"{field}_{LENGTHS}"
