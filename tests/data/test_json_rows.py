"""JSON comes in as rows, and what is no table says where."""

import pytest

from hpsearch.data.json_rows import read_json
from hpsearch.data.sources import read_table
from hpsearch.errors import DataError


def refused(folder, content, *words):
    path = folder / "rows.json"
    path.write_text(content)
    with pytest.raises(DataError) as caught:
        read_table(path)
    message = str(caught.value)
    assert "\n" not in message
    for word in ("train", "rows.json", *words):
        assert word in message


def test_rows_and_columns(tmp_path):
    path = tmp_path / "rows.json"
    path.write_bytes(b'\xef\xbb\xbf[{"a": 1}, {"b": null}]')
    assert read_json(path, "train") == [{"a": 1}, {"b": None}]
    path.write_text('{"a": [1, 2], "b": ["x", "y"]}')
    assert read_table(path).to_dict("records") == [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]


def test_what_is_no_table_is_refused(tmp_path):
    refused(tmp_path, '[{"a": 1},', "is not valid JSON", "line 1, column 11", "array of objects")
    refused(tmp_path, '[{"a": 1}, [2]]', "row 1", "is a JSON list")
    refused(tmp_path, "3", "is a JSON int")
    refused(tmp_path, '{"a": 1}', "one object", "'a' is no array")
    refused(tmp_path, '{"a": [1], "b": [1, 2]}', "differ in length: 'a' 1 value, 'b' 2 values")
    refused(tmp_path, '[{"a": "x\\ud83d"}]', "row 0", "half a character")
    refused(tmp_path, '{"a": 1}\n{"a": 2', "line 2")
    refused(tmp_path, "[" * 100_000, "nested too deeply")
