"""The optimizers that fine-tuning uses: decay on no bias and no norm, and what each keeps of a parameter."""

import inspect
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from hpsearch.training.hyperparameters import TrainingSettings
from hpsearch.training.lion import Lion
from hpsearch.training.schedule_free import ScheduleFreeAdamW

Made = TypeVar("Made", bound=torch.optim.Optimizer)

FUSED_DEVICES = frozenset({"cpu", "cuda"})
"""Device types on which torch's AdamW has a fused kernel that is relied on here."""


def _uncompiled(optimizer: type[Made]) -> type[Made]:
    """Return an optimizer without the guards against `torch.compile`, which take over a second to import the compiler.

    Nothing here compiles a step.
    """
    plain: dict[str, Any] = {
        name: inspect.unwrap(getattr(optimizer, name)) for name in ("add_param_group", "zero_grad")
    }
    return type(
        f"_{optimizer.__name__}", (optimizer,), {"step": torch.no_grad()(inspect.unwrap(optimizer.step)), **plain}
    )


_AdamW = _uncompiled(torch.optim.AdamW)
_SGD = _uncompiled(torch.optim.SGD)
# torch's and not transformers': all that it keeps is tensors, and its step is a function of them.
_Adafactor = _uncompiled(torch.optim.Adafactor)
_Lion = _uncompiled(Lion)
_ScheduleFreeAdamW = _uncompiled(ScheduleFreeAdamW)


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


def make_optimizer(
    model: nn.Module, settings: TrainingSettings, layers: Sequence[Sequence[nn.Module]] = ()
) -> torch.optim.Optimizer:
    """Return the config's optimizer over the model's trainable parameters, of which there must be some.

    AdamW is that of Loshchilov and Hutter 2019, SGD's weight decay an L2 penalty, Adafactor's (Shazeer and Stern 2018)
    learning rate the highest step relative to a parameter's norm; for Lion and schedule-free AdamW see there.

    Each group of parameters has in "lr_share" what the learning rate is to be multiplied by for it: the decay from
    layer to layer. `layers` are [embeddings, layer 1, ..., layer n] where there is such a decay.
    """
    decayed, exempt = decay_groups(model)
    shares = _shares(settings.layerwise_lr_decay, layers)
    grouped: dict[tuple[float, float], list[nn.Parameter]] = {}
    for parameters, decay in ((decayed, settings.weight_decay), (exempt, 0.0)):
        for parameter in parameters.values():
            grouped.setdefault((decay, shares.get(id(parameter), 1.0)), []).append(parameter)
    groups: list[dict[str, Any]] = [
        {"params": parameters, "weight_decay": decay, "lr_share": share}
        for (decay, share), parameters in grouped.items()
    ]
    rate, betas = settings.learning_rate, (settings.adam_beta1, settings.adam_beta2)
    match settings.optimizer:
        case "sgd":
            return _SGD(groups, lr=rate, momentum=settings.sgd_momentum)
        case "adafactor":
            return _Adafactor(groups, lr=rate)
        case "lion":
            return _Lion(groups, lr=rate)
        case "schedule_free_adamw":
            return _ScheduleFreeAdamW(groups, lr=rate, betas=betas, eps=settings.adam_epsilon)
    device_type = next(iter((decayed or exempt).values())).device.type
    return _AdamW(groups, lr=rate, betas=betas, eps=settings.adam_epsilon, fused=device_type in FUSED_DEVICES)


def _shares(decay: float, layers: Sequence[Sequence[nn.Module]]) -> dict[int, float]:
    """Return what the learning rate of each parameter below the head is multiplied by, by its id."""
    shares: dict[int, float] = {}
    if decay != 1.0:
        for depth, layer in zip(range(len(layers), 0, -1), layers, strict=True):
            for module in layer:
                for parameter in module.parameters():
                    shares.setdefault(id(parameter), decay**depth)
    return shares


def kept_of(optimizer: torch.optim.Optimizer, parameter: Tensor) -> dict[str, Tensor]:
    """Return what an optimizer keeps of a parameter that it has stepped: tensors of that shape, type and place.

    Nothing is in them. What a checkpoint has under other names is left out: schedule-free AdamW's averages are the
    parameters of one.
    """
    like = torch.empty_like(parameter, memory_format=torch.preserve_format)
    if isinstance(optimizer, torch.optim.SGD):
        return {"momentum_buffer": like} if optimizer.defaults["momentum"] else {}
    if isinstance(optimizer, Lion):
        return {"exp_avg": like}
    # torch keeps the count of steps on the parameter's device for a fused kernel, and on the host otherwise.
    is_fused = bool(optimizer.defaults.get("fused"))
    count = torch.zeros((), dtype=torch.float32, device=parameter.device if is_fused else None)
    if isinstance(optimizer, ScheduleFreeAdamW):
        weight_sum = torch.zeros((), dtype=torch.float64)
        return {"step": count, "weight_sum": weight_sum, "z": like, "exp_avg_sq": torch.empty_like(like)}
    if isinstance(optimizer, torch.optim.Adafactor):
        if parameter.ndim <= 1:
            return {"step": count, "variance": like}
        rows, columns = list(parameter.shape), list(parameter.shape)
        rows[-1] = columns[-2] = 1
        return {"step": count, "row_var": parameter.new_empty(rows), "col_var": parameter.new_empty(columns)}
    return {"step": count, "exp_avg": like, "exp_avg_sq": torch.empty_like(like)}
