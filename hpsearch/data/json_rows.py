"""Rows out of JSON: files of JSON lines, and JSON files; values may be lists and dicts."""

import json
from pathlib import Path
from typing import Any

from hpsearch.data.encoding import check_encoding, not_utf8
from hpsearch.data.unicode import fault_in
from hpsearch.data.wording import counted, listed, shortened
from hpsearch.errors import DataError


def read_json_lines(path: Path, role: str) -> list[dict[str, Any]]:
    """Return the objects of a file with one a line; blank lines are skipped.

    Raises:
        DataError: A line is none, or not UTF-8.
    """
    check_encoding(path, role)
    rows: list[dict[str, Any]] = []
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                rows.append(_json_object(line, number, path, role))
    return rows


def read_json(path: Path, role: str) -> list[dict[str, Any]] | dict[str, list[Any]]:
    """Return the rows of a file with an array of objects, or columns: an object of arrays of one length.

    A file with one object a line is read as JSON lines, for some name these so.

    Raises:
        DataError: It is none of these, or not UTF-8.
    """
    check_encoding(path, role)
    content = path.read_bytes()
    what = f"the {role} file {path.name!r}"
    try:
        value = json.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise not_utf8(path, role, error) from error
    except json.JSONDecodeError as error:
        if error.msg == "Extra data" and content.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
            return read_json_lines(path, role)
        raise DataError(
            f"{what} is not valid JSON: {error.msg} at line {error.lineno}, column {error.colno}. {_FORMS}"
        ) from error
    except RecursionError as error:
        raise DataError(f"{what} is nested too deeply. {_FORMS}") from error
    if isinstance(value, dict):
        return _columns(value, what)
    if not isinstance(value, list):
        raise DataError(f"{what} is a JSON {type(value).__name__}, not an array of objects. {_FORMS}")
    for row, given in enumerate(value):
        if not isinstance(given, dict):
            raise DataError(f"row {row} (counted from 0) of {what} is a JSON {type(given).__name__}. {_FORMS}")
        if b"\\u" in content:
            _check_whole_characters(given, f"row {row} (counted from 0) of {what}")
    return value


_FORMS = (
    'It must be one array of objects, such as [{"text": "...", "label": "..."}], or an object of columns: arrays of '
    "one length."
)


def _columns(value: dict[str, Any], what: str) -> dict[str, list[Any]]:
    wrong = [name for name, column in value.items() if not isinstance(column, list)]
    if wrong:
        raise DataError(f"{what} is one object, and its {listed(wrong)} is no array. {_FORMS}")
    lengths = {name: len(column) for name, column in value.items()}
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"{name!r} {counted(length, 'value')}" for name, length in lengths.items())
        raise DataError(f"{what} is an object of columns, and they differ in length: {shown}. {_FORMS}")
    _check_whole_characters(value, what)
    return value


def _json_object(line: bytes, number: int, path: Path, role: str) -> dict[str, Any]:
    where = f"line {number} of the {role} file {path.name!r}"
    try:
        value = json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise not_utf8(path, role, error) from error
    except json.JSONDecodeError as error:
        raise DataError(
            f"{where} is not valid JSON: {error.msg} at column {error.colno}. "
            'Each line must be one whole object, such as {"text": "...", "label": "..."}.'
        ) from error
    except RecursionError as error:
        raise DataError(f"{where} is nested too deeply. Each line must be one plain object.") from error
    if not isinstance(value, dict):
        raise DataError(
            f"{where} is a JSON {type(value).__name__}, not an object. "
            'Each line must be one whole object, such as {"text": "...", "label": "..."}.'
        )
    if b"\\u" in line:  # what is not escaped was UTF-8, which has whole characters only
        _check_whole_characters(value, where)
    return value


def _check_whole_characters(row: dict[str, Any], where: str) -> None:
    """Raise DataError where a name or value of a JSON object has half a character: pandas could not hold it."""
    for name, value in row.items():
        fault = fault_in(name)
        if fault:
            raise DataError(f"{where} has the name {shortened(ascii(name))}: {fault}")
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        fault = fault_in(text)
        if fault:
            raise DataError(f"{where} has {shortened(ascii(text))} in {name!r}: {fault}")
