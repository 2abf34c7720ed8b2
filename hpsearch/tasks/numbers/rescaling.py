"""A model that computes standardised numbers, made to compute them in the user's units."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

_TOLERANCE = 1e-4
"""How far an output may move by this, in standard deviations of its target."""


_SHIFTS = (-100.0, 100.0)
"""Standard deviations by which outputs are moved, to see whether something behind the last layer holds them back."""

_SPACED_ROWS = 64
_EXTREME_ROWS = 8


def rescale(
    model: nn.Module,
    rows: int,
    run: Callable[[nn.Module, np.ndarray], Any],
    *,
    mean: Sequence[float],
    scale: Sequence[float],
) -> bool:
    """Put mean and scale into the last linear layer, so that `model` gives scale * outputs + mean; return whether done.

    That a layer is the last is not looked up but measured. With the new weights, the outputs of evenly spaced rows and
    of those with the least and the greatest outputs must be what is expected; and when its bias is moved far up or
    down, all outputs must follow, for a bound that no training row reaches must not be lost either. So the model stays
    as it was where something follows its last layer, where that has no bias, or where float32 is too coarse (targets of
    1e9 give or take 1). It costs one prediction of all rows, about a third of an epoch, and some of a few rows.

    Args:
        model: In evaluation mode.
        rows: How many training rows there are.
        run: Returns the outputs of some of them, as an array of shape (rows, targets).
        mean: Of each target.
        scale: The same.
    """
    outputs = _doubles(run(model, np.arange(rows)))
    shown = _telling_rows(outputs.numpy())
    before = outputs[torch.from_numpy(shown)]
    for layer in _last_layers(model, len(mean)):
        parameters = (layer.weight, layer.bias)
        earlier = [parameter.detach().clone() for parameter in parameters]
        weight, bias = (values.cpu().double() for values in earlier)
        one = torch.ones(1, dtype=torch.float64)
        moves = [((weight, bias + shift), before + shift, one) for shift in _SHIFTS]
        own = (weight * _column(scale), _own_units(bias[None], mean, scale)[0])
        for values, expected, unit in (*moves, (own, _own_units(before, mean, scale), _column(scale).T)):
            _put(parameters, values)
            off = (_doubles(run(model, shown)) - expected).abs() / unit
            if not bool((off <= _TOLERANCE).all()):
                _put(parameters, earlier)
                break
        else:
            return True
    return False


def _telling_rows(outputs: np.ndarray) -> np.ndarray:
    """Return rows from all over the data, and for each target those with its least and its greatest outputs."""
    spaced = np.linspace(0, len(outputs) - 1, min(len(outputs), _SPACED_ROWS)).round().astype(np.int64)
    order = np.argsort(outputs, axis=0, kind="stable")
    return np.unique(np.concatenate([spaced, order[:_EXTREME_ROWS].ravel(), order[-_EXTREME_ROWS:].ravel()]))


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
