"""A model that computes standardised numbers, made to compute them in the user's units."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

_TOLERANCE = 1e-4
"""How far an output may move by this, in standard deviations of its target."""


def rescale(
    model: nn.Module, run: Callable[[nn.Module], Any], *, mean: Sequence[float], scale: Sequence[float]
) -> bool:
    """Put mean and scale into the last linear layer, so that `model` gives scale * outputs + mean; return whether done.

    That a layer is the last is not looked up but measured: with the new weights, the outputs of a few rows must be what
    is expected. So the model stays as it was where something follows its last layer, where that has no bias, or where
    float32 is too coarse (targets of 1e9 give or take 1).

    Args:
        model: In evaluation mode.
        run: Returns its outputs for a few rows, as an array of shape (rows, targets).
        mean: Of each target.
        scale: The same.
    """
    expected = _own_units(run(model), mean, scale)
    for layer in _last_layers(model, len(mean)):
        parameters = (layer.weight, layer.bias)
        earlier = [parameter.detach().clone() for parameter in parameters]
        weight, bias = (values.cpu().double() for values in earlier)
        _put(parameters, (weight * _column(scale), _own_units(bias[None], mean, scale)[0]))
        moved = (_doubles(run(model)) - expected).abs() / _column(scale).T
        if bool((moved <= _TOLERANCE).all()):
            return True
        _put(parameters, earlier)
    return False


def tell_config(model: nn.Module, facts: Mapping[str, Sequence[float]] | None) -> None:
    """Write into a model's config, where it has one, what its outputs are to be multiplied by and added to.

    None takes out what an earlier export wrote there.
    """
    config: Any = getattr(model, "config", None)
    if config is None:
        return
    for name, values in (facts or {}).items():
        setattr(config, name, list(values))
    for name in ("target_mean", "target_scale") if facts is None else ():
        if hasattr(config, name):
            delattr(config, name)


def _last_layers(model: nn.Module, outputs: int) -> Iterator[nn.Linear]:
    """Yield the layers that may be the last, the likeliest first."""
    for module in reversed(list(model.modules())):
        if isinstance(module, nn.Linear) and module.out_features == outputs and module.bias is not None:
            yield module


@torch.no_grad()
def _put(parameters: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    for parameter, value in zip(parameters, values, strict=True):
        parameter.copy_(value)


def _own_units(outputs: Any, mean: Sequence[float], scale: Sequence[float]) -> Tensor:
    return _doubles(outputs) * _column(scale).T + _column(mean).T


def _doubles(outputs: Any) -> Tensor:
    return torch.from_numpy(np.asarray(outputs, dtype=np.float64))


def _column(values: Sequence[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)[:, None]
