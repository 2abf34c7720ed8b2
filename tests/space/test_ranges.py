import math
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from space_strategies import floats, ints

from hpsearch.errors import SpaceError
from hpsearch.space import Float, Int
from hpsearch.space.ranges import LONGEST_GRID


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"low": 1e-3, "high": 1e-6}, r"Float\(0.001, 1e-06\): low is above high"),
        ({"low": 0.0, "high": 1.0, "log": True}, "no logarithm"),
        ({"low": -1.0, "high": 1.0, "log": True}, "no logarithm"),
        ({"low": math.nan, "high": 1.0}, "low=nan is not a finite number"),
        ({"low": 0.0, "high": math.inf}, "high=inf is not a finite number"),
        ({"low": False, "high": 1.0}, "low=False is not a finite number"),
        ({"low": "0", "high": 1.0}, "low='0' is not a finite number"),
        ({"low": 0.0, "high": 1.0, "step": 0.3}, r"do not reach 1.0; make high 0.9 or 1.2"),
        ({"low": 0.0, "high": 1.0, "step": 0.0}, "a step must be above zero"),
        ({"low": 0.0, "high": 1.0, "step": -0.5}, "a step must be above zero"),
        ({"low": 0.0, "high": 1.0, "step": math.nan}, "step=nan"),
        ({"low": 1.0, "high": 2.0, "log": True, "step": 0.5}, "steps are even and log=True is not"),
        ({"low": 0.0, "high": 1.0, "log": 1}, "log=1 is neither True nor False"),
        ({"low": 0.0, "high": 1.0, "grid": []}, "the grid is empty"),
        (
            {"low": 0.0, "high": 1.0, "grid": [0.5, 2.0]},
            "does not lie in the range: 2.0 is not a number from 0.0 to 1.0",
        ),
        ({"low": 0.0, "high": 1.0, "grid": [0.5, 0.5]}, "the grid has 0.5 twice"),
        ({"low": 0.0, "high": 1.0, "grid": [0.3, 0.1 + 0.2]}, "the grid has 0.3 twice"),
        ({"low": 0.0, "high": 1.0, "grid": [True]}, "does not lie in the range"),
        ({"low": 0.0, "high": 1.0, "grid": 0.5}, "is not a list of numbers"),
        ({"low": 0.0, "high": 1.0, "grid": "0.5"}, "is not a list of numbers"),
        ({"low": 0.0, "high": 1.0, "step": 0.5, "grid": [0.25]}, "not on the steps of 0.5"),
    ],
)
def test_an_impossible_float_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        Float(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"low": 4, "high": 1}, r"Int\(4, 1\): low is above high"),
        ({"low": 0, "high": 8, "log": True}, "no logarithm"),
        ({"low": 1.0, "high": 4}, "low=1.0 is not a whole number; write it as one, or use Float"),
        ({"low": True, "high": 4}, "low=True is not a whole number"),
        ({"low": 1, "high": "4"}, "high='4' is not a whole number"),
        ({"low": 1, "high": 8, "step": 2}, "do not reach 8; make high 7 or 9"),
        ({"low": 1, "high": 8, "step": 0}, "a step must be above zero"),
        ({"low": 1, "high": 9, "step": 2, "log": True}, "steps are even and log=True is not"),
        ({"low": 1, "high": 4, "grid": [2, 8]}, "8 is not a whole number from 1 to 4"),
        ({"low": 1, "high": 4, "grid": [2, 2.0]}, "the grid has 2 twice"),
        ({"low": 1, "high": 4, "grid": [2.5]}, "2.5 is not a whole number"),
    ],
)
def test_an_impossible_int_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        Int(**arguments)


def test_numbers_are_stored_as_plain_python() -> None:
    parameter = Float(np.float32(0.5), 2, grid=np.array([1.0, 0.75]))  # type: ignore[arg-type]
    assert (type(parameter.low), type(parameter.high)) == (float, float)
    assert parameter.grid == (0.75, 1.0)
    assert type(Int(np.int64(1), 4).low) is int  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [True, "0.5", None, math.nan, math.inf, 1.01, -0.01, [0.5]])
