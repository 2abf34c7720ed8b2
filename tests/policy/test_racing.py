import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import F1, measured, stopped, trial
from simulated import FOLDS, HORIZON, Simulated, curve, limits, outcome

from hpsearch.errors import UsageError
from hpsearch.policy.policy import Policy
from hpsearch.policy.pruners import resolve_pruner
from hpsearch.policy.racing import Racing, RacingPruner, doubling_rungs, sampling_error
from hpsearch.records import Action, History, Origin, TrialState
from hpsearch.space import Float, Space

NO_COMPARISON = {"margin": None, "spread": False}


def judge(**rule) -> RacingPruner:
    return RacingPruner(Racing(**rule), F1)


def complete(history: History, number: int, folds: list[float], *, early: float = 0.5) -> History:
    """Give a trial whole folds: on each its score at the end, and `early` of it before."""
    for fold, score in enumerate(folds):
        history = measured(history, number, fold, [early * score] * (HORIZON - 1) + [score])
    ended = replace(history.trials[number], state=TrialState.COMPLETE, stop=HORIZON, value=sum(folds) / len(folds))
    return history.with_trial(ended)


def raced(*shown: list[float], gap: float = 0.1) -> History:
    """Trials 1, 2, ... that have shown these scores on the first fold, beside four complete ones (10 to 13).

    The complete ones differ by the gap, and their folds by 0.02 about that: an error that is known, and small.
    """
    history = History.of_trials([replace(trial(0), origin=Origin.DEFAULT)])
    for number, scores in enumerate(shown, 1):
        history = measured(history.with_trial(trial(number)), number, 0, scores)
    for place, number in enumerate(range(10, 14)):
        wobble = [0.02, -0.02, 0.0] if place % 2 else [-0.02, 0.02, 0.0]
        history = complete(history.with_trial(trial(number)), number, [0.5 + gap * place + each for each in wobble])
    return history


def test_rungs_double_from_a_quarter_of_the_first_fold():
    assert doubling_rungs(12) == (1, 2, 4, 8)
    assert doubling_rungs(20) == (1, 2, 4, 8, 16)
    assert doubling_rungs(4) == (1, 2)
    assert doubling_rungs(20, partial=False) == (4, 8, 16)


def test_the_sampling_error_is_what_trial_and_fold_do_not_explain():
    generator = random.Random(0)
    folds = [generator.gauss(0, 1) for _ in range(6)]
    rows = [[quality + fold + generator.gauss(0, 0.1) for fold in folds] for quality in range(200)]
    assert sampling_error(rows) == pytest.approx(0.1, rel=0.1)
    assert sampling_error([[1.0, 2.0], [2.0, 3.0], [5.0, 6.0]]) == pytest.approx(0.0, abs=1e-12)
    assert sampling_error(rows[:2]) is None
    assert sampling_error([[1.0], [2.0], [3.0]]) is None
    assert sampling_error([[1.0, 2.0], [2.0, 3.0], [float("-inf"), 1.0]]) is None


def test_the_best_of_a_rung_goes_on_at_once_and_half_of_those_that_come():
    history = History.of_trials([replace(trial(0), origin=Origin.DEFAULT), trial(1)])
    assert limits(history, judge()) == {0: None, 1: 1}
    history = measured(history, 1, 0, [0.5])
    assert limits(history, judge())[1] == 2
    for number, score in enumerate([0.4, 0.3, 0.45], 2):
        history = measured(history.with_trial(trial(number)), number, 0, [score])
    assert limits(history, judge()) == {0: None, 1: 2, 2: 1, 3: 1, 4: 2}


def test_who_is_behind_the_best_by_more_than_its_error_waits_however_good_its_place():
    worse = [[0.05], [0.04], [0.03], [0.02], [0.01]]
    far = raced([0.1], *worse)  # place 5 of 10; the best, trial 13, had shown 0.41 there
    assert limits(far, judge(margin=None, spread=False))[1] == 2
    assert set(limits(far, judge(spread=False)).values()) == {None, 1}
    close = raced([0.39], *worse)
    assert limits(close, judge(spread=False))[1] == 2
    assert limits(close, judge(spread=False, margin=0.0))[1] == 1


