"""Ranges of numbers: real, whole, even or logarithmic."""

import math
import numbers
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import pairwise
from typing import Any, TypeAlias

from hpsearch.errors import SpaceError
from hpsearch.space.conditions import ROUNDING, SINGLE, Scalar, scalar
from hpsearch.space.parameters import BaseParameter, Categorical

_STEP_ROUNDING = 1e-8
"""How far from a whole number of steps a value may lie, in steps."""

LONGEST_GRID = 10_000
"""A grid with more values than this of one parameter is taken for an oversight."""


@dataclass(frozen=True, repr=False)
class Float(BaseParameter):
    """A real number from `low` to `high`, both included.

    Args:
        low: Lowest value.
        high: Highest value.
        log: Whether equal ratios, not equal differences, are equally likely; `low` must be positive.
        step: Distance between values, counted from `low`; `high` must be reached. None: any number. Not with `log`.
        grid: What a grid takes; other samplers ignore it.

    Raises:
        SpaceError: The bounds, the step or the grid contradict each other.
    """

    low: float
    high: float
    log: bool = field(default=False, kw_only=True)
    step: float | None = field(default=None, kw_only=True)
    grid: Sequence[float] | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        for name in ("low", "high") if self.step is None else ("low", "high", "step"):
            value = number_of(getattr(self, name))
            if value is None:
                raise SpaceError(f"Float: {name}={getattr(self, name)!r} is not a finite number; write it as one.")
            object.__setattr__(self, name, float(value))
        if self.step is not None and self.step > 0:
            steps = (self.high - self.low) / self.step
            if abs(steps - round(steps)) <= _STEP_ROUNDING:
                object.__setattr__(self, "high", self._at(round(steps)))
        _check_range(self)
        if self.log and self.step is not None:
            raise SpaceError(f"{self!r}: steps are even and log=True is not; drop one of the two, or give grid=[...].")
        _set_grid(self)

    def read(self, value: Any) -> float:
        number = number_of(value)
        number = None if number is None else self._snapped(float(number))
        if number is None or not self.low <= number <= self.high:
            raise SpaceError(f"{value!r} is not a number from {self.low} to {self.high}.{_unquoted(value)}")
        if self.step is None:
            return number
        steps = (number - self.low) / self.step
        if abs(steps - round(steps)) > max(_STEP_ROUNDING, min(SINGLE * abs(number) / self.step, 0.01)):
            raise SpaceError(f"{value!r} is not on the steps of {self.step} from {self.low} to {self.high}.")
        return self._at(round(steps))

    def _snapped(self, number: float) -> float:
        """Return a bound in place of what is within rounding of it, else the number."""
        width = 0.0 if self.log else self.high - self.low
        for bound in (self.low, self.high):
            precision = ROUNDING if self.low <= number <= self.high else SINGLE
            if abs(number - bound) <= max(precision * abs(bound), ROUNDING * width):
                return bound
        return number

    def grid_values(self, points: int | None = None) -> tuple[Scalar, ...]:
        if self.grid is not None:
            return tuple(self.grid)
        if self.step is not None:
            count = round((self.high - self.low) / self.step) + 1
            return tuple(self._at(index) for index in _even(self, count, points))
        if self.low == self.high:
            return (self.low,)
        if points is None:
            raise SpaceError(
                f"{self!r} is continuous, so a grid must be told which of its values to take; "
                "give it grid=[...] or step=..., or choose the sampler hp.Grid(points=4)."
            )
        return tuple(dict.fromkeys(_spaced(self.low, self.high, points, self.log)))

    def _at(self, steps: int) -> float:
        """Return the value this many steps above `low`: decimal arithmetic, so that 0.1 + 2 * 0.1 is 0.3."""
        return float(Decimal(str(self.low)) + steps * Decimal(str(self.step)))

    def all_values(self) -> Sequence[float] | None:
        if self.step is not None:
            return [self._at(index) for index in range(round((self.high - self.low) / self.step) + 1)]
        return [self.low] if self.low == self.high else None

    def edges(self) -> tuple[float, float]:
        return self.low, self.high

    def _arguments(self) -> Iterable[str]:
        return _shown(self, log=False, step=None, grid=None)


@dataclass(frozen=True, repr=False)
class Int(BaseParameter):
    """A whole number from `low` to `high`, both included.

    Args:
        low: Lowest value.
        high: Highest value.
        log: Whether equal ratios, not equal differences, are equally likely; `low` must be at least 1.
        step: Distance between values, counted from `low`; `high` must be reached. Only 1 with `log`.
        grid: What a grid takes; other samplers ignore it.

    Raises:
        SpaceError: The bounds, the step or the grid contradict each other.
    """

    low: int
    high: int
    log: bool = field(default=False, kw_only=True)
    step: int = field(default=1, kw_only=True)
    grid: Sequence[int] | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        for name in ("low", "high", "step"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, numbers.Integral):
                raise SpaceError(f"Int: {name}={value!r} is not a whole number; write it as one, or use Float.")
            object.__setattr__(self, name, int(value))
        _check_range(self)
        if self.log and self.step != 1:
            raise SpaceError(f"{self!r}: steps are even and log=True is not; drop one of the two, or give grid=[...].")
        _set_grid(self)

    def read(self, value: Any) -> int:
        number = number_of(value)
        whole = None if number is None else round(number)
        if number is None or whole is None or abs(number - whole) > min(max(SINGLE * abs(whole), ROUNDING), 0.01):
            whole = None
        if whole is None or not self.low <= whole <= self.high:
            raise SpaceError(f"{value!r} is not a whole number from {self.low} to {self.high}.{_unquoted(value)}")
        if (whole - self.low) % self.step:
            raise SpaceError(f"{value!r} is not on the steps of {self.step} from {self.low} to {self.high}.")
        return whole

    def grid_values(self, points: int | None = None) -> tuple[Scalar, ...]:
        if self.grid is not None:
            return tuple(self.grid)
        count = (self.high - self.low) // self.step + 1
        if self.log and points is not None and points < count:
            return tuple(dict.fromkeys(math.floor(x + 0.5) for x in _spaced(self.low, self.high, points, log=True)))
        return tuple(self.low + index * self.step for index in _even(self, count, points))

    def all_values(self) -> Sequence[int]:
        return range(self.low, self.high + 1, self.step)

    def edges(self) -> tuple[int, int]:
        return self.low, self.high

    def _arguments(self) -> Iterable[str]:
        return _shown(self, log=False, step=1, grid=None)


