"""Where a value lies on an axis of parallel coordinates: pure numbers, drawn elsewhere."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hpsearch.report.wording import briefs, is_number
from hpsearch.report.wording import number as written

ABSENT = -0.14
"""Height of a hyperparameter that a trial does not have: below the axis, which runs from 0 to 1."""


@dataclass(frozen=True)
class Scale:
    """One axis.

    Attributes:
        ticks: (height, text) from the bottom up.
        positions: Value to height, for an axis of choices; None for an axis of numbers.
        low, high: Numbers at heights 0 and 1; their logarithms where `log`.
        log: Whether equal ratios are equal distances.
    """

    name: str
    ticks: tuple[tuple[float, str], ...]
    positions: Mapping[str, float] | None = None
    low: float = 0.0
    high: float = 1.0
    log: bool = False

    def position(self, value: Any) -> float:
        """Return the height of a value, `ABSENT` for one without a place on the axis: NaN, None if it is no choice."""
        if self.positions is not None:
            return self.positions.get(_key(value), ABSENT)
        if not _is_real_number(value) or (self.log and value <= 0):
            return ABSENT
        number = math.log10(value) if self.log else float(value)
        return 0.5 if self.high == self.low else (number - self.low) / (self.high - self.low)


def scale_of(name: str, observed: Iterable[Any], parameter: Mapping[str, Any] | None = None) -> Scale:
    """Return the axis of a hyperparameter or of the objective.

    Args:
        name: Its name.
        observed: The trials' values; those outside the space's bounds (enqueued ones) widen the axis.
        parameter: What the space's JSON says of it: `type`, `low`, `high`, `log`, `choices`.
    """
    parameter = parameter or {}
    values = [value for value in observed if value is not None]
    if "choices" in parameter or not all(_is_real_number(value) for value in values):
        return _scale_of_choices(name, [*parameter.get("choices", ()), *values])
    numbers = [float(value) for value in values if math.isfinite(value)]
    numbers += [float(parameter[bound]) for bound in ("low", "high") if bound in parameter]
    if not numbers:
        return Scale(name, ())
    low, high = min(numbers), max(numbers)
    if parameter.get("log") and low > 0:
        low, high = math.log10(low), math.log10(high)
        at, log = _decades(low, high), True
    else:
        whole = all(float(value).is_integer() for value in numbers) and parameter.get("type") != "float"
        at, log = _round_numbers(low, high, whole=whole), False
    scale = Scale(name, (), None, low, high, log)
    return Scale(name, tuple((scale.position(number), written(number)) for number in at), None, low, high, log)


def _scale_of_choices(name: str, choices: Iterable[Any]) -> Scale:
    """Return evenly spaced choices: numbers rise with the axis, of others the first is on top."""
    distinct = {_key(choice): choice for choice in choices}
    if all(_is_real_number(choice) for choice in distinct.values()):
        keys = sorted(distinct, key=lambda key: distinct[key])
    else:
        keys = list(reversed(distinct))
    heights = [0.5] if len(keys) == 1 else [index / (len(keys) - 1) for index in range(len(keys))]
    positions = dict(zip(keys, heights, strict=True))
    texts = briefs([distinct[key] for key in keys])
    return Scale(name, tuple(zip(heights, texts, strict=True)), positions)


def _decades(low: float, high: float) -> Sequence[float]:
    """Return powers of ten within the bounds (as logarithms); where they are too few, the bounds as well."""
    inner = [float(f"1e{power}") for power in range(math.ceil(low - 1e-9), math.floor(high + 1e-9) + 1)]
    inner = inner[:: max(1, math.ceil(len(inner) / 6))]
    if len(inner) >= 3:
        return inner
    bounds = [float(f"{10**bound:.2g}") for bound in (low, high)]
    close = [number for number in inner if all(abs(math.log10(number / bound)) > (high - low) / 8 for bound in bounds)]
    return sorted({*bounds, *close})


def _round_numbers(low: float, high: float, *, whole: bool) -> Sequence[float]:
    """Return some five multiples of 1, 2 or 5 times a power of ten within the bounds."""
    if high == low:
        return [low]
    step = 10.0 ** math.floor(math.log10((high - low) / 4))
    step *= next(factor for factor in (1, 2, 5, 10) if (high - low) / (step * factor) <= 5.5)
    if whole:
        step = max(1.0, round(step))
    first = math.ceil(low / step - 1e-9)
    return [round(index * step, 12) for index in range(first, math.floor(high / step + 1e-9) + 1)]


def _key(value: Any) -> str:
    """Return a choice's key: 1 and 1.0 are one choice; 1, "1" and True are three."""
    return f"number {float(value)!r}" if _is_real_number(value) else f"{type(value).__name__} {value!r}"


def _is_real_number(value: Any) -> bool:
    return is_number(value) and not math.isnan(value)
