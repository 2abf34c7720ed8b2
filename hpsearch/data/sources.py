"""Tables in: CSV, TSV, JSON lines, Parquet and DataFrames, each read into a new DataFrame with rows 0, 1, 2, ..."""

import functools
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpsearch.data.encoding import bad_byte, check_encoding, not_utf8
from hpsearch.data.json_rows import read_json, read_json_lines
from hpsearch.data.nested import is_nested, plain_nested, read_parquet
from hpsearch.data.unicode import check_column_names, check_texts_are_unicode
from hpsearch.data.wording import listed, no_rows
from hpsearch.errors import DataError, nearest

if TYPE_CHECKING:
    import pandas as pd

_WHOLE_NUMBER = re.compile("0|-?[1-9][0-9]*")


def read_table(
    source: "str | Path | pd.DataFrame",
    role: str = "train",
    *,
    columns: Sequence[str] = (),
    names: Sequence[str] = (),
    texts: Sequence[str] = (),
) -> "pd.DataFrame":
    """Return the rows of a file or DataFrame as a new DataFrame, its index 0, 1, 2, ...; the source is not changed.

    Files end in .csv, .tsv, .jsonl, .ndjson, .json or .parquet; text is UTF-8. Only an empty cell of a CSV or TSV file
    is a missing value: a text or a class may well be called "null" or "NA". Values that are lists or dicts come as
    plain Python has them (`plain_nested`).

    Args:
        source: The file or DataFrame.
        role: For errors.
        columns: Those that are read, whose texts are checked.
        names: Those of classes and groups: what a cell of a CSV or TSV file says is its name. See `as_names`.
        texts: Those of which a cell of such a file is a text, "007" too.

    Raises:
        DataError: The file is not there, cannot be read, or has no rows; a text of it is none.
    """
    import pandas as pd

    if isinstance(source, pd.DataFrame):
        table, name = source.reset_index(drop=True), "DataFrame"
    elif isinstance(source, str | Path):
        path = existing(source, role)
        table, name = _read_file(path, role, [*names, *texts]), f"file {path.name}"
        if path.suffix.lower() in (".csv", ".tsv"):
            given = [column for column in names if column in table.columns]
            table = table.assign(**{column: as_names(table[column], role) for column in given})
    else:
        raise DataError(
            f"the {role} data is a {type(source).__name__}: give a pandas.DataFrame or the path of a file "
            f"({', '.join(_READERS)})."
        )
    present = [str(column) for column in table.columns.tolist()]
    check_column_names(present, role)
    table.columns = pd.Index(present)
    repeated = [str(column) for column in table.columns[table.columns.duplicated()]]
    if repeated:
        raise _repeated(repeated, role, name)
    if table.empty:
        raise no_rows(role, name)
    for column in dict.fromkeys([*columns, *names, *texts]):
        if column in [*columns, *names] and column in table.columns and is_nested(table[column]):
            table[column] = plain_nested(table[column], column, role)
        elif column in table.columns:
            check_texts_are_unicode(table[column].tolist(), f"column {column!r}", role, are_names=column in names)
    return table


def as_names(cells: "pd.Series[Any]", role: str) -> "pd.Series[Any]":
    """Return a file's column of classes or groups, read as text.

    Where every cell is a whole number as Python writes it (not 01, 1.0 or +1), or every one is True or False, they are
    these values, whose text is the cell's. Training cells that are numbers, some with a fraction, are numbers too: they
    are no classes. All else stays text, each spelling a name of its own.
    """
    import pandas as pd

    distinct = cells.unique().tolist()
    if cells.isna().any():
        return cells
    if all(_WHOLE_NUMBER.fullmatch(cell) and -(2**63) <= int(cell) < 2**63 for cell in distinct):
        return cells.astype("int64")
    if set(distinct) <= {"True", "False"}:
        return cells == "True"
    numbers = pd.to_numeric(cells, errors="coerce")
    is_fractional = role == "train" and not numbers.isna().any() and bool((numbers != numbers.round()).any())
    return numbers if is_fractional else cells


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


def _read_file(path: Path, role: str, as_text: Sequence[str]) -> "pd.DataFrame":
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
    return reader(path, role, as_text)


def _read_separated(path: Path, role: str, as_text: Sequence[str], separator: str) -> "pd.DataFrame":
    import pandas as pd

    check_encoding(path, role)
    types = dict.fromkeys(as_text, str)
    try:
        table = pd.read_csv(
            path,
            sep=separator,
            encoding="utf-8-sig",
            keep_default_na=False,
            na_values=[""],
            low_memory=False,
            dtype=types,
        )
    except UnicodeDecodeError as error:
        raise not_utf8(path, role, error) from error
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


def _read_json_lines(path: Path, role: str, _as_text: Sequence[str]) -> "pd.DataFrame":
    import pandas as pd

    return pd.DataFrame(read_json_lines(path, role))


def _read_json(path: Path, role: str, _as_text: Sequence[str]) -> "pd.DataFrame":
    import pandas as pd

    return pd.DataFrame(read_json(path, role))


def _read_parquet(path: Path, role: str, _as_text: Sequence[str]) -> "pd.DataFrame":
    import pyarrow as pa

    try:
        table = read_parquet(path).reset_index(drop=True)
        for name in table.columns:
            table[name].to_numpy()  # only then is a text decoded
        return table
    except (pa.ArrowException, OSError, UnicodeError) as error:
        _check_parquet_texts(path, role)
        raise DataError(
            f"the {role} file {path.name!r} is not a readable Parquet file: {str(error).strip().rstrip('.')}. "
            "Write it again with DataFrame.to_parquet."
        ) from error


def _check_parquet_texts(path: Path, role: str) -> None:
    """Raise DataError where a text in a Parquet file is not UTF-8, which its other reader only says without a row."""
    import pyarrow as pa
    import pyarrow.parquet

    try:
        table = pa.parquet.read_table(path)
    except (pa.ArrowException, OSError):
        return
    for name, column in zip(table.column_names, table.columns, strict=True):
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            for row, value in enumerate(column.cast(pa.large_binary())):
                try:
                    (value.as_py() or b"").decode()
                except UnicodeDecodeError as error:
                    raise DataError(
                        f"column {name!r} of the {role} file {path.name!r} has a text that is not UTF-8 in row {row} "
                        f"(counted from 0): {bad_byte(error)}. Write the file again from whole texts: "
                        "value.decode('utf-8', 'replace')."
                    ) from error


_READERS: dict[str, Callable[[Path, str, Sequence[str]], "pd.DataFrame"]] = {
    ".csv": functools.partial(_read_separated, separator=","),
    ".tsv": functools.partial(_read_separated, separator="\t"),
    ".jsonl": _read_json_lines,
    ".ndjson": _read_json_lines,
    ".json": _read_json,
    ".parquet": _read_parquet,
}
