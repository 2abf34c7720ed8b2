from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import F1, ended, measured, stopped, trial
from simulated import FOLDS, HORIZON, Simulated, curve, limits, outcome

from hpsearch.errors import UsageError
from hpsearch.policy.policy import Policy
from hpsearch.policy.pruners import resolve_pruner
from hpsearch.policy.successive_halving import PromotingHalving, SuccessiveHalving, bracket_cycle, ladder
from hpsearch.records import Action, History, Origin, Outcome, TrialState
from hpsearch.space import Float, Space

RUNGS = (2, 4, 12)


def made(rule: SuccessiveHalving) -> PromotingHalving:
    return PromotingHalving(rule, F1, "asha")


def judge(**rule) -> PromotingHalving:
    return made(SuccessiveHalving(**rule))


def at_half(values: list[float]) -> History:
    """Trials 1, 2, ... that have all shown their value at half of the first fold; trial 0 is the default, ahead."""
    first = replace(trial(0), origin=Origin.DEFAULT)
    history = History.of_trials([first, *(trial(number) for number in range(1, len(values) + 1))])
    for number, value in enumerate(values, 1):
        history = measured(history, number, 0, [value / 2, value])
    return history


@pytest.mark.parametrize(
    ("steps", "factor", "rungs"),
    [(12, 3, (2, 4, 12)), (20, 3, (3, 7, 20)), (4, 3, (2, 4)), (40, 4, (3, 10, 40)), (12, 2, (2, 3, 6, 12))],
)
def test_rungs_go_down_from_the_end_to_half_of_the_first_fold(steps, factor, rungs):
    assert ladder(steps, factor) == rungs


def test_hyperband_gives_each_bracket_its_share_from_the_beginning():
    cycle = bracket_cycle(3, 3, 3)
    assert [cycle.count(bracket) for bracket in range(3)] == [9, 5, 3]
    assert set(cycle[:5]) == {0, 1, 2}
    assert bracket_cycle(3, 1, 3) == (0,) * 9


def test_everyone_runs_to_the_first_rung_and_the_default_to_the_end():
    history = History.of_trials([replace(trial(0), origin=Origin.DEFAULT), trial(1)])
    assert limits(history, judge()) == {0: None, 1: 2}


def test_the_best_third_goes_on_and_the_others_wait():
    pruner = judge()
    assert limits(at_half([0.5, 0.9]), pruner) == {0: None, 1: 2, 2: 2}
    assert limits(at_half([0.5, 0.9, 0.7]), pruner) == {0: None, 1: 2, 2: 4, 3: 2}


def test_who_waits_is_promoted_when_the_rung_has_filled():
    waiting = at_half([0.8, 0.9, 0.7])
    assert judge().limit(waiting, waiting.trials[1], closing=False) == 2
    filled = at_half([0.8, 0.9, 0.7, 0.1, 0.2, 0.3])
    assert limits(filled, judge())[1] == 4


def test_equal_values_are_ranked_by_their_loss_and_then_by_number():
    history = History.of_trials([trial(number) for number in range(4)])
    for number, loss in enumerate([0.9, 0.7, 0.7, 0.8]):
        history = measured(history, number, 0, [0.1, 0.154], [1.0, loss])
    assert [number for number, limit in limits(history, judge()).items() if limit == 4] == [1]


def test_a_diverged_trial_counts_as_the_worst_that_came_and_a_failed_one_not_at_all():
    history = at_half([0.5, 0.9])
    history = history.with_trial(replace(trial(3), state=TrialState.PRUNED, reason="diverged"))
    assert limits(history, judge())[2] == 4
    history = at_half([0.5, 0.9]).with_trial(replace(trial(3), state=TrialState.FAIL))
    assert limits(history, judge())[2] == 2


def test_one_that_has_ended_takes_no_place_from_those_that_wait():
    history = at_half([0.5, 0.9, 0.7])
    gone = replace(history.trials[2], state=TrialState.PRUNED, value=0.9, point=2)
    assert limits(history.with_trial(gone), judge()) == {0: None, 1: 2, 3: 4}


def test_what_has_begun_to_climb_goes_on_though_better_ones_come():
    history = measured(at_half([0.5, 0.9, 0.7]), 2, 0, [0.9])
    late = history.with_trial(trial(4)).with_trial(trial(5))
    late = measured(measured(late, 4, 0, [0.5, 0.95]), 5, 0, [0.5, 0.99])
    assert limits(late, judge()) == {0: None, 1: 2, 2: 4, 3: 2, 4: 2, 5: 4}


def test_no_rung_is_judged_during_the_warmup():
    slow = trial(1, {"warmup_ratio": 0.6})
    history = measured(History.of_trials([slow]), 1, 0, [0.1, 0.2])
    assert limits(history, judge()) == {1: 4}


def test_when_no_more_are_coming_the_best_of_each_rung_climbs_to_the_end():
    pruner, history = judge(), at_half([0.5, 0.9])
    assert limits(history, pruner, closing=False) == {0: None, 1: 2, 2: 2}
    assert limits(history, pruner, closing=True) == {0: None, 1: 2, 2: 4}
    further = stopped(measured(history, 2, 0, [0.9, 0.9]), 2, HORIZON)
    assert limits(further, pruner, closing=False) == {0: None, 1: 2, 2: 4}
    assert limits(further, pruner, closing=True) == {0: None, 1: 2, 2: None}
    on_its_way = history.with_trial(trial(3))
    assert limits(on_its_way, pruner, closing=True) == {0: None, 1: 2, 2: 2, 3: 2}  # it may yet be better


