import random
from dataclasses import replace

import pytest
from samples import F1, measured, stopped, trial
from simulated import Simulated, outcome

from hpsearch.policy.early_stopping import EarlyStopping
from hpsearch.policy.policy import Policy
from hpsearch.policy.pruner import Pruner
from hpsearch.policy.trial_limit import TrialLimit
from hpsearch.records import Action, Evaluation, History, TrialState

# A trial here has 3 folds of 2 epochs, with 2 evaluation points an epoch.


def policy(limit: TrialLimit) -> Policy:
    return Policy(F1, 2, None, Pruner(), limit)


@pytest.mark.parametrize(
    ("epochs", "points"),
    [(0.5, [1, 0, 0]), (2, [4, 0, 0]), (2.6, [4, 1, 0]), (4.5, [4, 4, 1]), (6, [4, 4, 4]), (100, [4, 4, 4])],
)
def test_the_limit_is_spent_fold_by_fold(epochs, points):
    history = stopped(History.of_trials([trial(0)]), 0, 4)
    target = policy(TrialLimit(epochs=epochs)).target
    assert [target(history, history.trials[0], index, closing=False) for index in range(3)] == points


def test_a_trial_that_needs_more_is_pruned_with_its_partial_mean():
    rule = policy(TrialLimit(epochs=3))
    history = measured(History.of_trials([trial(0)]), 0, 0, [0.1, 0.2, 0.3, 0.4])
    history = stopped(measured(history, 0, 1, [0.5]), 0, 4)
    assert rule.decide(history, 0).action is Action.CONTINUE
    history = measured(history, 0, 1, [0.6])
    decision = rule.decide(history, 0)
    assert (decision.action, decision.reason) == (Action.PRUNE, "over its limit: 3 epochs a trial")
    assert decision.value == pytest.approx(0.5)
    assert history.with_decision(decision).trials[0].state is TrialState.PRUNED


def test_a_trial_within_its_limit_is_complete_to_the_last_epoch():
    rule = policy(TrialLimit(epochs=6))
    history = stopped(History.of_trials([trial(0)]), 0, 4)
    for fold in range(3):
        assert rule.decide(history, 0).action is Action.CONTINUE
        history = measured(history, 0, fold, [0.1, 0.2, 0.3, 0.4])
    assert rule.decide(history, 0).action is Action.COMPLETE


def test_an_early_stop_leaves_epochs_for_later_folds():
    history = stopped(measured(History.of_trials([trial(0)]), 0, 0, [0.4, 0.3]), 0, 2)
    rule = policy(TrialLimit(epochs=3))
    assert [rule.target(history, history.trials[0], index, closing=False) for index in range(3)] == [2, 2, 2]


def test_seconds_are_counted_over_all_folds_once_they_are_over():
    history = stopped(History.of_trials([trial(0)]), 0, 4)

    def after(history, fold, seconds):
        point = history.point(history.trials[0].runs[fold]) + 1
        key = history.trials[0].runs[fold].key
        return history.with_evaluation(
            Evaluation(key, point, point / 2, 1.0, {"f1": 0.5, "loss": 0.5}, 1e-3, point, seconds=seconds)
        )

    rule = policy(TrialLimit(device_seconds=10))
    history = after(after(history, 0, 6.0), 1, 4.0)
    assert rule.decide(history, 0).action is Action.CONTINUE
    decision = rule.decide(after(history, 1, 0.5), 0)
    assert (decision.action, decision.reason) == (Action.PRUNE, "over its limit: 10.5 of 10 device-seconds")
    begun_again = replace(history.trials[0], runs=trial(1).runs, former=history.trials[0].runs)  # in less memory
    assert rule.decide(after(history.with_trial(begun_again), 0, 0.5), 0).reason == decision.reason


@pytest.mark.parametrize("epochs", [0.5, 1.5, 2.0, 3.0, 4.5, 6.0])
@pytest.mark.parametrize("early_stopping", [None, EarlyStopping(0.5)], ids=["whole", "early"])
def test_a_limit_in_epochs_ends_trials_alike_on_any_number_of_workers(epochs, early_stopping):
    seen = set()
    for seed in range(6):
        workers = random.Random(seed).choice([1, 2, 4])
        study = Simulated(Pruner(), 6, workers, seed, early_stopping=early_stopping)
        study.policy = replace(study.policy, trial_limit=TrialLimit(epochs=epochs))
        history = study.run()
        for each in history.trials.values():
            taken = sum(history.point(run) for run in each.runs) / 2
            assert taken <= epochs
            assert each.state is TrialState.COMPLETE or each.reason == f"over its limit: {epochs:g} epochs a trial"
        seen.add(str(outcome(history)))
    assert len(seen) == 1
