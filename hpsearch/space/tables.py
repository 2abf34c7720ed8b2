"""Parameters as tables of plain values: one form for TOML files (files.py shows it), JSON and digests."""

from collections.abc import Mapping
from typing import Any

from hpsearch.errors import SpaceError, nearest
from hpsearch.space.conditions import Scalar, scalar
from hpsearch.space.parameters import Categorical
from hpsearch.space.ranges import Float, Int, Parameter

_FORMS: Mapping[str, tuple[type[Parameter], tuple[str, ...], Mapping[str, Any]]] = {
    "float": (Float, ("low", "high"), {"log": False, "step": None, "grid": None}),
    "int": (Int, ("low", "high"), {"log": False, "step": 1, "grid": None}),
    "categorical": (Categorical, ("choices",), {}),
}
"""Type to (class, keys that it needs, keys that it may have and what they are when left out)."""


def write_parameter(parameter: Parameter) -> dict[str, Any]:
    """Return a parameter as a table; keys at their defaults are left out."""
    for name, (kind, needed, optional) in _FORMS.items():
        if isinstance(parameter, kind):
            table = {key: getattr(parameter, key) for key in needed}
            table |= {
                key: getattr(parameter, key) for key, default in optional.items() if getattr(parameter, key) != default
            }
            if parameter.conditions:
                table["when"] = {condition.name: list(condition.values) for condition in parameter.conditions}
            return {"type": name} | {
                key: list(value) if isinstance(value, tuple) else value for key, value in table.items()
            }
    raise SpaceError(f"{parameter!r} is neither hp.Float, hp.Int nor hp.Categorical, so it cannot be written down.")


def read_parameter(table: Mapping[str, Any]) -> Parameter | Scalar:
    """Return the parameter, or the fixed value, that a table describes.

    Raises:
        SpaceError: A key is missing, unknown or wrong; the message names it, and the caller adds where it stands.
    """
    if "value" in table:
        _check_keys(table, "A fixed value", needed=("value",), optional=())
        return scalar(table["value"])
    if "type" not in table:
        raise SpaceError(f"There is neither 'type' ({', '.join(_FORMS)}) nor 'value' (for a fixed value); add one.")
    if not isinstance(table["type"], str) or table["type"] not in _FORMS:
        guess = nearest(str(table["type"]), _FORMS)
        raise SpaceError(f"type = {table['type']!r} is unknown.{guess} The types are {', '.join(_FORMS)}.")
    kind, needed, optional = _FORMS[table["type"]]
    _check_keys(table, f"type = {table['type']!r}", needed=("type", *needed), optional=(*optional, "when"))
    conditions = table.get("when", {})
    if not isinstance(conditions, Mapping):
        raise SpaceError(f"when = {conditions!r} is not a table; write when = {{ NAME = VALUE }}.")
    parameter = kind(**{key: table[key] for key in (*needed, *optional) if key in table})
    return parameter.when(**conditions) if conditions else parameter


def _check_keys(table: Mapping[str, Any], what: str, needed: tuple[str, ...], optional: tuple[str, ...]) -> None:
    allowed = (*needed, *optional)
    for key in table:
        if key not in allowed:
            raise SpaceError(f"{what} has no key {key!r}.{nearest(key, allowed)} Its keys are {', '.join(allowed)}.")
    for key in needed:
        if key not in table:
            raise SpaceError(f"{what} needs the key {key!r}, which is missing; add it.")
