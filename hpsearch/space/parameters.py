"""Parameters: what all have in common, and a choice among values. Ranges of numbers are in ranges.py."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

from hpsearch.errors import SpaceError
from hpsearch.space.conditions import Condition, Scalar, same, scalar, snapped


@dataclass(frozen=True)
class BaseParameter(ABC):
    """A hyperparameter to be searched over. It has no name of its own: `Space` gives it one.

    Attributes:
        conditions: All must hold for the parameter to exist; see `when`.
    """

    conditions: Sequence[Condition] = field(default=(), kw_only=True)

    def when(self, **conditions: Scalar | Sequence[Scalar]) -> Self:
        """Return this parameter, existing only where each named hyperparameter has (one of) the given value(s).

        `Float(0.05, 0.5).when(lr_scheduler_type="warmup_stable_decay")`. The other hyperparameter may be searched or
        fixed, and conditional itself. Conditions add up: all of them must hold.
        """
        for name in conditions:
            if any(condition.name == name for condition in self.conditions):
                raise SpaceError(f"{self!r} has a condition on {name!r} already; name all its values in one when().")
        added = (
            Condition(
                name, tuple(values) if isinstance(values, Sequence) and not isinstance(values, str) else (values,)
            )
            for name, values in conditions.items()
        )
        return replace(self, conditions=tuple(sorted((*self.conditions, *added), key=lambda condition: condition.name)))

    @abstractmethod
    def read(self, value: Any) -> Scalar:
        """Return `value` as this parameter writes it: for an `Int`, 3.0 is 3.

        Raises:
            SpaceError: The value is not one of this parameter's.
        """

    @abstractmethod
    def grid_values(self, points: int | None = None) -> tuple[Scalar, ...]:
        """Return the values that a grid takes of this parameter, each once, lowest first.

        Args:
            points: How many of a range of numbers to take at most, evenly spaced. The parameter's `grid` overrides it.

        Raises:
            SpaceError: The range is continuous and nothing says which points to take of it, or there are too many.
        """

    @abstractmethod
    def all_values(self) -> Sequence[Scalar] | None:
        """Return every value, or None where they have no end."""

    @abstractmethod
    def edges(self) -> tuple[Scalar, ...]:
        """Return both ends, or all choices: where a task takes these values, it takes all of this parameter's."""

    @abstractmethod
    def _arguments(self) -> Iterable[str]:
        """Return the arguments of the call that makes this parameter, as text."""

    def contains(self, value: Any) -> bool:
        """Return whether `value` is one of this parameter's."""
        try:
            self.read(value)
        except SpaceError:
            return False
        return True

    def __repr__(self) -> str:
        call = f"{type(self).__name__}({', '.join(self._arguments())})"
        return f"{call}.when({', '.join(map(str, self.conditions))})" if self.conditions else call


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
        plain = snapped(scalar(value), self.choices)
        for choice in self.choices:
            if same(choice, plain):
                return choice
        raise SpaceError(f"{value!r} is not one of {', '.join(map(repr, self.choices))}.")

    def grid_values(self, points: int | None = None) -> tuple[Scalar, ...]:
        return tuple(self.choices)

    def all_values(self) -> Sequence[Scalar]:
        return self.choices

    def edges(self) -> tuple[Scalar, ...]:
        return tuple(self.choices)

    def _arguments(self) -> Iterable[str]:
        return [repr(list(self.choices))]
