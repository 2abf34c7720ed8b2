"""Tables come in alike whatever they are written as, and what cannot be read is said in one paragraph."""

import pandas as pd
import pytest

from hpsearch.data.sources import read_table
from hpsearch.errors import DataError

ROWS = pd.DataFrame({"text": ["good, very", 'a "bad" one', "null"], "label": [1, 0, 1]})


def refused(source, *words, role="train"):
    """Assert that reading `source` fails in one paragraph that has these words."""
    with pytest.raises(DataError) as caught:
        read_table(source, role=role)
    message = str(caught.value)
    assert "\n" not in message
    for word in (role, *words):
        assert word in message


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".ndjson", ".parquet", ".CSV"])
def test_every_format_gives_the_same_rows(tmp_path, suffix):
    path = tmp_path / f"rows{suffix}"
    if suffix.lower() in (".csv", ".tsv"):
        ROWS.to_csv(path, sep="," if suffix.lower() == ".csv" else "\t", index=False)
    elif suffix == ".parquet":
        ROWS.set_index(pd.Index([7, 8, 9])).to_parquet(path)
    else:
        ROWS.to_json(path, orient="records", lines=True)
    for source in (path, str(path)):
        table = read_table(source)
        assert table.to_dict("list") == ROWS.to_dict("list")
        assert list(table.index) == [0, 1, 2]


def test_a_data_frame_is_not_changed_and_its_index_does_not_count():
    source = ROWS.set_index(pd.Index(["x", "y", "z"])).rename(columns={"label": 5})
    before = source.copy(deep=True)
    table = read_table(source)
    assert list(table.columns) == ["text", "5"]
    assert list(table.index) == [0, 1, 2]
    table.loc[0, "text"] = "changed"
    pd.testing.assert_frame_equal(source, before)


def test_only_an_empty_cell_is_missing(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("text,label\nnull,NA\nnan,None\n,yes\n")
    table = read_table(path)
    assert table["label"].tolist() == ["NA", "None", "yes"]
    assert table["text"].isna().tolist() == [False, False, True]


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path):
    csv, jsonl = tmp_path / "rows.csv", tmp_path / "rows.jsonl"
    csv.write_bytes(b"\xef\xbb\xbftext,label\na,b\n")
    jsonl.write_bytes(b'\xef\xbb\xbf{"text": "a", "label": "b"}\n\n')
    for path in (csv, jsonl):
        assert list(read_table(path).columns) == ["text", "label"]


def test_a_file_that_is_not_there_names_the_nearest(tmp_path):
    (tmp_path / "train.csv").write_text("text,label\na,b\n")
    refused(tmp_path / "trian.csv", "does not exist", "Did you mean 'train.csv'?", "relative paths start at")
    refused(tmp_path / "nowhere" / "train.csv", "nor does its folder")
    refused("https://example.org/train.csv", "is an address: download it")


def test_what_is_not_a_table_is_refused(tmp_path):
    refused(tmp_path, "is a folder", ".parquet")
    refused([1, 2], "is a list", "pandas.DataFrame", role="test")
    (tmp_path / "rows.xlsx").write_bytes(b"x")
    refused(tmp_path / "rows.xlsx", "'.xlsx'", "use .csv", "read it with pandas")


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_an_empty_file_is_refused(tmp_path, suffix):
    path = tmp_path / f"rows{suffix}"
    path.write_bytes(b"")
    refused(path, path.name, "empty (0 bytes)")


def test_a_file_without_rows_is_refused(tmp_path):
    (tmp_path / "header.csv").write_text("text,label\n")
    (tmp_path / "blank.csv").write_text("\n\n")
    (tmp_path / "blank.jsonl").write_text("\n\n")
    refused(tmp_path / "header.csv", "header.csv has no rows", role="test")
    refused(tmp_path / "blank.csv", "no columns")
    refused(tmp_path / "blank.jsonl", "has no rows")
    refused(ROWS.iloc[:0], "DataFrame has no rows")