def number_of(value: Any) -> int | float | None:
    """Return a number as Python's, or None for what is none, or not finite."""
    try:
        plain = scalar(value)
        is_number = isinstance(plain, int | float) and not isinstance(plain, bool) and math.isfinite(plain)
    except (SpaceError, OverflowError):  # an int may be too large for a float
        return None
    return plain if is_number else None  # type: ignore[return-value]  # which mypy does not follow


def _unquoted(value: Any) -> str:
    return " It is a text; write the number without quotes." if isinstance(value, str) else ""


def _check_range(parameter: Float | Int) -> None:
    low, high, step = parameter.low, parameter.high, parameter.step
    if not isinstance(parameter.log, bool):
        raise SpaceError(f"{type(parameter).__name__}: log={parameter.log!r} is neither True nor False.")
    if low > high:
        raise SpaceError(f"{parameter!r}: low is above high; write the lower bound first.")
    if parameter.log and low <= 0:
        raise SpaceError(f"{parameter!r}: zero and negative numbers have no logarithm; raise low, or drop log=True.")
    if step is None:
        return
    if step <= 0:
        raise SpaceError(f"{parameter!r}: a step must be above zero, not {step!r}.")
    first, width, distance = Decimal(str(low)), Decimal(str(high)) - Decimal(str(low)), Decimal(str(step))
    if width % distance:
        below = first + width // distance * distance
        raise SpaceError(
            f"{parameter!r}: steps of {step} from {low} do not reach {high}; make high {below} or {below + distance}."
        )


def _set_grid(parameter: Float | Int) -> None:
    """Check the values of `grid` and put them in order: a grid is a set of points, however it is written."""
    if parameter.grid is None:
        return
    if isinstance(parameter.grid, (str, bytes, Mapping)) or not isinstance(parameter.grid, Iterable):
        raise SpaceError(f"{type(parameter).__name__}: grid={parameter.grid!r} is not a list of numbers.")
    given = tuple(parameter.grid)
    object.__setattr__(parameter, "grid", given)
    if not given:
        raise SpaceError(f"{parameter!r}: the grid is empty; give it values, or leave it out.")
    try:
        values = sorted(parameter.read(value) for value in given)
    except SpaceError as error:
        raise SpaceError(f"{parameter!r}: the grid does not lie in the range: {error}") from None
    for one, other in pairwise(values):
        if math.isclose(one, other, rel_tol=ROUNDING):
            raise SpaceError(f"{parameter!r}: the grid has {one!r} twice; drop one of them.")
    object.__setattr__(parameter, "grid", tuple(values))


def _even(parameter: BaseParameter, count: int, points: int | None) -> Iterable[int]:
    """Return at most `points` of the indices 0 to count - 1, evenly spaced, both ends included."""
    if points is None or points >= count:
        if count > LONGEST_GRID:
            raise SpaceError(
                f"{parameter!r} has {count:,} values, too many for a grid; give it grid=[...] or a longer step, "
                "or choose the sampler hp.Grid(points=4)."
            )
        return range(count)
    return dict.fromkeys((2 * index * (count - 1) + points - 1) // (2 * (points - 1)) for index in range(points))


def _spaced(low: float, high: float, points: int, log: bool) -> list[float]:
    """Return `points` numbers from low to high, evenly spaced, or by equal ratios.

    Those between are rounded to 12 digits: 1e-05 instead of 9.999999999999999e-06, and the same on every machine
    whatever the last bit of its logarithm, because the keys of runs are made of them.
    """
    start, end = (math.log(low), math.log(high)) if log else (low, high)
    shares = [index / (points - 1) for index in range(1, points - 1)]
    between = [(1 - share) * start + share * end for share in shares]
    rounded = [float(f"{math.exp(value) if log else value:.12g}") for value in between]
    return [low, *(min(max(value, low), high) for value in rounded), high]


def _shown(parameter: Float | Int, **defaults: Any) -> Iterable[str]:
    """Return the bounds, and those other arguments that are not at their defaults."""
    yield repr(parameter.low)
    yield repr(parameter.high)
    for name, default in defaults.items():
        value = getattr(parameter, name)
        if value != default:
            yield f"{name}={list(value) if isinstance(value, tuple) else value!r}"


Parameter: TypeAlias = Float | Int | Categorical
"""A hyperparameter to be searched over."""
