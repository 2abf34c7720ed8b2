"""Search spaces as a person reads them."""

import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING

from hpsearch.errors import SpaceError
from hpsearch.space.alternatives import Alternatives, Searched
from hpsearch.space.parameters import Categorical

if TYPE_CHECKING:
    from hpsearch.space.space import Space

WIDTH = 100
"""Characters of a line of text."""

_MARKS = {True: "[checked]", False: "[from memory, in part or all]", None: ""}


def space_text(space: "Space") -> str:
    """Return what is searched: ranges, defaults, grid points, and where the numbers of each are from."""
    lines = [space.title, *textwrap.wrap(space.source, WIDTH, break_on_hyphens=False)] if space.title else []
    lines += [summary(space), ""]
    default = space.default or {}
    for name, parameter in space.parameters.items():
        at = f"; default {default[name]!r}" if name in default else ""
        lines += [f"{name}: {_range(parameter)}{at}", *_sources(space, name)]
    for name, value in space.fixed.items():
        lines += [f"{name}: fixed at {value!r}", *_sources(space, name)]
    if any(mark for mark in space.notes.checked.values()):
        lines += ["", *textwrap.wrap(_LEGEND, WIDTH)]
    return "\n".join(lines)


_LEGEND = (
    "[checked]: every number was compared with the text or the code that its source names; what is ours has no other "
    "source. [from memory]: some were not, and the source says which."
)


def list_text(spaces: Mapping[str, "Space"]) -> str:
    """Return spaces by name: what each is, how much it searches, and where it starts."""
    width = max(map(len, spaces), default=0)
    lines = []
    for name, space in spaces.items():
        default = "; default " + _values(space.default) if space.default else ""
        lines.append(f"{name.ljust(width)}  {space.title}")
        lines += textwrap.wrap(
            f"{summary(space)}{default}", WIDTH, initial_indent=" " * (width + 2), subsequent_indent=" " * (width + 2)
        )
    return "\n".join(lines)


def summary(space: "Space") -> str:
    """Return how much is searched, in a line."""
    task = f"for {space.notes.task}: " if space.notes.task else ""
    return f"{task}{len(space.parameters)} searched, {len(space.fixed)} fixed, {_grid_size(space)}"


def _grid_size(space: "Space") -> str:
    try:
        return f"a grid of {sum(1 for _ in space.grid()):,}"
    except SpaceError:
        return "no grid without hp.Grid(points=...)"


def _values(values: "Mapping[str, object]") -> str:
    return ", ".join(f"{name}={value!r}" for name, value in values.items())


def _range(parameter: Searched) -> str:
    """Return a parameter's range in words, or that of each alternative."""
    if isinstance(parameter, Alternatives):
        return "; or ".join(_range(each) for each in parameter.alternatives)
    if isinstance(parameter, Categorical):
        text = f"one of {', '.join(map(repr, parameter.choices))}"
    else:
        scale = ", logarithmic" if parameter.log else ""
        step = f", steps of {parameter.step}" if parameter.step not in (None, 1) else ""
        grid = "" if parameter.grid is None else f"; grid {', '.join(map(repr, parameter.grid))}"
        text = f"{parameter.low!r} to {parameter.high!r}{scale}{step}{grid}"
    conditions = " and ".join(map(str, parameter.conditions))
    return f"{text}; only where {conditions}" if conditions else text


def _sources(space: "Space", name: str) -> list[str]:
    text = " ".join(filter(None, [_MARKS[space.notes.checked.get(name)], space.sources.get(name, "").strip()]))
    return textwrap.wrap(text, WIDTH, initial_indent="    ", subsequent_indent="    ", break_on_hyphens=False)
