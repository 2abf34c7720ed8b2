"""The layers of a model from its input upwards, found by watching one row go through it."""

from collections.abc import Callable, Iterator

import torch
from torch import nn

from hpsearch.errors import TaskError
from hpsearch.tasks.heads import base_of, new_parameters

_CONTAINERS = (nn.ModuleList, nn.ModuleDict)


def find_layers(model: nn.Module, run: Callable[[], object]) -> list[list[str]]:
    """Return the paths of the modules below the head: [embeddings, layer 1, ..., layer n].

    Layers are the items of the model's long module lists (encoder layers, the stages of a convolutional network), in
    the order of their first calls. What is called before the first layer, or never (a table of relative positions),
    belongs to the embeddings; what is called between layers k and k + 1 belongs to layer k. What is called after the
    last layer (a final norm, a pooler) and what has new parameters belong to none. A layer that is used many times over
    (ALBERT) is one layer. `run` puts one row through the model, which `mark_head` has marked.

    Raises:
        TaskError: Nothing is pretrained, or no list of layers is found.
    """
    base, new = base_of(model), new_parameters(model)
    if new.issuperset(name for name, _ in base.named_parameters(prefix=_path_of(model, base))):
        raise TaskError(
            "freeze_layers, layerwise_lr_decay and gradual_unfreezing are of pretrained layers, and "
            "nothing of this model is pretrained. Leave them out."
        )
    blocks = set(_blocks(model, base))
    if not blocks:
        raise TaskError(
            "freeze_layers, layerwise_lr_decay and gradual_unfreezing are not known for "
            f"{type(model).__name__}: it has no list of layers. Leave them out."
        )
    others = [path for path in _without_blocks(model, base, blocks) if not is_new(model, path, new)]
    calls = first_calls(model, [*blocks, *others], run)
    groups: list[list[str]] = [[path for path in others if path not in calls and _size(model.get_submodule(path))]]
    last = max((place for place, path in enumerate(calls) if path in blocks), default=-1)
    for path in calls[: last + 1]:
        if path in blocks:
            groups.append([path])
        else:
            groups[-1].append(path)
    return groups


def _path_of(model: nn.Module, wanted: nn.Module) -> str:
    return next(path for path, module in model.named_modules() if module is wanted)


def _size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _blocks(model: nn.Module, base: nn.Module) -> list[str]:
    """Return the paths of the items of the outermost module lists that hold most of the weights.

    Encoder and decoder are two lists of similar size; lists of less than half the largest are norms and the like.
    """
    lists = list(_outermost_lists(_path_of(model, base), base))
    sizes = {path: _size(module) for path, module in lists}
    largest = max(sizes.values(), default=0)
    blocks = []
    for path, module in lists:
        if sizes[path] and sizes[path] >= largest / 2:
            blocks += [f"{path}.{inner}" for inner in _items(module)]
    return blocks


def _outermost_lists(path: str, module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    if isinstance(module, nn.ModuleList | nn.Sequential):
        yield path, module
        return
    for name, child in module.named_children():
        yield from _outermost_lists(f"{path}.{name}" if path else name, child)


def _items(module: nn.Module) -> Iterator[str]:
    for name, child in module.named_children():
        if isinstance(child, nn.ModuleList):
            yield from (f"{name}.{inner}" for inner in _items(child))
        else:
            yield name


def _without_blocks(model: nn.Module, base: nn.Module, blocks: set[str]) -> Iterator[str]:
    """Yield the largest modules of the base that hold no block: embeddings, norms, poolers."""

    def walk(path: str, module: nn.Module) -> Iterator[str]:
        if path in blocks:
            return
        prefix = f"{path}." if path else ""
        if isinstance(module, _CONTAINERS) or any(block.startswith(prefix) for block in blocks):
            for name, child in module.named_children():
                yield from walk(prefix + name, child)
        else:
            yield path

    yield from walk(_path_of(model, base), base)


def is_new(model: nn.Module, path: str, new: frozenset[str]) -> bool:
    """Return whether the module at a path has one of the new parameters."""
    return any(f"{path}.{name}" in new for name, _ in model.get_submodule(path).named_parameters())


def first_calls(model: nn.Module, paths: list[str], run: Callable[[], object]) -> list[str]:
    """Return those of `paths` whose modules are called, in the order of their first calls."""
    seen: dict[str, None] = {}
    handles = [
        model.get_submodule(path).register_forward_pre_hook(lambda *_, path=path: seen.setdefault(path, None))
        for path in paths
    ]
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            run()
    finally:
        for handle in handles:
            handle.remove()
        for module, training in modes:
            module.training = training
    return list(seen)
