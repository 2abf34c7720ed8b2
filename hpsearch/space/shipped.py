"""hpsearch's own search spaces, and a list of them for people."""

import textwrap
from collections.abc import Mapping

from hpsearch.space.files import shipped_files
from hpsearch.space.space import Space
from hpsearch.space.wording import WIDTH


def list_spaces() -> dict[str, Space]:
    """Return hpsearch's own search spaces by name, in alphabetical order."""
    return {name: Space.load(name) for name in sorted(shipped_files())}


def list_text(spaces: Mapping[str, Space]) -> str:
    """Return spaces by name: what each is, how much it searches, and where it starts."""
    width = max(map(len, spaces), default=0)
    indent = " " * (width + 2)
    lines = []
    for name, space in spaces.items():
        values = ", ".join(f"{key}={value!r}" for key, value in (space.default or {}).items())
        default = f"; default {values}" if values else ""
        lines.append(f"{name.ljust(width)}  {space.title}")
        lines += textwrap.wrap(f"{space.summary()}{default}", WIDTH, initial_indent=indent, subsequent_indent=indent)
    return "\n".join(lines)
