import math

import pytest
from analysis_samples import OBJECTIVE, with_trial

from hpsearch.analysis.aggregates import best_so_far, best_trial, default_trial, summarize, summarize_all
from hpsearch.metrics.direction import Direction
from hpsearch.records import History, Origin, TrialState

SHARES = [1 / 3] * 3
CURVES = [[0.2, 0.5, 0.6, 0.6], [0.3, 0.6, 0.8, 0.5], [0.1, 0.4, 0.7, 0.7]]


def complete(number: int, value: float, **changes: object) -> History:
    return with_trial(History(), number, [[value] * 4], value=value, point=1, stop=4, **changes)  # type: ignore[arg-type]


def test_a_complete_trial_is_read_at_its_common_point() -> None:
    history = with_trial(History(), 0, CURVES, value=0.7, point=3, stop=4, reason="every fold reached point 4")
    summary = summarize(history.trials[0], history, OBJECTIVE, SHARES)
    assert (summary.value, summary.point, summary.epoch) == (0.7, 3, 1.5)
    assert summary.folds == (0.6, 0.8, 0.7)
    assert summary.runs == 3
    assert summary.std == pytest.approx(0.1)
    assert summary.metrics["accuracy"] == pytest.approx(0.75)
    assert summary.metrics["loss"] == pytest.approx(0.8)
    assert summary.seconds == 2.0 * 12
    assert summary.peak_memory_bytes == 4000
    assert summary.reason == "every fold reached point 4"
    # 0.1 * sqrt(1/3 + 1/2) is the corrected standard error; 4.302653 is Student's t of two degrees.
    reach = 4.302652729911275 * 0.1 * math.sqrt(1 / 3 + 0.5)
    assert 0.7 + reach > 1.0  # no F1 is above 1
    assert summary.interval == pytest.approx((0.7 - reach, 1.0))


def test_an_early_stopped_trial_needs_no_point_beyond_its_stop() -> None:
    curves = [[0.2, 0.5], [0.4, 0.3]]
    history = with_trial(History(), 0, curves, state=TrialState.RUNNING, stop=2, horizon=8)
    summary = summarize(history.trials[0], history, OBJECTIVE, SHARES)
    assert (summary.point, summary.value) == (2, pytest.approx(0.4))
    assert summary.interval is not None  # both folds were measured, though the trial has not been told yet


def test_a_pruned_trial_keeps_the_value_it_was_judged_by_and_has_no_interval() -> None:
    curves = [[0.2, 0.3, 0.3, 0.3], [0.1, 0.2], []]
    history = with_trial(History(), 0, curves, state=TrialState.PRUNED, value=0.26, point=4, stop=4)
    summary = summarize(history.trials[0], history, OBJECTIVE, SHARES)
    assert (summary.value, summary.point) == (0.26, 4)
    assert summary.folds == (0.3,)
    assert summary.runs == 3
    assert (summary.interval, summary.std) == (None, None)


def test_a_running_trial_shows_the_best_so_far_of_the_folds_that_are_done() -> None:
    history = with_trial(History(), 0, [CURVES[0], CURVES[1], [0.9]], state=TrialState.RUNNING, stop=4)
    summary = summarize(history.trials[0], history, OBJECTIVE, SHARES)
    assert (summary.point, summary.value) == (3, pytest.approx(0.7))
    assert summary.folds == (0.6, 0.8)
    assert summary.interval is None
    first = with_trial(History(), 0, [[0.2, 0.4, 0.3], [], []], state=TrialState.RUNNING)
    assert summarize(first.trials[0], first, OBJECTIVE, SHARES).folds == (0.4,)


def test_a_trial_without_an_evaluation_has_no_numbers() -> None:
    history = with_trial(History(), 0, [[], []], state=TrialState.FAIL, reason="failed on fold 0")
    summary = summarize(history.trials[0], history, OBJECTIVE, SHARES)
    assert (summary.value, summary.point, summary.epoch, summary.std) == (None, None, None, None)
    assert (summary.folds, summary.metrics) == ((), {})
    assert (summary.seconds, summary.peak_memory_bytes) == (0, 0)


def test_one_fold_has_no_spread() -> None:
    history = with_trial(History(), 0, [[0.2, 0.5]], value=0.5, point=2, stop=2)
    summary = summarize(history.trials[0], history, OBJECTIVE, [0.2])
    assert (summary.std, summary.interval) == (None, None)


def test_without_shares_there_is_no_interval() -> None:
    history = with_trial(History(), 0, CURVES, value=0.7, point=3, stop=4)
    assert summarize(history.trials[0], history, OBJECTIVE).interval is None


