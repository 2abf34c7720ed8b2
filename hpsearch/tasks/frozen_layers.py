"""Frozen layers before any training: a share becomes a number of layers, and a number that is too large an error."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hpsearch.errors import SpaceError, TaskError
from hpsearch.space import Scalar, Space
from hpsearch.space.layer_shares import FREEZE_LAYERS
from hpsearch.tasks.base import Prepared, Task
from hpsearch.training.hyperparameters import OF_LAYERS


@dataclass(frozen=True)
class LayeredModel:
    """A model that a study trains.

    Attributes:
        name: What the user calls it.
        given: The hyperparameters that choose it; empty where the task has no other.
        layers: How many of its layers can be frozen; 0 where none can, None where that is unknown.
        adaptable: Names of its modules that may get an adapter; empty where that is unknown.
    """

    name: str
    given: Mapping[str, Any]
    layers: int | None
    adaptable: Sequence[str] = ()


def with_whole_layers(
    config: Mapping[str, Any], task: Task, prepared_for: Callable[[Mapping[str, Any]], Prepared]
) -> dict[str, Any]:
    """Return a completed config with a share in `freeze_layers` turned into a number of layers of its model.

    So a share and the number that it stands for are one run. `prepared_for` returns the rows for a config's model.

    Raises:
        TaskError: How many layers the model has is not known.
    """
    share = config.get(FREEZE_LAYERS)
    if not isinstance(share, float):
        return dict(config)
    layers = task.freezable_layers(prepared_for(config), config)
    if layers is None:
        raise TaskError(
            f"freeze_layers={share!r} is a share of the layers, and {type(task).__name__} does not say how many layers "
            "its model has. Give a number of layers: 0, 1, 2, ..."
        )
    return {**config, FREEZE_LAYERS: whole_layers(share, layers)}


def whole_layers(share: float, layers: int) -> int:
    """Return how many layers a share of them is, rounded down (0.5 of 7 is 3).

    Float errors do not count: 1 / 3 of 6 is 2, 0.29 of 100 is 29.
    """
    return int(share * layers + 1e-9)


def check_frozen_layers(space: Space, models: Sequence[LayeredModel]) -> None:
    """Raise SpaceError where a value of `freeze_layers` asks for more layers than a model it may meet has."""
    for model in models:
        if model.layers is not None:
            too_many = [value for value in _values(space, model) if not _fits(value, model.layers)]
            if too_many:
                raise SpaceError(_refusal(space, too_many[-1], model, model.layers))


def check_layers(space: Space, models: Sequence[LayeredModel]) -> None:
    """Raise SpaceError where a config may need to know the layers of a model that has none."""
    for name, without in OF_LAYERS.items():
        for model in models if name != FREEZE_LAYERS else ():
            if model.layers == 0 and any(value != without for value in _values(space, model, name)):
                given = space.parameters.get(name, space.fixed.get(name))
                raise SpaceError(
                    f"The space has {name}={given!r}, and {model.name!r} has no layers that it could be of: nothing of "
                    f"it is pretrained, or it has no list of layers. Leave {name} out for it."
                )


def fitted_space(space: Space, models: Sequence[LayeredModel]) -> Space:
    """Return a shipped space with `freeze_layers` fixed at 0 where a model has no layers that can be frozen."""
    bare = [model for model in models if model.layers == 0]
    fits = all(_fits(value, 0) for model in bare for value in _values(space, model))
    if FREEZE_LAYERS not in space.parameters or fits:
        return space
    parameters = {name: parameter for name, parameter in space.parameters.items() if name != FREEZE_LAYERS}
    default = space.default and {name: value for name, value in space.default.items() if name != FREEZE_LAYERS}
    return Space(default=default, **parameters, **space.fixed, freeze_layers=0).documented(space.notes)


def _values(space: Space, model: LayeredModel, name: str = FREEZE_LAYERS) -> Sequence[Scalar]:
    """Return the fixed value of a hyperparameter, or the ends of its range where it can exist for a model."""
    if name in space.fixed:
        return (space.fixed[name],)
    if name not in space.parameters or not space.may_exist(name, model.given):
        return ()
    return space.parameters[name].edges()


def _fits(value: Scalar, layers: int) -> bool:
    if layers == 0:
        return value == 0
    return not isinstance(value, int) or value <= layers


def _refusal(space: Space, value: Scalar, model: LayeredModel, layers: int) -> str:
    given = space.parameters.get(FREEZE_LAYERS, space.fixed.get(FREEZE_LAYERS))
    if layers == 0:
        return (
            f"The space has freeze_layers={given!r}, and of {model.name!r} no layer can be frozen: nothing of it is "
            "pretrained, or it has no list of layers. Leave freeze_layers out for it, or fix it at 0."
        )
    return (
        f"The space has freeze_layers={given!r}, which asks for {value} layers, and {model.name!r} has {layers} that "
        f"can be frozen. Write freeze_layers=hp.Int(0, {layers}), or give a share of the layers, which fits every "
        "model: hp.Float(0.0, 1.0)."
    )
