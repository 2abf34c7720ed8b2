"""The time left: from the trials of this call, and silent while it would be a guess."""

import pytest

from hpsearch.display.time_left import Pace


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_one_worker_after_the_other(clock: Clock) -> None:
    pace = Pace(clock)
    pace.begin(0, 0)
    left = []
    for ended in (1, 2, 3, 10):
        clock.now = 110.0 * ended
        left.append(pace.left(ended, 0, 10))
    assert left == [None, pytest.approx(880.0), pytest.approx(770.0), None]


def test_what_is_under_way_is_half_done(clock: Clock) -> None:
    pace = Pace(clock)
    pace.begin(0, 0)
    clock.now = 250.0
    assert pace.left(2, 1, 10) == pytest.approx(750.0)
    assert pace.left(9, 3, 10) == 0.0  # a study that was begun with more trials


def test_earlier_calls_say_nothing_of_the_pace(clock: Clock) -> None:
    pace = Pace(clock)
    pace.begin(50, 2)
    pace.begin(0, 0)
    clock.now = 20.0
    assert pace.left(51, 2, 60) is None
    assert pace.left(52, 2, 60) == pytest.approx(70.0)  # two trials of ten seconds; those under way are no further
    assert pace.elapsed() == 20.0


def test_nothing_is_said_while_more_trials_are_under_way_than_have_ended(clock: Clock) -> None:
    pace = Pace(clock)
    pace.begin(0, 0)
    clock.now = 100.0
    assert pace.left(7, 8, 100) is None
    assert pace.left(8, 8, 100) is not None


def test_nothing_is_said_without_a_number_of_trials(clock: Clock) -> None:
    assert Pace(clock).left(9, 0, None) is None
