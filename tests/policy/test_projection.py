import math
from dataclasses import replace

import optuna
import pytest
from samples import F1, ended, measured, stopped, trial

import hpsearch as hp
from hpsearch.policy.optuna_sampler import OptunaSampler
from hpsearch.policy.projection import EPOCH, Projection, distributions
from hpsearch.records import History, Outcome, TrialState

SPACE = hp.Space(learning_rate=hp.Float(1e-4, 1e-1, log=True), epochs=2)
OptunaState = optuna.trial.TrialState


def with_state(history: History, number: int, state: TrialState, **more) -> History:
    return history.with_trial(replace(history.trials[number], state=state, **more))


@pytest.fixture
def begun() -> History:
    return measured(History.of_trials([trial(0)]), 0, 0, [0.2, 0.6])


def projected(history: History):
    return Projection(SPACE, F1).trial(history, history.trials[0])


def test_a_trial_in_flight_is_running_with_all_its_steps(begun):
    frozen = projected(begun)
    assert (frozen.state, frozen.values) == (OptunaState.RUNNING, None)
    assert frozen.intermediate_values == {1: 0.2, 2: 0.6}
    assert frozen.params == {"learning_rate": 1e-3}


def test_a_waiting_trial_is_neither_running_nor_final_for_a_sampler(begun):
    frozen = projected(with_state(begun, 0, TrialState.WAITING))
    assert frozen.state is OptunaState.PRUNED
    assert frozen.intermediate_values == {2: 0.6}  # its rung with its partial mean


def test_a_trial_that_goes_on_after_a_rung_is_shown_by_its_value_not_as_running(begun):
    """Optuna's TPE puts what runs among the bad ones: it would keep away from just those that were promoted."""
    promoted = ended(begun, 0, 0, Outcome.OK)
    frozen = projected(measured(promoted, 0, 0, [0.7]))
    assert (frozen.state, frozen.intermediate_values) == (OptunaState.PRUNED, {3: 0.7})
    assert projected(ended(begun, 0, 0, Outcome.PAUSED)).state is OptunaState.RUNNING


def test_tpe_stays_with_the_best_while_they_are_promoted():
    history, rates = History(), [10 ** -(1 + 3 * number / 23) for number in range(24)]
    for number, rate in enumerate(rates):
        one = replace(trial(number), params={"learning_rate": rate}, state=TrialState.WAITING)
        history = measured(history.with_trial(one), number, 0, [0.1, 0.9 - abs(number - 12) / 20])
        history = ended(history, number, 0, Outcome.OK)

    def nearness(shown: History) -> float:
        """Return how far, in decades, proposals lie from the best."""
        found = [
            OptunaSampler(SPACE, F1, seed, lambda given: optuna.samplers.TPESampler(seed=given)).propose(shown)
            for seed in range(15)
        ]
        return sum(abs(math.log10(each["learning_rate"] / rates[12])) for each in found) / len(found)

    promoted = history
    for number in (10, 11, 12, 13, 14):
        promoted = with_state(promoted, number, TrialState.RUNNING)
    assert nearness(promoted) == nearness(history)


def test_a_waiting_trial_is_asked_about_as_one_that_runs(begun):
    projection = Projection(SPACE, F1)
    running = projection.reporting(begun, begun.trials[0])
    paused = with_state(begun, 0, TrialState.WAITING)
    assert projection.reporting(paused, paused.trials[0]) == running
    assert running.intermediate_values == {1: 0.2, 2: 0.6}


def test_a_pruned_trial_stands_at_its_last_step(begun):
    frozen = projected(with_state(begun, 0, TrialState.PRUNED, value=0.6, point=2))
    assert (frozen.state, frozen.intermediate_values) == (OptunaState.PRUNED, {2: 0.6})


def test_a_diverged_trial_is_pruned_without_a_report(begun):
    frozen = projected(with_state(begun, 0, TrialState.PRUNED))
    assert (frozen.state, frozen.intermediate_values) == (OptunaState.PRUNED, {})


def test_a_failed_trial_teaches_nothing(begun):
    frozen = projected(with_state(begun, 0, TrialState.FAIL))
    assert (frozen.state, frozen.intermediate_values) == (OptunaState.FAIL, {})


def test_a_complete_trial_has_its_value(begun):
    frozen = projected(with_state(begun, 0, TrialState.COMPLETE, value=0.7))
    assert (frozen.state, frozen.value) == (OptunaState.COMPLETE, 0.7)
    assert projected(with_state(begun, 0, TrialState.COMPLETE, value=math.inf)).state is OptunaState.FAIL


def test_no_trial_tells_when_it_was(begun):
    assert projected(begun).datetime_start == EPOCH


@pytest.mark.parametrize("fold", [0, 1])
def test_what_an_equal_trial_adds_to_shared_runs_does_not_change_a_pruned_one(begun, fold):
    """Otherwise a study would be shown another past after a restart."""
    history = begun
    if fold:
        history = measured(stopped(measured(begun, 0, 0, [0.5, 0.5]), 0, 4), 0, 1, [0.1])
    found = Projection(SPACE, F1).trial(history, history.trials[0]).intermediate_values
    value = list(found.values())[-1]
    point = max(history.point(run) for run in history.trials[0].runs)
    pruned = with_state(history, 0, TrialState.PRUNED, value=value, point=point)
    before = projected(pruned).intermediate_values
    later = measured(pruned, 0, fold, [0.9])
    assert projected(later).intermediate_values == before == dict(list(found.items())[-1:])


def test_a_value_off_its_range_widens_the_distribution_that_is_shown():
    space = hp.Space(layers=hp.Int(0, 6, step=2), share=hp.Float(0.0, 1.0, step=0.25))
    found = distributions(space, {"layers": 3, "share": 0.3})
    assert found["layers"]._contains(3)
    assert found["share"]._contains(0.3)
    assert distributions(space, {"layers": 4, "share": 0.5})["layers"] == optuna.distributions.IntDistribution(
        0, 6, step=2
    )


def test_a_value_that_an_earlier_version_took_beyond_a_bound_can_still_be_stored():
    space = hp.Space(rate=hp.Float(1e-5, 1e-3, log=True))
    assert distributions(space, {"rate": 0.0010000000474974513})["rate"].high == 0.0010000000474974513
    assert distributions(space, {"rate": 1e-3})["rate"] == optuna.distributions.FloatDistribution(1e-5, 1e-3, log=True)


def test_a_study_hands_its_trials_out_as_they_are_and_counts_on(begun):
    study = Projection(SPACE, F1).study(begun)
    assert [each.state for each in study.trials] == [OptunaState.RUNNING]
    assert study.ask().number == 1
    with pytest.raises(ValueError, match="No trials are completed"):
        _ = study.best_trial
