"""How far a study gets within limits: pure functions on made-up measurements."""

import math

import pytest
from forecast_samples import BOTH, SMALL, TRIALS, tried, work
from hypothesis import given
from hypothesis import strategies as st

from hpsearch.runtime.forecast import ERROR, STARTING, Planned, forecast
from hpsearch.runtime.limited_forecast import MOST, ComputeLimits, first_of, limited_forecast

ALIKE = [Planned(SMALL, (1.0,))] * 20
A_TRIAL = 0.1 + 40 * 0.1 + 2 * (0.5 + 0.01)
"""Seconds of each of them."""


def test_a_time_holds_as_many_trials_as_fit_and_the_interval_says_how_many_they_may_be():
    known = [tried(SMALL, 0.1)]
    seen = limited_forecast(known, work(ALIKE, total=MOST), ComputeLimits(seconds=100.0))
    assert seen.trials == int((100 - 3 - STARTING.value) / A_TRIAL)
    assert seen.fewest == int((100 - 3 * (1 + ERROR) - STARTING.high) / A_TRIAL / (1 + ERROR))
    assert seen.most == int((100 - 3 * (1 - ERROR) - STARTING.low) / A_TRIAL / (1 - ERROR))
    assert seen.seconds.high <= 100.0
    assert f"for {seen.trials} trials ({seen.fewest} to {seen.most}) on" in str(seen)


def test_a_study_that_ends_before_its_limit_is_forecast_as_it_is_without():
    whole = work(TRIALS)
    plain = forecast(BOTH, whole)
    assert limited_forecast(BOTH, whole, ComputeLimits()) == plain
    roomy = limited_forecast(BOTH, whole, ComputeLimits(seconds=10_000.0, epochs=1000.0))
    assert (roomy.trials, roomy.seconds, roomy.disk_bytes) == (plain.trials, plain.seconds, plain.disk_bytes)
    assert str(roomy) == str(plain)


def test_epochs_are_counted_as_the_pruner_and_early_stopping_let_them_be_trained():
    epochs = ComputeLimits(epochs=5.0)
    assert limited_forecast(BOTH, work(ALIKE), epochs).trials == 5
    raced = limited_forecast(BOTH, work([Planned(SMALL, (1.0,), (0.25, 0.5))] * 40), epochs)
    assert (raced.fewest, raced.trials, raced.most) == (5, 10, 20)
    stopped = limited_forecast(BOTH, work(ALIKE, total=100, shortest_share=0.25), epochs)
    assert (stopped.fewest, stopped.trials, stopped.most) == (5, 10, 20)


def test_what_depends_on_scores_may_end_a_study_early():
    seen = limited_forecast(BOTH, work(ALIKE), ComputeLimits(least_trials=4))
    alone = forecast(BOTH, first_of(work(ALIKE), 4))
    assert (seen.fewest, seen.trials, seen.most) == (4, 20, 20)
    assert seen.seconds.low == pytest.approx(alone.seconds.low)
    assert seen.seconds.value == forecast(BOTH, work(ALIKE)).seconds.value


def test_a_trial_takes_no_more_than_its_limit():
    each = forecast(BOTH, work(ALIKE, most_seconds=2.0))
    assert each.device_seconds.value == each.device_seconds.high == pytest.approx(40.0)


limits = st.floats(0.0, 300.0) | st.just(math.inf)


@given(limits, limits, limits, st.integers(1, 3), st.integers(1, 60))
def test_no_limit_is_exceeded_and_a_further_trial_would_exceed_one(seconds, device_seconds, epochs, workers, total):
    bounds = ComputeLimits(seconds, device_seconds, epochs)
    whole = work(TRIALS, total=total, workers=workers)
    seen = limited_forecast(BOTH, whole, bounds)
    if bounds != ComputeLimits():
        assert seen.fewest <= seen.trials <= seen.most <= total
    assert seen.seconds.high <= seconds
    for each in (seen.seconds, seen.device_seconds, seen.disk_bytes):
        assert 0 <= each.low <= each.value <= each.high
    fits = forecast(BOTH, first_of(whole, seen.trials))
    assert seen.trials == 0 or (fits.seconds.value <= seconds and fits.device_seconds.value <= device_seconds)