def test_a_metric_that_is_not_a_number_on_a_fold_has_no_mean() -> None:
    history = with_trial(History(), 0, CURVES, value=0.7, point=3, stop=4, metrics={"roc_auc": math.nan})
    summary = summarize(history.trials[0], history, OBJECTIVE, SHARES)
    assert math.isnan(summary.metrics["roc_auc"])
    assert summary.metrics["accuracy"] == pytest.approx(0.75)


def test_an_objective_that_was_never_a_number_is_no_value() -> None:
    history = with_trial(History(), 0, [[math.nan, math.nan]], state=TrialState.FAIL)
    assert summarize(history.trials[0], history, OBJECTIVE, [0.2]).value is None


def test_repeats_of_one_result_leave_the_interval_unchanged() -> None:
    curves = [[0.70], [0.74], [0.80]]
    once = with_trial(History(), 0, curves, value=0.7467, point=1, stop=1)
    five = with_trial(History(), 0, curves * 5, value=0.7467, point=1, stop=1, repeats=5)
    shares = [1 / 3] * 3
    expected = summarize(once.trials[0], once, OBJECTIVE, shares).interval
    assert expected is not None
    assert summarize(five.trials[0], five, OBJECTIVE, shares).interval == pytest.approx(expected)


def test_repeats_use_the_shares_of_their_folds() -> None:
    curves = [[0.5], [0.6], [0.7], [0.8]]
    history = with_trial(History(), 0, curves, value=0.65, point=1, stop=1, repeats=2)
    summary = summarize(history.trials[0], history, OBJECTIVE, [0.5, 0.5])
    assert summary.folds == (0.5, 0.6, 0.7, 0.8)
    assert summary.interval is not None


def test_the_best_is_the_highest_complete_one_ties_to_the_first() -> None:
    history = with_trial(History(), 0, [[0.5]], value=0.5, point=1)
    history = with_trial(history, 1, [[0.7]], value=0.7, point=1)
    history = with_trial(history, 2, [[0.7]], value=0.7, point=1)
    history = with_trial(history, 3, [[0.9]], value=0.9, point=1, state=TrialState.PRUNED)
    history = with_trial(history, 4, [[0.95]], state=TrialState.RUNNING)
    history = with_trial(history, 5, [[math.nan]], value=math.nan, point=1)
    best = best_trial(history)
    assert best is not None
    assert best.number == 1


def test_there_may_be_no_best_trial() -> None:
    assert best_trial(History()) is None
    assert best_trial(with_trial(History(), 0, [[0.9]], value=0.9, point=1, state=TrialState.PRUNED)) is None


def test_the_default_is_found_by_its_origin() -> None:
    history = with_trial(History(), 0, [[0.5]], value=0.5, point=1)
    assert default_trial(history) is None
    history = with_trial(history, 1, [[0.4]], state=TrialState.RUNNING, origin=Origin.DEFAULT)
    found = default_trial(history)
    assert found is not None
    assert found.number == 1


def test_the_best_so_far_never_falls_and_counts_complete_trials_only() -> None:
    history = with_trial(History(), 0, [[]], state=TrialState.FAIL)
    for number, (value, state) in enumerate(
        [(0.5, TrialState.COMPLETE), (0.9, TrialState.PRUNED), (0.4, TrialState.COMPLETE), (0.6, TrialState.COMPLETE)],
        1,
    ):
        history = with_trial(history, number, [[value]], value=value, point=1, state=state)
    assert best_so_far(summarize_all(history, OBJECTIVE)) == (None, 0.5, 0.5, 0.5, 0.6)


def test_summaries_come_by_number() -> None:
    history = with_trial(complete(3, 0.4), 1, [[0.5]], value=0.5, point=1)
    assert [summary.number for summary in summarize_all(history, OBJECTIVE)] == [1, 3]


def test_of_what_is_minimized_the_lowest_complete_one_is_the_best_ties_to_the_first() -> None:
    history = History(direction=Direction.MINIMIZE)
    for number, (value, state) in enumerate(
        [(0.5, "COMPLETE"), (0.3, "COMPLETE"), (0.3, "COMPLETE"), (0.1, "PRUNED"), (0.4, "COMPLETE")]
    ):
        history = with_trial(history, number, [[value]], value=value, point=1, state=TrialState[state])
    best = best_trial(history)
    assert best is not None
    assert best.number == 1
    found = best_so_far(summarize_all(history, OBJECTIVE), Direction.MINIMIZE)
    assert found == (0.5, 0.3, 0.3, 0.3, 0.3)


def test_of_what_is_minimized_an_unfinished_trial_shows_its_lowest_value() -> None:
    history = with_trial(History(direction=Direction.MINIMIZE), 0, [[0.5, 0.2, 0.4]], state=TrialState.RUNNING)
    summary = summarize(history.trials[0], history, OBJECTIVE)
    assert (summary.point, summary.value) == (2, 0.2)
