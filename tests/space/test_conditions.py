import math
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
import torch

from hpsearch.errors import SpaceError
from hpsearch.space.conditions import Condition, same, scalar, snapped


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
        (np.float32(1e-3), 1e-3),
        (np.float16(0.1), 0.1),
        (np.longdouble(0.5), 0.5),
        (np.array(2), 2),
        (torch.tensor(1e-3), 1e-3),
        (torch.tensor(3), 3),
        (np.bool_(True), True),
        (Decimal("0.1"), 0.1),
        (Fraction(1, 4), 0.25),
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


def test_a_number_is_snapped_to_the_one_it_is_within_rounding_of() -> None:
    choices = [None, True, "0.3", 0.1, 0.3, 1]
    for value, own in ((0.1 + 0.2, 0.3), (0.3, 0.3), (1 + 1e-12, 1), (True, True), (0.31, 0.31), ("0.1", "0.1")):
        assert repr(snapped(value, choices)) == repr(own)


def test_a_condition_holds_for_any_of_its_values() -> None:
    condition = Condition("optimizer", ["adamw", "sgd"])
    assert condition.holds("sgd")
    assert not condition.holds("lion")
    assert str(condition) == "optimizer=('adamw', 'sgd')"
    assert str(Condition("layers", (2,))) == "layers=2"


def test_a_condition_needs_a_value() -> None:
    with pytest.raises(SpaceError, match=r"when\(optimizer=\(\)\) would never hold"):
        Condition("optimizer", ())
