"""What errors about data have in common: how they name many rows and things, and data without rows."""

from collections.abc import Iterable
from typing import Any

from hpsearch.errors import DataError


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


def shortened(text: str, length: int = 60) -> str:
    """Return a text on one line, cut off after so many characters."""
    line = " ".join(text.split())
    return line if len(line) <= length else f"{line[:length]}..."


def no_rows(role: str, source: str = "data") -> DataError:
    """Return the error for data without rows."""
    return DataError(f"the {role} {source} has no rows. Check the file or dataset, and any filter applied before.")
