"""A Dataset comes in as its rows: classes by their names, lists and dicts as they were written."""

import numpy as np
import pandas as pd
import pytest
from hub_doubles import ClassLabel, Dataset, Image, Json, List, Stream, Value

from hpsearch.data.hub_datasets import dataset_table, image_column, is_unlabelled, label_column, splits_of
from hpsearch.errors import DataError

CLASSES = ClassLabel(["bad", "good"])


def of_labels(*codes: int) -> Dataset:
    rows = pd.DataFrame({"text": [f"row {place}" for place in range(len(codes))], "label": codes})
    return Dataset(rows, {"text": Value(), "label": CLASSES})


def test_classes_come_by_their_names_and_minus_one_is_missing() -> None:
    assert dataset_table(of_labels(1, 0, -1), [], "train")["label"].tolist() == ["good", "bad", None]


def test_lists_and_dicts_come_as_they_were_written() -> None:
    chat = np.array([{"role": "user", "tags": np.array([0, 1]), "absent": None}], dtype=object)
    kept = {"a": None}
    rows = pd.DataFrame({"messages": [chat, None], "pairs": [{"x": np.array([1, 0])}, {"x": np.array([0])}]})
    rows["json"] = pd.Series([np.array([kept], dtype=object), np.array([], dtype=object)], dtype=object)
    part = {"role": Value(), "tags": List(CLASSES), "absent": Value()}
    features = {"messages": [part], "pairs": List({"x": CLASSES}), "json": List(Json())}
    table = dataset_table(Dataset(rows, features), [], "train")
    assert table["messages"].tolist() == [[{"role": "user", "tags": ["bad", "good"]}], None]
    assert table["pairs"].tolist() == [{"x": ["good", "bad"]}, {"x": ["bad"]}]
    assert table["json"].tolist() == [[kept], []]


def test_only_the_columns_that_are_read_are_taken_where_all_are_there() -> None:
    assert list(dataset_table(of_labels(0, 1), ["label"], "train").columns) == ["label"]
    assert list(dataset_table(of_labels(0, 1), ["label", "other"], "train").columns) == ["text", "label"]


def test_what_does_not_give_the_same_rows_twice_is_refused() -> None:
    with pytest.raises(DataError, match=r"the test data is a Stream, which is read as a stream.*streaming=True"):
        dataset_table(Stream({"text": Value()}), [], "test")
    changed = Dataset(pd.DataFrame({"text": ["a"]}), {"text": Value()}, kind="custom")
    with pytest.raises(DataError, match=r"the train dataset has a transform.*dataset.map"):
        dataset_table(changed, [], "train")


def test_splits_take_their_places_and_the_others_are_named() -> None:
    given = {name: of_labels(0, 1) for name in ("train", "dev", "test", "extra")}
    found, said = splits_of(given)
    assert found == {"train": given["train"], "validation": given["dev"], "test": given["test"]}
    assert said == (
        "train= is a DatasetDict: its split 'train' is trained on, 'dev' evaluates each trial, 'test' is the test "
        "rows; not used: 'extra'."
    )
    found, said = splits_of(given, ["validation"])
    assert set(found) == {"train", "test"}
    assert "not used: 'dev', 'extra'" in said
    unlabelled = {"train": of_labels(0, 1), "test": of_labels(-1, -1)}
    found, said = splits_of(unlabelled, label="label")
    assert set(found) == {"train"}
    assert "'test' has no labels (-1) and is left out" in said
    with pytest.raises(DataError, match=r"without a split 'train'; it has 'fit'.*train=dataset\['fit'\]"):
        splits_of({"fit": of_labels(0, 1)})


def test_columns_are_found_by_their_features() -> None:
    rows = Dataset(pd.DataFrame({"picture": [1], "kind": [0]}), {"picture": Image(), "kind": CLASSES})
    assert (image_column(rows), label_column(rows)) == ("picture", "kind")
    assert label_column(Dataset(pd.DataFrame(), {"labels": Value(), "kind": CLASSES})) == "labels"
    two = Dataset(pd.DataFrame(), {"a": Image(), "b": Image(), "c": CLASSES, "d": CLASSES})
    assert (image_column(two), label_column(two)) == (None, None)
    assert not is_unlabelled(of_labels(-1, 0), "label")
    assert not is_unlabelled(of_labels(-1), "text")
