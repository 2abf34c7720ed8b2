"""Numbers and values as a reader wants them: rounded, with units."""

import html
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hpsearch.records import TrialState
from hpsearch.space.wording import spelled

MISSING = "–"  # an en dash stands in an empty cell of a table
UNDEFINED = "undefined"  # a metric that was measured and is not a number: the warnings say why


def score(value: float | None) -> str:
    """Return a metric to four decimals, or to five digits where it is large; a dash where there is none."""
    if value is None:
        return MISSING
    if math.isnan(value):
        return UNDEFINED
    if math.isinf(value):
        return "−∞" if value < 0 else "∞"  # a minus sign
    text = f"{value:.4f}" if abs(value) < 10 else f"{value:.5g}"
    return text.replace("-", "−")


def signed(value: float | None) -> str:
    """Return a difference between scores with its sign; a dash where there is none."""
    return f"+{score(value)}" if value is not None and value > 0 else score(value)


def p_value(value: float) -> str:
    """Return a p-value to two digits, down to a thousandth."""
    return "<\u00a00.001" if value < 0.001 else f"{value:.2g}"


def setting(value: Any) -> str:
    """Return the value of a hyperparameter: floats to four digits, everything else as it is.

    1.0 stays 1.0: as a share it is all of something, and 1 is one. The text "1" is in quotes, and so is "none".
    """
    return number(value) if isinstance(value, float) and value != 1 else spelled(value)


def settings(config: Mapping[str, Any], names: Iterable[str]) -> str:
    """Return the hyperparameters of these names that a configuration has, each with its value."""
    return ", ".join(f"{name} {setting(config[name])}" for name in names if name in config)


def number(value: float) -> str:
    """Return a number to four digits, with an exponent below a thousandth: 0.01, 3.646e-4, 16."""
    is_small = 0 < abs(value) < 1e-3
    mantissa, _, power = (f"{value:.3e}" if is_small else f"{value:.4g}").partition("e")
    if is_small:
        mantissa = mantissa.rstrip("0").rstrip(".")
    return f"{mantissa}e{int(power)}" if power else mantissa


def brief(value: Any) -> str:
    """Return the value of a hyperparameter where there is little room: of a path, its last part."""
    text = setting(value)
    if isinstance(value, str) and ("/" in value or "\\" in value):
        return re.split(r"[/\\]", value.rstrip("/\\"))[-1] or text
    return text


def briefs(values: Sequence[Any]) -> list[str]:
    """Return each value's `brief` text, or more of it where two would look alike."""
    texts = [brief(value) for value in values]
    for more in (setting, repr):
        texts = [text if texts.count(text) == 1 else more(value) for text, value in zip(texts, values, strict=True)]
    return texts


def fact(value: Any) -> str:
    """Return a fact of a study: large whole numbers with commas, lists spelled out."""
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}" if abs(value) >= 10_000 else str(value)
    if isinstance(value, (list, tuple)):
        return ", ".join(str(item) for item in value)
    return value if isinstance(value, str) else setting(value)


def whole(value: Any) -> str:
    """Return the value of a hyperparameter with all its digits."""
    return repr(value) if is_number(value) else setting(value)


def sort_key(value: Any) -> str:
    """Return a cell's sort key for page.js; empty cells sort last."""
    return "" if value is None else repr(value) if is_number(value) else str(value)


def is_number(value: Any) -> bool:
    """Whether a value is a number; True and False are none here."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def fold_name(fold: int, repeat: int) -> str:
    """Return a run's name; people count from 1."""
    return f"fold {fold + 1}" + (f", repeat {repeat + 1}" if repeat else "")


def broken(text: str, length: int = 60) -> list[str]:
    """Break long text into lines, so that all of it fits under the pointer."""
    return [text[at : at + length] for at in range(0, len(text), length)] or [""]


def ended(state: TrialState) -> str:
    """Return a trial's state as an adjective; Optuna's word for a failed trial is a verb."""
    return "failed" if state is TrialState.FAIL else state.value


def duration(seconds: float) -> str:
    """Return a duration in its two largest units."""
    if seconds < 1:
        return f"{seconds:.2g} s" if seconds > 0 else "0 s"
    if seconds < 59.5:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def escaped(value: Any) -> str:
    """Escape text for plotly, which reads a little HTML and needs no quotes escaped."""
    return html.escape(str(value), quote=False)
