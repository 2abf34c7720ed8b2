"""A custom task tried on a few rows before the search starts: what cannot work is found here, not in a trial."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hpsearch.data.example_reading import USER_ERRORS
from hpsearch.errors import TaskError
from hpsearch.provenance.definitions import observed
from hpsearch.records import digest
from hpsearch.tasks.base import Prepared
from hpsearch.tasks.custom.learner import CustomLearner
from hpsearch.tasks.custom.model import brought_along
from hpsearch.tasks.custom.model_factory import failure
from hpsearch.tasks.pretrained import digest_of_tensors
from hpsearch.tasks.user_code import UserCode
from hpsearch.training.random_states import isolated

_ROWS = 3
_PADDING = 16
_VISIBLE = 1e-3

_HELD = (
    "A function that holds layers or values of a model (a forward replaced by an inner function or a lambda, a hook) "
    "keeps using those of the original model. Write it as a module of your own, whose forward calls "
    "self.layer(...)."
)


def tried(
    learner: CustomLearner, prepared: Prepared, warnings: tuple[str, ...], code: Mapping[str, UserCode | None]
) -> Prepared:
    """Return `prepared` with the digest, the layers and the warnings of the model that the task recommends.

    `code` is what makes the model ("make_model"), its loss, and what collates batches.

    Raises:
        TaskError: Model, loss and rows do not fit each other.
    """
    learner = learner.fitted(np.arange(prepared.trained_rows))  # as a run is
    given = [each.value for each in code.values() if each is not None]
    with isolated(0), observed(*given):
        original = learner.factory.original(learner.arguments)
        model = learner.copied(original)
        remarks = rehearse(learner, model, original)
        layers: int | None = 0 if learner.head is None else len(learner.layers(model)) - 1
    if layers and learner.arguments:
        layers = None  # other arguments may make a model of another depth
    same, are_drawn = brought_along(learner.load_model)
    if not are_drawn:
        remarks.append(
            f"{learner.factory.code.name} makes the same {type(model).__name__} under every seed, so folds and "
            "repeats differ in their rows only. If it sets a seed of its own, leave that out."
        )
    definitions = {name: None if each is None else each.definition for name, each in code.items()}
    digests = {name: None if each is None else each.digest for name, each in definitions.items()}
    made = digests.pop("make_model")
    remarks += [text for name, each in definitions.items() if each is not None for text in each.remarks(f"{name}=")]
    parts = {
        **digests,
        "head": learner.head,
        **dict(zip(("kind", "classes"), prepared.judge.identity, strict=True)),
    }
    return replace(
        prepared,
        model_digest=digest(["custom", made, digest_of_tensors(same), parts]),
        warnings=(*warnings, *remarks),
        layers=layers,
    )


def rehearse(learner: CustomLearner, model: nn.Module, original: nn.Module) -> list[str]:
    """Put rows through the model and its loss, forwards and backwards; return warnings.

    `original` is what the user's code returned, of which the model is a copy.

    Raises:
        TaskError: The model does not take the rows, has other outputs than the task has classes, or no parameters; the
            loss cannot be computed, is not one number a row, or no gradient reaches the model; or the model computes
            with layers of the original.
    """
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise TaskError(
            f"{type(model).__name__} has no parameters that can be trained. Have make_model return a model that has."
        )
    rows = np.unique([0, int(np.argmax(learner.lengths)), len(learner.lengths) - 1])[:_ROWS]
    model.eval()
    logits = _outputs(learner, model, rows, original)
    losses = _losses(learner, logits, rows)
    with _own_gradients(original) as weights:
        try:
            losses.sum().backward()
        except RuntimeError as error:
            raise TaskError(
                f"no gradient reaches the model from its loss: {failure(error)} Compute outputs and loss with torch, "
                "without detach() or torch.no_grad()."
            ) from error
        reached = [name for name, weight in weights.items() if weight.grad is not None]
    if reached:
        raise TaskError(
            f"{type(model).__name__} cannot train {reached[0]!r}: each run trains a copy of the model, and this copy "
            f"computes with the weight of the model itself. {_HELD}"
        )
    model.zero_grad(set_to_none=True)
    return _padding_seen(learner, model)


@contextmanager
def _own_gradients(original: nn.Module) -> Iterator[dict[str, nn.Parameter]]:
    """Put the gradients of the user's weights aside, so that those which come in between can be told."""
    weights = dict(original.named_parameters())
    gradients = {name: weight.grad for name, weight in weights.items()}
    for weight in weights.values():
        weight.grad = None
    try:
        yield weights
    finally:
        for name, weight in weights.items():
            weight.grad = gradients[name]


