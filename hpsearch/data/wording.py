"""How errors about data name many things: the first few, and how many more there are."""

from collections.abc import Iterable
from typing import Any


def listed(items: Iterable[Any], shown: int = 5) -> str:
    """Return the first few items and how many more there are: `'a', 'b' and 7 more`."""
    everything = [repr(item) for item in items]
    more = f" and {len(everything) - shown} more" if len(everything) > shown else ""
    return ", ".join(everything[:shown]) + more


def counted(number: int, noun: str) -> str:
    """Return `1 row`, `2 rows`, `3 classes`."""
    return f"{number} {noun if number == 1 else noun + ('es' if noun.endswith('s') else 's')}"


def row_list(rows: Iterable[int]) -> str:
    """Return the first few row numbers; rows are counted from 0, a header line not among them."""
    numbers = [int(row) for row in rows]
    return f"row{'' if len(numbers) == 1 else 's'} {listed(numbers)} (counted from 0)"
