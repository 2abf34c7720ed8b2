"""Arguments of a custom task, checked."""

from collections.abc import Mapping
from typing import Any

from hpsearch.errors import TaskError
from hpsearch.tasks.sources import Arrays, plain_array


def column_of(value: Any, name: str) -> Arrays:
    """Return groups or weights given as an array, list or Series."""
    if isinstance(value, Arrays):
        return value
    if isinstance(value, str) or not hasattr(value, "__len__"):
        raise TaskError(
            f"{name}={value!r} is a {type(value).__name__}: a CustomTask has no columns to name. Give an array with "
            "one value a row."
        )
    return Arrays((plain_array(value, name),))


def head_of(value: Any) -> tuple[str, ...] | None:
    """Return the names of the head, or beginnings of names, without the dot that ends them."""
    if value is None:
        return None
    names = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, tuple | list) else ()
    if not names or not all(isinstance(name, str) and name for name in names):
        raise TaskError(
            f"head={value!r}: give the name of a parameter, or the beginning of several (head='classifier'), or a list "
            "of such; None where the whole model is new."
        )
    return tuple(name.removesuffix(".") for name in names)


def mapping_of(value: Any) -> dict[str, Any]:
    """Return the literature default as a dict."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise TaskError(
            f"literature_default={value!r} is a {type(value).__name__}: give hyperparameters by name, for instance "
            "{'learning_rate': 0.001}."
        )
    return dict(value)
