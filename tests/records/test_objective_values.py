import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpsearch.errors import MetricError
from hpsearch.metrics.direction import Direction
from hpsearch.records import Evaluation, History, Run
from hpsearch.records.objective_values import best_common_point, mean_value, objective_curve

NAN = math.nan


def test_the_point_is_chosen_once_for_all_folds() -> None:
    """Each fold's own best is at another point; the mean is best at the second."""
    assert best_common_point([[0.9, 0.8, 0.1], [0.1, 0.6, 0.7]], None) == (2, pytest.approx(0.7))


def test_ties_go_to_the_earliest_point() -> None:
    assert best_common_point([[0.5, 0.7, 0.7]], None) == (2, 0.7)


def test_no_point_after_the_stop_is_chosen() -> None:
    assert best_common_point([[0.1, 0.2, 0.9]], 2) == (2, 0.2)


def test_only_points_that_all_curves_have_are_chosen() -> None:
    assert best_common_point([[0.1, 0.2, 0.9], [0.3, 0.2]], 3)[0] in (1, 2)
    assert best_common_point([[0.1, 0.5, 0.9], [0.3, 0.2]], None) == (2, pytest.approx(0.35))


def test_a_point_that_is_not_a_number_on_one_fold_is_the_worst() -> None:
    assert best_common_point([[NAN, 0.1], [0.9, 0.1]], None) == (2, pytest.approx(0.1))
    assert best_common_point([[0.2, NAN, 0.1]], None) == (1, 0.2)
    assert best_common_point([[NAN, -math.inf]], None) == (2, -math.inf)
    assert best_common_point([[math.inf, 0.3], [-math.inf, 0.3]], None) == (2, pytest.approx(0.3))


def test_where_nothing_is_a_number_neither_is_the_value() -> None:
    point, value = best_common_point([[NAN, NAN]], None)
    assert point == 1
    assert math.isnan(value)


@pytest.mark.parametrize(("curves", "stop"), [([], None), ([[]], None), ([[0.1], []], None), ([[0.1]], 0)])
def test_nothing_to_choose_from_is_an_error(curves: list[list[float]], stop: int | None) -> None:
    with pytest.raises(ValueError, match="nothing to choose from"):
        best_common_point(curves, stop)


@given(st.lists(st.lists(st.floats(-1, 1), min_size=3, max_size=3), min_size=2, max_size=4))
def test_the_order_of_the_folds_does_not_matter(curves: list[list[float]]) -> None:
    found = {best_common_point(order, None) for order in itertools.permutations(curves)}
    assert len(found) == 1


def test_the_mean_is_exact_in_any_order() -> None:
    assert mean_value([1e16, 1.0, -1e16]) == mean_value([1e16, -1e16, 1.0]) == pytest.approx(1 / 3)
    with pytest.raises(ValueError, match="no values"):
        mean_value([])


def _history(metrics: dict[str, float]) -> tuple[History, Run]:
    run = Run("a run", {}, 0, 0, 4)
    history = History()
    for point in (1, 2):
        values = {name: value * point for name, value in metrics.items()}
        history = history.with_evaluation(Evaluation("a run", point, point / 2, 0.5, values, 1e-4, 10))
    return history, run


def test_the_curve_is_the_objective_by_point() -> None:
    history, run = _history({"accuracy": 0.25, "loss": 1.0})
    assert objective_curve(history, run, "accuracy") == (0.25, 0.5)
    assert objective_curve(History(), run, "accuracy") == ()


def test_an_objective_that_was_not_recorded_is_named() -> None:
    history, run = _history({"accuracy": 0.25, "loss": 1.0})
    with pytest.raises(MetricError, match=r"'f1'.*\['accuracy', 'loss'\]"):
        objective_curve(history, run, "f1")


def test_of_what_is_minimized_the_least_mean_is_the_best() -> None:
    minimize = Direction.MINIMIZE
    assert best_common_point([[0.5, 0.3, 0.3], [0.5, 0.1, 0.1]], None, minimize) == (2, pytest.approx(0.2))
    assert best_common_point([[math.inf, NAN]], None, minimize) == (1, math.inf)
    assert best_common_point([[NAN, math.inf, -math.inf]], None, minimize) == (3, -math.inf)


def test_a_mirror_image_is_read_at_the_same_point_and_a_zero_keeps_its_sign() -> None:
    curves = [[0.3, 0.7, 0.7000000000000001], [0.1, 0.2, 0.2]]
    point, value = best_common_point(curves, None)
    assert best_common_point([[-each for each in curve] for curve in curves], None, Direction.MINIMIZE) == (
        point,
        -value,
    )
    assert repr(best_common_point([[0.0], [0.0]], None, Direction.MINIMIZE)) == "(1, 0.0)"
