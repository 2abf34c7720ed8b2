import math
from dataclasses import fields

import pytest

import hpsearch as hp
from hpsearch.errors import UsageError
from hpsearch.policy.budget import BOUNDS, COUNTS, DURATIONS, EPOCHS, Budget, budget_of

NAMES = [field.name for field in fields(Budget)]


@pytest.mark.parametrize("name", [name for name in NAMES if name != "target"])
@pytest.mark.parametrize("value", [0, -1, -0.5, math.nan, True, False, "", "nothing", [3]], ids=str)
def test_a_limit_of_nothing_is_an_error_that_names_it(name, value):
    with pytest.raises(UsageError, match=rf"Budget\({name}"):
        hp.Budget(**{name: value})


@pytest.mark.parametrize("value", [math.nan, math.inf, True, "0.9"], ids=str)
def test_a_target_is_a_finite_number(value):
    with pytest.raises(UsageError, match=r"Budget\(target=.*a value of the objective"):
        hp.Budget(target=value)


@pytest.mark.parametrize("target", [0, -2.5, 0.9])
def test_a_target_may_be_zero_or_below_for_it_is_a_value_as_measured(target):
    assert hp.Budget(target=target).given == {"target": target}


@pytest.mark.parametrize("value", ["2 days", "5 apples", "3d"])
def test_unknown_units_are_refused_with_those_that_there_are(value):
    with pytest.raises(UsageError, match=r"Budget\(device_seconds\).*give seconds, or text like '2h', '90m' or '30s'"):
        hp.Budget(device_seconds=value)


def test_every_limit_is_of_one_kind():
    assert sorted([*COUNTS, *DURATIONS, *EPOCHS, "target"]) == sorted(NAMES)
    assert [name for name in NAMES if hp.Budget(**{name: 2}).is_bounded] == sorted(BOUNDS, key=NAMES.index)


@pytest.mark.parametrize(
    ("trials", "timeout", "budget", "expected"),
    [
        (5, None, None, {"trials": 5}),
        (None, "1m", None, {"timeout": "1m"}),
        (5, None, Budget(trials=3), {"trials": 3}),
        (5, "1m", Budget(timeout="2h", patience=4), {"trials": 5, "timeout": "1m", "patience": 4}),
        (5, "1m", Budget(timeout=30.0), {"trials": 5, "timeout": 30.0}),
        (None, None, None, {}),
    ],
)
def test_of_limits_that_are_given_twice_the_smaller_one_counts(trials, timeout, budget, expected):
    assert budget_of(trials, timeout, budget).given == expected


@pytest.mark.parametrize("budget", [5, {"trials": 5}, "2h", Budget])
def test_what_is_no_budget_is_refused(budget):
    with pytest.raises(UsageError, match=r"give an hp\.Budget"):
        budget_of(None, None, budget)


def test_a_budget_without_a_limit_is_refused():
    with pytest.raises(UsageError, match=r"limits nothing: give it one of trials, distinct_trials"):
        budget_of(10, None, Budget())
