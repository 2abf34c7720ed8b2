"""Columns of lists and dicts come in as plain Python has them, and go out to Parquet and back equal."""

import json

import numpy as np
import pandas as pd
import pytest

from hpsearch.data.fingerprint import fingerprint_table
from hpsearch.data.nested import plain_nested, read_parquet
from hpsearch.data.sources import read_table
from hpsearch.errors import DataError
from hpsearch.tasks.sources import Table, source_from

CHATS = [
    [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hé!", "tool_calls": [{"n": 1.5}]}],
    [{"role": "system", "content": "x"}],
]
ROWS = pd.DataFrame({"messages": CHATS, "tools": [None, [{"name": "f"}]], "spans": [[(0, 5)], []], "id": [1, 2]})
PLAIN = [[[0, 5]], []]


def refused(value, *words):
    with pytest.raises(DataError) as caught:
        read_table(pd.DataFrame({"messages": [[], value]}), columns=["messages"])
    for word in ("'messages'", "train", *words):
        assert word in str(caught.value)


def test_values_come_as_lists_and_dicts():
    table = read_table(ROWS, columns=["messages", "tools", "spans"])
    assert table["messages"].tolist() == CHATS
    assert table["spans"].tolist() == PLAIN
    assert table["tools"].tolist() == [None, [{"name": "f"}]]
    assert ROWS["spans"].tolist()[0] == [(0, 5)]


def test_numbers_of_numpy_and_what_is_missing_become_those_of_python():
    column = pd.Series([np.array([1, 2]), {"a": np.float32(0.5), "b": np.nan, "c": pd.NA, "d": np.True_}, np.nan])
    plain = plain_nested(column, "x", "train").tolist()
    assert plain == [[1, 2], {"a": 0.5, "b": None, "c": None, "d": True}, None]
    assert type(plain[0][0]) is int


def test_a_snapshot_gives_equal_rows_with_an_equal_fingerprint(tmp_path):
    given = Table(("messages", "tools", "spans", "id"), frame=ROWS)
    kept = given.snapshot(tmp_path, "train")
    again = source_from(kept.describe(), tmp_path).value
    assert again["messages"].tolist() == CHATS
    assert "tool_calls" not in again["messages"][0][0]
    assert again["spans"].tolist() == PLAIN
    assert again["tools"].tolist() == [None, [{"name": "f"}]]
    assert again["id"].tolist() == [1, 2]
    assert kept.fingerprint == given.fingerprint == fingerprint_table(again)


def test_a_content_may_be_text_here_and_parts_there(tmp_path):
    mixed = [[{"content": "a"}], [{"content": [{"type": "text", "text": "b"}]}]]
    kept = Table(("messages",), frame=pd.DataFrame({"messages": mixed})).snapshot(tmp_path, "train")
    assert kept.value["messages"].tolist() == mixed


def test_the_fingerprint_is_that_of_the_content():
    turned = pd.DataFrame({"messages": [[dict(reversed(part.items())) for part in chat] for chat in CHATS]})
    assert fingerprint_table(turned) == fingerprint_table(ROWS, ["messages"])
    other = pd.DataFrame({"messages": [CHATS[0], [{**CHATS[1][0], "role": "user"}]]})
    assert fingerprint_table(other) != fingerprint_table(ROWS, ["messages"])


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".parquet", "columns.json", "lines.json"])
def test_every_format_gives_the_same_rows(tmp_path, suffix):
    path = tmp_path / f"rows{suffix}"
    table = read_table(ROWS, columns=["messages", "tools", "spans"])
    records = table.to_dict("records")
    if suffix.endswith(".parquet"):
        ROWS.to_parquet(path)  # Arrow gives each dict all keys
    elif suffix == ".json":
        path.write_text(json.dumps(records))
    elif suffix == "columns.json":
        path.write_text(json.dumps(table.to_dict("list")))
    else:
        path.write_text("\n".join(map(json.dumps, records)))
    if suffix == ".parquet":
        assert "tool_calls" in pd.read_parquet(path)["messages"][0][0]
    again = read_table(path, columns=["messages", "tools", "spans"])
    assert again.to_dict("list") == table.to_dict("list")
    assert fingerprint_table(again) == fingerprint_table(table)


def test_what_cannot_be_kept_names_its_row_and_its_place():
    refused([{"role": "user", "content": b"\x00"}], "row 1 (counted from 0), at [0]['content']", "a bytes")
    refused({1: "a"}, "the key 1, a int")
    refused(["cut \ud83d"], "half a character", "[0]")


def test_a_column_of_arrow_lists_is_nested(tmp_path):
    path = tmp_path / "rows.parquet"
    pd.DataFrame({"tags": [["a"], ["b", "c"]]}).to_parquet(path)
    assert read_parquet(path)["tags"].tolist() == [["a"], ["b", "c"]]
    arrow = pd.read_parquet(path, dtype_backend="pyarrow")
    assert read_table(arrow, columns=["tags"])["tags"].tolist() == [["a"], ["b", "c"]]
