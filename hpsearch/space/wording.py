"""Parameters as a person reads them: a range in words, and where its numbers are from."""

import textwrap

from hpsearch.space.files import Notes
from hpsearch.space.parameters import Categorical
from hpsearch.space.ranges import Parameter

WIDTH = 100
"""Characters of a line of text."""

LEGEND = (
    "[checked]: every number was compared with the text or the code that its source names; what is ours has no other "
    "source. [from memory]: some were not, and the source says which."
)

_MARKS = {True: "[checked]", False: "[from memory, in part or all]", None: ""}


def range_text(parameter: Parameter) -> str:
    """Return a parameter's range, its grid and its conditions in words."""
    if isinstance(parameter, Categorical):
        text = f"one of {', '.join(map(repr, parameter.choices))}"
    else:
        scale = ", logarithmic" if parameter.log else ""
        step = f", steps of {parameter.step}" if parameter.step not in (None, 1) else ""
        grid = "" if parameter.grid is None else f"; grid {', '.join(map(repr, parameter.grid))}"
        text = f"{parameter.low!r} to {parameter.high!r}{scale}{step}{grid}"
    conditions = " and ".join(map(str, parameter.conditions))
    return f"{text}; only where {conditions}" if conditions else text


def spelled(value: object, digits: int | None = None) -> str:
    """Return the value of a hyperparameter as people read it, floats to so many digits.

    1.0 stays 1.0: as a share it is all of something, and 1 is one. A text is in quotes where it looks like another kind
    of value: a number, True or none.
    """
    if value is None:
        return "none"
    if isinstance(value, float) and digits is not None and value != 1:
        return f"{value:.{digits}g}"
    return repr(value) if isinstance(value, str) and _looks_otherwise(value) else str(value)


def _looks_otherwise(text: str) -> bool:
    if text.strip().lower() in ("", "none", "true", "false"):
        return True
    try:
        float(text)
    except ValueError:
        return False
    return True


def source_lines(notes: Notes, name: str) -> list[str]:
    """Return where the numbers of a hyperparameter are from, indented; nothing where that is not said."""
    text = " ".join(filter(None, [_MARKS[notes.checked.get(name)], notes.sources.get(name, "").strip()]))
    return textwrap.wrap(text, WIDTH, initial_indent="    ", subsequent_indent="    ", break_on_hyphens=False)
