"""The head: what a model does not bring along pretrained, and how it is drawn."""

from typing import Any

import torch
from torch import nn

from hpsearch.errors import TaskError

_HEAD_NAMES = ("classifier", "classification_head", "score", "head", "fc", "cls_classifier", "distillation_classifier")
_INITIALIZED = "_is_hf_initialized"


def base_of(model: nn.Module) -> nn.Module:
    """Return the part of a model that is pretrained: what lies under its `base_model_prefix`, or all of it."""
    base = getattr(model, getattr(model, "base_model_prefix", "") or " ", None)
    return base if isinstance(base, nn.Module) else model


def mark_head(model: nn.Module, new: set[str] | None, *, keep_head: bool, source: str) -> None:
    """Write the names of all parameters that are not pretrained into `model.new_parameters`.

    Those of them that weights were to hold, and do not, go into `model.lost_parameters`.

    They are the keys in `new` and, unless `keep_head`, everything outside the base model: a head trained for other
    labels is no better than a new one, and what "the head" is would differ between models.

    Args:
        new: Keys that the weights lack or hold in another size; None where there are no weights at all.
        keep_head: Keep a head that the weights hold.
        source: For errors.

    Raises:
        TaskError: The weights are those of another architecture: most of the base model is missing.
    """
    everything = {name for name, _ in model.named_parameters()}
    marked: Any = model  # which carries an attribute that nn.Module does not declare
    if new is None:
        marked.new_parameters, marked.lost_parameters = frozenset(everything), ()
        return
    base = base_of(model)
    head = {name for name in everything if name.split(".")[0] in _HEAD_NAMES}
    if base is not model:
        inside = {id(parameter) for parameter in base.parameters()}
        head = {name for name, parameter in model.named_parameters() if id(parameter) not in inside}
    missing = (everything & new) - head
    sizes = {name: parameter.numel() for name, parameter in model.named_parameters()}
    lost, whole = sum(sizes[name] for name in missing), sum(sizes[name] for name in everything - head)
    if lost > whole / 2:
        raise TaskError(
            f"the weights in {source!r} are not those of its config.json: {len(missing)} of {len(everything - head)} "
            f"tensors of {type(model).__name__} are missing or of another size, {sorted(missing)[0]!r} for one. Give "
            "the folder that the weights were saved in, or pretrained=False to train from scratch."
        )
    marked.new_parameters = frozenset((everything & new) | (set() if keep_head else head))
    marked.lost_parameters = tuple(sorted(missing))


def new_parameters(model: nn.Module) -> frozenset[str]:
    """Return the names of the parameters that are not pretrained."""
    marked: Any = model
    return marked.new_parameters


def lost_parameters(model: nn.Module) -> tuple[str, ...]:
    """Return the names of the parameters below the head that the weights lack, or hold in another size."""
    marked: Any = model
    return marked.lost_parameters


@torch.no_grad()
def draw_head(model: nn.Module) -> None:
    """Draw every new parameter in place from torch's global random state, as the model's own authors would.

    transformers initializes what is not marked as initialized, in the order of registration. So only pretrained
    tensors are marked. Modules that the model's own rule passes over are first drawn as torch would.
    """
    new = new_parameters(model)
    for name, parameter in model.named_parameters():
        setattr(parameter, _INITIALIZED, name not in new)
    for buffer in model.buffers():
        setattr(buffer, _INITIALIZED, True)
    for path, module in model.named_modules():
        prefix = f"{path}." if path else ""
        own = {prefix + name for name, _ in module.named_parameters(recurse=False)}
        if own and own <= new and hasattr(module, "reset_parameters"):
            module.reset_parameters()
        inside = {prefix + name for name, _ in module.named_parameters()}
        setattr(module, _INITIALIZED, not inside & new)
    whole: Any = model
    whole.initialize_weights()
