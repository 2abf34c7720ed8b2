"""A stored description checked key by key: what is missing or of another type is named, with where it is stored."""

import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Union, get_args, get_origin

from hpsearch.errors import HpsearchError, StoreError

_WORDS = {
    str: "text", int: "a whole number", float: "a number", bool: "true or false",
    dict: "an object", Mapping: "an object", list: "a list", tuple: "a list", Sequence: "a list", type(None): "null",
}  # fmt: skip

_INNER: Mapping[str, Mapping[str, tuple[Any, bool]]] = {
    "task": {"task": (str, True), "arguments": (Mapping[str, Any], True)},
    "space": {
        "parameters": (Sequence[Mapping[str, Any]], True),
        "fixed": (Mapping[str, Any], True),
        "default": (Mapping[str, Any] | None, False),
    },
    "facts": {
        "rows": (int, True),
        "test_rows": (int | None, False),
        "folds": (int, True),
        "classes": (Sequence[Any], True),
        "targets": (str | None, False),
    },
    "goal": {"trials": (int | None, False), "budget": (Mapping[str, Any] | None, False)},
    "ended_by": {"limit": (str, True), "reason": (str, True)},
    "fits": {"models": (Mapping[str, Mapping[str, Any]], True), "shapes": (Sequence[Mapping[str, Any]], True)},
    "early_stopping": {"patience": (float, True), "monitor": (str, True)},
}
"""Keys inside a description's objects: their types, and whether they must be there."""


def check_keys(values: Any, hints: Mapping[str, Any], required: set[str], source: str) -> None:
    """Check a description against the types of its fields. Raises StoreError, which names `source` and the key."""
    if not isinstance(values, Mapping):
        raise _damaged(source, f"it is {_name(values)}, where an object is expected")
    _check(values, {key: (hint, key in required) for key, hint in hints.items()}, "", source)
    for key, inner in _INNER.items():
        if values.get(key) is not None:
            _check(values[key], inner, f"{key}.", source)


def _check(values: Mapping[str, Any], keys: Mapping[str, tuple[Any, bool]], prefix: str, source: str) -> None:
    for key, (hint, is_required) in keys.items():
        if key not in values:
            if is_required:
                raise _damaged(source, f"its key '{prefix}{key}' is missing")
        elif not _fits(values[key], hint):
            what = f"its key '{prefix}{key}' is {_name(values[key])}, where {_words(hint)} is expected"
            raise _damaged(source, what)
    unknown = [key for key in values if not prefix and key not in keys]
    if unknown:
        raise _damaged(source, f"its key {unknown[0]!r} means nothing to this version of hpsearch")


@contextmanager
def stored_key(key: str, source: str) -> Iterator[None]:
    """Have whatever is wrong inside a key say which one it is, and where it is stored."""
    try:
        yield
    except HpsearchError as error:
        made: Callable[[str], HpsearchError] = type(error)
        raise made(f"{source}: its key {key!r} cannot be used. {error}") from error
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise _damaged(source, f"its key {key!r} cannot be understood ({type(error).__name__}: {error})") from error


def _damaged(source: str, what: str) -> StoreError:
    return StoreError(
        f"{source} does not describe a study: {what}. It was changed, or written by another version of hpsearch. Put a "
        "copy of it back, or start the study again under another name; a study.json may be removed, for the next run "
        "writes it from the database."
    )


def _fits(value: Any, hint: Any) -> bool:
    if hint is Any:
        return True
    kind, inner = get_origin(hint) or hint, get_args(hint)
    if kind in (Union, types.UnionType):
        return any(_fits(value, one) for one in inner)
    if kind is Mapping:
        return isinstance(value, Mapping) and all(_fits(item, inner[1]) for item in value.values())
    if kind in (tuple, Sequence):
        return isinstance(value, list | tuple) and all(_fits(item, inner[0]) for item in value)
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


def _words(hint: Any) -> str:
    kind, inner = get_origin(hint) or hint, get_args(hint)
    if kind in (Union, types.UnionType):
        return " or ".join(map(_words, inner))
    words = _WORDS.get(kind, str(kind))
    if kind is Mapping and inner[1] is not Any:
        return f"{words} of {_words(inner[1])}"
    return f"{words} of {_words(inner[0])}" if kind in (tuple, Sequence) and inner[0] is not Any else words


def _name(value: Any) -> str:
    text = repr(value)
    return f"{_WORDS.get(type(value), type(value).__name__)} ({text if len(text) <= 40 else text[:37] + '...'})"
