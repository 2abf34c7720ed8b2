"""Hyperparameters that exclude each other: a space whose configs could have both is refused before anything is read."""

from collections.abc import Callable, Mapping
from typing import Any

from hpsearch.errors import SpaceError
from hpsearch.space import Scalar, Space
from hpsearch.training.hyperparameters import OF_LAYERS, Hyperparameter


def check_conflicts(space: Space, known: Mapping[str, Hyperparameter]) -> None:
    """Raise SpaceError where two hyperparameters of a space may contradict each other in one config.

    `known` are the task's hyperparameters. A custom model's factory may have an argument `pretrained` of its own.
    """
    _check_warmup(space)
    _check_length(space)
    if "pretrained" in known and known["pretrained"].left_out_at_default:
        _check_pretrained(space)


def may_take(
    space: Space, name: str, wanted: Callable[[Scalar], bool], values: Mapping[str, Any] | None = None
) -> bool:
    """Return whether a config that has `values` may have a value of `name` that is wanted; of a range the ends tell."""
    if name in space.fixed:
        return wanted(space.fixed[name])
    if name not in space.parameters or not space.may_exist(name, values or {}):
        return False
    return any(wanted(edge) for edge in space.parameters[name].edges())


def _check_warmup(space: Space) -> None:
    """Refuse a space whose configs may say in steps and as a ratio how long the warmup is."""
    steps, ratio = space.parameters.get("warmup_steps"), space.parameters.get("warmup_ratio")
    in_steps = steps is not None or space.fixed.get("warmup_steps") is not None
    if ratio is None:
        both = in_steps and bool(space.fixed.get("warmup_ratio"))
    else:
        apart = any(
            condition.name == "warmup_steps" and set(condition.values) == {None} for condition in ratio.conditions
        )
        both = in_steps and not apart
    if both:
        raise SpaceError(
            f"The space has warmup_steps, {steps or space.fixed.get('warmup_steps')!r}, and warmup_ratio, "
            f"{ratio or space.fixed.get('warmup_ratio')!r}, and both say how long the warmup is. Leave one out, or "
            "say where the ratio is the one: warmup_ratio=hp.Float(0.0, 0.2).when(warmup_steps=None)."
        )


def _check_length(space: Space) -> None:
    """Refuse a space whose configs may say in steps and in epochs how long a run is."""

    def is_given(value: Scalar) -> bool:
        return value is not None

    steps, epochs = space.parameters.get("max_steps"), space.parameters.get("epochs")
    apart = any(
        condition.name == other and set(condition.values) == {None}
        for parameter, other in ((steps, "epochs"), (epochs, "max_steps"))
        for condition in (parameter.conditions if parameter is not None else ())
    )
    if may_take(space, "max_steps", is_given) and may_take(space, "epochs", is_given) and not apart:
        raise SpaceError(
            f"The space has max_steps, {steps or space.fixed.get('max_steps')!r}, and epochs, "
            f"{epochs or space.fixed.get('epochs')!r}, and both say how long a run is. Leave one out, or say where "
            "epochs are the one: max_steps=hp.Categorical([None, 500]), epochs=hp.Int(1, 3).when(max_steps=None)."
        )


def _check_pretrained(space: Space) -> None:
    """Refuse a space whose configs may draw every weight and say what becomes of pretrained layers."""
    if not may_take(space, "pretrained", lambda value: value is False):
        return
    for name, without in OF_LAYERS.items():
        if may_take(space, name, lambda value, without=without: value != without, {"pretrained": False}):  # type: ignore[misc]
            given = space.parameters.get(name, space.fixed.get(name))
            raise SpaceError(
                f"The space has pretrained=False, where every weight is drawn, and {name}={given!r}, which is of "
                f"pretrained layers. Leave one out, or say where layers are pretrained: {name}={given!r}"
                ".when(pretrained=True), with pretrained=hp.Categorical([True, False])."
            )
