"""`freeze_layers` is a number of layers or a share of them: 1 is one layer, 1.0 is all of them."""

from numbers import Integral
from typing import Any

from hpsearch.errors import SpaceError
from hpsearch.space.conditions import Scalar
from hpsearch.space.parameters import Categorical, Parameter

FREEZE_LAYERS = "freeze_layers"


def read_value(name: str, parameter: Parameter, value: Any) -> Scalar:
    """Return `value` as the parameter writes it.

    Raises:
        SpaceError: It is not one of the parameter's; or it is 1 where the parameter has 1.0, or the other way round.
    """
    own = parameter.read(value)
    if name == FREEZE_LAYERS:
        check_same_kind(value, own)
    return own


def check_same_kind(value: Any, own: Scalar) -> None:
    """Raise SpaceError where 1 was given for 1.0 or 1.0 for 1: they are equal numbers, and other layers."""
    if own == 1 and isinstance(value, Integral) != isinstance(own, int):
        raise SpaceError(
            f"{value!r} is not {own!r}: 1 is one layer, and 1.0 is all layers. Write {own!r}, or change the space."
        )


def check_told_apart(name: str, parameter: Parameter) -> None:
    """Raise SpaceError for choices that have 1 beside shares: a table would show 1 as 1.0, which is all layers."""
    if name != FREEZE_LAYERS or not isinstance(parameter, Categorical):
        return
    shares = [choice for choice in parameter.choices if isinstance(choice, float) and choice]
    if shares and any(choice == 1 and isinstance(choice, int) for choice in parameter.choices):
        raise SpaceError(
            f"{name}={parameter!r}: 1 is one layer and {shares[0]!r} is a share of the layers. Beside shares a table "
            "shows 1 as 1.0, which is all layers. Give only shares, or only numbers of layers."
        )
