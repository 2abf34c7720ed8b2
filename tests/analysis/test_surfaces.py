import random

import pytest

from hpsearch.analysis.surfaces import LEAST_POINTS, STEPS, bandwidth, surface


def scattered(count: int, seed: int = 0) -> tuple[list[float], list[float]]:
    draw = random.Random(seed)
    return [draw.random() for _ in range(count)], [draw.random() for _ in range(count)]


def test_equal_values_give_a_flat_surface() -> None:
    x, y = scattered(100)
    found = surface(x, y, [0.7] * 100)
    assert found is not None
    assert len(found.x) == len(found.y) == STEPS
    known = [value for row in found.values for value in row if value is not None]
    assert known == pytest.approx([0.7] * len(known))
    assert len(known) > 0.9 * STEPS**2


def test_a_slope_is_followed_and_never_overshot() -> None:
    x, y = scattered(200)
    found = surface(x, y, x)
    assert found is not None
    middle = [value for value in found.values[STEPS // 2] if value is not None]
    assert middle == sorted(middle)
    assert min(x) <= middle[0] < 0.25
    assert 0.75 < middle[-1] <= max(x)


def test_where_there_are_no_values_there_is_no_surface() -> None:
    x, y = scattered(60)
    found = surface([value / 4 for value in x], [value / 4 for value in y], [1.0] * 60)  # one corner only
    assert found is not None
    assert found.values[0][0] is not None
    assert found.values[-1][-1] is None
    assert found.values[0][-1] is None


def test_a_lonely_value_bears_nothing() -> None:
    x, y = [0.1] * LEAST_POINTS + [0.9], [0.1] * LEAST_POINTS + [0.9]
    found = surface(x, y, [0.5] * len(x))
    assert found is not None
    at = min(range(STEPS), key=lambda index: abs(found.x[index] - 0.9))
    assert found.values[at][at] is None


def test_too_few_values_make_no_surface() -> None:
    few = LEAST_POINTS - 1
    assert surface([0.5] * few, [0.5] * few, [1.0] * few) is None


def test_choices_are_not_smoothed_over() -> None:
    x = [0.0] * 10 + [1.0] * 10
    y = [index / 10 for index in range(10)] * 2
    found = surface(x, y, [0.2] * 10 + [0.8] * 10, columns=[0.0, 1.0])
    assert found is not None
    assert found.x == (0.0, 1.0)
    left, right = zip(*found.values, strict=True)
    assert {round(value, 9) for value in left if value is not None} == {0.2}
    assert {round(value, 9) for value in right if value is not None} == {0.8}


def test_more_values_are_smoothed_less() -> None:
    assert bandwidth(1000) < bandwidth(100) < bandwidth(10)


def test_what_does_not_pair_up_is_an_error() -> None:
    with pytest.raises(ValueError, match="do not pair up"):
        surface([0.1], [0.1, 0.2], [1.0])