def test_without_an_error_to_go_by_nobody_is_held_back():
    history = complete(History.of_trials([trial(number) for number in range(4)]), 3, [0.9, 0.9, 0.9], early=1.0)
    for number in range(3):
        history = measured(history, number, 0, [0.1 - 0.01 * number])
    assert limits(history, judge(margin=0.0)) == {0: 2, 1: 1, 2: 1}


def test_a_rung_that_tells_nothing_apart_lets_everybody_go_on():
    alike = raced([0.249], [0.252], [0.251], [0.248], gap=0.0)
    assert set(limits(alike, judge(margin=None)).values()) == {None, 2}
    assert [number for number, limit in limits(alike, judge(margin=None, spread=False)).items() if limit == 1] == [1, 4]
    apart = raced([0.249], [0.052], [0.151], [0.048], gap=0.0)
    assert [number for number, limit in limits(apart, judge(margin=None)).items() if limit == 1] == [2, 3, 4]


def test_a_trial_ends_below_the_worst_fold_of_the_best():
    history = raced([0.2] * HORIZON, [0.79] * HORIZON)  # trial 13: 0.78, 0.82, 0.8 or so
    policy = Policy(F1, 2, None, judge(forgiving=True))
    for number in (1, 2):
        history = stopped(history, number, HORIZON)
    decision = policy.decide(history, 1)
    assert decision.action is Action.PRUNE
    assert decision.reason == "racing: mean 0.2 over 1 of 3 folds, worse than the worst fold (0.78) of trial 13"
    assert policy.decide(history, 2).action is not Action.PRUNE
    assert Policy(F1, 2, None, judge()).decide(history, 1).action is not Action.PRUNE


def test_equal_scores_are_ranked_by_loss():
    history = History.of_trials([trial(number) for number in range(4)])
    for number, loss in enumerate([0.9, 0.7, 0.8, 0.75]):
        history = measured(history, number, 0, [0.154], [loss])
    assert [number for number, limit in limits(history, judge()).items() if limit == 2] == [1, 3]


