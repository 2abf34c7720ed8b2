"""Equal content has an equal fingerprint, whatever it is written as; any change of content has another."""

import re

import numpy as np
import pandas as pd
import pytest

from hpsearch.data.fingerprint import fingerprint_arrays, fingerprint_files, fingerprint_table
from hpsearch.data.sources import read_table

ROWS = pd.DataFrame(
    {"text": ["good", "bad", "ünïcode"], "label": ["x", "y", "x"], "count": [1, 2, 3], "weight": [0.5, 1.0, 2.25]}
)
PINNED_TABLE = "9ab041e837637a8b1460784fc20a094d"
PINNED_ARRAYS = "3cac073e2716fd82923f112c3e397c4a"


def test_a_fingerprint_is_32_hexadecimal_digits():
    for found in (fingerprint_table(ROWS), fingerprint_files([]), fingerprint_arrays({"a": np.arange(3)})):
        assert re.fullmatch("[0-9a-f]{32}", found)


def test_file_format_index_and_column_order_do_not_count(tmp_path):
    expected = fingerprint_table(ROWS)
    ROWS.to_csv(tmp_path / "rows.csv", index=False)
    ROWS.to_csv(tmp_path / "rows.tsv", index=False, sep="\t")
    ROWS.to_json(tmp_path / "rows.jsonl", orient="records", lines=True)
    ROWS.astype({"label": "category"}).to_parquet(tmp_path / "rows.parquet")
    for path in tmp_path.iterdir():
        assert fingerprint_table(read_table(path)) == expected, path.name
    assert fingerprint_table(ROWS.set_index(pd.Index([5, 5, 6]))) == expected
    assert fingerprint_table(ROWS[["weight", "label", "text", "count"]]) == expected
    assert fingerprint_table(ROWS.astype({"count": "int8", "label": "category"})) == expected
    assert fingerprint_table(ROWS.astype({"count": "float32"})) == expected
    assert fingerprint_table(ROWS.astype(object)) == expected


def test_missing_values_are_alike_however_they_are_stored():
    whole = [
        fingerprint_table(pd.DataFrame({"a": column}))
        for column in (
            pd.Series([1, None], dtype="Int64"),
            pd.Series([1.0, np.nan]),
            pd.Series([1, None], dtype=object),
        )
    ]
    assert len(set(whole)) == 1
    texts = [
        fingerprint_table(pd.DataFrame({"a": column}))
        for column in (
            pd.Series(["x", None], dtype=object),
            pd.Series(["x", np.nan]),
            pd.Series(["x", None], dtype="category"),
        )
    ]
    assert len(set(texts)) == 1
    assert whole[0] != texts[0]


@pytest.mark.parametrize(
    "changed",
    [
        ROWS.assign(text=["good", "bad", "unicode"]),
        ROWS.assign(text=["goo", "dbad", "ünïcode"]),
        ROWS.assign(label=["x", "x", "y"]),
        ROWS.assign(weight=[0.5, 1.0, 2.2500001]),
        ROWS.assign(count=[1, 2, 4]),
        ROWS.assign(count=["1", "2", "3"]),
        ROWS.assign(count=[True, False, True]),
        ROWS.iloc[::-1],
        ROWS.iloc[:2],
        ROWS.rename(columns={"text": "sentence"}),
        ROWS.assign(text=["good", None, "ünïcode"]),
        ROWS.assign(text=["good", "", "ünïcode"]),
    ],
)
def test_any_change_of_content_counts(changed):
    assert fingerprint_table(changed) != fingerprint_table(ROWS)


def test_only_the_columns_asked_for_count():
    other = ROWS.assign(weight=[9, 9, 9])
    assert fingerprint_table(other, ["text", "label"]) == fingerprint_table(ROWS, ["label", "text"])


def test_lists_and_dictionaries_in_cells_count():
    nested = pd.DataFrame({"a": [{"x": [1, 2]}, {"y": None}]})
    assert fingerprint_table(nested) == fingerprint_table(pd.DataFrame({"a": [{"x": (1, 2)}, {"y": None}]}))
    assert fingerprint_table(nested) != fingerprint_table(pd.DataFrame({"a": [{"x": [2, 1]}, {"y": None}]}))


def test_files_count_by_content_and_order(tmp_path):
    one, two, copy = tmp_path / "one", tmp_path / "two", tmp_path / "copy"
    one.write_bytes(b"1")
    two.write_bytes(b"2" * 3_000_000)
    copy.write_bytes(b"1")
    assert fingerprint_files([one, two]) == fingerprint_files([copy, str(two)])
    assert fingerprint_files([one, two]) != fingerprint_files([two, one])
    assert fingerprint_files([one]) != fingerprint_files([one, one])


def test_arrays_count_by_type_shape_and_value_not_by_layout(tmp_path):
    array = np.arange(12, dtype=np.int64).reshape(3, 4)
    expected = fingerprint_arrays({"a": array, "b": None})
    assert fingerprint_arrays({"b": None, "a": np.asfortranarray(array)}) == expected
    assert fingerprint_arrays({"a": array.astype(">i8"), "b": None}) == expected
    np.save(tmp_path / "a.npy", array)
    assert fingerprint_arrays({"a": np.load(tmp_path / "a.npy", mmap_mode="r"), "b": None}) == expected
    for other in (array.astype(np.int32), array.reshape(4, 3), array + 1, array[:2]):
        assert fingerprint_arrays({"a": other, "b": None}) != expected
    assert fingerprint_arrays({"a": array}) != expected
    assert fingerprint_arrays({"a": array, "b": np.empty(0)}) != expected
    assert fingerprint_arrays({"a": array, "c": None}) != expected


def test_large_arrays_are_read_in_chunks_to_the_same_digest():
    array = np.random.default_rng(0).integers(0, 9, size=(5000, 100))
    changed = array.copy()
    changed[-1, -1] += 1
    assert fingerprint_arrays({"a": array}) == fingerprint_arrays({"a": array[:, ::-1][:, ::-1]})
    assert fingerprint_arrays({"a": array}) != fingerprint_arrays({"a": changed})


def test_texts_in_arrays_count_by_value_not_by_width():
    wide = np.array(["a", "b"], dtype="<U50")
    assert fingerprint_arrays({"a": wide}) == fingerprint_arrays({"a": np.array(["a", "b"], dtype=object)})
    assert fingerprint_arrays({"a": wide}) != fingerprint_arrays({"a": np.array(["ab", ""])})


def test_the_digest_is_the_same_in_every_version():
    table = pd.DataFrame({"text": ["a", "b"], "label": [0, 1]})
    assert fingerprint_table(table) == PINNED_TABLE
    assert fingerprint_arrays({"a": np.arange(3, dtype=np.int64)}) == PINNED_ARRAYS
