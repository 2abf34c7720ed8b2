import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from space_strategies import spaces

from hpsearch.errors import SpaceError
from hpsearch.space import Categorical, Float, Grid, Int, Space


def brute_force(space: Space, points: int) -> list[dict[str, Any]]:
    """Return every combination of values, and of being absent, that the space takes for one of its own."""
    absent = object()
    values = [(*parameter.grid_values(points), absent) for parameter in space.parameters.values()]
    combinations = itertools.product(*values)
    chosen = ({n: v for n, v in zip(space.parameters, c, strict=True) if v is not absent} for c in combinations)
    return [params for params in chosen if space.contains(params)]


@given(spaces(), st.integers(2, 3))
def test_every_point_once_and_no_other(space: Space, points: int) -> None:
    found = [tuple(map(repr, point.items())) for point in space.grid(points)]
    expected = [tuple(map(repr, point.items())) for point in brute_force(space, points)]
    assert len(found) == len(set(found))
    assert sorted(found) == sorted(expected)


@given(spaces())
def test_the_order_is_always_the_same(space: Space) -> None:
    assert list(map(repr, space.grid(3))) == list(map(repr, Space.from_json(space.to_json()).grid(3)))


@given(spaces())
def test_points_are_written_as_their_parameters_write_them(space: Space) -> None:
    for point in itertools.islice(space.grid(3), 50):
        assert repr(space.validate(point, "the grid")) == repr(point)


def test_the_last_parameter_varies_fastest() -> None:
    space = Space(batch_size=Categorical([16, 8]), epochs=Int(1, 2), warmup_ratio=0.1)
    assert list(space.grid()) == [
        {"batch_size": 16, "epochs": 1},
        {"batch_size": 16, "epochs": 2},
        {"batch_size": 8, "epochs": 1},
        {"batch_size": 8, "epochs": 2},
    ]


def test_a_conditional_parameter_multiplies_only_where_it_exists() -> None:
    space = Space(
        decay_ratio=Categorical([0.1, 0.2, 0.3]).when(lr_scheduler_type="warmup_stable_decay"),
        lr_scheduler_type=Categorical(["linear", "cosine", "warmup_stable_decay"]),
        epochs=Int(1, 2),
    )
    points = list(space.grid())
    assert len(points) == 2 * (1 + 1 + 3)
    assert {"lr_scheduler_type": "linear", "epochs": 2} in points


def test_a_space_without_parameters_has_one_point() -> None:
    assert list(Space(warmup_ratio=0.1).grid()) == [{}]


def test_a_continuous_parameter_is_named_at_once() -> None:
    space = Space(epochs=Int(1, 4), weight_decay=Float(0, 0.3))
    with pytest.raises(SpaceError, match=r"weight_decay: Float\(0.0, 0.3\) is continuous"):
        space.grid()
    assert len(list(space.grid(points=4))) == 16


def test_an_absurd_grid_is_refused_before_it_is_made() -> None:
    space = Space(**{f"width_{index}": Int(1, 100) for index in range(4)})
    with pytest.raises(SpaceError, match=r"100,000,000 points or more \(width_0 100, .*hp.Grid\(points=...\)"):
        space.grid()
    assert sum(1 for _ in space.grid(2)) == 16


@pytest.mark.parametrize("points", [1, 0, -3, 2.0, True, "4"])
def test_points_are_a_whole_number_from_two(points: Any) -> None:
    with pytest.raises(SpaceError, match="give a whole number of at least 2"):
        Grid(points)
    with pytest.raises(SpaceError, match="give a whole number of at least 2"):
        Space(epochs=Int(1, 4)).grid(points)


def test_grid_is_a_value() -> None:
    assert Grid(points=4) == Grid(4) != Grid()
    assert Grid().points is None
