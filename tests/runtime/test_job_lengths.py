from dataclasses import replace

import pytest
from samples import measured, stopped, trial

from hpsearch.records import History
from hpsearch.runtime.job_lengths import RECENT_TRIALS, longest_way, seconds_per_point


def timed(history: History, number: int, fold: int, *seconds: float) -> History:
    key = history.trials[number].runs[fold].key
    for each in seconds:
        history = measured(history, number, fold, [0.5])
        *before, last = history.of(key)
        history = replace(history, evaluations={**history.evaluations, key: (*before, replace(last, seconds=each))})
    return history


def test_a_shape_takes_what_it_took_before():
    small, large = {"batch_size": 32}, {"batch_size": 8}
    history = History.of_trials([trial(0, small), trial(1, large), trial(2, large), trial(3, {"batch_size": 64})])
    history = timed(timed(timed(history, 0, 0, 1.0, 3.0), 1, 0, 10.0), 1, 1, 20.0)
    per_point = seconds_per_point(history)
    assert per_point(history.trials[0].runs[2]) == 2.0
    assert per_point(history.trials[2].runs[0]) == 15.0
    assert per_point(history.trials[3].runs[0]) == pytest.approx(8.5)  # the mean of the shapes that are known


def test_before_anything_is_measured_a_point_is_a_point():
    history = History.of_trials([trial(0)])
    assert seconds_per_point(history)(history.trials[0].runs[0]) == 1.0
    taken_over = timed(history, 0, 0, 0.0)  # measured by an equal run, which took no time
    assert seconds_per_point(taken_over)(history.trials[0].runs[0]) == 1.0


def test_only_the_latest_trials_are_read():
    history = History.of_trials([trial(number) for number in range(RECENT_TRIALS + 1)])
    history = timed(timed(history, 0, 0, 100.0), RECENT_TRIALS, 0, 5.0)
    assert seconds_per_point(history)(history.trials[1].runs[0]) == 5.0


def test_the_other_folds_come_after_the_first_one_all_at_once():
    history = timed(History.of_trials([trial(0), trial(1, folds=1)]), 0, 0, 2.0)
    per_point = seconds_per_point(history)
    assert longest_way(history, history.trials[0], 0, per_point) == (3 + 4) * 2.0
    assert longest_way(history, history.trials[1], 0, per_point) == 4 * 2.0
    history = stopped(history, 0, 3)
    assert longest_way(history, history.trials[0], 1, per_point) == 3 * 2.0
