"""Plain values as JSON and back: numbers, text, lists, tuples, mappings, and frozen dataclasses of these."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from hpsearch.provenance.modules import import_path, imported


def as_json(value: Any) -> Any:
    """Return a value as JSON keeps it; `from_json` gives it back, its types too.

    Raises:
        TypeError: A part of it is no plain value, or of a class that cannot be imported.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list):
        return [as_json(item) for item in value]
    if isinstance(value, tuple):
        return {"tuple": [as_json(item) for item in value]}
    if isinstance(value, Mapping):
        return {"mapping": [[as_json(key), as_json(item)] for key, item in value.items()]}
    path = import_path(type(value))
    if not is_dataclass(value) or path is None:
        raise TypeError(f"{value!r} is a {type(value).__name__}, which is not kept as plain values")
    return {"class": path, "fields": {each.name: as_json(getattr(value, each.name)) for each in fields(value)}}


def from_json(value: Any) -> Any:
    """Return what `as_json` was given.

    Raises:
        TypeError: Not its own work, or a class that has other fields by now.
        ImportError, AttributeError: A class is not there any more.
    """
    if isinstance(value, list):
        return [from_json(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    if "tuple" in value:
        return tuple(from_json(item) for item in value["tuple"])
    if "mapping" in value:
        return {from_json(key): from_json(item) for key, item in value["mapping"]}
    made = imported(value["class"])
    if not (isinstance(made, type) and is_dataclass(made)):
        raise TypeError(f"{value['class']!r} is not a class of plain values")
    return made(**{name: from_json(item) for name, item in value["fields"].items()})
