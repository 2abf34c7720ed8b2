"""Tables in: CSV, TSV, JSON lines, Parquet and DataFrames, each read into a new DataFrame with rows 0, 1, 2, ..."""

import codecs
import functools
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpsearch.data.wording import listed, no_rows
from hpsearch.errors import DataError, nearest

if TYPE_CHECKING:
    import pandas as pd


def read_table(source: "str | Path | pd.DataFrame", role: str = "train") -> "pd.DataFrame":
    """Return the rows of a file or DataFrame as a new DataFrame, its index 0, 1, 2, ...; the source is not changed.

    Files end in .csv, .tsv, .jsonl, .ndjson or .parquet; text is UTF-8. Only an empty cell of a CSV or TSV file is a
    missing value: a text or a class may well be called "null" or "NA". `role` is for errors.

    Raises:
        DataError: The file is not there, cannot be read, or has no rows.
    """
    import pandas as pd

    if isinstance(source, pd.DataFrame):
        table, name = source.reset_index(drop=True), "DataFrame"
    elif isinstance(source, str | Path):
        path = existing(source, role)
        table, name = _read_file(path, role), f"file {path.name}"
    else:
        raise DataError(
            f"the {role} data is a {type(source).__name__}: give a pandas.DataFrame or the path of a file "
            f"({', '.join(_READERS)})."
        )
    table.columns = table.columns.map(str)
    repeated = [str(column) for column in table.columns[table.columns.duplicated()]]
    if repeated:
        raise _repeated(repeated, role, name)
    if table.empty:
        raise no_rows(role, name)
    return table


def existing(source: str | Path, role: str) -> Path:
    """Return the path of a file or folder that exists; DataError names the nearest name in its folder otherwise."""
    path = Path(source).expanduser()
    if path.exists():
        return path
    refuse_address(source, role)
    folder = path.parent
    if not folder.is_dir():
        raise DataError(f"the {role} data {str(path)!r} does not exist, nor does its folder. Check the path.")
    names = sorted(entry.name for entry in folder.iterdir())
    raise DataError(
        f"the {role} data {str(path)!r} does not exist.{nearest(path.name, names)} Its folder holds "
        f"{listed(names, 10) or 'nothing'}; relative paths start at {str(Path.cwd())!r}."
    )


def refuse_address(source: str | Path, role: str) -> None:
    """Raise DataError where a path is an address on the web: nothing is downloaded."""
    if "://" in str(source):
        raise DataError(f"the {role} data {str(source)!r} is an address: download it and give the path of the file.")


def separator_hint(columns: Sequence[str]) -> str:
    """Return what to do where a table's only column looks like a header with another separator, else nothing."""
    separators = [separator for separator in (";", "\t", "|", ",") if len(columns) == 1 and separator in columns[0]]
    if not separators:
        return ""
    likely = repr(separators[0])
    return (
        f" The file seems to be separated by {likely}: read it with pandas.read_csv(path, sep={likely}) and give the "
        "DataFrame, or save it as its ending says."
    )


def _repeated(names: Sequence[str], role: str, name: str) -> DataError:
    return DataError(f"the {role} {name} has several columns called {listed(names)}. Rename or drop all but one.")


def _read_file(path: Path, role: str) -> "pd.DataFrame":
    if path.is_dir():
        raise DataError(
            f"the {role} data {str(path)!r} is a folder: give the path of one file ({', '.join(_READERS)}). "
            "Folders of class folders are read for images only."
        )
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise DataError(
            f"the {role} file {path.name!r} ends in {path.suffix!r}, which is not read: use {', '.join(_READERS)}, "
            "or read it with pandas and give the DataFrame."
        )
    if path.stat().st_size == 0:
        raise DataError(f"the {role} file {path.name!r} is empty (0 bytes). Write it again, or check the path.")
    return reader(path, role)


def _read_separated(path: Path, role: str, separator: str) -> "pd.DataFrame":
    import pandas as pd

    try:
        table = pd.read_csv(
            path, sep=separator, encoding="utf-8-sig", keep_default_na=False, na_values=[""], low_memory=False
        )
    except UnicodeDecodeError as error:
        raise _not_utf8(path, role, error) from error
    except pd.errors.EmptyDataError as error:
        raise DataError(f"the {role} file {path.name!r} has no columns: it holds blank lines only.") from error
    except pd.errors.ParserError as error:
        raise DataError(
            f"the {role} file {path.name!r} is not a valid {path.suffix[1:].upper()} file: {str(error).strip()}. "
            "Check that line: a text that holds the separator or a line break must be in double quotes."
        ) from error
    if not isinstance(table.index, pd.RangeIndex):  # pandas takes surplus fields for an index, silently
        raise DataError(
            f"the {role} file {path.name!r} has rows with more fields than its header ({len(table.columns)}). "
            "A text that holds the separator must be in double quotes."
        )
    _check_header(path, separator, role)
    return table


def _check_header(path: Path, separator: str, role: str) -> None:
    """Raise DataError where two columns have one name: pandas would call the second one another, silently."""
    import pandas as pd

    header = pd.read_csv(
        path, sep=separator, encoding="utf-8-sig", header=None, nrows=1, dtype=str, keep_default_na=False
    )
    names = header.iloc[0].tolist()
    repeated = list(dict.fromkeys(name for name in names if name and names.count(name) > 1))
    if repeated:
        raise _repeated(repeated, role, f"file {path.name}")


def _read_json_lines(path: Path, role: str) -> "pd.DataFrame":
    import pandas as pd

    rows: list[dict[str, Any]] = []
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                rows.append(_json_object(line, number, path, role))
    return pd.DataFrame(rows)


def _json_object(line: bytes, number: int, path: Path, role: str) -> dict[str, Any]:
    try:
        value = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
    except UnicodeDecodeError as error:
        raise _not_utf8(path, role, error, f"line {number}, ") from error
    except json.JSONDecodeError as error:
        raise DataError(
            f"line {number} of the {role} file {path.name!r} is not valid JSON: {error.msg} at column {error.colno}. "
            'Each line must be one whole object, such as {"text": "...", "label": "..."}.'
        ) from error
    if not isinstance(value, dict):
        raise DataError(
            f"line {number} of the {role} file {path.name!r} is a JSON {type(value).__name__}, not an object. "
            'Each line must be one whole object, such as {"text": "...", "label": "..."}.'
        )
    return value


def _read_parquet(path: Path, role: str) -> "pd.DataFrame":
    import pandas as pd
    import pyarrow as pa

    try:
        return pd.read_parquet(path).reset_index(drop=True)
    except (pa.ArrowException, OSError) as error:
        raise DataError(
            f"the {role} file {path.name!r} is not a readable Parquet file: {str(error).strip().rstrip('.')}. "
            "Write it again with DataFrame.to_parquet."
        ) from error


def _not_utf8(path: Path, role: str, error: UnicodeDecodeError, place: str = "") -> DataError:
    with path.open("rb") as file:
        is_utf16 = file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    guess = "utf-16" if is_utf16 else "latin-1"
    return DataError(
        f"the {role} file {path.name!r} is not UTF-8 text: {place}byte 0x{error.object[error.start]:02x} cannot be "
        f"read. Save it as UTF-8, or read it with pandas in its own encoding, such as encoding={guess!r}, and give the "
        "DataFrame."
    )


_READERS: dict[str, Callable[[Path, str], "pd.DataFrame"]] = {
    ".csv": functools.partial(_read_separated, separator=","),
    ".tsv": functools.partial(_read_separated, separator="\t"),
    ".jsonl": _read_json_lines,
    ".ndjson": _read_json_lines,
    ".parquet": _read_parquet,
}
