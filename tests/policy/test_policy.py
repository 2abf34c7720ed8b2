import math
from dataclasses import replace

import pytest
from samples import F1, ended, measured, stopped, trial

from hpsearch.policy.early_stopping import EarlyStopping
from hpsearch.policy.failures import LOST_LIMIT
from hpsearch.policy.policy import Policy
from hpsearch.policy.pruner import Pruner
from hpsearch.records import Action, History, Origin, Outcome, TrialState


class AlwaysPrune(Pruner):
    def reason_to_prune(self, history, trial):
        return "always"


def policy(pruner=None, early_stopping=None) -> Policy:
    return Policy(F1, 2, early_stopping, pruner or Pruner())


@pytest.fixture
def begun() -> History:
    return History.of_trials([trial(0)])


def test_a_trial_without_measurements_goes_on(begun):
    decision = policy(AlwaysPrune()).decide(begun, 0)
    assert decision.action is Action.CONTINUE
    assert decision.stop is None


def test_the_first_fold_at_its_horizon_sets_the_stop(begun):
    decision = policy().decide(measured(begun, 0, 0, [0.1, 0.2, 0.3, 0.4]), 0)
    assert (decision.action, decision.stop) == (Action.CONTINUE, 4)


def test_the_first_fold_stops_early_and_the_others_follow(begun):
    history = measured(begun, 0, 0, [0.1, 0.2, 0.3], losses=[1.0, 2.0, 3.0])
    decision = policy(early_stopping=EarlyStopping(1.0)).decide(history, 0)
    assert (decision.action, decision.stop) == (Action.STOP_EARLY, 3)
    history = history.with_decision(decision)
    for fold in (1, 2):
        history = measured(history, 0, fold, [0.1, 0.2, 0.3], losses=[9.0, 9.0, 9.0])
    decision = policy(early_stopping=EarlyStopping(1.0)).decide(history, 0)
    assert (decision.action, decision.stop, decision.point) == (Action.COMPLETE, 3, 3)


def test_the_value_is_the_best_over_points_of_the_mean_over_folds_ties_to_the_earliest(begun):
    history = stopped(measured(begun, 0, 0, [0.9, 0.5, 0.1, 0.5]), 0, 4)
    history = measured(measured(history, 0, 1, [0.1, 0.5, 0.9, 0.5]), 0, 2, [0.2, 0.5, 0.2, 0.5])
    decision = policy().decide(history, 0)
    assert (decision.action, decision.point, decision.value) == (Action.COMPLETE, 2, 0.5)
    assert decision.attributes["folds"] == [0.5, 0.5, 0.5]
    assert decision.attributes["epoch"] == 1.0
    assert [step for step, _ in decision.reports] == list(range(1, 13))


def test_the_epoch_is_the_recorded_one_and_not_what_the_points_would_make_it(begun):
    history = stopped(begun, 0, 4)
    for fold in range(3):
        history = measured(history, 0, fold, [0.1, 0.5, 0.2, 0.3])
    moved = {key: tuple(replace(e, epoch=e.epoch + 0.1) for e in found) for key, found in history.evaluations.items()}
    assert policy().decide(replace(history, evaluations=moved), 0).attributes["epoch"] == 1.1


def test_the_literature_default_is_never_pruned(begun):
    default = replace(begun.trials[0], origin=Origin.DEFAULT)
    history = measured(begun.with_trial(default), 0, 0, [0.1])
    assert policy(AlwaysPrune()).decide(history, 0).action is Action.CONTINUE
    history = stopped(measured(history, 0, 0, [0.1, 0.1, 0.1]), 0, 4)
    assert policy(AlwaysPrune()).decide(history, 0).action is Action.CONTINUE


def test_a_pruned_trial_keeps_its_partial_value(begun):
    decision = policy(AlwaysPrune()).decide(measured(begun, 0, 0, [0.3]), 0)
    assert (decision.action, decision.value, decision.reason) == (Action.PRUNE, 0.3, "always")


def test_nothing_is_pruned_before_the_warmup_is_over():
    history = measured(History.of_trials([trial(0, {"warmup_ratio": 0.5})]), 0, 0, [0.3, 0.3])
    assert policy(AlwaysPrune()).decide(history, 0).action is Action.CONTINUE
    assert policy(AlwaysPrune()).decide(measured(history, 0, 0, [0.3]), 0).action is Action.PRUNE


