"""The time left: from compute, honest about trials that have not ended, and silent while it would be a guess."""

from dataclasses import replace

import pytest
from samples import measured, trial

from hpsearch.records import Action, Decision, History
from hpsearch.runtime.pace import Pace, Survival


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def begun(history: History, number: int, seconds: float, *, ends: bool) -> History:
    """Add a trial that has cost so many seconds, at two evaluations."""
    history = measured(history.with_trial(trial(number)), number, 0, [0.5, 0.6])
    key = history.trials[number].runs[0].key
    costly = tuple(replace(evaluation, seconds=seconds / 2) for evaluation in history.of(key))
    history = replace(history, evaluations={**history.evaluations, key: costly})
    return history.with_decision(Decision(number, Action.COMPLETE, "", value=0.6)) if ends else history


def test_one_worker_after_the_other() -> None:
    clock = Clock()
    pace, history = Pace(clock), History()
    pace.begin(0, history)
    left = []
    for number in range(4):
        clock.now += 110.0  # ten seconds of it are not training
        history = begun(history, number, 100.0, ends=True)
        left.append(pace.left(history, number + 1, 10))
    assert left == [None, pytest.approx(880.0), pytest.approx(770.0), pytest.approx(660.0)]


def test_what_is_under_way_counts_for_what_it_has_cost() -> None:
    clock = Clock()
    pace, history = Pace(clock), History()
    pace.begin(0, history)
    for number in range(2):
        history = begun(history, number, 100.0, ends=True)
    clock.now = 240.0
    history = begun(history, 2, 40.0, ends=False)
    assert pace.left(history, 2, 10) == pytest.approx(7 * 100.0 + 60.0)


def test_compute_of_earlier_calls_says_what_a_trial_costs_and_nothing_of_the_pace() -> None:
    clock, history = Clock(), History()
    for number in range(5):
        history = begun(history, number, 100.0, ends=True)
    pace = Pace(clock)
    pace.begin(5, history)
    clock.now = 1.0
    assert pace.left(history, 5, 10) is None
    clock.now = 50.0  # twice as fast: two workers
    history = begun(history, 5, 100.0, ends=True)
    assert pace.left(history, 6, 10) == pytest.approx(200.0)


def test_nothing_is_said_while_more_trials_are_under_way_than_have_ended() -> None:
    clock, history = Clock(), History()
    pace = Pace(clock)
    pace.begin(0, history)
    clock.now = 100.0
    for number in range(2):
        history = begun(history, number, 10.0, ends=True)
    for number in range(2, 6):
        history = begun(history, number, 100.0, ends=False)
    assert pace.left(history, 2, 20) is None


def test_nothing_is_said_without_a_number_of_trials_or_at_the_end() -> None:
    history = begun(begun(History(), 0, 1.0, ends=True), 1, 1.0, ends=True)
    assert Pace().left(history, 2, None) is None
    assert Pace().left(history, 2, 2) is None


def test_cheap_trials_that_end_first_do_not_hide_the_costly_ones() -> None:
    """Kaplan and Meier by hand: 10 and 20 ended, 30 and 40 under way, so half of all cost more than 20."""
    survival = Survival.of([10.0, 20.0], [30.0, 40.0])
    assert survival.steps == ((0.0, 1.0), (10.0, 0.75), (20.0, 0.5))
    assert survival.to_come(0.0) == pytest.approx(10 + 0.75 * 10 + 0.5 * 20)
    assert survival.to_come(30.0) == pytest.approx(10.0)
    assert survival.to_come(40.0) == 0.0
    assert Survival.of([10.0, 30.0], []).to_come(0.0) == pytest.approx(20.0)
