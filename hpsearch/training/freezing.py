"""Freezing: layers kept exactly as pretrained, and the modes of a model of which a part is frozen."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from torch import nn

from hpsearch.errors import TaskError
from hpsearch.training.hyperparameters import ALL_LAYERS


@dataclass(frozen=True)
class Freezing:
    """What of one model is frozen.

    Frozen parameters need no gradient. Frozen modules stay in eval mode while the rest trains: they drop nothing out,
    and batch normalization neither uses nor updates the batch's statistics. As the frozen layers come first, autograd
    remembers nothing of them.

    Attributes:
        modules: The topmost frozen modules, each frozen with all it contains.
        names: The names, in the model, of all frozen modules.
    """

    modules: tuple[nn.Module, ...]
    names: frozenset[str]

    def train(self, model: nn.Module) -> None:
        """Put the model into train mode, its frozen part into eval mode."""
        model.train()
        for module in self.modules:
            module.eval()


def freeze(
    model: nn.Module,
    layers: Sequence[Sequence[nn.Module]],
    freeze_layers: int | str,
    head: Collection[str],
    *,
    has_adapters: bool = False,
) -> Freezing:
    """Freeze the first layers of a model whose parameters are as they were loaded; return what is frozen.

    Args:
        model: The model; parameters that come without a gradient keep none.
        layers: The modules below the head: [embeddings, layer 1, ..., layer n]; not looked at when nothing is frozen.
        freeze_layers: 0 freezes nothing; k freezes the embeddings and the first k layers; "all" trains only the
            parameters in `head`, those that are not pretrained: a pretrained pooler or final norm is frozen too.
        head: Names of the parameters that are not pretrained.
        has_adapters: Whether adapters are trained. Layers that have some drop out as in training, as peft's users
            expect; running statistics stay as pretrained, for no adapter holds them.

    Raises:
        TaskError: The model has fewer layers, or nothing is left to train.
    """
    if freeze_layers == ALL_LAYERS:
        for name, parameter in model.named_parameters():
            if name not in head:
                parameter.requires_grad_(False)
        frozen = _once([module for layer in layers for module in layer]) + _without_gradient(model)
    else:
        frozen = _freeze_first(layers, int(freeze_layers))
    if has_adapters:
        frozen = _once([*frozen, *(module for module in _without_gradient(model) if _keeps_statistics(module))])
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise TaskError(
            f"The hyperparameter freeze_layers={freeze_layers!r} leaves no parameter of this model to train, as "
            f"nothing of it is new; freeze fewer of its {len(layers) - 1} layers."
        )
    inside = {id(part) for module in frozen for part in module.modules()}
    return Freezing(tuple(frozen), frozenset(name for name, module in model.named_modules() if id(module) in inside))


def frozen_layers(layers: Sequence[Sequence[nn.Module]], freeze_layers: int | str) -> Sequence[Sequence[nn.Module]]:
    """Return those of a model's layers that `freeze` freezes; of 0 layers none, not even the embeddings."""
    if freeze_layers == ALL_LAYERS:
        return layers
    return layers[: int(freeze_layers) + 1] if freeze_layers else ()


def _freeze_first(layers: Sequence[Sequence[nn.Module]], count: int) -> list[nn.Module]:
    if count == 0:
        return []
    if count > len(layers) - 1:
        raise TaskError(
            f"The hyperparameter freeze_layers={count} asks for more layers than this model has; it must be a whole "
            f"number from 0 to {len(layers) - 1}, or {ALL_LAYERS!r} to train the head only."
        )
    frozen = [module for layer in layers[: count + 1] for module in layer]
    for module in frozen:
        module.requires_grad_(False)
    return _once(frozen)


def _once(modules: list[nn.Module]) -> list[nn.Module]:
    """Return each module once, in order."""
    return list({id(module): module for module in modules}.values())


def _without_gradient(module: nn.Module) -> list[nn.Module]:
    """Return the topmost modules that have parameters, none of which is trained."""
    parameters = list(module.parameters())
    if parameters and not any(parameter.requires_grad for parameter in parameters):
        return [module]
    return [frozen for child in module.children() for frozen in _without_gradient(child)]


def _keeps_statistics(module: nn.Module) -> bool:
    """Return whether a module, or one in it, averages over batches and keeps that in buffers."""
    return any(getattr(part, "track_running_stats", False) for part in module.modules())