def test_the_pruner_is_asked_between_folds(begun):
    history = stopped(measured(begun, 0, 0, [0.1, 0.2, 0.3, 0.4]), 0, 4)
    assert policy(AlwaysPrune()).decide(history, 0).action is Action.PRUNE


@pytest.mark.parametrize(
    ("outcome", "action", "words"),
    [
        (Outcome.DIVERGED, Action.PRUNE, "diverged on fold 1"),
        (Outcome.OUT_OF_MEMORY, Action.PRUNE, "ran out of memory on fold 1"),
        (Outcome.FAILED, Action.FAIL, "failed on fold 1"),
    ],
)
def test_bad_ends_end_the_trial_with_their_reason(begun, outcome, action, words):
    decision = policy().decide(ended(begun, 0, 1, outcome), 0)
    assert decision.action is action
    assert decision.reason.startswith(words)


def test_a_failed_trial_repeats_what_its_log_ends_with(begun):
    log = "Traceback (most recent call last):\n  File ...\nTaskError: freeze_layers=6: the model has 2 layers\n"
    reason = policy().decide(ended(begun, 0, 1, Outcome.FAILED, log), 0).reason
    assert reason.startswith("failed on fold 1, ")
    assert reason.endswith(": TaskError: freeze_layers=6: the model has 2 layers")
    assert len(policy().decide(ended(begun, 0, 1, Outcome.FAILED, "x" * 5000), 0).reason) < 300


def test_of_an_error_with_advice_below_it_the_reason_is_the_error(begun):
    log = (
        'Traceback (most recent call last):\n  File "worker.py", line 1, in train\n    step()\n'
        "torch.AcceleratorError: CUDA error: device-side assert triggered\nCompile with `TORCH_USE_CUDA_DSA`.\n"
    )
    reason = policy().decide(ended(begun, 0, 1, Outcome.FAILED, log), 0).reason
    assert reason.endswith(": torch.AcceleratorError: CUDA error: device-side assert triggered")


def test_the_reason_of_a_trial_whose_workers_died_says_how_the_last_one_did(begun):
    history = begun
    for _ in range(LOST_LIMIT):
        history = ended(history, 0, 0, Outcome.LOST, "The worker process on cpu was killed (SIGKILL(-9)).")
    reason = policy().decide(history, 0).reason
    assert reason.startswith("its worker was lost 3 times on fold 0, ")
    assert reason.endswith(": The worker process on cpu was killed (SIGKILL(-9)).")


def test_a_diverged_trial_has_no_value(begun):
    history = ended(measured(begun, 0, 0, [0.9]), 0, 0, Outcome.DIVERGED)
    assert policy().decide(history, 0).value is None


def test_a_lost_worker_is_not_the_trials_fault_until_it_happens_again_and_again(begun):
    history = begun
    for count in range(1, LOST_LIMIT + 1):
        history = ended(history, 0, 0, Outcome.LOST)
        expected = Action.FAIL if count == LOST_LIMIT else Action.CONTINUE
        assert policy().decide(history, 0).action is expected
    for outcome in (Outcome.LOST, Outcome.PAUSED, Outcome.OK, Outcome.LOST):
        begun = ended(begun, 0, 0, outcome)
    assert policy().decide(begun, 0).action is Action.CONTINUE


def test_a_worker_that_was_lost_after_a_checkpoint_begins_the_count_anew(begun):
    for outcome in (Outcome.LOST, Outcome.LOST, Outcome.PAUSED, Outcome.LOST, Outcome.LOST):
        begun = ended(begun, 0, 0, outcome, "The worker process on cpu was killed (SIGKILL(-9)).")
        assert policy().decide(begun, 0).action is Action.CONTINUE
    assert policy().decide(ended(begun, 0, 0, Outcome.LOST, "again"), 0).action is Action.FAIL


def test_an_objective_that_was_never_a_number_fails_the_trial(begun):
    history = begun
    for fold in range(3):
        history = measured(history, 0, fold, [math.nan] * 4)
    decision = policy().decide(history, 0)
    assert decision.action is Action.FAIL
    assert "f1" in decision.reason


def test_an_ended_trial_is_left_alone(begun):
    history = measured(begun, 0, 0, [0.3])
    history = history.with_decision(policy(AlwaysPrune()).decide(history, 0))
    assert history.trials[0].state is TrialState.PRUNED
    assert policy(AlwaysPrune()).decide(history, 0).final_state is None
