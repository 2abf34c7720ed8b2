import json
from typing import Any

import pytest
from hypothesis import given
from space_strategies import PARAMETERS

from hpsearch.errors import SpaceError
from hpsearch.space import Categorical, Float, Int, Parameter
from hpsearch.space.parameters import BaseParameter
from hpsearch.space.tables import read_parameter, write_parameter


@given(PARAMETERS)
def test_a_parameter_is_read_as_it_was_written(parameter: Parameter) -> None:
    for written in (parameter, parameter.when(optimizer="adamw", layers=[1, None])):
        table = json.loads(json.dumps(write_parameter(written)))
        assert repr(read_parameter(table)) == repr(written)


@pytest.mark.parametrize(
    ("parameter", "table"),
    [
        (Float(1e-6, 1e-3, log=True), {"type": "float", "low": 1e-6, "high": 1e-3, "log": True}),
        (Float(0, 1, step=0.5, grid=[0]), {"type": "float", "low": 0.0, "high": 1.0, "step": 0.5, "grid": [0.0]}),
        (Int(1, 4), {"type": "int", "low": 1, "high": 4}),
        (Int(1, 5, step=2), {"type": "int", "low": 1, "high": 5, "step": 2}),
        (Categorical([8, None]).when(a="b"), {"type": "categorical", "choices": [8, None], "when": {"a": ["b"]}}),
    ],
)
def test_tables_are_as_a_person_would_write_them(parameter: Parameter, table: dict[str, Any]) -> None:
    assert write_parameter(parameter) == table
    assert read_parameter(table) == parameter


def test_a_fixed_value_is_a_table_too() -> None:
    assert read_parameter({"value": 0.1}) == 0.1
    assert read_parameter({"value": None}) is None


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({}, "neither 'type' .* nor 'value'"),
        ({"type": "flaot"}, "type = 'flaot' is unknown. Did you mean 'float'?"),
        ({"type": ["float"]}, "is unknown"),
        ({"type": "float", "low": 0.0}, "type = 'float' needs the key 'high'"),
        ({"type": "float", "low": 0.0, "hgih": 1.0}, "has no key 'hgih'. Did you mean 'high'?"),
        ({"type": "categorical", "low": 0}, "type = 'categorical' has no key 'low'"),
        ({"type": "int", "low": 0, "high": 1.5}, "high=1.5 is not a whole number"),
        ({"type": "int", "low": 0, "high": 1, "when": "adamw"}, "when = 'adamw' is not a table"),
        ({"value": 1, "low": 2}, "A fixed value has no key 'low'"),
        ({"value": [1, 2]}, "is a list"),
    ],
)
def test_a_wrong_table_is_refused(table: dict[str, Any], message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        read_parameter(table)


def test_a_parameter_of_another_kind_cannot_be_written() -> None:
    class Angle(BaseParameter):
        def read(self, value: Any) -> float:
            return float(value)

        def grid_values(self, points: int | None = None) -> tuple[float, ...]:
            return (0.0,)

        def edges(self) -> tuple[float, ...]:
            return (0.0,)

        def all_values(self) -> tuple[float, ...]:
            return (0.0,)

        def _arguments(self) -> list[str]:
            return []

    with pytest.raises(SpaceError, match=r"Angle\(\) is neither hp.Float, hp.Int nor hp.Categorical"):
        write_parameter(Angle())  # type: ignore[arg-type]
