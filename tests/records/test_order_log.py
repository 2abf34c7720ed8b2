"""The log of an order, and what of a study it says was decided on: pure functions."""

import itertools
from collections.abc import Sequence
from dataclasses import replace
from types import MappingProxyType

import pytest
from ordered_samples import SLOTS, begun, end, entry, segment
from records_samples import POINTS, evaluation_of

from hpsearch.records import History, Origin, Outcome, Run, SegmentResult, Trial, TrialState, digest
from hpsearch.records.order_log import Entry, Happening, admitted, ends_of, is_spent, waiting


def trial(number: int, config: int | None = None, folds: int = 2) -> Trial:
    """Return a trial; those of one `config` share their runs."""
    runs = tuple(
        Run(digest([number if config is None else config, fold]), {}, fold, 0, POINTS) for fold in range(folds)
    )
    return Trial(number, {}, {}, TrialState.RUNNING, Origin.SAMPLER, runs)


def recorded(*trials: Trial, points: int = POINTS, results: Sequence[SegmentResult] = ()) -> History:
    """Return a history in which all runs have come to a point."""
    history = History.of_trials(trials)
    for run in {run.key for each in trials for run in each.all_runs}:
        for point in range(1, points + 1):
            history = history.with_evaluation(evaluation_of(run, point))
    for result in results:
        history = history.with_result(result)
    return history


ONE = trial(0)


def test_only_what_was_decided_on_is_seen() -> None:
    everything = recorded(ONE, results=[end(ONE, Outcome.OK, 4, stop=4), end(ONE, Outcome.PAUSED, 6, start=4)])
    log = [SLOTS, begun(ONE, 0, 4), entry(ONE, Happening.EVALUATED, 3)]
    seen = admitted(everything, log)
    first, second = ONE.runs
    assert seen.trials == everything.trials
    assert seen.of(first.key) == everything.of(first.key)[:3]
    assert seen.of(second.key) == ()
    assert dict(seen.results) == {}
    assert second.key not in seen.evaluations


def test_a_segment_ends_where_the_log_says_however_far_it_was_trained() -> None:
    everything = recorded(ONE, results=[end(ONE, Outcome.OK, 6)])
    log = [begun(ONE, 0, 4), entry(ONE, Happening.EVALUATED, 4), entry(ONE, Happening.ENDED, 4)]
    assert admitted(everything, log).results[ONE.runs[0].key] == (SegmentResult(segment(ONE, 0, 4), Outcome.OK, 4),)


def test_the_segments_of_a_run_end_one_after_another() -> None:
    log = [
        begun(ONE, 0, 2), entry(ONE, Happening.EVALUATED, 2), entry(ONE, Happening.ENDED, 2),
        begun(ONE, 2, 6), entry(ONE, Happening.EVALUATED, 6), entry(ONE, Happening.ENDED, 6),
    ]  # fmt: skip
    seen = admitted(recorded(ONE), log)
    assert [each.segment for each in seen.results[ONE.runs[0].key]] == [segment(ONE, 0, 2), segment(ONE, 2, 6)]
    assert seen.point(ONE.runs[0]) == 6


@pytest.mark.parametrize("outcome", [Outcome.DIVERGED, Outcome.FAILED, Outcome.OUT_OF_MEMORY])
def test_a_bad_end_is_seen_with_its_log_in_the_segment_that_met_it(outcome: Outcome) -> None:
    """It may have come while the run was trained ahead, in another segment than decisions know of."""
    ahead = end(ONE, outcome, 3, "Traceback\nValueError: broken", start=2)
    everything = recorded(ONE, points=3, results=[end(ONE, Outcome.OK, 2, stop=2), ahead])
    log = [begun(ONE, 0, 4), entry(ONE, Happening.EVALUATED, 3), entry(ONE, Happening.FAILED, 3, words=outcome.value)]
    assert admitted(everything, log).results[ONE.runs[0].key] == (
        SegmentResult(segment(ONE, 0, 4), outcome, 3, "Traceback\nValueError: broken"),
    )


def test_a_bad_end_that_was_not_recorded_is_seen_without_a_log() -> None:
    failed = entry(ONE, Happening.FAILED, 1, words=Outcome.FAILED.value)
    assert ends_of(recorded(ONE), segment(ONE, 0, 4), failed) == (SegmentResult(segment(ONE, 0, 4), Outcome.FAILED, 1),)


def test_a_run_that_was_lost_for_good_shows_its_last_losses() -> None:
    losses = [end(ONE, Outcome.LOST, 0, f"loss {number}") for number in range(4)]
    hung = end(ONE, Outcome.TIMED_OUT, 0, "it hung")
    everything = recorded(ONE, points=0, results=[*losses[:3], end(ONE, Outcome.PAUSED, 0), losses[3], hung])
    failed = entry(ONE, Happening.FAILED, 0, number=3, words=Outcome.TIMED_OUT.value)
    assert list(ends_of(everything, segment(ONE, 0, 4), failed)) == [losses[2], losses[3], hung]


