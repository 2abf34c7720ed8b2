"""Half a character, or a NUL in a name, is refused by its row wherever it comes in, with what to do."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

from hpsearch.data.audit import group_codes
from hpsearch.data.example_reading import examples_of
from hpsearch.data.images import read_images
from hpsearch.data.sources import read_table
from hpsearch.data.unicode import check_texts_are_unicode, fault_in
from hpsearch.errors import DataError
from hpsearch.tasks.classes.labels import learn_labels
from hpsearch.tasks.sources import Location, plain_array

HALF = "ab\ud83d"
WHOLE = "ab\N{GRINNING FACE}"


def refused(function: Any, *words: str) -> str:
    with pytest.raises(DataError) as caught:
        function()
    message = str(caught.value)
    assert "\n" not in message
    message.encode()  # it can be printed
    for word in words:
        assert word in message
    return message


def objects(*values: str) -> "pd.Series[Any]":
    return pd.Series(values, dtype=object)


@pytest.mark.parametrize("value", [WHOLE, "", "a\0b", 5, None, "\ufeffa"])
def test_whole_characters_and_other_values_are_no_fault(value: Any) -> None:
    assert fault_in(value) is None
    check_texts_are_unicode([value], "it", "train")


def test_what_is_wrong_and_what_to_do() -> None:
    assert "is half a character" in str(fault_in(HALF))
    assert HALF.encode("utf-16", "surrogatepass").decode("utf-16", "replace") == "ab\ufffd"  # the remedy works
    assert "a byte that is not UTF-8, as in a file name" in str(fault_in("caf\udce9"))
    assert "NUL" in str(fault_in("a\0", is_name=True))


@pytest.mark.parametrize("row", [{"text": HALF}, {"text": "a", "unread": HALF}, {"text": {"a": [HALF]}}, {HALF: "a"}])
def test_a_json_line_is_named(tmp_path: Path, row: dict[str, Any]) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"text": WHOLE}) + "\n\n" + json.dumps(row) + "\n")
    refused(
        lambda: read_table(path), "line 3 of the train file 'rows.jsonl'", "\\ud83d", "half a character", '"replace"'
    )


def test_whole_characters_that_json_escapes_are_read(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text(json.dumps({"text": WHOLE}))
    assert read_table(tmp_path / "rows.jsonl")["text"].tolist() == [WHOLE]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_half_a_character_in_bytes_is_no_utf8_and_its_line_is_named(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"rows{suffix}"
    lines = [b"text,label", b"a,b", b"c\xed\xa0\xbd,d"] if suffix == ".csv" else [b"", b"", b'{"text": "\xed\xa0\xbd"}']
    path.write_bytes(b"\n".join(lines) + b"\n")
    refused(lambda: read_table(path), "not UTF-8", "line 3, byte 0xed", "half a character")


def test_a_parquet_file_with_half_a_character_names_row_and_column(tmp_path: Path) -> None:
    values = pa.array([b"whole", b"ab\xed\xa0\xbd"])
    texts = pa.StringArray.from_buffers(2, values.buffers()[1], values.buffers()[2])
    pyarrow.parquet.write_table(pa.table({"label": ["x", "y"], "text": texts}), tmp_path / "rows.parquet")
    refused(
        lambda: read_table(tmp_path / "rows.parquet"), "column 'text'", "row 1 (counted from 0)", "half a character"
    )


@pytest.mark.parametrize("column", ["text", "label", "site", "weight"])
def test_a_frame_names_column_and_row(column: str) -> None:
    table = pd.DataFrame({name: objects("a", "b", "c") for name in ("text", "label", "site", "weight", "unread")})

    def read(table: pd.DataFrame) -> pd.DataFrame:
        return read_table(table, "test", columns=["text", "label", "site", "weight"], names=["label", "site"])

    table["unread"] = objects(HALF, "b", "c")
    assert len(read(table)) == 3
    table[column] = objects("a", HALF, HALF)
    refused(
        lambda: read(table), f"column {column!r} of the test data", "rows 1, 2 (counted from 0)", "half a character"
    )
    table[column] = objects("a", "b", "c\0")
    if column in ("label", "site"):
        refused(lambda: read(table), f"column {column!r}", "row 2", "NUL")
    else:
        assert len(read(table)) == 3


def test_names_of_columns() -> None:
    table = pd.DataFrame(np.zeros((1, 2)), columns=pd.Index(["a", HALF], dtype=object))
    refused(lambda: read_table(table), "column 1 (counted from 0)", "half a character")
    labels = pd.DataFrame(np.eye(2), columns=pd.Index(["a", HALF], dtype=object))
    refused(lambda: learn_labels(labels), "column 1", "half a character")
    refused(lambda: examples_of(np.eye(2), labels, "train"), "column 1", "half a character")


@pytest.mark.parametrize("name", [HALF, "b\0"])
def test_lists_in_memory(name: str) -> None:
    """NumPy drops a NUL at the end of a text, so that "b" and "b\\0" would be one class."""
    names = ["b", name, "b"]
    for function in (
        lambda: learn_labels(names),
        lambda: group_codes(names),
        lambda: group_codes(objects(*names)),
        lambda: plain_array(names, "train"),
        lambda: examples_of(np.eye(3), names, "train"),
        lambda: examples_of(np.eye(3), np.array(names, dtype=object), "train"),
        lambda: read_images((np.zeros((3, 2, 2), np.uint8), names)).fingerprint() and learn_labels(names),
    ):
        refused(function, "row 1 (counted from 0)")


def test_paths() -> None:
    for path in ("caf\udce9.png", "a\0.png"):
        table = pd.DataFrame({"path": objects("a.png", path), "label": ["x", "y"]})
        refused(lambda table=table: read_images(table, image="path", label="label"), "'path'", "row 1")
    refused(lambda: Location.of("caf\udce9/train.csv"), "'caf\\udce9/train.csv'", "not UTF-8")


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf16_is_recognized_with_and_without_its_mark(tmp_path: Path, suffix: str, encoding: str) -> None:
    path = tmp_path / f"rows{suffix}"
    path.write_text("text,label\na,b\n" if suffix == ".csv" else '{"text": "a"}\n', encoding=encoding)
    refused(lambda: read_table(path), "not UTF-8 text", f"encoding='{encoding}'", "give the DataFrame")


def test_a_mark_at_the_start_of_any_json_line_is_no_part_of_it(tmp_path: Path) -> None:
    """Files are put together with `cat`."""
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"text": "a"}\n' * 2)
    assert read_table(path)["text"].tolist() == ["a", "a"]
