import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import numpy as np
import optuna
import pytest
from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    MedianPruner,
    PatientPruner,
    PercentilePruner,
    SuccessiveHalvingPruner,
    ThresholdPruner,
    WilcoxonPruner,
)
from samples import F1, measured, stopped, trial

import hpsearch as hp
from hpsearch.errors import UsageError
from hpsearch.policy import rule_names
from hpsearch.policy.policy import Policy
from hpsearch.policy.pruner import Pruner
from hpsearch.policy.pruners import OptunaPruning, resolve_pruner
from hpsearch.policy.pruning_steps import reports
from hpsearch.records import Action, History, Trial, TrialState

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")

SPACE = hp.Space(learning_rate=hp.Float(1e-5, 10.0), epochs=2)
FOLDS, HORIZON = 3, 4


class Grudge(BasePruner):
    """Remembers the best partial value that it was ever shown, and prunes far below it."""

    def __init__(self) -> None:
        self.best = -math.inf

    def prune(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:
        self.best = max(self.best, trial.intermediate_values[trial.last_step])
        return trial.intermediate_values[trial.last_step] < self.best - 0.3


class Stricter(MedianPruner):
    """A class of the user's that overrides nothing: that cannot be seen from outside."""


PRUNERS: Mapping[str, Callable[[], BasePruner]] = {
    "median": lambda: MedianPruner(n_startup_trials=4, n_warmup_steps=2),
    "percentile": lambda: PercentilePruner(25.0, n_startup_trials=3, interval_steps=2),
    "patient": lambda: PatientPruner(MedianPruner(n_startup_trials=3), patience=1),
    "threshold": lambda: ThresholdPruner(lower=0.35, n_warmup_steps=3),
    "wilcoxon": lambda: WilcoxonPruner(p_threshold=0.2),
}


def curve(number: int, fold: int) -> list[float]:
    random = np.random.default_rng([number, fold])
    quality = np.random.default_rng(number).uniform(0.3, 0.9)
    return [float(quality * (1 - 0.5**point) + random.normal(0, 0.05)) for point in range(1, HORIZON + 1)]


def lived(history: History, number: int) -> Iterator[History]:
    """Yield the history each time the trial has reached a step: it is judged there."""
    for fold in range(FOLDS):
        for score in curve(number, fold):
            history = measured(history, number, fold, [score])
            yield history
        if fold == 0:
            history = stopped(history, number, HORIZON)


def ended(history: History, number: int, state: TrialState) -> History:
    final = history.trials[number]
    value = reports(history, final, F1)[-1][1]
    point = max(history.point(run) for run in final.runs)
    return history.with_trial(replace(final, state=state, value=value, point=point))


def sequential(pruner: BasePruner, count: int, history: History | None = None) -> tuple[History, list[list[bool]]]:
    """Return what happens with one worker, and what was decided after each report of each trial."""
    judge = OptunaPruning(pruner, SPACE, F1, "it")
    history, decided = history or History(), []
    for number in range(len(history.trials), count):
        history = history.with_trial(trial(number, horizon=HORIZON, folds=FOLDS))
        decided.append([])
        for now in lived(history, number):
            history = replace(now, trials={**now.trials, number: replace(now.trials[number])})
            decided[-1].append(judge.reason_to_prune(history, history.trials[number]) is not None)
            if decided[-1][-1]:
                break
        history = ended(history, number, TrialState.PRUNED if decided[-1][-1] else TrialState.COMPLETE)
    return history, decided


def in_plain_optuna(pruner: BasePruner, count: int) -> list[list[bool]]:
    study = optuna.create_study(direction="maximize", pruner=pruner)
    decided: list[list[bool]] = []
    for number in range(count):
        asked = study.ask()
        decided.append([])
        history = History.of_trials([trial(number, horizon=HORIZON, folds=FOLDS)])
        for now in lived(history, number):
            step, value = reports(now, now.trials[number], F1)[-1]
            asked.report(value, step)
            decided[-1].append(asked.should_prune())
            if decided[-1][-1]:
                study.tell(asked, state=optuna.trial.TrialState.PRUNED)
                break
        else:
            study.tell(asked, value)
    return decided


@pytest.mark.parametrize("name", PRUNERS)
def test_a_memoryless_pruner_of_optunas_decides_as_in_plain_optuna(name):
    expected = in_plain_optuna(PRUNERS[name](), 40)
    assert any(each[-1] for each in expected)  # otherwise there is nothing to compare
    assert len({len(each) for each in expected}) > 1
    assert sequential(PRUNERS[name](), 40)[1] == expected


@pytest.mark.parametrize("name", PRUNERS)
def test_after_a_restart_it_decides_as_if_nothing_had_been(name):
    history, whole = sequential(PRUNERS[name](), 30)
    first = History.of_trials(each for number, each in history.trials.items() if number < 15)
    for each in first.trials.values():
        for evaluation in (evaluation for run in each.runs for evaluation in history.of(run.key)):
            first = first.with_evaluation(evaluation)
    assert sequential(PRUNERS[name](), 30, first)[1] == whole[15:]


@pytest.mark.parametrize("name", PRUNERS)
def test_with_many_at_once_it_decides_by_history_alone_whoever_is_asked(name):
    """Four trials take turns; one that has decided everything, one made anew and one after a pause agree."""
    warm = OptunaPruning(PRUNERS[name](), SPACE, F1, "it")
    history, lives, pruned = History(), {}, 0
    turns = np.random.default_rng(0)
    while len(history.trials) < 24 or lives:
        if len(lives) < 4 and len(history.trials) < 24:
            number = len(history.trials)
            history = history.with_trial(trial(number, horizon=HORIZON, folds=FOLDS))
            lives[number] = [(fold, score) for fold in range(FOLDS) for score in curve(number, fold)]
        number = int(turns.choice(list(lives)))
        fold, score = lives[number].pop(0)
        history = measured(history if fold == 0 else stopped(history, number, HORIZON), number, fold, [score])
        reason = warm.reason_to_prune(history, history.trials[number])
        paused = replace(history, trials={
            n: replace(t, state=TrialState.WAITING) if n in lives else t for n, t in history.trials.items()
        })  # fmt: skip
        for other in (history, paused):
            anew = OptunaPruning(PRUNERS[name](), SPACE, F1, "it")
            assert anew.reason_to_prune(other, other.trials[number]) == reason
        if reason is not None or not lives[number]:
            pruned += reason is not None
            history = ended(history, number, TrialState.COMPLETE if reason is None else TrialState.PRUNED)
            del lives[number]
    assert pruned > 0


def test_a_patient_pruner_around_a_memoryless_one_is_taken_however_deep():
    nested = PatientPruner(PatientPruner(None, patience=1), patience=2)
    assert isinstance(resolve_pruner(nested, SPACE, F1), OptunaPruning)


@pytest.mark.parametrize(
    ("made", "instead"),
    [
        (lambda: SuccessiveHalvingPruner(), "SuccessiveHalvingPruner .* Use pruner='asha' or hp.SuccessiveHalving"),
        (lambda: HyperbandPruner(), "HyperbandPruner .* Use pruner='hyperband' or hp.SuccessiveHalving"),
        (lambda: PatientPruner(HyperbandPruner(), patience=1), "HyperbandPruner .* Use pruner='hyperband'"),
        (lambda: Grudge(), "Grudge is not one of Optuna's own .* Derive it from hp.Pruner"),
        (lambda: Stricter(), "Stricter is not one of Optuna's own .* Derive it from hp.Pruner"),
        (lambda: PatientPruner(Grudge(), patience=1), "Grudge is not one of Optuna's own"),
    ],
)
def test_pruner_objects_that_may_remember_something_are_refused_with_what_to_use_instead(made, instead):
    with pytest.raises(UsageError, match=f"{instead}"):
        resolve_pruner(made(), SPACE, F1)


@pytest.mark.parametrize("name", ["median", "none", None])
def test_a_named_pruner_decides_by_history_alone(name):
    made = resolve_pruner(name, SPACE, F1)
    history, _ = sequential(MedianPruner(), 12)
    history = history.with_trial(trial(12, horizon=HORIZON, folds=FOLDS))
    for now in lived(history, 12):
        asked = now.trials[12]
        assert made.reason_to_prune(now, asked) == resolve_pruner(name, SPACE, F1).reason_to_prune(now, asked)


def first_pruned(made: str, horizon: int = HORIZON) -> tuple[int | None, Trial]:
    """Return the step at which the worst of all trials is pruned after six good ones."""
    pruner = resolve_pruner(made, SPACE, F1)
    history = History()
    for number in range(6):
        history = history.with_trial(trial(number, horizon=horizon, folds=FOLDS))
        for fold in range(FOLDS):
            history = measured(history, number, fold, [0.5 + 0.1 * point / horizon for point in range(horizon)])
            history = stopped(history, number, horizon)
        history = ended(history, number, TrialState.COMPLETE)
    history = history.with_trial(trial(6, horizon=horizon, folds=FOLDS))
    policy = Policy(F1, 2, None, pruner)
    for _ in range(horizon):
        history = measured(history, 6, 0, [0.01])
        if policy.decide(history, 6).action is Action.PRUNE:
            return reports(history, history.trials[6], F1)[-1][0], history.trials[6]
    return None, history.trials[6]


def test_the_median_never_judges_on_the_first_quarter():
    assert first_pruned("median")[0] == 2
    assert first_pruned("median", horizon=8)[0] == 2


def test_none_prunes_nothing():
    assert first_pruned("none")[0] is None
    assert type(resolve_pruner(None, SPACE, F1)) is Pruner


def test_the_reason_says_where_and_by_what():
    judge = OptunaPruning(ThresholdPruner(lower=0.5), SPACE, F1, "threshold")
    history = measured(stopped(measured(History.of_trials([trial(0)]), 0, 0, [0.6] * 4), 0, 4), 0, 1, [0.1, 0.2])
    reason = judge.reason_to_prune(history, history.trials[0])
    assert reason == "threshold: partial value 0.4 after 2/4 of run 2 of 3"
    assert judge.reason_to_prune(History.of_trials([trial(0)]), trial(0)) is None


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(UsageError, match="median"):
        resolve_pruner("medain", SPACE, F1)


def test_an_object_of_a_loaded_study_has_to_be_given_again():
    with pytest.raises(UsageError, match=r"was an object, <MedianPruner>.*hp\.load\(\.\.\., pruner=\.\.\.\)"):
        resolve_pruner("<MedianPruner>", SPACE, F1)


@pytest.mark.parametrize("name", rule_names.PRUNERS)
def test_each_name_is_a_pruner(name):
    assert isinstance(resolve_pruner(name, SPACE, F1), Pruner)


@pytest.mark.parametrize("given", [5, ["median"], len])
def test_what_is_no_pruner_is_said_to_be_none(given):
    with pytest.raises(UsageError, match="is not one of 'racing', 'asha'"):
        resolve_pruner(given, SPACE, F1)
