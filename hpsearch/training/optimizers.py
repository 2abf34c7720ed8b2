"""AdamW as fine-tuning uses it: decoupled decay, none of it on biases and norms, fused where there is a kernel."""

import inspect
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from hpsearch.training.hyperparameters import TrainingSettings

FUSED_DEVICES = frozenset({"cpu", "cuda"})
"""Device types on which torch's AdamW has a fused kernel that is relied on here."""


class _AdamW(torch.optim.AdamW):
    """AdamW without the guards against `torch.compile`, which take over a second to import the compiler.

    Nothing here compiles a step.
    """

    step = torch.no_grad()(inspect.unwrap(torch.optim.AdamW.step))
    add_param_group = inspect.unwrap(torch.optim.AdamW.add_param_group)
    zero_grad = inspect.unwrap(torch.optim.AdamW.zero_grad)


def _without_decay(model: nn.Module) -> Iterator[nn.Parameter]:
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.ndim <= 1 or name == "bias" or "norm" in type(module).__name__.lower():
                yield parameter


def decay_groups(model: nn.Module) -> tuple[dict[str, nn.Parameter], dict[str, nn.Parameter]]:
    """Return the trainable parameters by name, once each: those that weight decay applies to, and those it does not.

    Biases, the parameters of normalization layers, and whatever has one dimension or none are not decayed.
    """
    exempt = {id(parameter) for parameter in _without_decay(model)}
    trainable = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    decayed = {name: parameter for name, parameter in trainable.items() if id(parameter) not in exempt}
    return decayed, {name: parameter for name, parameter in trainable.items() if name not in decayed}


def make_optimizer(model: nn.Module, settings: TrainingSettings) -> torch.optim.AdamW:
    """Return AdamW (Loshchilov and Hutter 2019) over the model's trainable parameters, of which there must be some."""
    decayed, exempt = decay_groups(model)
    groups: list[dict[str, Any]] = [
        {"params": list(parameters.values()), "weight_decay": decay}
        for parameters, decay in ((decayed, settings.weight_decay), (exempt, 0.0))
        if parameters
    ]
    device_type = next(iter((decayed or exempt).values())).device.type
    return _AdamW(
        groups,
        lr=settings.learning_rate,
        betas=(settings.adam_beta1, settings.adam_beta2),
        eps=settings.adam_epsilon,
        fused=device_type in FUSED_DEVICES,
    )
