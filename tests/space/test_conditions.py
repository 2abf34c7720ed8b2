import math

import numpy as np
import pytest

from hpsearch.errors import SpaceError
from hpsearch.space.conditions import Condition, same, scalar


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (None, None),
        (True, True),
        (3, 3),
        (2.5, 2.5),
        ("adamw", "adamw"),
        (np.int64(3), 3),
        (np.float32(0.5), 0.5),
        (np.str_("adamw"), "adamw"),
    ],
)
def test_scalars_become_plain_python(value: object, plain: object) -> None:
    assert scalar(value) == plain
    assert type(scalar(value)) is type(plain)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, [1], (1,), {}, {1}, b"x", object(), 1j])
def test_what_json_cannot_hold_is_no_scalar(value: object) -> None:
    with pytest.raises(SpaceError, match=r"finite|cannot be"):
        scalar(value)


def test_the_message_names_the_type() -> None:
    with pytest.raises(SpaceError, match=r"\[1, 2\] is a list, .* use None, a bool, a number or a string"):
        scalar([1, 2])


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [(1, 1.0, True), (1, True, False), (0, False, False), (True, True, True), ("1", 1, False), (None, None, True)],
)
def test_same_tells_numbers_from_truth(one: object, other: object, expected: bool) -> None:
    assert same(one, other) is expected  # type: ignore[arg-type]
    assert same(other, one) is expected  # type: ignore[arg-type]


def test_a_condition_holds_for_any_of_its_values() -> None:
    condition = Condition("optimizer", ["adamw", "sgd"])
    assert condition.holds("sgd")
    assert not condition.holds("lion")
    assert str(condition) == "optimizer=('adamw', 'sgd')"
    assert str(Condition("layers", (2,))) == "layers=2"


def test_a_condition_needs_a_value() -> None:
    with pytest.raises(SpaceError, match=r"when\(optimizer=\(\)\) would never hold"):
        Condition("optimizer", ())
