"""Text files are UTF-8: what says that one is not, and how to read it."""

import codecs
from pathlib import Path

from hpsearch.errors import DataError

_ENCODING_BYTES = 64
_BYTE_ORDER_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def check_encoding(path: Path, role: str) -> None:
    """Raise DataError where a text file is UTF-16 without a byte-order mark: every other byte of it is 0."""
    with path.open("rb") as file:
        start = file.read(_ENCODING_BYTES)
    if start.count(0) * 3 >= len(start) and not start.startswith(_BYTE_ORDER_MARKS):
        encoding = "utf-16-be" if start[0] == 0 else "utf-16-le"
        raise DataError(f"the {role} file {path.name!r} is not UTF-8 text but UTF-16. {_reread(encoding)}")


def not_utf8(path: Path, role: str, error: UnicodeDecodeError) -> DataError:
    """Return the error that names the first line that is not UTF-8."""
    place = ""
    with path.open("rb") as file:
        is_utf16 = file.read(2) in _BYTE_ORDER_MARKS
        file.seek(0)
        for number, line in enumerate(() if is_utf16 else file, start=1):
            try:
                line.decode()
            except UnicodeDecodeError as first:
                place, error = f"line {number}, ", first
                break
    return DataError(
        f"the {role} file {path.name!r} is not UTF-8 text: {place}{bad_byte(error)}. "
        f"{_reread('utf-16' if is_utf16 else 'latin-1')}"
    )


def bad_byte(error: UnicodeDecodeError) -> str:
    """Return which byte cannot be read, and what it is where that is half a character."""
    first, second = (*error.object[error.start : error.start + 2], 0, 0)[:2]
    half = " (half a character, as when a text is cut inside an emoji)" if first == 0xED and second >= 0xA0 else ""
    return f"byte 0x{first:02x} cannot be read{half}"


def _reread(encoding: str) -> str:
    return (
        f"Save it as UTF-8, or read it with pandas in its own encoding, such as encoding={encoding!r}, and give the "
        "DataFrame."
    )
