"""What every pruner keeps to, whoever made it."""

import re
from collections.abc import Callable, Mapping
from typing import Any

import optuna
import pytest
from floor_pruner import Floor
from samples import F1, MIRRORED, mirrored
from simulated import Simulated, limits, outcome

import hpsearch as hp
from hpsearch.analysis.aggregates import best_trial
from hpsearch.errors import UsageError
from hpsearch.metrics.direction import Objective
from hpsearch.policy.early_stopping import EarlyStopping
from hpsearch.policy.policy import Policy
from hpsearch.policy.pruners import resolve_pruner
from hpsearch.policy.rule_names import PRUNERS, check_pruner
from hpsearch.records import History, Origin, Trial, TrialState

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")

SPACE = hp.Space(learning_rate=hp.Float(1e-5, 1.0))


OBJECTS: Mapping[str, Callable[[], Any]] = {
    "Racing object": lambda: hp.Racing(reduction_factor=3, forgiving=True),
    "SuccessiveHalving object": lambda: hp.SuccessiveHalving(brackets=2),
    "Optuna's median": lambda: optuna.pruners.MedianPruner(n_startup_trials=3, n_warmup_steps=2),
    "the user's own": lambda: Floor("f1", 0.3),
}
EVERY: Mapping[str, Callable[[], Any]] = {**{name: (lambda name=name: name) for name in PRUNERS}, **OBJECTS}


def made(name: str, objective: Objective = F1) -> hp.Pruner:
    pruner = EVERY[name]()
    if isinstance(pruner, Floor):  # its floor is a value as measured
        pruner = Floor("f1", objective.direction.score(pruner.floor))
    return resolve_pruner(pruner, SPACE, objective)


def answers(pruner: hp.Pruner, history: History) -> list[Any]:
    asked = [trial for trial in history.unfinished() if trial.origin is not Origin.DEFAULT]
    ends: list[Any] = [pruner.reason_to_prune(history, trial) for trial in asked]
    goes = [limits(history, pruner, closing=closing) for closing in (False, True)]
    waiting = ((trial, pruner.limit(history, trial, closing=False)) for trial in asked)
    return ends + goes + [pruner.reason_to_wait(history, trial, limit) for trial, limit in waiting if limit is not None]


@pytest.mark.parametrize("name", EVERY)
def test_it_is_accepted_and_resolved(name: str) -> None:
    check_pruner(EVERY[name]())
    assert isinstance(made(name), hp.Pruner)


@pytest.mark.parametrize("distinct", [1000, 6], ids=["all differ", "some share runs"])
@pytest.mark.parametrize("name", EVERY)
def test_a_pruner_made_anew_answers_as_the_one_that_was_there_all_along(name: str, distinct: int) -> None:
    """That is what resuming is: what a pruner keeps from question to question changes no answer."""
    study = Simulated(made(name), 10, 3, seed=2, distinct=distinct)
    for history in study.steps():
        assert answers(study.policy.pruner, history) == answers(made(name), history)


@pytest.mark.parametrize("name", EVERY)
def test_a_pruner_is_asked_about_another_past_than_the_one_it_saw(name: str) -> None:
    warm = made(name)
    for seed in (3, 4, 3):
        *_, history = Simulated(made(name), 8, 2, seed=seed).steps()
        assert answers(warm, history) == answers(made(name), history)


@pytest.mark.parametrize("name", EVERY)
def test_every_trial_ends_and_the_literature_default_on_all_folds(name: str) -> None:
    history = Simulated(made(name), 14, 3, seed=0).run()
    assert all(trial.state.is_finished for trial in history.trials.values())
    assert history.trials[0].origin is Origin.DEFAULT
    assert history.trials[0].state is TrialState.COMPLETE
    assert len(history.finished(TrialState.COMPLETE)) > 1


@pytest.mark.parametrize("name", EVERY)
def test_with_one_worker_the_same_study_comes_out_again(name: str) -> None:
    assert outcome(Simulated(made(name), 14, 1, seed=0).run()) == outcome(Simulated(made(name), 14, 1, seed=5).run())


def unsigned(text: str | None) -> str | None:
    return None if text is None else re.sub(r"-(?=[0-9])", "", text)


@pytest.mark.parametrize("early_stopping", [None, EarlyStopping(0.5, "objective")], ids=["whole", "stopping early"])
@pytest.mark.parametrize("name", EVERY)
def test_the_mirror_image_of_a_study_prunes_promotes_and_ends_exactly_the_same(name: str, early_stopping: Any) -> None:
    plain = Simulated(made(name), 30, 3, seed=1, distinct=25, early_stopping=early_stopping)
    image = Simulated(
        made(name, MIRRORED), 30, 3, seed=1, distinct=25, objective=MIRRORED, early_stopping=early_stopping
    )
    for ours, theirs in zip(plain.steps(), image.steps(), strict=True):
        assert outcome(theirs) == outcome(mirrored(ours))
    ours, theirs = plain.history, image.history
    assert outcome(theirs) == outcome(mirrored(ours))  # values, states, and how far each was trained
    for number, trial in ours.trials.items():
        assert unsigned(theirs.trials[number].reason) == unsigned(trial.reason)
    winners = [best_trial(history) for history in (ours, theirs)]
    assert winners[0] is not None
    assert winners[1] is not None
    assert winners[0].number == winners[1].number


def test_bounds_that_optuna_prunes_beyond_are_values_as_measured() -> None:
    def thresholds(**bounds: float) -> Any:
        return optuna.pruners.PatientPruner(optuna.pruners.ThresholdPruner(**bounds), patience=0)

    plain = Simulated(resolve_pruner(thresholds(lower=0.3, upper=0.8), SPACE, F1), 20, 2, seed=0).run()
    other = resolve_pruner(thresholds(lower=-0.8, upper=-0.3), SPACE, MIRRORED)
    image = Simulated(other, 20, 2, seed=0, objective=MIRRORED).run()
    assert outcome(image) == outcome(mirrored(plain))
    pruned = image.finished(TrialState.PRUNED)
    assert pruned
    assert all(str(trial.reason).startswith("PatientPruner: partial value -0.") for trial in pruned)


def test_a_pruner_of_the_users_own_ends_trials_and_lets_them_wait() -> None:
    history = Simulated(made("the user's own"), 20, 2, seed=0).run()
    pruned = history.finished(TrialState.PRUNED)
    assert any(str(trial.reason).startswith("f1 0.") for trial in pruned)
    assert any(trial.reason == "not promoted after step 4" for trial in pruned)


class Mistaken(hp.Pruner):
    """Answers as Optuna's pruners do."""

    def __init__(self, reason: Any = None, limit: Any = None) -> None:
        self.answers = reason, limit

    def reason_to_prune(self, history: History, trial: Trial) -> Any:
        return self.answers[0]

    def limit(self, history: History, trial: Trial, *, closing: bool) -> Any:
        return self.answers[1]


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ({"reason": False}, r"Mistaken\.reason_to_prune gave False, a bool: give the reason in words, or None"),
        ({"limit": 2.5}, r"Mistaken\.limit gave 2\.5, a float: give a step"),
        ({"limit": True}, r"Mistaken\.limit gave True, a bool: give a step"),
    ],
)
def test_an_answer_of_another_kind_is_an_error_that_names_the_method(answers: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Simulated(Mistaken(**answers), 3, 1, seed=0).run()


def test_a_rule_that_is_no_pruner_is_told_of_the_class_to_derive_from() -> None:
    with pytest.raises(UsageError, match=r"a pruner of your own derived from hp\.Pruner"):
        check_pruner(Policy)
