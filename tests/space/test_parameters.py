import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from space_strategies import categoricals

from hpsearch.errors import SpaceError
from hpsearch.space import Categorical


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ([], "nothing to choose from"),
        ("adamw", r"takes a list of choices, not 'adamw'; write \['adamw'\]"),
        (16, "takes a list of choices, not 16"),
        ({8, 16}, "was given a set"),
        ({"a": 1}, "was given a dict"),
        ([8, 16, 8], "8 and 8 are equal"),
        ([1, True], "1 and True are equal"),
        ([1, 1.0], "1 and 1.0 are equal"),
        ([[8], [16]], r"\[8\] is a list, which a hyperparameter cannot be"),
        ([object()], "is a object"),
        ([math.nan], "nan cannot be written as JSON"),
        ([math.inf, 1.0], "inf cannot be written as JSON"),
    ],
)
def test_impossible_choices_are_refused(choices: Any, message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        Categorical(choices)


def test_choices_keep_their_order_and_become_plain() -> None:
    parameter = Categorical(np.array([32, 8]))  # type: ignore[arg-type]
    assert parameter.choices == (32, 8)
    assert {type(choice) for choice in parameter.choices} == {int}
    assert Categorical(range(3)).choices == (0, 1, 2)
    assert parameter.grid_values(points=2) == parameter.edges() == (32, 8)


def test_values_are_read_as_the_choice_is_written() -> None:
    assert repr(Categorical([1, 2]).read(2.0)) == "2"
    assert Categorical([None, "all"]).read(None) is None


@pytest.mark.parametrize("value", [True, "1", 3, None, [1], {}, math.nan])
def test_values_that_are_no_choice(value: object) -> None:
    with pytest.raises(SpaceError):
        Categorical([1, 2]).read(value)


def test_the_message_names_the_choices() -> None:
    with pytest.raises(SpaceError, match="'adam' is not one of 'adamw', 'sgd'"):
        Categorical(["adamw", "sgd"]).read("adam")


@given(categoricals())
def test_every_choice_is_read_as_it_is(parameter: Categorical) -> None:
    assert [repr(parameter.read(choice)) for choice in parameter.choices] == [
        repr(choice) for choice in parameter.choices
    ]


def test_a_choice_may_be_a_path() -> None:
    assert Categorical([Path("models") / "bert"]).choices == (str(Path("models") / "bert"),)
