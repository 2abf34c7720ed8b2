"""Definitions: what a user's code computes, as a digest.

Code that a study depends on (a metric, a model, a loss) is part of what the study is. Its digest follows the user's
own functions and classes as far as they are used, and the values that they read, by content. It stops at installed
packages, whose versions are among the numerics. What the code itself changes when it is called is state, no part of
its definition; `observed` finds that out.
"""

import contextlib
import functools
import hashlib
import types
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from hpsearch.provenance.earlier_definitions import earlier_definition
from hpsearch.provenance.modules import is_installed
from hpsearch.provenance.walk import WITHIN, Walk

_STATE: dict[str, frozenset[str]] = {}
"""By name of a piece of code, what it was seen to change in this process: a cache that is full changes no more."""


@dataclass(frozen=True)
class Definition:
    """What a piece of code computes.

    Attributes:
        digest: 32 hexadecimal digits.
        changed: Names of what it changes when it is called: left out.
        passing: Names of loggers and of random numbers that a library draws for everybody: left out, too.
        unchecked: Names of what has no content that could be compared (an open file, a lock), with their types.
    """

    digest: str
    changed: tuple[str, ...]
    passing: tuple[str, ...]
    unchecked: tuple[str, ...]

    @property
    def state(self) -> tuple[str, ...]:
        """Names of all that is left out."""
        return tuple(sorted({*self.changed, *self.passing}))

    def remarks(self, name: str) -> list[str]:
        """Return what the user should know of code of this name, in sentences."""
        remarks = []
        if self.unchecked:
            remarks.append(
                f"{name} reads {', '.join(self.unchecked)}, whose content cannot be compared. If you change that, give "
                "the study another name: it would go on as if nothing had changed."
            )
        if self.changed:
            remarks.append(
                f"{name} changes {', '.join(self.changed)} when it is called, so that is no part of what the study is: "
                "an edit of it goes unnoticed."
            )
        return remarks


def definition_of(value: Any, state: Collection[str] = ()) -> Definition:
    """Return what a function, a class or a callable object computes.

    Its code counts, with default arguments, what it closes over, and the user's own functions, classes and values
    that it names; of installed packages, only the names of what is used. Comments, docstrings, line breaks and its own
    name do not. Under another version of Python the same code has another digest. Each array is read once.

    Args:
        value: The function, class or object.
        state: Names to leave out, besides what it was seen to change.
    """
    return _without(value, _STATE.get(_name(value), frozenset()) | frozenset(state))


def code_definition(value: Any) -> str:
    """Return the digest of what a function, a class or a callable object computes: see `definition_of`."""
    return definition_of(value).digest


@functools.cache
def class_definition(kind: type) -> str | None:
    """Return the digest of the user's own class as it is when first asked for, or None for one that is installed."""
    return None if is_installed(kind.__module__) else code_definition(kind)


def is_same(value: Any, digest: str, state: Collection[str]) -> bool:
    """Return whether code computes what it did when its digest was stored, with the names that were state then."""
    return (
        digest in (definition_of(value, state).digest, _without(value, frozenset(state)).digest)
        or earlier_definition(value) == digest
    )


@contextlib.contextmanager
def observed(*values: Any) -> Iterator[None]:
    """Call code within this: what it has changed in the end is its state."""
    before = [Walk(_STATE.get(_name(value), frozenset())) for value in values]
    for walk, value in zip(before, values, strict=True):
        walk.of(value, "")
    yield
    for walk, value in zip(before, values, strict=True):
        known = _STATE.get(_name(value), frozenset())
        changed = _changed(walk, value, known)
        if changed:
            _STATE[_name(value)] = known | changed


def _without(value: Any, state: frozenset[str]) -> Definition:
    walk = Walk(state)
    text = walk.text(walk.of(value, ""))
    return Definition(
        digest=hashlib.sha256(text.encode()).hexdigest()[:32],
        changed=tuple(sorted(walk.skipped)),
        passing=tuple(sorted(walk.state)),
        unchecked=tuple(sorted(f"{place} ({kind})" for place, kind in walk.unchecked.items())),
    )


def _changed(before: Walk, value: Any, known: frozenset[str]) -> set[str]:
    """Return the places that are otherwise than before, the smallest that say it; what is new is left out, too."""
    changed: set[str] = set()
    contents: dict[int, Any] = {}
    while True:
        now = Walk(known | changed, contents)
        now.of(value, "")
        found = (now.fields & set(now.trees)) - before.fields
        if not found:
            differing = (place for place, tree in now.trees.items() if before.trees.get(place) != tree)
            named = (place.partition(WITHIN)[0] for place in differing)
            found = set(next(([name] for name in named if name and name not in changed), []))
        if not found:
            return now.skipped & changed
        changed |= found


def _name(value: Any) -> str:
    """Return what code is called, whichever object of that name it is."""
    if isinstance(value, functools.partial):
        return _name(value.func)
    if isinstance(value, types.MethodType):
        return _name(value.__func__)
    named = value if isinstance(value, types.FunctionType | type) else type(value)
    return f"{named.__module__}:{named.__qualname__}"
