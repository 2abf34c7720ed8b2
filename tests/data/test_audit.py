"""What cannot be learned from is refused before compute is spent; what misleads is said."""

import numpy as np
import pandas as pd
import PIL.Image
import pytest

from hpsearch.data import audit as auditing
from hpsearch.data.audit import group_codes, labels_of, sample_weights
from hpsearch.data.images import read_images
from hpsearch.errors import DataError
from hpsearch.tasks.classes.judge import ClassJudge

TRAIN = pd.DataFrame(
    {
        "text": [f"text {number}" for number in range(40)],
        "title": [f"title {number}" for number in range(40)],
        "label": ["a", "b"] * 20,
        "patient": [number // 2 for number in range(40)],
        "weight": [1.0] * 40,
    }
)
TEST = pd.DataFrame({"text": ["new one", "new two"], "label": ["a", "b"]})
WORDS = {"text": "text", "label": "label"}


def audit(train, test=None, *, label=None, **columns):
    """Audit rows whose targets are classes."""

    def read_targets():
        judge = ClassJudge.learn(labels_of(train, label))
        targets = judge.encode(labels_of(train, label))
        return targets, judge.remarks(targets, None if test is None else judge.encode(labels_of(test, label), "test"))

    return auditing.audit(train, test, read_targets=read_targets, label=label, **columns)


def refused(function, *words):
    with pytest.raises(DataError) as caught:
        function()
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def changed(row, **values):
    table = TRAIN.astype(dict.fromkeys(values, object))
    for name, value in values.items():
        table.loc[row, name] = value
    return table


def test_clean_data_has_no_warning_and_is_not_changed():
    before = TRAIN.copy(deep=True)
    assert audit(TRAIN, TEST, **WORDS, group="patient", sample_weight="weight") == []
    assert audit(TRAIN, text=("title", "text"), label="label") == []
    pd.testing.assert_frame_equal(TRAIN, before)


@pytest.mark.parametrize("column", ["text", "label", "group", "sample_weight"])
def test_a_missing_column_is_named_with_the_nearest(column):
    arguments = {**WORDS, column: "patientt" if column == "group" else "txet"}
    expected = "Did you mean 'patient'?" if column == "group" else "Did you mean 'text'?"
    refused(lambda: audit(TRAIN, **arguments), "train data has no column", expected, "'label', 'patient', 'weight'")


def test_the_test_rows_need_texts_and_labels_only():
    refused(lambda: audit(TRAIN, TEST.drop(columns="label"), **WORDS), "test data has no column 'label'")
    assert audit(TRAIN, TEST, **WORDS, group="patient") == []


def test_a_column_has_one_role():
    refused(lambda: audit(TRAIN, text="text", label="text"), "'text'", "more than once")
    refused(lambda: audit(TRAIN, text="text"), "label= is not given", "'title'")


@pytest.mark.parametrize("empty", [None, float("nan"), "", "  \n\t ", pd.NA])
def test_a_row_without_text_is_refused(empty):
    refused(lambda: audit(changed(3, text=empty), **WORDS), "'text'", "no text in 1 of 40 rows", "row 3", "Remove")


def test_texts_that_are_numbers_are_refused():
    refused(lambda: audit(changed(3, text=12), **WORDS), "12, a int", "row 3", "astype(str)")


def test_labels_are_checked():
    refused(lambda: audit(changed(5, label=None), **WORDS), "1 of 40 train labels are missing", "row 5")
    refused(lambda: audit(TRAIN.assign(label="a"), **WORDS), "one class only")
    refused(lambda: audit(TRAIN, TEST.assign(label=["a", "c"]), **WORDS), "test rows have labels", "'c'")
    refused(lambda: audit(TRAIN, TEST.assign(label=["a", None]), **WORDS), "test labels are missing")


def test_groups_are_checked():
    refused(lambda: audit(changed(7, patient=None), **WORDS, group="patient"), "no group", "row 7", "of its own")
    assert group_codes(["b", "a", "b"]).tolist() == [0, 1, 0]
    assert group_codes(pd.Series([5, 5, 9], index=[1, 1, 1])).dtype == np.int64


@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf"), "heavy", None])
def test_a_weight_that_is_not_a_finite_number_is_refused(value):
    refused(
        lambda: audit(changed(2, weight=value), **WORDS, sample_weight="weight"),
        "1 of 40 train sample weights",
        repr(value),
        "row 2",
    )


def test_weights_are_float32_and_not_all_zero():
    refused(lambda: sample_weights([0, 0]), "all 2 train sample weights are 0")
    found = sample_weights(pd.Series([0, "2.5"], dtype=object))
    assert (found.dtype, found.tolist()) == (np.float32, [0.0, 2.5])


def test_copies_are_warned_of():
    twice = changed(2, text="text 0")
    assert any("1 of 40 training rows repeat the texts" in line for line in audit(twice, **WORDS))
    contradiction = changed(1, text="text 0")
    assert any("1 of the repeated ones bear different labels" in line for line in audit(contradiction, **WORDS))
    leaked = TEST.assign(text=["text 3", "new"])
    assert audit(TRAIN, leaked, **WORDS) == [
        "1 of 2 test rows have texts that are training rows too: test scores will flatter."
    ]
    pair = TRAIN.assign(text="same")
    assert audit(pair, text=("title", "text"), label="label") == []


def test_groups_on_both_sides_are_warned_of():
    shared = TEST.assign(patient=[3, 99])
    warnings = audit(TRAIN, shared, **WORDS, group="patient")
    assert len(warnings) == 1
    assert "1 group of 'patient'" in warnings[0]
    alone = TRAIN.assign(patient=range(40))
    assert any("a group of its own" in line for line in audit(alone, **WORDS, group="patient"))


def test_rare_and_absent_classes_are_warned_of():
    rare = changed(0, label="c")
    assert any("1 of 3 classes" in line and "'c' (1)" in line for line in audit(rare, **WORDS))
    assert audit(TRAIN, TEST.assign(label="a"), **WORDS) == ["the test rows have none of the class 'b'."]


def test_several_labels_a_row():
    table = TRAIN.assign(joy=[0, 1] * 20, anger=[1, 0, 0, 1] * 10)
    assert audit(table, table.iloc[:0:-1], text="text", label=["joy", "anger"]) == [
        "39 of 39 test rows have texts that are training rows too: test scores will flatter."
    ]
    refused(lambda: audit(table.assign(joy=3), text="text", label=["joy", "anger"]), "'joy'", "hold 0 and 1")


def test_images_are_decoded_and_compared(tmp_path):
    for number in range(12):
        for name in ("a", "b"):
            (tmp_path / "train" / name).mkdir(parents=True, exist_ok=True)
            colour = (number, 0, 0 if name == "a" else 9)
            PIL.Image.new("RGB", (4, 4), colour).save(tmp_path / "train" / name / f"{number}.png")
    rows = read_images(tmp_path / "train")
    assert audit(rows) == []
    array = np.stack([np.asarray(rows.load(row)) for row in range(24)])
    assert audit(read_images((array, rows.labels))) == []
    assert any("24 of 24 test rows have images" in line for line in audit(rows, read_images(tmp_path / "train")))
    refused(lambda: audit(rows, group="patient"), "not a table", "'patient'", "group=")
    (tmp_path / "train" / "a" / "3.png").write_bytes(b"broken")
    refused(lambda: audit(rows), "3.png")


def test_groups_and_weights_of_images_come_from_their_table(tmp_path):
    table = pd.DataFrame({"file": [f"{number}.png" for number in range(20)], "label": ["a", "b"] * 10})
    for number, name in enumerate(table["file"]):
        PIL.Image.new("L", (4, 4), number).save(tmp_path / name)
    table.assign(patient=[number // 2 for number in range(20)]).to_csv(tmp_path / "rows.csv", index=False)
    rows = read_images(tmp_path / "rows.csv", image="file", label="label")
    assert audit(rows, group="patient") == []
    refused(lambda: audit(rows, group="person"), "no column 'person'")
    refused(lambda: audit(rows, sample_weight="file"), "sample weights", "'0.png'")


def test_groups_of_one_spelling_and_two_types_are_refused():
    refused(lambda: group_codes([1, "1", 2]), "groups have 1 (int) and '1' (str)", "all text or all numbers")
    assert group_codes([1, "b", "007", "7", 1]).tolist() == [0, 1, 2, 3, 0]


def test_groups_in_both_parts_are_found_by_their_text():
    test = TEST.assign(patient=["3", "b"])
    assert any("1 group of 'patient' stand" in warning for warning in audit(TRAIN, test, group="patient", **WORDS))


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (["a", "b", "A", "b"], "the labels 'A' and 'a' differ in their spelling only: each is a class of its own"),
        (["01", "1", "2", "02"], "the labels '01' and '1' differ in their spelling only, and so do 1 more"),
        (["a", "nan", "a", "b"], "the label 'nan' is a class like others"),
        (["a", " ", "a", "b"], "the label ' ' is a class like others"),
    ],
)
def test_doubtful_labels_are_said(labels, words):
    table = TRAIN.assign(label=labels * 10)
    assert any(words in warning for warning in audit(table, **WORDS))
    assert not any("spelling" in warning or "like others" in warning for warning in audit(TRAIN, **WORDS))
