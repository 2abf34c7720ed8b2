"""Durations as people write them."""

import math
import re
from typing import overload

from hpsearch.errors import UsageError


@overload
def parse_duration(text: float | str, name: str = ...) -> float: ...
@overload
def parse_duration(text: float | str | None, name: str = ...) -> float | None: ...
def parse_duration(text: float | str | None, name: str = "timeout") -> float | None:
    """Return seconds from a number or from text like "2h", "90m" or "1h30m"; `name` is the argument, for the error.

    Raises:
        UsageError: The text is not understood, or not positive.
    """
    if text is None:
        return None
    seconds = 0.0
    if isinstance(text, str):
        match = re.fullmatch(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s?)?", text.strip())
        parts = match.groups() if match and text.strip() else ()
        seconds = sum(float(p or 0) * s for p, s in zip(parts, (3600, 60, 1), strict=False))
    elif isinstance(text, int | float) and not isinstance(text, bool):
        seconds = float(text)
    if not 0 < seconds < math.inf:
        raise UsageError(f"{name}={text!r} is not a duration; give seconds, or text like '2h', '90m' or '30s'.")
    return seconds
