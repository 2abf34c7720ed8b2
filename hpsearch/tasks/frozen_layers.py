"""Whether a space freezes no more layers than its models have: found before anything is trained."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hpsearch.errors import SpaceError
from hpsearch.space import Alternatives, Categorical, Int, Parameter, Scalar, Space, alternatives_of
from hpsearch.space.tables import write_searched
from hpsearch.training.hyperparameters import ALL_LAYERS

NAME = "freeze_layers"


@dataclass(frozen=True)
class LayeredModel:
    """A model that a study trains.

    Attributes:
        name: What the user calls it.
        given: The hyperparameters that choose it; empty where the task has no other.
        layers: How many of its layers can be frozen; 0 where none can, None where that is not known.
    """

    name: str
    given: Mapping[str, Any]
    layers: int | None


def check_frozen_layers(space: Space, models: Sequence[LayeredModel]) -> None:
    """Check that every value of `freeze_layers` fits every model that it may meet.

    Raises:
        SpaceError: One asks for more layers than a model has; the message names both and what to write instead.
    """
    for model in models:
        if model.layers is None:
            continue
        for found, values in _met(space, model):
            too_many = [value for value in values if not _fits(value, model.layers)]
            if too_many:
                raise SpaceError(_refusal(found, too_many[-1], model, model.layers))


def fitted_space(space: Space, models: Sequence[LayeredModel]) -> Space:
    """Return a space whose `freeze_layers` goes no further than the models that it may meet; the same if it does not.

    A range ends at the last of its values that every such model has layers for, its grid likewise, with the number of
    layers itself in the place of what is cut off; where only 0 is left it is fixed.
    """
    if NAME not in space.parameters:
        return space
    searched = space.parameters[NAME]
    cut = [_cut(parameter, _limit(space, parameter, models)) for parameter in alternatives_of(searched)]
    if cut == list(alternatives_of(searched)):
        return space
    whole = space.to_json()
    tables = [table for table in whole["parameters"] if table["name"] != NAME]
    default = whole["default"]
    kept = [parameter for parameter in cut if isinstance(parameter, Parameter)]
    if len(kept) < len(cut):  # 0 alone is left, of a space of ours that has no alternatives
        fixed = {**whole["fixed"], NAME: 0}
        default = default and {name: value for name, value in default.items() if name != NAME}
        return Space.from_json({**whole, "parameters": tables, "fixed": fixed, "default": default})
    fitted = kept[0] if len(kept) == 1 else Alternatives(kept)
    if default is not None and NAME in default and not fitted.contains(default[NAME]):
        default = {**default, NAME: fitted.edges()[-1]}
    whole["default"], table = default, write_searched(fitted)
    position = list(space.parameters).index(NAME)
    return Space.from_json({**whole, "parameters": [*tables[:position], {"name": NAME, **table}, *tables[position:]]})


def _met(space: Space, model: LayeredModel) -> list[tuple[Any, Sequence[Scalar]]]:
    """Return what a space says of `freeze_layers` beside a model, and the values at its edges."""
    if NAME in space.fixed:
        return [(space.fixed[NAME], [space.fixed[NAME]])]
    if NAME not in space.parameters:
        return []
    return [(parameter, parameter.edges()) for parameter in space.reachable(NAME, model.given)]


def _fits(value: Scalar, layers: int) -> bool:
    if value == ALL_LAYERS:
        return layers > 0
    return not isinstance(value, int | float) or value <= layers


def _refusal(found: Any, value: Scalar, model: LayeredModel, layers: int) -> str:
    if layers == 0:
        return (
            f"The space has freeze_layers={found!r}, and of {model.name!r} no layer can be frozen: nothing of it is "
            "pretrained, or it has no list of layers. Leave freeze_layers out for it, or fix it at 0."
        )
    when = "".join(f".when({name}={given!r})" for name, given in model.given.items())
    several = f", one of a list [...] with an alternative for each {next(iter(model.given))}" if model.given else ""
    return (
        f"The space has freeze_layers={found!r}, which asks for {value} layers, and {model.name!r} has {layers} that "
        f"can be frozen. Write freeze_layers=hp.Int(0, {layers}){when}{several}."
    )


def _limit(space: Space, parameter: Parameter, models: Sequence[LayeredModel]) -> int | None:
    met = [model.layers for model in models if parameter in space.reachable(NAME, model.given)]
    return min((layers for layers in met if layers is not None), default=None)


def _cut(parameter: Parameter, limit: int | None) -> Parameter | int:
    if limit is None or all(_fits(value, limit) for value in parameter.edges()):
        return parameter
    if isinstance(parameter, Categorical):
        choices = [choice for choice in parameter.choices if _fits(choice, limit)]
        return replace(parameter, choices=choices) if choices != [0] and choices else 0
    if not isinstance(parameter, Int) or parameter.low > limit or limit == 0:
        return 0
    high = parameter.low + (limit - parameter.low) // parameter.step * parameter.step
    grid = parameter.grid and tuple(dict.fromkeys([*(value for value in parameter.grid if value <= high), high]))
    return replace(parameter, high=high, grid=grid)
