"""The forecast: pure functions on made-up measurements, and forecasts of real small studies against what they took."""

import math
import time
from dataclasses import replace

import pytest
from forecast_samples import BOTH, LARGE, SMALL, TRIALS, tried, work
from hypothesis import given
from hypothesis import strategies as st
from tasks_samples import review_rows, save_text_model
from toy_studies import toy_study

import hpsearch as hp
from hpsearch.errors import UsageError
from hpsearch.plan.paths import cache_folder
from hpsearch.runtime.forecast import ERROR, STARTING, Planned, distance, forecast
from hpsearch.training.features.store import FeatureStore


def test_what_was_tried_is_added_up_by_steps_and_evaluations():
    seen = forecast(BOTH, work(TRIALS))
    small = 3 * (40 * 0.1 + 2 * 0.5)  # forty steps of eight rows an epoch
    large = 3 * 2 * (10 * 1.0 + 2 * 0.5)
    assert seen.device_seconds.value == pytest.approx(small + large)
    around = 6 * 0.1 + 3 * (2 + 4) * 0.01  # runs begin, points are measured; the coordinator is another process
    assert seen.seconds.value == pytest.approx(3.0 + STARTING.value + small + large + around)
    assert seen.seconds.low < seen.seconds.value < seen.seconds.high
    on_gpu = forecast(BOTH, work(TRIALS, is_process=False))
    assert on_gpu.worker_bytes.value == 10**9
    assert on_gpu.memory_bytes.value == 10**9 + 10**8
    assert seen.worker_bytes.value > 10**9  # a process keeps what it has freed


def test_of_trials_that_are_not_proposed_each_takes_the_mean_of_those_that_are():
    assert forecast(BOTH, work(TRIALS, total=20)).device_seconds.value == pytest.approx(
        10 * forecast(BOTH, work(TRIALS)).device_seconds.value
    )


def test_what_a_pruner_saves_is_an_interval_from_nothing_to_what_its_rule_saves_at_most():
    trials = TRIALS * 25
    whole = forecast(BOTH, work(trials))
    raced = forecast(BOTH, work([replace(each, shares=(0.25, 0.5)) for each in trials], prunes=True))
    assert raced.device_seconds.high == whole.device_seconds.high
    assert raced.device_seconds.low == pytest.approx(whole.device_seconds.low * 0.25)
    assert raced.device_seconds.value == pytest.approx(whole.device_seconds.value * 0.5)


def test_the_interval_is_as_wide_as_what_was_measured_for_the_trials_that_it_is_of():
    noisy = [replace(BOTH[0], step_error=0.05), BOTH[1]]  # that of the small one is half of its step
    both, large = forecast(noisy, work(TRIALS)), forecast(noisy, work(TRIALS[1:]))
    assert large.device_seconds.high == pytest.approx(large.device_seconds.value * (1 + ERROR))
    small = 40 * 0.05 * 3 / both.device_seconds.value
    assert both.device_seconds.high == pytest.approx(both.device_seconds.value * (1 + math.hypot(ERROR, 2 * small)))
    between = Planned({**SMALL, "freeze_layers": 3}, (1.0,))  # taken for a mean of both, which are far apart
    wide = forecast(BOTH, work([between])).device_seconds
    assert wide.high / wide.value > 1.4


def test_memory_grows_by_shapes_that_the_first_steps_have_not_met_but_not_on_a_gpu():
    few, many, most = (forecast(BOTH, work(TRIALS, new_shapes=each)).worker_bytes for each in (0, 40, 10_000))
    assert few.low == many.low
    assert few.value < many.value < most.value < few.value + 2**30
    on_gpu = [forecast(BOTH, work(TRIALS, new_shapes=each, is_process=False)).worker_bytes for each in (0, 40)]
    assert on_gpu[0] == on_gpu[1]
    waits = forecast(BOTH, work(TRIALS, prunes=True)).worker_bytes  # with a checkpoint that it goes on from
    assert waits.value == pytest.approx(few.value + 2 * 10**6)


def test_an_early_stop_widens_the_interval_downwards():
    whole, early = forecast(BOTH, work(TRIALS)), forecast(BOTH, work(TRIALS, shortest_share=0.25))
    assert early.device_seconds.high == whole.device_seconds.high
    assert early.device_seconds.value == pytest.approx(whole.device_seconds.value / 2)
    assert early.device_seconds.low == pytest.approx(whole.device_seconds.low / 4)


@given(st.lists(st.sampled_from(TRIALS), min_size=1, max_size=8), st.integers(1, 4), st.booleans())
def test_more_trials_take_longer_and_more_workers_less_within_what_is_possible(trials, workers, prunes):
    seen = forecast(BOTH, work(trials, workers=workers, prunes=prunes))
    more = forecast(BOTH, work([*trials, trials[0]], workers=workers, prunes=prunes))
    alone = forecast(BOTH, work(trials, prunes=prunes))
    assert seen.seconds.value <= more.seconds.value + 1e-9
    assert alone.seconds.value / workers - 3.0 - STARTING.value <= seen.seconds.value <= alone.seconds.value + 1e-9
    for each in (seen.seconds, seen.device_seconds, seen.worker_bytes, seen.memory_bytes, seen.disk_bytes):
        assert 0 <= each.low <= each.value <= each.high


