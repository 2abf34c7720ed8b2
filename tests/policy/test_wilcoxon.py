from dataclasses import replace

import pytest
from samples import F1, measured, stopped, trial

from hpsearch.errors import UsageError
from hpsearch.policy.policy import Policy
from hpsearch.policy.pruners import FoldWilcoxon, resolve_pruner
from hpsearch.policy.rule_names import check_runs
from hpsearch.records import Action, History, Trial, TrialState
from hpsearch.space import Float, Space

SPACE = Space(learning_rate=Float(1e-5, 1.0))
FOLDS = 5


def judge() -> FoldWilcoxon:
    return FoldWilcoxon(SPACE, F1)


def folds_of(history: History, number: int, scores: list[float]) -> History:
    """Train the first folds of a trial whole, each with its best score in the middle."""
    history = stopped(history, number, 3)
    for fold, score in enumerate(scores):
        history = measured(history, number, fold, [score / 2, score, score / 3])
    return history


@pytest.fixture
def best() -> History:
    """One complete trial, and a second that has just begun."""
    history = folds_of(History.of_trials([trial(0, folds=FOLDS), trial(1, folds=FOLDS)]), 0, [0.8, 0.7, 0.9, 0.8, 0.6])
    return history.with_trial(replace(history.trials[0], state=TrialState.COMPLETE, value=0.76, point=2))


def reason(history: History) -> str | None:
    return judge().reason_to_prune(history, history.trials[1])


def test_a_trial_that_is_worse_on_each_of_four_folds_is_given_up(best):
    worse = [0.7, 0.6, 0.85, 0.7]
    assert [reason(folds_of(best, 1, worse[:count])) for count in range(4)] == [None] * 4
    found = reason(folds_of(best, 1, worse))
    assert found == "wilcoxon: mean 0.7125 over 4 of 5 folds, worse than the best trial's"


@pytest.mark.parametrize("scores", [[0.7, 0.6, 0.95, 0.7], [0.9, 0.8, 0.95, 0.9], [0.8, 0.7, 0.9, 0.8]])
def test_one_that_is_better_somewhere_by_as_much_or_equal_goes_on(best, scores):
    assert reason(folds_of(best, 1, scores)) is None


def test_a_fold_under_way_does_not_count(best):
    history = folds_of(best, 1, [0.7, 0.6, 0.85])
    assert reason(measured(history, 1, 3, [0.1, 0.1])) is None


def test_without_a_complete_trial_there_is_nothing_to_compare_with():
    alone = History.of_trials([trial(0, folds=FOLDS), trial(1, folds=FOLDS)])
    assert reason(folds_of(alone, 1, [0.1] * 4)) is None


def test_the_policy_asks_when_a_fold_is_done(best):
    policy = Policy(F1, 2, None, judge())
    decision = policy.decide(folds_of(best, 1, [0.7, 0.6, 0.85, 0.7]), 1)
    assert decision.action is Action.PRUNE
    asked: Trial = best.trials[1]
    assert policy.decide(measured(best, asked.number, 0, [0.1]), 1).action is Action.CONTINUE


@pytest.mark.parametrize("runs", [1, 3, 4])
def test_too_few_folds_are_refused_with_the_reason(runs):
    with pytest.raises(UsageError, match=rf"can save nothing with {runs} folds.*cv=5 or more"):
        check_runs("wilcoxon", runs)
    check_runs("wilcoxon", 5)
    check_runs("median", runs)
    assert isinstance(resolve_pruner("wilcoxon", SPACE, F1), FoldWilcoxon)
