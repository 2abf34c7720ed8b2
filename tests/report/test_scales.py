import math
from typing import Any

import pytest

from hpsearch.report.scales import ABSENT, scale_of

LOG = {"type": "float", "low": 1e-6, "high": 1e-3, "log": True}


def texts(scale: Any) -> list[str]:
    return [text for _, text in scale.ticks]


def test_a_logarithmic_axis_has_decades() -> None:
    scale = scale_of("learning_rate", [2e-5], LOG)
    assert texts(scale) == ["1e-6", "1e-5", "1e-4", "0.001"]
    assert [height for height, _ in scale.ticks] == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert scale.position(1e-5) == pytest.approx(1 / 3)


def test_a_logarithmic_axis_within_a_decade_shows_its_bounds() -> None:
    assert texts(scale_of("x", [], {"low": 2e-5, "high": 8e-5, "log": True})) == ["2e-5", "8e-5"]


def test_many_decades_are_thinned() -> None:
    assert 3 <= len(scale_of("x", [], {"low": 1e-12, "high": 1.0, "log": True}).ticks) <= 7


def test_a_value_outside_the_space_widens_the_axis() -> None:
    scale = scale_of("learning_rate", [1e-2, 1e-4], LOG)
    assert scale.position(1e-2) == pytest.approx(1)
    assert scale.position(1e-3) == pytest.approx(3 / 4)


def test_whole_numbers_have_whole_ticks() -> None:
    assert texts(scale_of("epochs", [1, 4], {"type": "int", "low": 1, "high": 4})) == ["1", "2", "3", "4"]
    assert texts(scale_of("epochs", [1, 2], {"type": "int", "low": 1, "high": 2})) == ["1", "2"]


def test_real_numbers_have_round_ticks_within_the_bounds() -> None:
    scale = scale_of("value", [0.613, 0.708])
    assert texts(scale) == ["0.62", "0.64", "0.66", "0.68", "0.7"]
    assert all(0 <= height <= 1 for height, _ in scale.ticks)


def test_a_range_of_one_value_lies_in_the_middle() -> None:
    scale = scale_of("value", [0.5, 0.5])
    assert scale.ticks == ((0.5, "0.5"),)
    assert scale.position(0.5) == 0.5


def test_choices_are_spread_evenly_numbers_rising_words_from_the_top() -> None:
    sizes = scale_of("batch_size", [8], {"type": "categorical", "choices": [32, 8, 16]})
    assert texts(sizes) == ["8", "16", "32"]
    assert sizes.position(16) == 0.5
    words = scale_of("optimizer", [], {"type": "categorical", "choices": ["adamw", "sgd", "adafactor"]})
    assert [words.position(choice) for choice in ("adamw", "sgd", "adafactor")] == [1, 0.5, 0]


def test_choices_of_different_kinds_are_told_apart() -> None:
    scale = scale_of("freeze", ["all", 1, "1", True], {"choices": ["all", 1, "1", True]})
    assert len({scale.position(choice) for choice in ("all", 1, "1", True)}) == 4
    assert scale.position(1.0) == scale.position(1)


def test_words_without_a_space_are_choices() -> None:
    assert sorted(texts(scale_of("x", ["b", "a", None]))) == ["a", "b"]


def test_an_absent_value_lies_below_the_axis() -> None:
    numbers = scale_of("momentum", [0.1, 0.9, None], {"low": 0.0, "high": 1.0})
    assert [numbers.position(value) for value in (None, math.nan)] == [ABSENT, ABSENT]
    assert scale_of("x", ["a"]).position(None) == ABSENT
    assert ABSENT < 0


def test_none_among_the_choices_has_a_place_of_its_own() -> None:
    scale = scale_of("dropout", [0.1, None], {"choices": [0.1, None]})
    assert scale.position(None) != ABSENT
    assert texts(scale) == ["none", "0.1"]


def test_nothing_observed_and_nothing_known_has_no_ticks() -> None:
    assert scale_of("x", []).ticks == ()
