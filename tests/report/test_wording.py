import math

import pytest

from hpsearch.records import TrialState
from hpsearch.report.wording import (
    MISSING,
    briefs,
    duration,
    ended,
    escaped,
    fact,
    p_value,
    score,
    setting,
    signed,
    sort_key,
    whole,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.74213, "0.7421"),
        (-0.6, "\u22120.6000"),
        (1234.5678, "1234.6"),
        (None, MISSING),
        (math.nan, "undefined"),
        (-math.inf, "\u2212∞"),
    ],
)
def test_scores(value: float | None, text: str) -> None:
    assert score(value) == text


def test_differences_have_a_sign() -> None:
    assert (signed(0.02), signed(-0.02), signed(0.0)) == ("+0.0200", "\u22120.0200", "0.0000")
    assert signed(None) == MISSING


def test_small_p_values_are_not_spelled_out() -> None:
    assert (p_value(0.00099), p_value(0.001), p_value(0.41)) == ("<\u00a00.001", "0.001", "0.41")


def test_numbers_sort_by_all_their_digits_and_nothing_sorts_last() -> None:
    assert [sort_key(value) for value in (None, 2e-05, 3, True, "adamw")] == ["", "2e-05", "3", "True", "adamw"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (4.1e-05, "4.1e-5"),
        (0.00036459, "3.646e-4"),
        (0.001, "0.001"),
        (0.01, "0.01"),
        (1.0, "1.0"),
        (1, "1"),
        (0.0, "0"),
        (3, "3"),
        (1e6, "1e6"),
        (True, "True"),
        (None, "none"),
        ("adamw", "adamw"),
        ("1", "'1'"),
        ("1e-3", "'1e-3'"),
        ("none", "'none'"),
        ("True", "'True'"),
        ("", "''"),
        ("nan", "'nan'"),
    ],
)
def test_settings(value: object, text: str) -> None:
    assert setting(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (0.25, "0.25 s"), (41.23, "41.2 s"), (59.96, "1 min 0 s"), (200, "3 min 20 s"), (4320, "1 h 12 min")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_states_read_as_adjectives() -> None:
    assert [ended(state) for state in (TrialState.FAIL, TrialState.PRUNED)] == ["failed", "pruned"]


def test_text_in_figures_is_escaped_as_plotly_reads_it() -> None:
    assert escaped("<script>'\"&") == "&lt;script&gt;'\"&amp;"


def test_values_that_are_not_the_same_never_look_alike() -> None:
    values = [None, "none", "None", 1, "1", True, "True", 1.0, "1.0", 0.30001, 0.30002, "a/x", "b/x", "a", ""]
    assert len(set(briefs(values))) == len(values)
    assert briefs(["models/a", "models/b", None]) == ["a", "b", "none"]
    assert len({whole(value) for value in values}) == len(values)


def test_a_fact_that_is_a_text_is_shown_as_it_is() -> None:
    assert [fact(value) for value in ("12.5", "0", 12_000, None)] == ["12.5", "0", "12,000", "none"]
