"""Texts that are none: half a character (a lone surrogate) anywhere, and the character NUL in names."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

from hpsearch.data.wording import row_list, shortened
from hpsearch.errors import DataError

_SURROGATES = re.compile("[\ud800-\udfff]")
_BYTES = re.compile("[\udc80-\udcff]")  # as `os.fsdecode` writes them
_MEND = 'text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")'


def check_texts_are_unicode(values: Iterable[Any], what: str, role: str, *, are_names: bool = False) -> None:
    """Raise DataError, naming the rows, where a text has half a character, or a name the character NUL.

    Such a text can neither be encoded nor printed. NUL is a character like others to a tokenizer; but NumPy cuts it off
    the end of a name, so that two names become one, and no path may have it.

    Args:
        values: One a row, or a list of them; what is no text is not looked at.
        what: Whose values they are, for the error: "column 'text'", "the labels".
        role: For the error.
        are_names: Whether they are labels, groups, paths or the like.
    """
    texts = list(values)
    broken = [row for row, value in enumerate(texts) if fault_in(value, is_name=are_names)]
    if broken:
        first = texts[broken[0]]
        raise DataError(
            f"in {what} of the {role} data stands {shortened(ascii(str(first)))}, in {row_list(broken)}: "
            f"{fault_in(first, is_name=are_names)}"
        )


def check_column_names(names: Sequence[str], role: str) -> None:
    """Raise DataError where the name of a column is no text."""
    for place, name in enumerate(names):
        fault = fault_in(name, is_name=True)
        if fault:
            raise DataError(
                f"column {place} (counted from 0) of the {role} data is called {shortened(ascii(name))}: {fault}"
            )


def fault_in(value: Any, *, is_name: bool = False) -> str | None:
    """Return what is wrong with a text and what to do, as the end of an error; None where nothing is."""
    if not isinstance(value, str):
        return None
    if is_name and "\0" in value:
        return "the character NUL, which ends a name. Remove it: text.replace(chr(0), '')."
    try:
        value.encode()
    except UnicodeEncodeError:
        half = _SURROGATES.findall(value)[0]
        if _BYTES.fullmatch(half):
            return (
                f"{half!a} stands for a byte that is not UTF-8, as in a file name of another encoding. Rename it, "
                "or read the text again in its own encoding."
            )
        return (
            f"{half!a} is half a character (a lone surrogate), as when a text is cut inside an emoji. Cut it "
            f"elsewhere, or put a mark in its place: {_MEND}."
        )
    return None