def test_a_config_between_two_that_were_tried_takes_a_time_between_theirs():
    between = {**SMALL, "batch_size": 16, "freeze_layers": 3}
    a_row = [forecast(BOTH, work([Planned(config, (1.0,))])).device_seconds.value for config in (SMALL, between, LARGE)]
    assert min(a_row[0], a_row[2]) < a_row[1] < max(a_row[0], a_row[2])
    assert distance(SMALL, {**SMALL, "learning_rate": 1.0, "epochs": 9}, [SMALL, LARGE]) == 0.0


def test_another_batch_takes_as_many_times_longer_as_what_depends_on_its_rows():
    double = Planned({**SMALL, "batch_size": 16}, (1.0,))
    by_row, by_step = ([tried(SMALL, 0.1, step_fixed=fixed)] for fixed in (0.0, 0.1))
    evaluations = 2 * 0.5
    assert forecast(by_row, work([double])).device_seconds.value == pytest.approx(20 * 0.2 + evaluations)
    assert forecast(by_step, work([double])).device_seconds.value == pytest.approx(20 * 0.1 + evaluations)


def test_it_is_said_in_a_few_lines():
    text = str(forecast(BOTH, work(TRIALS)))
    assert text.splitlines()[0] == "forecast for 2 trials on 1 worker(s), from 2 configurations tried for a few steps:"
    assert len(text.splitlines()) == 6
    assert "time" in text
    assert "MiB" in text


# ---------------------------------------------------------------- real small studies


@pytest.mark.parametrize("pruner", ["none", "racing"])
def test_a_forecast_holds_for_a_study_that_it_leaves_untouched(tmp_path, pruner):
    study = toy_study(tmp_path, {"pause": 0.04}, pruner=pruner)
    seen = study.forecast(6, devices="inline", progress=False)
    assert not (tmp_path / "toy").exists()
    began = time.monotonic()
    result = study.run(6, devices="inline", progress=False)
    took = time.monotonic() - began
    device = sum(each.seconds for points in result.history.evaluations.values() for each in points)
    assert seen.seconds.low <= took
    assert seen.device_seconds.low <= device <= seen.device_seconds.high
    peak = max(each.peak_memory_bytes for points in result.history.evaluations.values() for each in points)
    assert seen.worker_bytes.low <= peak <= seen.worker_bytes.high
    assert {each.batch for each in seen.tried} == {8, 16}


def test_of_a_study_that_has_begun_the_rest_is_forecast_and_its_store_stays_as_it_is(tmp_path):
    study = toy_study(tmp_path, {"pause": 0.01})
    whole = study.forecast(12, devices="inline", progress=False)  # six times the rest: each is measured anew
    study.run(2, devices="inline", progress=False)
    before = study.store().reload()
    rest = study.forecast(4, devices="inline", progress=False)
    assert (whole.trials, rest.trials) == (12, 2)
    assert rest.device_seconds.value < whole.device_seconds.value
    assert study.store().reload() == before
    assert study.forecast(2, devices="inline", progress=False).device_seconds.value == 0.0


def test_without_a_number_a_grid_is_forecast_and_an_endless_sampler_asks_for_one(tmp_path):
    assert toy_study(tmp_path).forecast(devices="inline", progress=False).trials == 12
    with pytest.raises(UsageError, match=r"never ends by itself. Give trials="):
        toy_study(tmp_path, sampler="random").forecast(devices="inline", progress=False)


@pytest.mark.parametrize("most", [10_000, 10])
def test_outputs_of_frozen_layers_are_computed_for_a_forecast_unless_the_rows_are_many(tmp_path, monkeypatch, most):
    monkeypatch.setattr("hpsearch.runtime.first_steps.FILLED_ROWS", most)
    model = save_text_model(tmp_path / "model")
    task = hp.TextClassification(str(model), train=review_rows(40), text="text", label="label")
    space = hp.Space(freeze_layers=1, batch_size=8, learning_rate=3e-3, epochs=2, warmup_ratio=0.1)
    study = hp.Study("frozen", task, space, cv=2, sampler="random", pruner="none", folder=tmp_path)
    assert study.forecast(1, devices="inline", progress=False).tried[0].step > 0
    assert bool(FeatureStore(cache_folder() / "features", 0).entries()) == (most > 40)


def test_a_model_that_cannot_be_trained_says_so(tmp_path):
    with pytest.raises(hp.HpsearchError, match=r"The first steps of a configuration .* failed: RuntimeError"):
        toy_study(tmp_path, {"trouble": "raise"}).forecast(1, devices="inline", progress=False)
