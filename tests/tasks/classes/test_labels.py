"""Classes have one order, their plain Python values, and no second spelling."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpsearch.errors import DataError
from hpsearch.tasks.classes.labels import LabelEncoding, alike, learn_labels


def refused(function, *words):
    with pytest.raises(DataError) as caught:
        function()
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("values", "kind", "classes"),
    [
        (["spam", "ham", "spam"], "binary", ("ham", "spam")),
        ([10, 9, 2, 9], "multiclass", (2, 9, 10)),
        (["10", "9", "2"], "multiclass", ("10", "2", "9")),
        ([True, False], "binary", (False, True)),
        (np.array([2.0, 1.0]), "binary", (1, 2)),
        (pd.Series(["b", "a"], index=[5, 5]), "binary", ("a", "b")),
        (pd.Categorical(["b", "a"], categories=["b", "a", "never"]), "binary", ("a", "b")),
        (pd.Series([3, 1], dtype="Int64"), "binary", (1, 3)),
        (np.array(["x", "y"]), "binary", ("x", "y")),
    ],
)
def test_classes_are_sorted_plain_values(values, kind, classes):
    encoding = learn_labels(values)
    assert encoding == LabelEncoding(kind, classes)
    assert [type(label) for label in encoding.classes] == [type(label) for label in classes]
    assert json.loads(json.dumps(encoding.to_json())) == {"kind": kind, "classes": list(classes)}
    codes = encoding.encode(values)
    assert codes.dtype == np.int64
    assert [encoding.classes[code] for code in codes] == list(values)


NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=3)


@given(st.lists(NAMES, min_size=2, max_size=30).filter(lambda values: len(set(values)) > 1))
def test_encoding_loses_nothing(values):
    encoding = learn_labels(values)
    assert [encoding.classes[code] for code in encoding.encode(values)] == values
    assert list(encoding.classes) == sorted(encoding.classes)


def test_a_number_read_as_text_elsewhere_is_the_same_class():
    encoding = learn_labels(["1", "2", "unsure"])
    assert encoding.encode(pd.Series([2, 1]), role="test").tolist() == [1, 0]
    assert learn_labels([1, 2]).encode(["2", "1"]).tolist() == [1, 0]


@pytest.mark.parametrize("names", [["a", "a"], [1, "1"]])
def test_two_columns_of_one_name_are_no_labels(names):
    rows = [[0, 1], [1, 0], [1, 1]]
    refused(lambda: learn_labels(pd.DataFrame(rows, columns=names)), "columns 0, 1", "train labels", "of its own")
    encoding = learn_labels(pd.DataFrame(rows, columns=["a", "b"]))
    beside = pd.DataFrame([[0, 1, 5, 6]], columns=["a", "b", "c", "c"])
    assert encoding.encode(beside).tolist() == [[0, 1]]
    refused(lambda: encoding.encode(beside.set_axis(["a", "b", "b", "c"], axis=1), "test"), "columns 1, 2", "'b'")


def test_columns_of_zeros_and_ones_are_multilabel():
    table = pd.DataFrame({"b": [1, 0, 1], "a": [False, True, True]}, index=[9, 9, 9])
    encoding = learn_labels(table)
    assert encoding == LabelEncoding("multilabel", ("b", "a"))
    targets = encoding.encode(table[["a", "b"]])
    assert targets.dtype == np.float32
    assert targets.tolist() == [[1, 0], [0, 1], [1, 1]]
    assert (encoding.classes, targets.tolist()) == (("b", "a"), [[1, 0], [0, 1], [1, 1]])
    assert learn_labels(np.array([[1.0, 0.0], [0.0, 1.0]])).classes == ("0", "1")
    assert encoding.encode(np.array([[0, 1]])).tolist() == [[0, 1]]


def test_missing_labels_name_their_rows():
    values = pd.Series(["a", None, "b", np.nan], index=[4, 5, 6, 7])
    refused(lambda: learn_labels(values), "2 of 4 train labels are missing", "rows 1, 3 (counted from 0)", "remove")
    encoding = learn_labels(["a", "b"])
    refused(lambda: encoding.encode(["a", None], role="test"), "1 of 2 test labels", "row 1 (counted from 0)")
    many = pd.Series(["a", *[None] * 8])
    refused(lambda: learn_labels(many), "rows 1, 2, 3, 4, 5 and 3 more")


def test_unusable_labels_are_refused():
    refused(lambda: learn_labels(["a", "a"]), "one class only, 'a'", "Check the label column")
    refused(lambda: learn_labels([]), "no rows")
    refused(lambda: learn_labels([0.5, 1.5]), "row 0", "0.5", "a float", "whole numbers")
    refused(lambda: learn_labels([["a"], ["b"]]), "a list", "0/1 columns")
    refused(lambda: learn_labels(pd.Series([1, "1"], dtype=object)), "1 (int)", "'1' (str)", "all text")
    refused(lambda: learn_labels(pd.Series([True, 1], dtype=object)), "True (bool)", "1 (int)")


def test_labels_unseen_in_training_are_named():
    encoding = learn_labels(["a", "b"])
    refused(
        lambda: encoding.encode(["a", "c", "d", "c"], role="test"),
        "test rows have labels",
        "'c', 'd'",
        "training has 'a', 'b'",
    )


def test_label_columns_that_are_not_zeros_and_ones_are_refused():
    good = pd.DataFrame({"anger": [0, 1], "joy": [1, 0]})
    encoding = learn_labels(good)
    refused(lambda: learn_labels(good.assign(joy=[2, 0])), "'joy'", "2", "row 0", "hold 0 and 1")
    refused(lambda: learn_labels(good.assign(joy=["1", "0"])), "'joy'", "'1'", "rows 0, 1")
    refused(lambda: learn_labels(good.assign(joy=[None, 1])), "'joy'", "misses 1 of 2", "row 0")
    refused(lambda: learn_labels(good.assign(joy=[1, 1])), "'joy' is 1 in every one of the 2", "Leave that column out")
    refused(lambda: learn_labels(good[["joy"]]), "two or more label columns", "'joy'")
    refused(lambda: learn_labels(good.iloc[:0]), "no rows")
    refused(lambda: encoding.encode(good.rename(columns={"joy": "joi"})), "no label column 'joy'", "'joi'?")
    refused(lambda: encoding.encode(np.zeros((2, 3))), "shape (2, 3)", "2 labels")


def test_an_unseen_label_that_is_a_class_in_another_spelling_is_hinted_at():
    refused(lambda: learn_labels([1, 2]).encode(["1", "02"], "test"), "'02' may be 2, written otherwise: write both")
    refused(lambda: learn_labels(["Good", "bad"]).encode(["good"]), "'good' may be 'Good'")
    with pytest.raises(DataError) as caught:
        learn_labels(["a", "b"]).encode(["c"])
    assert "otherwise" not in str(caught.value)


@pytest.mark.parametrize("twins", [("1", "01", "1.0"), ("Good", "good", " good "), ("caf\u00e9", "cafe\u0301")])
def test_what_is_alike(twins):
    assert len({alike(label) for label in twins}) == 1


@pytest.mark.parametrize("others", [("1", "11"), ("a", "b"), ("nan", "NA"), ("9007199254740993", "9007199254740992")])
def test_what_is_not_alike(others):
    assert len({alike(label) for label in others}) == len(others)


def test_of_a_column_with_one_odd_value_that_one_is_named():
    table = pd.DataFrame({"a": ["0", "1", "yes", "0"], "b": [0, 1, 1, 0]})
    refused(lambda: learn_labels(table), "'a'", "has 'yes' in row 2 (counted from 0)")
