import copy
import pickle

import pytest
from hypothesis import given
from space_strategies import PARAMETERS

from hpsearch.errors import SpaceError
from hpsearch.space import Categorical, Float, Int, Parameter


@given(PARAMETERS)
def test_repr_is_the_call_that_makes_it(parameter: Parameter) -> None:
    conditional = parameter.when(optimizer="adamw", layers=(1, 2))
    names = {"Float": Float, "Int": Int, "Categorical": Categorical}
    assert eval(repr(parameter), names) == parameter
    assert eval(repr(conditional), names) == conditional


@given(PARAMETERS)
def test_parameters_are_values(parameter: Parameter) -> None:
    twin = pickle.loads(pickle.dumps(parameter))
    assert twin == copy.deepcopy(parameter) == parameter
    assert hash(twin) == hash(parameter)
    assert parameter.when(optimizer="adamw") != parameter


def test_when_returns_a_new_parameter_and_conditions_add_up() -> None:
    plain = Float(0.1, 0.5)
    conditional = plain.when(optimizer=["sgd", "adamw"]).when(layers=2)
    assert plain.conditions == ()
    assert repr(conditional) == "Float(0.1, 0.5).when(layers=2, optimizer=('sgd', 'adamw'))"


def test_two_conditions_on_one_hyperparameter_are_refused() -> None:
    with pytest.raises(SpaceError, match="condition on 'optimizer' already; name all its values in one when"):
        Int(1, 2).when(optimizer="sgd").when(optimizer="adamw")


@pytest.mark.parametrize("values", [(), {"sgd"}, [["sgd"]], float("nan")])
def test_impossible_conditions_are_refused(values: object) -> None:
    with pytest.raises(SpaceError):
        Int(1, 2).when(optimizer=values)  # type: ignore[arg-type]


@given(PARAMETERS)
def test_edges_are_among_the_values(parameter: Parameter) -> None:
    assert all(parameter.contains(edge) for edge in parameter.edges())
    assert set(map(repr, parameter.edges())) >= {repr(parameter.edges()[0]), repr(parameter.edges()[-1])}
