import math
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from samples import F1, MIRRORED, measured, stopped, trial

from hpsearch.metrics.direction import Direction
from hpsearch.policy.pruning_steps import (
    RUNGS_PER_RUN,
    first_judged_step,
    quarters,
    reports,
    rung,
    warmup_epochs,
    warmup_share,
)
from hpsearch.records import History, Run


def test_trials_of_different_length_meet_at_the_same_steps():
    short = [rung(0, point, 4, None) for point in range(1, 5)]
    long = [rung(0, point, 16, None) for point in range(1, 17)]
    assert short == [1, 2, 3, 4]
    assert [step for step in long if step is not None] == [1, 2, 3, 4]
    assert long.index(2) == 7


def test_a_run_with_fewer_points_than_steps_skips_some():
    assert [rung(0, point, 2, None) for point in (1, 2)] == [2, 4]
    assert rung(0, 1, 1, None) == 4


def test_an_early_stop_is_the_end_of_its_run():
    assert rung(0, 5, 16, 5) == 4
    assert [rung(1, point, 16, 5) for point in range(1, 6)] == [None, 5, 6, 7, 8]


@given(st.integers(0, 4), st.integers(1, 60), st.data())
def test_steps_of_a_run_rise_and_end_at_its_last_step(index, horizon, data):
    stop = data.draw(st.integers(1, horizon))
    steps = [step for point in range(1, stop + 1) if (step := rung(index, point, horizon, stop)) is not None]
    assert steps == sorted(set(steps))
    assert steps[-1] == RUNGS_PER_RUN * (index + 1)
    assert steps[0] > RUNGS_PER_RUN * index


def test_reports_are_means_of_running_bests_over_the_runs_begun():
    history = stopped(measured(History.of_trials([trial(0)]), 0, 0, [0.2, 0.6, 0.4, 0.5]), 0, 4)
    history = measured(history, 0, 1, [0.1, 0.8])
    assert reports(history, history.trials[0], F1) == (
        (1, 0.2), (2, 0.6), (3, 0.6), (4, 0.6), (5, (0.6 + 0.1) / 2), (6, (0.6 + 0.8) / 2),
    )  # fmt: skip


def test_a_later_run_counts_only_once_those_before_it_have_ended():
    history = stopped(measured(History.of_trials([trial(0)]), 0, 0, [0.2, 0.6, 0.4, 0.5]), 0, 4)
    history = measured(history, 0, 2, [0.9, 0.9, 0.9, 0.9])
    assert [step for step, _ in reports(history, history.trials[0], F1)] == [1, 2, 3, 4]


def test_what_is_no_number_does_not_hide_what_is():
    history = measured(History.of_trials([trial(0)]), 0, 0, [math.nan, 0.3])
    assert reports(history, history.trials[0], F1) == ((1, -math.inf), (2, 0.3))


@given(st.integers(1, 60))
def test_the_quarters_of_a_run_are_the_points_of_its_steps(horizon):
    points = [point for point in range(1, horizon + 1) if rung(0, point, horizon, None) is not None]
    assert sorted(quarters(horizon)) == points and horizon in points


def test_a_later_run_of_which_a_sparse_objective_is_not_measured_yet_changes_no_value():
    unknown = math.nan
    history = stopped(measured(History.of_trials([trial(0)]), 0, 0, [0.2, 0.6, 0.4, 0.5]), 0, 4)
    history = measured(history, 0, 1, [unknown, 0.8])
    sparse = replace(F1, is_sparse=True)
    assert reports(history, history.trials[0], sparse)[4:] == ((5, 0.6), (6, (0.6 + 0.8) / 2))
    assert reports(history, history.trials[0], F1)[4] == (5, -math.inf)


def test_a_warmup_in_steps_is_counted_from_the_runs_own_steps_an_epoch():
    config = {"warmup_steps": 9, "warmup_ratio": 0.0, "epochs": 4}
    run = Run("run", config, 0, 0, 8, steps_per_epoch=6)
    assert warmup_epochs(run) == 1.5
    assert warmup_share(run) * run.horizon == 3.0
    made = replace(trial(0, horizon=8), runs=(run,))
    assert first_judged_step(made) == 2
    assert first_judged_step(replace(made, runs=(replace(run, config={**config, "warmup_steps": 100}),))) == 5
    by_ratio = replace(run, config={"warmup_steps": None, "warmup_ratio": 0.5, "epochs": 4})
    assert (warmup_epochs(by_ratio), warmup_share(by_ratio) * by_ratio.horizon) == (2.0, 4.0)


def test_reports_of_what_is_minimized_are_the_lowest_as_measured() -> None:
    history = stopped(measured(History.of_trials([trial(0)]), 0, 0, [0.5, math.nan, 0.7, 0.2]), 0, 4)
    history = replace(measured(history, 0, 1, [0.4, 0.6, 0.6, 0.6]), direction=Direction.MINIMIZE)
    mean = (0.2 + 0.4) / 2
    expected = ((1, 0.5), (2, 0.5), (3, 0.5), (4, 0.2), (5, mean), (6, mean), (7, mean), (8, mean))
    assert reports(history, history.trials[0], MIRRORED) == expected
    assert reports(history, history.trials[0], "f1") == expected  # a name alone is in the study's direction
    nothing = measured(History.of_trials([trial(0)]), 0, 0, [math.nan])
    assert reports(nothing, nothing.trials[0], MIRRORED) == ((1, math.inf),)