@pytest.mark.parametrize(("rows", "batch_size", "first"), [(640, 16, 1), (320, 16, 2), (160, 16, 4), (16, 16, 8)])
def test_nothing_is_decided_before_twenty_steps(rows, batch_size, first):
    """Two epochs of rows / batch_size steps each: a quarter is half an epoch."""
    asked = trial(1, {"batch_size": batch_size}, horizon=HORIZON)
    asked = replace(asked, runs=tuple(replace(run, steps_per_epoch=rows // batch_size) for run in asked.runs))
    assert judge().limit(History.of_trials([asked]), asked, closing=False) == first


def test_what_is_trained_follows_from_the_rungs_and_from_who_goes_on_at_each():
    rungs = trial(1, horizon=4, folds=3)  # quarters 1, 2, 4 and 8 of 12
    assert judge().trained_share(rungs) == pytest.approx((1 + 1 / 2 + 2 / 4 + 4 / 8 + 4 / 16) / 12)
    assert judge().trained_share(rungs, 0.7) == pytest.approx((1 + 0.7 + 2 * 0.49 + 4 * 0.343 + 4 * 0.7**4) / 12)
    assert judge().trained_share(rungs, 1.0) == pytest.approx(1.0)
    short = replace(rungs, runs=tuple(replace(run, steps_per_epoch=10) for run in rungs.runs))  # 20 steps: a whole fold
    assert judge().trained_share(short) == pytest.approx((4 + 4 / 2 + 4 / 4) / 12)
    coarse = trial(1, horizon=2, folds=3)  # a first quarter ends at the first half
    assert judge().trained_share(coarse) == pytest.approx((2 + 0 / 2 + 2 / 4 + 4 / 8 + 4 / 16) / 12)


def test_nothing_is_decided_during_the_warmup():
    slow = trial(1, {"warmup_ratio": 0.6})
    assert judge().limit(History.of_trials([slow]), slow, closing=False) == 4


def test_the_default_is_trained_to_its_end_and_ended_by_no_comparison():
    history = raced([0.9])
    history = stopped(measured(history, 0, 0, [0.01] * HORIZON), 0, HORIZON)
    assert judge().limit(history, history.trials[0], closing=False) is None
    assert Policy(F1, 2, None, judge()).decide(history, 0).final_state is None


def test_when_only_the_default_is_whole_the_best_of_each_rung_goes_on_at_the_end():
    history = raced([0.1], [0.05])
    for number in range(10, 14):
        history = history.with_trial(replace(history.trials[number], origin=Origin.DEFAULT))
    assert limits(history, judge(spread=False), closing=False) == {0: None, 1: 1, 2: 1}
    assert limits(history, judge(spread=False), closing=True) == {0: None, 1: 2, 2: 1}


@pytest.mark.parametrize("state", [TrialState.FAIL, TrialState.PRUNED])
def test_who_fails_or_diverges_beyond_a_rung_takes_nobody_else_s_place_there(state):
    history = raced([0.9, 0.9], [0.05])
    for number in range(10, 14):
        history = history.with_trial(replace(history.trials[number], origin=Origin.DEFAULT))
    history = history.with_trial(replace(history.trials[1], state=state, value=None))
    assert limits(history, judge(), closing=True) == {0: None, 2: 2}
    assert limits(history, judge(margin=None, spread=False), closing=True) == {0: None, 2: 2}


def test_values_out_of_range_are_refused():
    wrong = [
        *({"reduction_factor": 1}, {"reduction_factor": True}, {"margin": -1.0}, {"margin": float("nan")}),
        *({"margin": "2"}, {"partial": 1}, {"spread": None}, {"forgiving": "no"}, {"synchronous": "yes"}),
    ]
    for values in wrong:
        with pytest.raises(UsageError, match=rf"Racing\({next(iter(values))}="):
            Racing(**values)


@pytest.mark.parametrize(
    "rule", [{}, NO_COMPARISON, {"forgiving": True}, {"synchronous": True}, {"reduction_factor": 3, "partial": False}]
)
@pytest.mark.parametrize("workers", [1, 4])
def test_a_study_spends_a_part_and_ends_with_good_trials_on_all_folds(rule, workers):
    history = Simulated(judge(**rule), 40, workers, seed=0).run()
    states = [each.state for each in history.trials.values()]
    assert set(states) == {TrialState.COMPLETE, TrialState.PRUNED}
    spent = sum(len(found) for found in history.evaluations.values())
    assert spent < 0.65 * 40 * HORIZON * FOLDS
    best = max(history.finished(TrialState.COMPLETE), key=lambda each: each.value)
    final = sorted((sum(max(curve(n, fold)) for fold in range(FOLDS)) for n in range(40)), reverse=True)
    assert sum(max(curve(best.number, fold)) for fold in range(FOLDS)) in final[:4]


@pytest.mark.parametrize("synchronous", [False, True])
@pytest.mark.parametrize("trials", [2, 3, 5, 8, 17])
def test_a_study_of_any_length_ends_with_a_searched_trial_on_all_folds(trials, synchronous):
    history = Simulated(judge(synchronous=synchronous), trials, 2, 0, best=0).run()  # the default is the best of all
    assert len(history.finished(TrialState.COMPLETE)) >= 2


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 6), st.integers(0, 10**6), st.sampled_from([5, 14, 1000]))
def test_in_cohorts_the_whole_study_is_the_same_whatever_the_order(workers, seed, distinct):
    whole = Simulated(judge(synchronous=True), 19, 1, 0, distinct=distinct).run()
    assert outcome(Simulated(judge(synchronous=True), 19, workers, seed, distinct=distinct).run()) == outcome(whole)


def test_what_is_kept_from_question_to_question_changes_no_answer():
    study = Simulated(judge(), 12, 3, seed=1)
    for history in study.steps():
        for closing in (False, True):
            assert limits(history, study.policy.pruner, closing=closing) == limits(history, judge(), closing=closing)
        for each in history.unfinished():
            assert study.policy.pruner.reason_to_prune(history, each) == judge().reason_to_prune(history, each)


def test_by_name():
    found = resolve_pruner("racing", Space(learning_rate=Float(0.1, 1.0)), F1)
    assert isinstance(found, RacingPruner)
    history = raced([0.1], [0.3])
    reason = found.reason_to_wait(history, history.trials[1], 1)
    assert reason == (
        "racing: behind trial 13 after step 1 of 12 by more than 2 standard errors of the difference (0.06532)"
    )
    by_rank = resolve_pruner(Racing(margin=None), Space(learning_rate=Float(0.1, 1.0)), F1)
    reason = by_rank.reason_to_wait(history, history.trials[1], 1)
    assert reason == "racing: place 6 of 6 after step 1 of 12, where 1 of 2 continues"
