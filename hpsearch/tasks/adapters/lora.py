"""LoRA and its kin, made by peft inside a model, in place: put in for one run and taken out for the next."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from hpsearch.errors import TaskError
from hpsearch.tasks.adapters.hyperparameters import AdapterSettings, check_installed
from hpsearch.tasks.adapters.targets import target_modules
from hpsearch.tasks.heads import new_parameters
from hpsearch.tasks.loading import first_line, quiet

NAME = "default"
"""peft's name of the only adapter of a model, part of its parameters' names."""

_TUNER = "adapter_tuner"
"""The attribute of a model with adapters that holds what takes them out."""


class LoraAdapters:
    """Puts LoRA adapters into models of transformers; `hpsearch.training.adapters.Adapters` describes the methods.

    With them a run trains the adapters and what is not pretrained (a new head); biases and norms stay as they are.
    """

    def wanted(self, config: Mapping[str, Any]) -> bool:
        return AdapterSettings.of(config) is not None

    def put_in(self, model: nn.Module, config: Mapping[str, Any], frozen: Sequence[nn.Module]) -> None:
        settings = AdapterSettings.of(config)
        assert settings is not None  # only asked where adapters are wanted
        check_installed()
        new = new_parameters(model)
        if all(name in new for name, _ in model.named_parameters()):
            raise TaskError(
                f"lora_r={settings.r}: nothing of this {type(model).__name__} is pretrained, so there is nothing for "
                "adapters to change. Leave lora_r out, or give a model with weights."
            )
        inject(model, settings, target_modules(model, settings.targets, frozen))
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(is_adapter(name) or (name in new and parameter.is_floating_point()))

    def take_out(self, model: nn.Module) -> None:
        tuner = vars(model).pop(_TUNER, None)
        if tuner is not None:
            tuner[0].unload()


def inject(model: nn.Module, settings: AdapterSettings, targets: Sequence[str]) -> None:
    """Put adapters into modules of a model, in float32, drawn from torch's random state on the CPU.

    Raises:
        TaskError: peft refuses a module.
    """
    import peft

    config = peft.LoraConfig(
        r=settings.r,
        lora_alpha=settings.alpha,  # type: ignore[arg-type]  # peft only divides it
        lora_dropout=settings.dropout,
        target_modules=list(targets),
        use_rslora=settings.variant == "rslora",
        use_dora=settings.variant == "dora",
        bias="none",
    )
    with quiet(), torch.random.fork_rng(devices=[]):
        try:
            tuner = peft.LoraModel(model, config, NAME)
        except (ValueError, TypeError, NotImplementedError, RuntimeError) as error:
            raise TaskError(
                f"peft has no adapter with lora_variant={settings.variant!r} for lora_target_modules="
                f"{settings.targets!r} of {type(model).__name__}: {first_line(error)}"
            ) from error
    vars(model)[_TUNER] = (tuner, settings)  # in a tuple: it holds the model, and must not be a module of it
    for layer in lora_layers(model):
        _draw(layer)


def lora_layers(model: nn.Module) -> Iterator[Any]:
    """Yield the modules of a model that have an adapter."""
    from peft.tuners.lora import LoraLayer

    return (module for module in model.modules() if isinstance(module, LoraLayer))


def peft_config(model: nn.Module) -> Any | None:
    """Return peft's config of a model's adapters, or None where it has none."""
    tuner = vars(model).get(_TUNER)
    return None if tuner is None else tuner[0].peft_config[NAME]


def settings_in(model: nn.Module) -> AdapterSettings:
    """Return the settings of a model's adapters, of which it must have some."""
    settings: AdapterSettings = vars(model)[_TUNER][1]
    return settings


def merge(model: nn.Module) -> None:
    """Add a model's adapters to its weights, in place, and take them out: then it is one of transformers alone."""
    tuner = vars(model).pop(_TUNER)
    tuner[0].merge_and_unload(safe_merge=True)


def is_adapter(name: str) -> bool:
    """Whether a parameter of this name belongs to an adapter."""
    return any(part.startswith("lora_") for part in name.split("."))


def adapter_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Return the parameters of a model's adapters by name."""
    return {name: parameter for name, parameter in model.named_parameters() if is_adapter(name)}


@torch.no_grad()
def _draw(layer: Any) -> None:
    """Draw one layer's adapter: on the CPU, so that a seed means one adapter on every device, and in float32.

    peft has made it in the type of the layer's own weight. Its rule (Hu et al. 2022): the first matrix as
    `nn.Linear` draws it, the second zero, so that a run begins with the pretrained model. DoRA's magnitudes are the
    norms of the weight, computed again in float32.
    """
    first, second = layer.lora_A[NAME].weight, layer.lora_B[NAME].weight
    for parameter in (first, second):
        parameter.data = torch.zeros_like(parameter, dtype=torch.float32)
    first.copy_(nn.init.kaiming_uniform_(torch.empty(first.shape), a=5**0.5))
    variant = layer.lora_variant.get(NAME)
    if variant is not None:
        variant.init(layer, NAME)
        for parameter in layer.lora_magnitude_vector.parameters():
            parameter.data = parameter.data.float()