def test_values_that_are_not_in_a_float(value: object) -> None:
    with pytest.raises(SpaceError, match=r"is not a number from 0.0 to 1.0"):
        Float(0, 1).read(value)


@pytest.mark.parametrize("value", [True, "2", None, math.nan, math.inf, 2.5, 0, 5])
def test_values_that_are_not_in_an_int(value: object) -> None:
    assert not Int(1, 4).contains(value)


HIGH = np.float32(1e-3)
RATE = Float(1e-5, 1e-3, log=True)


@pytest.mark.parametrize(
    ("parameter", "value", "own"),
    [
        (RATE, HIGH, 1e-3),
        (RATE, float(HIGH), 1e-3),  # of single precision on its way
        (RATE, np.float32(1e-5), 1e-5),
        (RATE, np.float32(3e-4), 3e-4),
        (RATE, np.array(1e-3, "float32"), 1e-3),
        (RATE, Decimal("0.001"), 1e-3),
        (RATE, Fraction(1, 1000), 1e-3),
        (RATE, math.exp(math.log(1e-3)), 1e-3),
        (RATE, math.exp(math.log(1e-5)), 1e-5),
        (Float(0, 0.3), 0.1 + 0.2, 0.3),
        (Float(0, 0.3), 0.1 * 3 - 1e-16, 0.3),
        (Float(0, 1), -1e-17, 0.0),
        (Float(-0.3, 1), -0.1 - 0.2, -0.3),
        (Float(0, 0.3, step=0.1), 0.1 + 0.2, 0.3),
        (Float(0, 0.3, step=0.1), np.float32(0.3), 0.3),
        (Float(0, 0.3, step=0.1), float(np.float32(0.1)), 0.1),
        (Float(0, 0.1 + 0.2, step=0.1), 0.3, 0.3),
        (Float(0.3, 0.3), 0.1 + 0.2, 0.3),
        (Int(1, 30), 0.1 * 30, 3),
        (Int(1, 30), np.float16(30), 30),
        (Int(1, 30), np.uint8(30), 30),
        (Int(1, 30), Decimal(4), 4),
        (Int(1, 30, step=29), 29.999999999999996, 30),
    ],
)
def test_what_is_within_rounding_of_a_bound_or_step_is_snapped_to_it(parameter: Any, value: Any, own: Any) -> None:
    assert repr(parameter.read(value)) == repr(own)


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        (RATE, 1.00001e-3), (RATE, 0.99999e-5), (Float(0, 1), -1e-6), (Float(0, 0.3, step=0.1), 0.1001),
        (RATE, np.bool_(True)), (RATE, np.array([1e-3])), (Int(1, 30), 3.001), (Int(0, 30), np.bool_(True)),
        (Float(0, 1), Decimal("NaN")), (Float(0, 1), 10**400),
        (Int(0, 10**9), 123_456_789.4), (Int(0, 10**9), 999_999_999.9),
    ],
)  # fmt: skip
def test_what_is_not_is_refused(parameter: Any, value: Any) -> None:
    assert not parameter.contains(value)


def test_a_value_inside_keeps_all_its_digits() -> None:
    for value in (9.99999999e-4, 1.00000001e-5, 0.1 + 0.2 * 1e-3):
        assert Float(1e-5, 1.0, log=True).read(value) == value
    assert Float(1e-5, 1e-3).read(9.999999999e-4) == 9.999999999e-4


def test_a_number_in_quotes_is_told_from_a_number() -> None:
    with pytest.raises(SpaceError, match=r"'0.001' is not a number from .* It is a text; write the number without"):
        RATE.read("0.001")
    with pytest.raises(SpaceError, match=r"'3' is not a whole number from 1 to 30. It is a text; write"):
        Int(1, 30).read("3")