def test_the_default_takes_nobodys_place_however_good_it_is():
    history = stopped(measured(at_half([0.5, 0.6, 0.7]), 0, 0, [0.99] * HORIZON), 0, HORIZON)
    assert limits(history, judge()) == {0: None, 1: 2, 2: 2, 3: 4}


def test_equal_configurations_take_one_place_together():
    history = at_half([0.5, 0.7, 0.9])
    for number in (4, 5):
        history = history.with_trial(replace(history.trials[3], number=number))
    assert limits(history, judge()) == {0: None, 1: 2, 2: 2, 3: 4, 4: 4, 5: 4}
    history = measured(history.with_trial(trial(6)), 6, 0, [0.1, 0.2])
    assert limits(history, judge()) == {0: None, 1: 2, 2: 2, 3: 4, 4: 4, 5: 4, 6: 2}


def test_in_cohorts_nothing_is_decided_before_all_have_come():
    pruner = judge(synchronous=True)  # a cohort of nine, the default among them
    history = at_half([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3]).with_trial(trial(8))
    assert set(limits(history, pruner).values()) == {None, 2}
    history = measured(history, 8, 0, [0.1, 0.2])
    assert [number for number, limit in limits(history, pruner).items() if limit != 2] == [0, 1, 2]
    assert limits(history.with_trial(trial(9)), pruner)[9] == 2


def test_numbers_out_of_range_are_refused():
    for wrong in ({"reduction_factor": 1}, {"brackets": 0}, {"reduction_factor": 2.5}, {"synchronous": "yes"}):
        with pytest.raises(UsageError, match=rf"SuccessiveHalving\({next(iter(wrong))}="):
            SuccessiveHalving(**wrong)


@pytest.mark.parametrize("rule", [SuccessiveHalving(), SuccessiveHalving(brackets=None), SuccessiveHalving(2)])
@pytest.mark.parametrize("workers", [1, 4])
def test_a_study_spends_a_part_and_ends_with_good_trials_on_all_folds(rule, workers):
    history = Simulated(made(rule), 40, workers, seed=0).run()
    states = [each.state for each in history.trials.values()]
    assert set(states) == {TrialState.COMPLETE, TrialState.PRUNED}
    spent = sum(len(found) for found in history.evaluations.values())
    assert spent < 0.65 * 40 * HORIZON * FOLDS
    best = max(history.finished(TrialState.COMPLETE), key=lambda each: each.value)
    final = sorted((sum(max(curve(n, fold)) for fold in range(FOLDS)) for n in range(40)), reverse=True)
    assert sum(max(curve(best.number, fold)) for fold in range(FOLDS)) in final[:4]


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 6), st.integers(0, 10**6), st.booleans(), st.sampled_from([5, 14, 1000]))
def test_in_cohorts_the_whole_study_is_the_same_whatever_the_order(workers, seed, hyperband, distinct):
    rule = SuccessiveHalving(brackets=None if hyperband else 1, synchronous=True)
    whole = Simulated(made(rule), 23, 1, 0, distinct=distinct).run()
    assert outcome(Simulated(made(rule), 23, workers, seed, distinct=distinct).run()) == outcome(whole)


@pytest.mark.parametrize("synchronous", [False, True])
@pytest.mark.parametrize("trials", [2, 3, 5, 8, 9, 12, 17])
def test_a_study_of_any_length_ends_with_a_searched_trial_on_all_folds(trials, synchronous):
    rule = SuccessiveHalving(synchronous=synchronous)
    history = Simulated(made(rule), trials, 2, 0, best=0).run()  # the default is the best of all
    assert len(history.finished(TrialState.COMPLETE)) >= 2


@pytest.mark.parametrize("rule", [SuccessiveHalving(), SuccessiveHalving(brackets=None, synchronous=True)])
def test_what_is_kept_from_question_to_question_changes_no_answer(rule):
    study = Simulated(made(rule), 12, 3, seed=1)
    for history in study.steps():
        fresh = PromotingHalving(rule, F1, "asha")
        for closing in (False, True):
            assert limits(history, study.policy.pruner, closing=closing) == limits(history, fresh, closing=closing)


def test_a_trial_waits_once_all_its_runs_stand_at_its_limit():
    policy = Policy(F1, 2, None, judge())
    history = at_half([0.5])
    decision = policy.decide(history, 1)
    assert (decision.action, decision.reports) == (Action.PAUSE, ((1, 0.25), (2, 0.5)))
    assert decision.reason == "asha: place 1 of 1 after step 2 of 12, where 1 of 3 continues"
    waiting = history.with_trial(replace(history.trials[1], state=TrialState.WAITING))
    assert policy.decide(waiting, 1).action is Action.CONTINUE
    given_up = policy.give_up(history.with_trial(trial(2)), history.trials[1])
    assert (given_up.action, given_up.value, given_up.point) == (Action.PRUNE, 0.5, 2)


def test_bad_luck_still_ends_a_trial():
    history = ended(at_half([0.5]), 1, 0, Outcome.DIVERGED)
    assert Policy(F1, 2, None, judge()).decide(history, 1).action is Action.PRUNE


@pytest.mark.parametrize("name", ["asha", "hyperband"])
def test_by_name(name):
    found = resolve_pruner(name, Space(learning_rate=Float(0.1, 1.0)), F1)
    assert isinstance(found, PromotingHalving)
    history = at_half([0.5, 0.9, 0.7])
    assert found.reason_to_wait(history, history.trials[1], 2).startswith(f"{name}: ")
    first_rungs = {found.limit(History.of_trials([trial(n)]), trial(n), closing=False) for n in range(17)}
    assert first_rungs == ({2, 4, None} if name == "hyperband" else {2})
