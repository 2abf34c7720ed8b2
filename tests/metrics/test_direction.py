import math

import pytest

from hpsearch.metrics.direction import Direction, Objective


@pytest.mark.parametrize("direction", Direction)
def test_a_score_is_its_own_inverse_to_the_last_bit(direction: Direction) -> None:
    for value in (0.1, -0.3, 0.0, -0.0, math.inf, -math.inf, 5e-324):
        assert repr(direction.score(direction.score(value))) == repr(value)
    assert math.isnan(direction.score(math.nan))


def test_the_score_is_greater_for_the_better() -> None:
    measured = {"accuracy": 0.25, "error": 0.75}
    assert Objective("accuracy").score(measured) == 0.25
    assert Objective("error", Direction.MINIMIZE).score(measured) == -0.75
    assert Direction.MINIMIZE.score(0.2) > Direction.MINIMIZE.score(0.3)


def test_directions_are_called_as_optuna_calls_them() -> None:
    from optuna.study import StudyDirection

    for direction in Direction:
        assert StudyDirection[direction.name].name.lower() == direction == direction.value