def test_values_are_read_as_the_parameter_writes_them() -> None:
    assert repr(Int(1, 4).read(3.0)) == "3"
    assert repr(Float(1, 4).read(3)) == "3.0"
    assert repr(Float(0.1, 0.5, step=0.1).read(0.1 + 0.2)) == "0.3"
    assert not Float(0.1, 0.5, step=0.1).contains(0.25)
    assert not Int(2, 8, step=2).contains(3)


@given(floats(), st.integers(2, 7))
def test_the_grid_of_a_float(parameter: Float, points: int) -> None:
    values = parameter.grid_values(points)
    assert list(values) == sorted(set(values))
    assert all(parameter.read(value) == value for value in values)
    if parameter.grid is not None:
        assert values == parameter.grid
    else:
        assert {parameter.low, parameter.high} <= set(values)
        assert len(values) <= points


@given(ints(), st.one_of(st.none(), st.integers(2, 7)))
def test_the_grid_of_an_int(parameter: Int, points: int | None) -> None:
    values = parameter.grid_values(points)
    everything = list(range(parameter.low, parameter.high + 1, parameter.step))
    assert list(values) == sorted(set(values))
    assert set(values) <= set(everything)
    assert {parameter.low, parameter.high} <= set(values)
    if points is None or points >= len(everything):
        assert list(values) == everything


@pytest.mark.parametrize(
    ("parameter", "points", "values"),
    [
        (Float(0, 1), 3, (0.0, 0.5, 1.0)),
        (Float(1e-6, 1e-3, log=True), 4, (1e-6, 1e-5, 1e-4, 1e-3)),
        (Float(0.1, 0.5, step=0.1), None, (0.1, 0.2, 0.3, 0.4, 0.5)),
        (Float(0.0, 1.0, step=0.1), 3, (0.0, 0.5, 1.0)),
        (Float(0.3, 0.3), None, (0.3,)),
        (Float(0.1, 0.9, grid=[0.5, 0.2]), 7, (0.2, 0.5)),
        (Int(1, 4), None, (1, 2, 3, 4)),
        (Int(1, 10), 4, (1, 4, 7, 10)),
        (Int(0, 100, step=25), 3, (0, 50, 100)),
        (Int(1, 1000, log=True), 4, (1, 10, 100, 1000)),
        (Int(1, 3, log=True), 8, (1, 2, 3)),
        (Int(1, 10, log=True), 9, (1, 2, 3, 4, 6, 7, 10)),
    ],
)
def test_points_are_spaced_evenly(parameter: Float | Int, points: int | None, values: tuple[float, ...]) -> None:
    assert parameter.grid_values(points) == values


def test_a_continuous_range_must_be_told_its_points() -> None:
    with pytest.raises(
        SpaceError, match=r"Float\(0.0, 0.3\) is continuous.*grid=\[...\] or step=..., or .*hp.Grid\(points=4\)"
    ):
        Float(0, 0.3).grid_values()


def test_a_range_of_too_many_values_is_an_oversight() -> None:
    with pytest.raises(SpaceError, match=r"has 1,000,001 values, too many for a grid"):
        Int(0, 1_000_000).grid_values()
    with pytest.raises(SpaceError, match="too many for a grid"):
        Float(0, 1, step=1e-6).grid_values()
    assert len(Int(1, LONGEST_GRID).grid_values()) == LONGEST_GRID
    assert Int(0, 1_000_000).grid_values(3) == (0, 500_000, 1_000_000)


@given(st.one_of(floats(), ints()))
def test_optuna_takes_the_range_and_its_grid_as_they_are(parameter: Float | Int) -> None:
    """Optuna changes a `high` that the step does not reach, with a warning, which is an error here."""
    made: Any = (
        optuna.distributions.FloatDistribution if isinstance(parameter, Float) else optuna.distributions.IntDistribution
    )
    distribution = made(parameter.low, parameter.high, log=parameter.log, step=parameter.step)
    assert (distribution.low, distribution.high) == (parameter.low, parameter.high)
    assert all(distribution._contains(value) for value in parameter.grid_values(5))
