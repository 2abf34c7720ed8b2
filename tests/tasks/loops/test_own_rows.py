"""Rows of any type: taken by their index, and told apart by their content."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from hpsearch.errors import DataError, TaskError
from hpsearch.tasks.loops.own_rows import OwnRows

FRAME = pd.DataFrame({"text": ["a", "b", "c"], "label": [0, 1, 0]})


class Items(torch.utils.data.Dataset):
    """A map-style dataset."""

    def __len__(self) -> int:
        return 3

    def __getitem__(self, row: int) -> tuple[torch.Tensor, int]:
        return torch.full((2,), float(row)), row


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (["a", "b", "c"], ["c", "a"]),
        ({"text": ["a", "b", "c"], "label": np.array([0, 1, 2])}, {"text": ["c", "a"], "label": np.array([2, 0])}),
        ((np.arange(6).reshape(3, 2), [0, 1, 2]), (np.array([[4, 5], [0, 1]]), [2, 0])),
        (torch.tensor([0, 1, 2]), torch.tensor([2, 0])),
    ],
)
def test_rows_are_taken_as_the_type_that_they_are(value: Any, expected: Any) -> None:
    rows = OwnRows.of(value, "train")
    taken = rows.take(np.array([2, 0]))
    assert len(rows) == 3 and type(taken) is type(value) and repr(taken) == repr(expected)


def test_tables_and_datasets_are_taken_too() -> None:
    assert OwnRows.of(FRAME, "train").take(np.array([2, 0]))["text"].tolist() == ["c", "a"]
    taken = OwnRows.of(Items(), "train").take(np.array([2, 0]))
    assert [label for _, label in taken] == [2, 0]


def test_the_digest_is_of_the_content() -> None:
    changed = FRAME.assign(label=[0, 1, 1])
    picture = Image.new("RGB", (2, 2), "red")
    values = [
        FRAME, changed, ["a", "b", "c"], ["a", "bc", ""], [{"a": 1}, {"a": 2}], [{"a": 1}, {"b": 2}], [picture],
        [Image.new("RGB", (2, 2), "blue")], Items(), np.arange(3), np.arange(3.0), [[1, 2], [3]], [[1], [2, 3]],
    ]  # fmt: skip
    digests = [OwnRows.of(value, "train").digest for value in values]
    assert len(set(digests)) == len(values)
    assert OwnRows.of(FRAME.copy(), "train").digest == digests[0] and OwnRows.of(Items(), "train").digest == digests[8]


def test_columns_of_different_lengths_are_an_error() -> None:
    with pytest.raises(DataError, match=r"columns of different lengths, \[2, 3\]"):
        OwnRows.of(([1, 2, 3], [1, 2]), "train")


def test_of_several_splits_one_is_asked_for() -> None:
    class Split(list[int]):
        column_names = ("text",)

    with pytest.raises(TaskError, match=r"several splits, train, test: give one of them, train=data\['train'\]"):
        OwnRows.of({"train": Split([1]), "test": Split([2])}, "train")