def test_what_is_spoken_of_a_run_that_nobody_knows_is_passed_over() -> None:
    """A reader may have the entries of a trial that it has not read yet."""
    other = trial(9)
    log = [begun(other, 0, 4), entry(other, Happening.EVALUATED, 2), entry(other, Happening.ENDED, 2)]
    seen = admitted(recorded(ONE), log)
    assert seen.of(other.runs[0].key) == ()
    assert dict(seen.results) == {}


def test_a_run_whose_place_another_took_is_seen_still() -> None:
    refitted = replace(ONE, runs=(replace(ONE.runs[0], key=digest("new")), ONE.runs[1]), former=(ONE.runs[0],))
    everything = recorded(refitted, results=[end(ONE, Outcome.OUT_OF_MEMORY, 2, "out of memory")])
    log = [
        begun(ONE, 0, 6), entry(ONE, Happening.EVALUATED, 2), entry(ONE, Happening.FAILED, 2, words="out_of_memory"),
    ]  # fmt: skip
    assert [each.outcome for each in admitted(everything, log).results[ONE.runs[0].key]] == [Outcome.OUT_OF_MEMORY]


def test_each_prefix_of_a_log_shows_what_was_seen_then() -> None:
    """Nothing that was decided on is ever seen otherwise, whatever is recorded and decided on later."""
    log = [
        begun(ONE, 0, 2), entry(ONE, Happening.EVALUATED, 1), entry(ONE, Happening.EVALUATED, 2),
        entry(ONE, Happening.ENDED, 2), begun(ONE, 2, 6), entry(ONE, Happening.EVALUATED, 6),
    ]  # fmt: skip
    points = [admitted(recorded(ONE), log[:count]).point(ONE.runs[0]) for count in range(len(log) + 1)]
    assert points == [0, 0, 1, 2, 2, 2, 6]


# ---------------------------------------------------------------------- who waits, and what is spent


def test_a_paused_trial_waits_until_a_run_of_it_begins() -> None:
    two = trial(1)
    log = [begun(ONE, 0, 2), begun(two, 0, 2), Entry(3, Happening.PAUSED, 0), Entry(4, Happening.PAUSED, 1)]
    trials = {0: ONE, 1: two}
    assert waiting(log[:2], trials) == set()
    assert waiting(log, trials) == {0, 1}
    assert waiting([*log, begun(two, 2, 4)], trials) == {0}
    assert waiting([*log, begun(two, 2, 4), Entry(9, Happening.PAUSED, 1)], trials) == {0, 1}


def test_equal_trials_that_wait_run_together() -> None:
    trials = {0: trial(0, 7), 1: trial(1, 7)}
    log = [Entry(3, Happening.PAUSED, 0), Entry(4, Happening.PAUSED, 1)]
    assert waiting(log, trials) == {0, 1}
    assert waiting([*log, begun(trials[0], 2, 4)], trials) == set()


def test_no_trial_waits_that_has_ended_or_is_not_there() -> None:
    log = [Entry(3, Happening.PAUSED, 0), Entry(4, Happening.PAUSED, 1)]
    assert waiting(log, {0: replace(ONE, state=TrialState.PRUNED)}) == set()


def test_a_sampler_is_spent_once_things_went_on_without_what_was_asked_for() -> None:
    asked = [Entry(0, Happening.ASKED, number) for number in range(3)]
    trials = {0: ONE, 1: trial(1)}
    goes_on = entry(ONE, Happening.EVALUATED, 1)
    assert not is_spent([], {})
    assert not is_spent([SLOTS, asked[0], begun(ONE, 0, 4), asked[1], goes_on], trials)
    assert not is_spent([SLOTS, asked[0], begun(ONE, 0, 4), asked[1], asked[2]], trials)  # killed as it was asked
    given = [Entry(0, Happening.GIVEN, number=1, words="trials: 9"), Entry(0, Happening.NOTED, words="timeout")]
    assert not is_spent([SLOTS, asked[0], begun(ONE, 0, 4), asked[2], *given], trials)
    assert is_spent([SLOTS, asked[0], begun(ONE, 0, 4), asked[2], *given, goes_on], trials)
    assert not is_spent([SLOTS, asked[0], begun(ONE, 0, 4), asked[2], goes_on], {**trials, 2: trial(2)})  # enqueued


def test_only_what_another_run_of_the_script_may_lack_is_a_disturbance() -> None:
    for happening, number in itertools.product(Happening, (0, 1)):
        disturbs = happening is Happening.NOTED or (happening is Happening.GIVEN and number == 1)
        assert Entry(0, happening, number=number).is_disturbance is disturbs


def test_what_is_seen_can_be_read_only() -> None:
    seen = admitted(recorded(ONE), [begun(ONE, 0, 4), entry(ONE, Happening.EVALUATED, 2)])
    assert isinstance(seen.evaluations, MappingProxyType)
    assert isinstance(seen.results, MappingProxyType)
