"""Targets are read as float64, and what cannot be learned from is an error that names column and rows."""

import numpy as np
import pandas as pd
import pytest
import torch

from hpsearch.errors import DataError
from hpsearch.tasks.numbers.judge import NumberJudge


@pytest.mark.parametrize(
    "values",
    [
        [1, 2, 4],
        [1.0, 2.0, 4.0],
        np.array([1, 2, 4], dtype=np.int8),
        pd.Series([1, 2, 4], dtype="Int64"),
        pd.Series([1, 2, 4], dtype=object),
        np.array([[1], [2], [4]]),
        pd.DataFrame({"x": [1, 2, 4]}),
    ],
)
def test_one_number_a_row(values):
    judge = NumberJudge.learn(values)
    targets = judge.encode(values)
    assert targets.dtype == np.float64
    assert targets.tolist() == [1.0, 2.0, 4.0]
    assert judge.outputs == 1


@pytest.mark.parametrize(
    ("values", "names"),
    [
        (pd.DataFrame({"a": [1, 2], "b": [5.5, 2]}), ("a", "b")),
        (np.array([[1, 5.5], [2, 2]]), ("0", "1")),
        ([[1, 5.5], [2, 2]], ("0", "1")),
        ([np.array([1, 5.5]), np.array([2, 2])], ("0", "1")),
    ],
)
def test_several_numbers_a_row(values, names):
    judge = NumberJudge.learn(values)
    assert judge.names == names
    assert judge.encode(values).tolist() == [[1.0, 5.5], [2.0, 2.0]]


def test_columns_are_found_by_name_in_other_rows():
    judge = NumberJudge.learn(pd.DataFrame({"a": [1, 2], "b": [5.5, 2]}))
    assert judge.encode(pd.DataFrame({"b": [0.0], "c": [9.0], "a": [7.0]}), "given").tolist() == [[7.0, 0.0]]
    with pytest.raises(DataError, match="the test data has no column 'b' of targets"):
        judge.encode(pd.DataFrame({"a": [7.0]}), "test")
    with pytest.raises(DataError, match="have 3 targets each, and 2 were learned"):
        judge.encode(np.zeros((4, 3)), "test")


def test_columns_beside_the_targets_may_share_a_name_and_targets_may_not_in_any_rows():
    judge = NumberJudge.learn(pd.DataFrame({"a": [1, 2], "b": [5.5, 2]}))
    table = pd.DataFrame([[1.0, 2.0, 3.0, 4.0]], columns=["a", "b", "c", "c"])
    assert judge.encode(table, "given").tolist() == [[1.0, 2.0]]
    with pytest.raises(DataError, match=r"columns 0, 2 .* of the given targets are called 'a'"):
        judge.encode(table.set_axis(["a", "b", "a", "c"], axis=1), "given")


@pytest.mark.parametrize("size", [2e-150, 1e-20, 1e20, 1e149])
def test_whatever_size_is_not_refused_is_standardised(size):
    numbers = size * np.array([-1.0, 0.0, 2.0, 3.0])
    judge = NumberJudge.learn(numbers).fitted(numbers)
    _, standardised = judge.loss_arguments(torch.zeros(4, 1), torch.from_numpy(numbers))
    expected = np.array([-1.0, 0.0, 2.0, 3.0])
    np.testing.assert_allclose(standardised[:, 0], (expected - 1.0) / expected.std(), rtol=1e-6)


def test_training_rows_of_a_fold_must_differ_by_enough_too():
    numbers = np.array([1e-300, 2e-300, 3e-300, 1.0])
    with pytest.raises(DataError, match="lies between 1e-300 and 3e-300 in the 3 training rows"):
        NumberJudge.learn(numbers).fitted(numbers[:3])


def test_close_numbers_stay_apart():
    values = [1e9, 1e9 + 1, 1e9 + 2]
    assert NumberJudge.learn(values).encode(values).tolist() == values


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            ["a", "b"],
            r"the target of the train data has 'a', a str, in rows 0, 1 \(counted from 0\).*pandas.to_numeric",
        ),
        (pd.Series([1.0, "2"], name="x"), r"target 'x' of the train data has '2', a str, in row 1"),
        ([True, False], "True and False are two classes"),
        (np.array([True, False]), "True and False are two classes"),
        ([1.0, None, 2.0], r"missing \(NaN\) in 1 of 3 rows: row 1"),
        ([1.0, np.nan, np.nan], r"missing \(NaN\) in 2 of 3 rows: rows 1, 2"),
        ([1.0, np.inf, -np.inf], "infinite in 2 of 3 rows: rows 1, 2"),
        ([1.0, 1e200], "beyond 1e.150 in 1 of 2 rows: row 1.*larger units"),
        ([3.0, 3.0, 3.0], "the target is 3.0 in each of the 3 train rows: there is nothing to tell apart"),
        (pd.DataFrame({"a": [1, 2], "b": [4, 4]}), "target 'b' is 4.0 in each of the 2 train rows"),
        (pd.DataFrame({"a": [1, 2], "b": [4, np.nan]}), "target 'b' of the train data is missing"),
        (
            pd.DataFrame([[1, 2], [3, 4]], columns=["a", "a"]),
            r"columns 0, 1 \(counted from 0\) of .* 'a'; .* of its own",
        ),
        (pd.DataFrame([[1, 2], [3, 4]], columns=[3, "3"]), "columns 0, 1 .* are called '3'"),
        (
            pd.DataFrame([[1, 2], [3, 4]], columns=["", "target"]),
            "columns 0, 1 .* are called 'target'; a column without",
        ),
        (pd.DataFrame([[1, 2], [3, 4]], columns=["", ""]), "columns 0, 1 .* are called 'target'"),
        ([1e-300, 2e-300], "lies between 1e-300 and 2e-300 in the 2 train rows: .* smaller units: multiply them"),
        ([0.0, 5e-324], "lies between 0.0 and 5e-324 .* smaller units"),
        (pd.DataFrame({"a": [1, 2], "b": [1e-151, -1e-152]}), "target 'b' lies between -1e-152 and 1e-151"),
        ([], "has no rows"),
        (pd.DataFrame({"a": []}), "has no rows"),
        (np.zeros((2, 2, 2)), r"shape \(2, 2, 2\)"),
        ([1 + 2j, 3], "a complex"),
        (pd.to_datetime(["2020-01-01", "2020-01-02"]), "a Timestamp"),
    ],
)
def test_what_cannot_be_learned_from_is_an_error(values, message):
    with pytest.raises(DataError, match=message):
        NumberJudge.learn(values)


def test_of_a_column_with_one_cell_that_is_no_number_that_one_is_named():
    with pytest.raises(DataError, match=r"has 'n/a', a str, in row 2 \(counted from 0\)"):
        NumberJudge.learn(["1.5", "2", "n/a"])
