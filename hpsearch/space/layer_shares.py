"""`freeze_layers` is a number of layers or a share of them: 1 is one layer, 1.0 is all of them."""

import math
from numbers import Integral
from typing import Any

from hpsearch.errors import SpaceError
from hpsearch.space.conditions import Scalar
from hpsearch.space.ranges import Float, Int, Parameter

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
    """Check that every value is either a number of layers or a share of them.

    Raises:
        SpaceError: A range of real numbers goes beyond 1.0; or choices have 1 beside shares: a table would show it as
            1.0, which is all layers.
    """
    if name != FREEZE_LAYERS or isinstance(parameter, Int):
        return
    if isinstance(parameter, Float):
        if parameter.high > 1.0:
            raise SpaceError(
                f"{name}={parameter!r}: a real number is a share of the layers, from 0.0 to 1.0. Give hp.Float(0.0, "
                f"1.0) at most, or numbers of layers: hp.Int({math.ceil(parameter.low)}, {math.floor(parameter.high)})."
            )
        return
    shares = [choice for choice in parameter.choices if isinstance(choice, float) and choice]
    if shares and any(choice == 1 and isinstance(choice, int) for choice in parameter.choices):
        raise SpaceError(
            f"{name}={parameter!r}: 1 is one layer and {shares[0]!r} is a share of the layers. Beside shares a table "
            "shows 1 as 1.0, which is all layers. Give only shares, or only numbers of layers."
        )
