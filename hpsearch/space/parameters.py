"""What one hyperparameter may be: a range of numbers, or one of several choices."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from hpsearch.errors import SpaceError
from hpsearch.space.base import BaseParameter
from hpsearch.space.conditions import Scalar, same, scalar
from hpsearch.space.ranges import Float, Int


@dataclass(frozen=True, repr=False)
class Categorical(BaseParameter):
    """One of `choices`, in no order that a sampler could use.

    Args:
        choices: None, bools, numbers or strings, all different. `1` and `True` count as equal, as they do in Python.

    Raises:
        SpaceError: There is no choice, one is there twice, or one cannot be stored as JSON.
    """

    choices: Sequence[Scalar]

    def __post_init__(self) -> None:
        if isinstance(self.choices, (str, bytes)) or not isinstance(self.choices, Iterable):
            raise SpaceError(f"Categorical takes a list of choices, not {self.choices!r}; write [{self.choices!r}].")
        if isinstance(self.choices, (set, frozenset, Mapping)):
            raise SpaceError(
                f"Categorical was given a {type(self.choices).__name__}, {self.choices!r}; give a list: "
                "the order of the choices is the order of a grid, and part of what a seed means."
            )
        choices = tuple(scalar(choice) for choice in self.choices)
        if not choices:
            raise SpaceError("Categorical([]) has nothing to choose from; give at least one choice.")
        for index, choice in enumerate(choices):
            if choice in choices[:index]:
                twin = choices[choices.index(choice)]
                raise SpaceError(
                    f"Categorical({list(choices)!r}): {twin!r} and {choice!r} are equal; drop one of them."
                )
        object.__setattr__(self, "choices", choices)

    def read(self, value: Any) -> Scalar:
        plain = scalar(value)
        for choice in self.choices:
            if same(choice, plain):
                return choice
        raise SpaceError(f"{value!r} is not one of {', '.join(map(repr, self.choices))}.")

    def grid_values(self, points: int | None = None) -> tuple[Scalar, ...]:
        return tuple(self.choices)

    def edges(self) -> tuple[Scalar, ...]:
        return tuple(self.choices)

    def _arguments(self) -> Iterable[str]:
        return [repr(list(self.choices))]


Parameter: TypeAlias = Float | Int | Categorical
"""A hyperparameter to be searched over."""
