import random
from dataclasses import replace
from types import MappingProxyType

import pytest
from records_samples import evaluation_of

from hpsearch.records import Action, Decision, History, Origin, Outcome, Run, Segment, SegmentResult, Trial, TrialState

RUN = Run("a" * 32, {"epochs": 3}, fold=0, repeat=0, horizon=6)
TRIAL = Trial(0, {"epochs": 3}, {"epochs": 3}, TrialState.RUNNING, Origin.SAMPLER, (RUN,))


def test_a_history_that_is_read_does_not_change_when_another_grows_from_it() -> None:
    before = History.of_trials([TRIAL])
    after = before.with_evaluation(evaluation_of(RUN.key, 1))
    after = after.with_result(SegmentResult(Segment(RUN, 0, 1), Outcome.OK, 1)).with_trial(replace(TRIAL, number=1))
    assert (len(before.trials), len(before.evaluations), len(before.results)) == (1, 0, 0)
    assert (len(after.trials), len(after.evaluations), len(after.results)) == (2, 1, 1)
    with pytest.raises(TypeError):
        after.trials[2] = TRIAL  # type: ignore[index]


def test_evaluations_come_in_order_and_the_first_of_a_point_stays() -> None:
    history = History.of_trials([TRIAL]).with_evaluation(evaluation_of(RUN.key, 1))
    repeated = history.with_evaluation(evaluation_of(RUN.key, 1, train_loss=99.0))
    assert repeated is history
    with pytest.raises(ValueError, match="point 3 after point 1"):
        history.with_evaluation(evaluation_of(RUN.key, 3))
    assert history.point(RUN) == 1
    assert history.of("unknown") == ()


def test_outcomes_are_those_of_the_run_oldest_first() -> None:
    history = History.of_trials([TRIAL])
    for outcome in (Outcome.LOST, Outcome.OK):
        history = history.with_result(SegmentResult(Segment(RUN, 0, 2), outcome, 2))
    assert history.outcomes(RUN) == (Outcome.LOST, Outcome.OK)
    assert history.outcomes(replace(RUN, key="b")) == ()


def test_decisions_set_the_stop_and_the_end() -> None:
    history = History.of_trials([TRIAL])
    stopped = history.with_decision(Decision(0, Action.STOP_EARLY, "no better", stop=4))
    assert stopped.trials[0] == replace(TRIAL, stop=4)
    assert stopped.with_decision(Decision(0, Action.CONTINUE, "goes on")).trials[0] == replace(TRIAL, stop=4)
    ended = stopped.with_decision(Decision(0, Action.COMPLETE, "all folds", value=0.75, point=3))
    assert ended.trials[0] == replace(TRIAL, state=TrialState.COMPLETE, value=0.75, point=3, stop=4, reason="all folds")


def test_finished_and_unfinished_trials_are_told_apart() -> None:
    states = list(TrialState)
    history = History.of_trials(replace(TRIAL, number=number, state=state) for number, state in enumerate(states))
    assert {trial.state for trial in history.unfinished()} == {TrialState.RUNNING, TrialState.WAITING}
    assert {trial.state for trial in history.finished()} == set(states) - {TrialState.RUNNING, TrialState.WAITING}
    assert [trial.state for trial in history.finished(TrialState.PRUNED)] == [TrialState.PRUNED]


def test_trials_that_share_a_run_are_found_however_the_history_came_about() -> None:
    """The index grows with the history; it must say what looking at every trial says."""
    runs = [Run(key * 32, {"epochs": 3}, fold=0, repeat=0, horizon=6) for key in "abc"]
    draws, history = random.Random(0), History()
    for _ in range(400):
        number = draws.randrange(12)
        trial = history.trials.get(number) or replace(TRIAL, number=number, runs=tuple(draws.choices(runs, k=2)))
        move = draws.random()
        if move < 0.5:
            history = history.with_trial(replace(trial, state=draws.choice(list(TrialState))))
        elif move < 0.6:
            history = history.with_trial(replace(trial, runs=tuple(draws.sample(runs, 2))))
        elif move < 0.7:
            kept = {each: trial for each, trial in history.trials.items() if each != number}
            history = replace(history, trials=kept)
        elif number in history.trials:
            history = history.with_decision(Decision(number, Action.STOP_EARLY, "", stop=2))
        trials = history.trials.values()
        unfinished = [trial for trial in trials if not trial.state.is_finished]
        assert list(history.unfinished()) == unfinished
        for run in runs:
            sharing = [trial for trial in trials if any(own.key == run.key for own in trial.runs)]
            assert list(history.sharing(run.key)) == sharing
    assert history == replace(history)


def test_what_has_moved_on_since_is_known_where_one_grew_from_the_other() -> None:
    first = History.of_trials([TRIAL, replace(TRIAL, number=1), replace(TRIAL, number=2, runs=())])
    moved = first.with_trial(replace(TRIAL, number=2, runs=(), state=TrialState.WAITING))
    measured = moved.with_evaluation(evaluation_of(RUN.key, 1))
    decided = measured.with_decision(Decision(1, Action.STOP_EARLY, "", stop=1))
    assert measured.changed_since(moved) == {0, 1}  # which share the run
    assert decided.changed_since(measured) == {1}
    assert decided.changed_since(moved) == {0, 1}
    assert decided.changed_since(decided) == set()
    other = moved.with_trial(replace(TRIAL, number=3))
    assert other.changed_since(measured) is None
    assert measured.changed_since(other) is None
    assert moved.changed_since(measured) is None
    assert decided.changed_since(first) is None
    assert replace(decided, trials={}).changed_since(decided) is None


def test_an_empty_history_is_empty_and_cannot_be_filled_by_accident() -> None:
    assert isinstance(History().trials, MappingProxyType)
    assert History() == History.of_trials([])
