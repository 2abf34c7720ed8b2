from dataclasses import replace

import pytest
from analysis_samples import with_trial

from hpsearch.analysis.timeline import Pause, Span, best_by_compute, compute, pauses, spans, without_pauses
from hpsearch.metrics.direction import Direction
from hpsearch.records import Action, Decision, History, Outcome, Segment, SegmentResult, TrialState


def end(history: History, number: int, run: int, start: int, stop: int, outcome: Outcome = Outcome.OK) -> SegmentResult:
    return SegmentResult(Segment(history.trials[number].runs[run], start, max(stop, start + 1)), outcome, stop)


@pytest.fixture
def history() -> History:
    """Two trials of two folds; two points an epoch, two seconds a point."""
    found = with_trial(History(), 0, [[0.1, 0.2, 0.3, 0.4], [0.2, 0.3]], value=0.3, point=2)
    return with_trial(found, 1, [[0.5, 0.6], []], value=0.55, point=1, state=TrialState.PRUNED)


def test_a_segment_begins_its_measured_seconds_before_its_end(history: History) -> None:
    ends = [
        (104.0, end(history, 0, 0, 0, 2)),
        (110.0, end(history, 1, 0, 0, 2)),
        (120.0, end(history, 0, 0, 2, 4)),
        (121.0, end(history, 1, 1, 0, 0, Outcome.LOST)),
    ]
    found = spans(ends, history)
    assert [(span.trial, span.fold, span.begin, span.end) for span in found] == [
        (0, 0, 100.0, 104.0), (1, 0, 106.0, 110.0), (0, 0, 116.0, 120.0), (1, 1, 121.0, 121.0),
    ]  # fmt: skip
    assert found[2].start == 2
    assert found[3].outcome is Outcome.LOST


def test_a_segment_never_begins_before_the_last_one_ended(history: History) -> None:
    ends = [(104.0, end(history, 0, 0, 0, 2, Outcome.LOST)), (105.0, end(history, 0, 0, 0, 2))]
    assert [(span.begin, span.end) for span in spans(ends, history)] == [(100.0, 104.0), (104.0, 105.0)]


def test_ends_of_trials_that_are_not_in_the_history_are_left_out(history: History) -> None:
    other = with_trial(History(), 7, [[0.1]])
    assert spans([(5.0, end(other, 7, 0, 0, 1))], history) == ()


def span(begin: float, finish: float) -> Span:
    return Span(0, 0, 0, begin, finish, 0, 1, Outcome.OK)


def test_a_long_time_without_training_is_a_pause() -> None:
    found = [span(0, 100), span(50, 200), span(230, 300), span(5000, 5100)]
    assert pauses(found) == (Pause(300, 4700),)
    assert pauses(found, least=1.0, share=0.05) == (Pause(200, 30), Pause(300, 4700))
    assert pauses([]) == ()


def test_times_after_a_pause_move_up() -> None:
    cut = [Pause(300, 4700)]
    assert [without_pauses(time, cut) for time in (100, 300, 1000, 5000, 5100)] == [100, 300, 300, 300, 400]


def test_compute_counts_each_run_once(history: History) -> None:
    found = compute(history)
    assert found.epochs == pytest.approx(2 + 1 + 1)
    assert found.seconds == pytest.approx(8 * 2.0)
    assert found.elapsed is None
    shared = replace(history.trials[0], number=2)
    assert compute(history.with_trial(shared)).epochs == found.epochs


def test_time_by_the_clock_counts_what_ran_at_once_once(history: History) -> None:
    ends = [(104.0, end(history, 0, 0, 0, 2)), (106.0, end(history, 1, 0, 0, 2))]
    assert compute(history, ends).elapsed == pytest.approx(6.0)


def test_the_best_by_compute_is_in_the_order_of_the_clock() -> None:
    history = with_trial(History(), 0, [[0.1, 0.2, 0.3, 0.4]], value=0.4, point=4)
    history = with_trial(history, 1, [[0.3, 0.3]], value=0.3, point=1)
    ends = [(1.0, end(history, 0, 0, 0, 2)), (2.0, end(history, 1, 0, 0, 2)), (9.0, end(history, 0, 0, 2, 4))]
    decisions = [(2.0, Decision(1, Action.COMPLETE, "", 0.3)), (9.0, Decision(0, Action.COMPLETE, "", 0.4))]
    assert best_by_compute(history, ends, decisions) == ((2.0, 0.3), (3.0, 0.4))
    assert best_by_compute(history, [], []) == ((2.0, 0.4),)  # without times, trial after trial


def test_a_segment_that_is_repeated_costs_no_more(history: History) -> None:
    ends = [(1.0, end(history, 0, 0, 0, 4, Outcome.LOST)), (2.0, end(history, 0, 0, 0, 4))]
    assert best_by_compute(history, ends, [(3.0, Decision(0, Action.COMPLETE, ""))]) == ((2.0, 0.3),)


def test_the_best_by_compute_falls_where_the_objective_is_minimized() -> None:
    history = History(direction=Direction.MINIMIZE)
    for number, value in enumerate((0.4, 0.5, 0.3)):
        history = with_trial(history, number, [[value, value]], value=value, point=1)
    assert best_by_compute(history, [], []) == ((1.0, 0.4), (3.0, 0.3))
