"""Which modules of a model get an adapter."""

from collections.abc import Iterable, Iterator

from torch import nn

from hpsearch.errors import TaskError
from hpsearch.tasks.adapters.hyperparameters import ALL_LINEAR
from hpsearch.tasks.heads import base_of, new_parameters

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
"""Modules that get adapters by name only. Embeddings get none: many are tied to the output of their language model."""


def target_modules(model: nn.Module, targets: str, frozen: Iterable[nn.Module] = ()) -> list[str]:
    """Return the paths of the modules that get an adapter.

    "all-linear" means the linear layers of the pretrained part. A name means every module of the pretrained part whose
    path ends with it, as peft has it. Modules with new parameters are trained as they are, and get none; nor do those
    in `frozen`.

    Raises:
        TaskError: The model has no such modules, or all of them are frozen; the message names those there are.
    """
    places = dict(_places(model))
    if targets == ALL_LINEAR:
        chosen = [path for path, module in places.items() if is_linear(module)]
        if not chosen:
            raise TaskError(_refusal(model, targets, places, "has no linear layer"))
    else:
        chosen = []
        for name in targets.split(","):
            matching = [path for path in places if path == name or path.endswith(f".{name}")]
            if not matching:
                raise TaskError(_refusal(model, targets, places, f"has no module {name!r} that takes an adapter"))
            chosen += matching
    inside = {id(part) for module in frozen for part in module.modules()}
    left = [path for path in places if path in set(chosen) and id(places[path]) not in inside]
    if not left:
        raise TaskError(
            f"lora_target_modules={targets!r} are all in layers that freeze_layers keeps as pretrained: there is no "
            f"place for an adapter in this {type(model).__name__}. Freeze fewer layers."
        )
    return left


def target_names(model: nn.Module) -> tuple[str, ...]:
    """Return the names, without what they are in, of all modules that may get an adapter; linear ones first."""
    places = dict(_places(model))
    linear = [_last(path) for path, module in places.items() if is_linear(module)]
    others = [_last(path) for path, module in places.items() if not is_linear(module)]
    return tuple(dict.fromkeys([*linear, *others]))


def is_linear(module: nn.Module) -> bool:
    """Whether a module is linear as peft means it: torch's, or the transposed one of GPT-2.

    Not that in `nn.MultiheadAttention`, a class of its own, whose weight is read past it.
    """
    return type(module) is nn.Linear or type(module).__name__ == "Conv1D"


def _places(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield path and module wherever an adapter could go: in the pretrained part, and not where weights are new."""
    new, base = new_parameters(model), base_of(model)
    inside, heads = {id(module) for module in base.modules()}, _output_modules(model)
    for path, module in model.named_modules():
        fits = is_linear(module) or type(module) in _CONVOLUTIONS
        if not fits or id(module) not in inside or id(module) in heads:
            continue
        if not any(f"{path}.{name}" in new for name, _ in module.named_parameters()):
            yield path, module


def _output_modules(model: nn.Module) -> set[int]:
    """Return what gives the logits of a language model: peft leaves it out of "all-linear", and so do we."""
    try:
        output = model.get_output_embeddings()  # type: ignore[operator]  # of transformers' models
    except (AttributeError, NotImplementedError):
        return set()
    return set() if output is None else {id(output)}


def _last(path: str) -> str:
    return path.rpartition(".")[2]


def _refusal(model: nn.Module, targets: str, places: Iterable[str], what: str) -> str:
    there = ", ".join(dict.fromkeys(_last(path) for path in places)) or "none"
    return (
        f"lora_target_modules={targets!r}, and {type(model).__name__} {what}. Give {ALL_LINEAR!r}, or of these names, "
        f"between commas: {there}."
    )
