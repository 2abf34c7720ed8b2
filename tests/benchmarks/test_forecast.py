"""What a benchmark says of a forecast: how far off it was, how wide, and whether that is what was promised."""

import pytest

from benchmarks.forecast import judged, rows_of

NAMES = ("seconds", "device_seconds", "worker_bytes")


def study(value, low, high, took):
    seen = {name: {"low": low, "value": value, "high": high} for name in NAMES}
    took_all = dict.fromkeys(NAMES, took)
    return {"forecast": seen, "took": took_all, "judged": judged(seen, took_all)}


@pytest.mark.parametrize(
    ("low", "high", "took", "in_interval", "in_time", "in_memory"),
    [
        (90.0, 110.0, 100.0, True, True, True),
        (90.0, 110.0, 120.0, False, True, False),  # off by a sixth: within 25%, not within 15%
        (90.0, 110.0, 200.0, False, False, False),
        (20.0, 210.0, 200.0, True, True, True),  # the interval says so
    ],
)
def test_a_forecast_is_good_if_it_is_near_or_its_interval_says_so(low, high, took, in_interval, in_time, in_memory):
    verdict = study(100.0, low, high, took)["judged"]
    assert verdict["seconds"]["off"] == pytest.approx(100.0 / took - 1)
    assert verdict["seconds"]["width"] == pytest.approx((high - low) / 100.0)
    for name, met in zip(NAMES, (in_time, in_time, in_memory), strict=True):
        assert (verdict[name]["in_interval"], verdict[name]["met"]) == (in_interval, met)


def test_the_readme_has_a_row_for_the_time_of_each_and_one_for_the_memory_of_all():
    time, memory = rows_of({"one": study(100.0, 90.0, 110.0, 120.0)})
    assert (time.measured, time.met) == ("100 s (90 to 110); it took 120 s", True)
    assert (memory.measured, memory.met) == ("off by -17% to -17%", False)