@torch.no_grad()
def _takes(learner: CustomLearner, original: nn.Module, batch: Mapping[str, Tensor]) -> bool:
    """Return whether the model takes a batch before it is copied."""
    modes = [(module, module.training) for module in original.modules()]
    original.eval()
    try:
        learner.outputs(original, batch)
    except USER_ERRORS:
        return False
    finally:
        for module, training in modes:
            module.training = training
    return True


def _outputs(learner: CustomLearner, model: nn.Module, rows: np.ndarray, original: nn.Module) -> Tensor:
    name, outputs = type(model).__name__, learner.judge.outputs
    batch: dict[str, Tensor] = {}
    try:
        batch = learner.batch(rows, _PADDING)
        logits: Any = learner.outputs(model, batch)
    except TaskError:
        raise
    except USER_ERRORS as error:
        if batch and _takes(learner, original, batch):
            raise TaskError(
                f"{name} takes the rows, but a copy of it does not, and each run trains a copy: {failure(error)} "
                f"{_HELD}"
            ) from error
        shapes = ", ".join(f"{key} {tuple(tensor.shape)} {tensor.dtype}" for key, tensor in batch.items())
        raise TaskError(
            f"{name} does not take the rows as they are ({shapes}): {failure(error)} Shape the rows as the model takes "
            "them, or the model as the rows are; the first dimension is the rows."
        ) from error
    if not isinstance(logits, Tensor) or tuple(logits.shape) != (len(rows), outputs):
        given = (
            f"outputs of shape {tuple(logits.shape)}" if isinstance(logits, Tensor) else f"a {type(logits).__name__}"
        )
        raise TaskError(
            f"{name} gives {given} for {len(rows)} rows, and the task has {learner.judge.targets_text}: "
            f"({len(rows)}, {outputs}) is needed{learner.judge.outputs_text}"
        )
    if not logits.is_floating_point() or not bool(logits.isfinite().all()):
        raise TaskError(
            f"{name} gives outputs that are not finite numbers ({logits.dtype}) before any training. Check how it is "
            "initialized, and the scale of the inputs."
        )
    return logits


def _losses(learner: CustomLearner, logits: Tensor, rows: np.ndarray) -> Tensor:
    targets = learner.targets(rows)
    _, taken = learner.judge.loss_arguments(logits, targets)
    given = f"for logits {tuple(logits.shape)} and targets {tuple(taken.shape)} {taken.dtype}"
    try:
        losses: Any = learner.losses(logits, targets, 0.0)
    except USER_ERRORS as error:
        raise TaskError(f"the loss fails {given}: {failure(error)} It is called as loss(logits, targets).") from error
    if not isinstance(losses, Tensor) or tuple(losses.shape) != (len(rows),):
        shape = f"shape {tuple(losses.shape)}" if isinstance(losses, Tensor) else f"a {type(losses).__name__}"
        how = "reduction='none'" if not isinstance(losses, Tensor) or losses.ndim == 0 else ".mean(dim=1)"
        raise TaskError(
            f"the loss gives {shape} {given}, and one number a row is needed, shape ({len(rows)},): rows are weighted "
            f"and averaged by the search itself. With torch's losses say {how}."
        )
    if not bool(losses.isfinite().all()):
        raise TaskError(f"the loss is {losses.tolist()} {given}, before any training. Check the loss and the targets.")
    return losses


@torch.no_grad()
def _padding_seen(learner: CustomLearner, model: nn.Module) -> list[str]:
    """Return a warning where zeros after a row's end, and so the other rows of its batch, change its outputs."""
    if learner.collate is not None or int(learner.lengths.max()) == 1:
        return []
    shortest, longest = int(np.argmin(learner.lengths)), int(np.argmax(learner.lengths))
    if learner.lengths[shortest] == learner.lengths[longest]:
        return []
    alone = learner.outputs(model, learner.batch(np.array([shortest]), _PADDING))
    beside = learner.outputs(model, learner.batch(np.array([shortest, longest]), _PADDING))[:1]
    change = float((alone - beside).abs().max())
    if change <= _VISIBLE * max(1.0, float(alone.abs().max())):
        return []
    return [
        f"the outputs of {type(model).__name__} change with the zeros that fill short rows up (by {change:.2g} for row "
        f"{shortest}), so a row's score depends a little on the rows it is batched with. Give its forward an argument "
        "lengths (whole numbers, one a row) and leave out what lies behind."
    ]