def test_a_wrong_encoding_is_said_with_its_remedy(tmp_path):
    csv, jsonl = tmp_path / "rows.csv", tmp_path / "rows.jsonl"
    csv.write_bytes("text,label\ncafé,b\n".encode("latin-1"))
    jsonl.write_bytes('{"text": "a"}\n{"text": "café"}\n'.encode("latin-1"))
    refused(csv, "rows.csv", "not UTF-8", "0xe9", "encoding=")
    refused(jsonl, "rows.jsonl", "line 2", "0xe9")


def test_a_bad_line_is_numbered(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "a"}\n\n{"text": "b"\n')
    refused(path, "line 3", "not valid JSON", "one whole object")
    path.write_text('{"text": "a"}\n["b"]\n')
    refused(path, "line 2", "JSON list, not an object")


def test_a_text_with_a_bare_separator_is_refused_not_shifted(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("text,label\nfine,1\nhello, world,0\n")
    refused(path, "line 3", "double quotes")
    path.write_text("text,label\nhello, world,0\nbye, world,1\n")
    refused(path, "more fields than its header (2)", "double quotes")


def test_a_damaged_parquet_file_is_refused(tmp_path):
    path = tmp_path / "rows.parquet"
    path.write_bytes(b"PAR1 this is not one")
    refused(path, "rows.parquet", "not a readable Parquet file", "to_parquet")


def test_two_columns_of_one_name_are_refused():
    refused(pd.DataFrame([[1, 2]], columns=["a", "a"]), "several columns called 'a'")


def cells(*values):
    return pd.Series(values, dtype=str)


@pytest.mark.parametrize(
    ("written", "names"),
    [
        (["01", "1", "01"], ["01", "1", "01"]),
        (["01", "02", "10"], ["01", "02", "10"]),
        (["0", "2", "10", "-1"], [0, 2, 10, -1]),
        (["-0", "1"], ["-0", "1"]),
        (["1.0", "1"], ["1.0", "1"]),
        (["1.0", "2.0"], ["1.0", "2.0"]),
        (["1", "2", "unsure"], ["1", "2", "unsure"]),
        (["True", "False"], [True, False]),
        (["true", "false"], ["true", "false"]),
        (["TRUE", "True"], ["TRUE", "True"]),
        (["NA", "nan", "None", "null"], ["NA", "nan", "None", "null"]),
        (["+1", "1"], ["+1", "1"]),
        ([" 1", "1"], [" 1", "1"]),
        (["1e3", "1000"], ["1e3", "1000"]),
        (["9007199254740993", "9007199254740992"], [9007199254740993, 9007199254740992]),
        (["18446744073709551615", "1"], ["18446744073709551615", "1"]),
    ],
)
@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
def test_a_name_is_what_its_cell_says(tmp_path, suffix, written, names):
    """The text of what is read is the text of the cell, in every file, whatever else stands in the column."""
    path = tmp_path / f"rows{suffix}"
    path.write_text("\n".join(["label", *written]))
    for role in ("train", "test"):
        read = read_table(path, role, names=["label", "group that is not there"])["label"].tolist()
        assert [(type(name), name) for name in read] == [(type(name), name) for name in names]
        assert list(map(str, read)) == written


def test_numbers_with_a_fraction_are_no_names_of_classes_but_may_be_among_them(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("label\n0.5\n1.0\n")
    assert read_table(path, names=["label"])["label"].tolist() == [0.5, 1.0]  # refused as classes: a regression
    assert read_table(path, "test", names=["label"])["label"].tolist() == ["0.5", "1.0"]
    path.write_text("label\n0.5\nmany\n")
    assert read_table(path, names=["label"])["label"].tolist() == ["0.5", "many"]


def test_an_empty_name_is_missing(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text('text,label\na,1\nb,\nc,""\n')
    read = read_table(path, names=["label"])["label"]
    assert read.isna().tolist() == [False, True, True]
    assert read.tolist()[0] == "1"


def test_texts_and_other_columns(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("text,number\n007,01\n7,2\n")
    assert read_table(path, texts=["text"]).to_dict("list") == {"text": ["007", "7"], "number": [1, 2]}
