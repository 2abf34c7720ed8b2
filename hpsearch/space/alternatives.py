"""Several parameters under one name, of which at most one exists: layers to freeze of one model and of another."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, TypeAlias

from hpsearch.errors import SpaceError
from hpsearch.space.conditions import Scalar, same
from hpsearch.space.parameters import Categorical, Parameter


@dataclass(frozen=True, repr=False)
class Alternatives:
    """Parameters that share one name, told apart by their conditions. `Space` makes one of a list of parameters.

    They are of one kind, for Optuna keeps one kind of value under a name: all `Int`, all `Float` (all with or all
    without `log`), or all `Categorical`.

    Args:
        alternatives: Two parameters or more, each with a `when`, no two of which can exist at once: for any two there
            is a hyperparameter that the `when` of both names, with no value in common.

    Raises:
        SpaceError: One has no condition, two are not told apart by theirs, or they are of different kinds.
    """

    alternatives: Sequence[Parameter]

    def __post_init__(self) -> None:
        object.__setattr__(self, "alternatives", tuple(self.alternatives))
        for parameter in self.alternatives:
            if not isinstance(parameter, Parameter):
                raise SpaceError(f"{parameter!r} is no alternative; give a list of parameters, each with .when(...).")
            if not parameter.conditions:
                raise SpaceError(
                    f"{parameter!r} is one of {len(self.alternatives)} alternatives and exists always; say with "
                    ".when(...) where it is the one."
                )
        for one, other in combinations(self.alternatives, 2):
            if _kind(one) != _kind(other):
                raise SpaceError(
                    f"{one!r} and {other!r} cannot be alternatives under one name: use all Int, all Float, or all "
                    "Categorical, and log=True for all or none."
                )
            if not _apart(one, other):
                raise SpaceError(
                    f"{one!r} and {other!r} could both exist at once; give their .when(...) one hyperparameter in "
                    "common, with different values."
                )

    def read(self, value: Any) -> Scalar:
        """Return `value` as the first alternative that it is one of writes it.

        Raises:
            SpaceError: It is none of any alternative's.
        """
        for parameter in self.alternatives:
            if parameter.contains(value):
                return parameter.read(value)
        raise SpaceError(f"{value!r} is none of {self!r}.")

    def contains(self, value: Any) -> bool:
        return any(parameter.contains(value) for parameter in self.alternatives)

    def edges(self) -> tuple[Scalar, ...]:
        """Return the ends or the choices of all the alternatives, each once."""
        return tuple(dict.fromkeys(edge for parameter in self.alternatives for edge in parameter.edges()))

    def kept(self, parameter: Parameter) -> Parameter:
        """Return one of the alternatives as a database keeps it, where the choices under a name must never change."""
        return Categorical(self.edges()) if isinstance(parameter, Categorical) else parameter

    def __repr__(self) -> str:
        return f"[{', '.join(map(repr, self.alternatives))}]"


Searched: TypeAlias = Parameter | Alternatives
"""What a space says of a searched hyperparameter."""


def alternatives_of(searched: Searched) -> tuple[Parameter, ...]:
    """Return the parameters under a name, which are one or several."""
    return tuple(searched.alternatives) if isinstance(searched, Alternatives) else (searched,)


def is_alternatives(value: Any) -> bool:
    """Return whether a value given for a name is a list of parameters."""
    return isinstance(value, list | tuple) and any(isinstance(each, Parameter) for each in value)


def _kind(parameter: Parameter) -> tuple[type, bool]:
    return type(parameter), getattr(parameter, "log", False)


def _apart(one: Parameter, other: Parameter) -> bool:
    values = {condition.name: condition.values for condition in other.conditions}
    return any(
        condition.name in values
        and not any(same(mine, theirs) for mine in condition.values for theirs in values[condition.name])
        for condition in one.conditions
    )
