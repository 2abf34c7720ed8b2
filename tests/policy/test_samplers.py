from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import optuna
import pytest
from samples import trial

import hpsearch as hp
from hpsearch.errors import UsageError
from hpsearch.policy.samplers import SAMPLERS, resolve_sampler
from hpsearch.records import Evaluation, History, Origin, TrialState

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")

SPACE = hp.Space(
    learning_rate=hp.Float(1e-5, 1e-2, log=True, grid=[1e-5, 1e-4, 1e-3]),
    batch_size=hp.Categorical([8, 16]),
    epochs=hp.Int(1, 4, step=3),
    decay_ratio=hp.Float(0.1, 0.5, grid=[0.1, 0.5]).when(batch_size=8),
    warmup_ratio=0.1,
)
PLAIN = hp.Space(
    learning_rate=hp.Float(1e-5, 1e-2, log=True), batch_size=hp.Categorical([8, 16]), weight_decay=hp.Float(0.0, 0.3)
)

Make = Callable[[], Any]
OBJECTS: Mapping[str, Make] = {
    "TPE object": lambda: optuna.samplers.TPESampler(seed=1),
    "QMC object": lambda: optuna.samplers.QMCSampler(seed=1, warn_independent_sampling=False),
}
EVERY: Mapping[str, Make] = {**{name: (lambda name=name: name) for name in ("grid", *SAMPLERS)}, **OBJECTS}


def score(params: Mapping[str, Any]) -> float:
    return 1.0 - abs(params["learning_rate"] - 1e-3) * 100


def asked(history: History, space: hp.Space, params: Mapping[str, Any], origin: Origin = Origin.SAMPLER) -> History:
    number = len(history.trials)
    new = trial(number, {"epochs": 2})
    return history.with_trial(replace(new, config=space.config(params), params=dict(params), origin=origin))


def told(history: History, number: int, state: TrialState = TrialState.COMPLETE) -> History:
    new = history.trials[number]
    value = score(new.params)
    for point in range(history.point(new.runs[0]) + 1, 3):
        found = Evaluation(new.runs[0].key, point, point / 2, 1.0, {"f1": value, "loss": 1.0}, 1e-3, point)
        history = history.with_evaluation(found)
    finished = {TrialState.COMPLETE: {"value": value}, TrialState.PRUNED: {"value": value, "point": 2}}
    return history.with_trial(replace(new, state=state, **finished.get(state, {})))


def searched(sampler, space: hp.Space, count: int, history: History | None = None) -> History:
    history = history or History()
    for _ in range(count):
        params = sampler.propose(history)
        if params is None:
            break
        history = asked(history, space, params)
        number = len(history.trials) - 1
        history = told(history, number, TrialState.PRUNED if number % 3 == 1 else TrialState.COMPLETE)
    return history


@pytest.mark.parametrize("name", EVERY)
def test_proposals_lie_in_the_space(name):
    history = searched(resolve_sampler(EVERY[name](), SPACE, "f1", 0), SPACE, 25)
    assert len(history.trials) == (18 if name == "grid" else 25)
    for each in history.trials.values():
        SPACE.validate(SPACE.config(each.params), "proposal")
        assert ("decay_ratio" in each.params) == (each.params["batch_size"] == 8)


@pytest.mark.parametrize("name", ["grid", *SAMPLERS])
def test_a_sampler_made_anew_proposes_the_same(name):
    history = searched(resolve_sampler(name, SPACE, "f1", 5), SPACE, 16)
    for number, each in history.trials.items():
        before = replace(history, trials={n: t for n, t in history.trials.items() if n < number})
        assert resolve_sampler(name, SPACE, "f1", 5).propose(before) == each.params
    other = resolve_sampler(name, SPACE, "f1", 6).propose(history)
    assert (other == resolve_sampler(name, SPACE, "f1", 5).propose(history)) == (name == "grid")


@pytest.mark.parametrize("name", ["bayesian", "random"])
def test_what_a_proposal_is_does_not_depend_on_the_trials_that_were_projected_before(name):
    warm = resolve_sampler(name, SPACE, "f1", 5)
    history = searched(warm, SPACE, 20)
    assert warm.propose(history) == resolve_sampler(name, SPACE, "f1", 5).propose(history)


def test_the_grid_has_every_point_once_whatever_else_was_tried():
    history = asked(History(), SPACE, {"learning_rate": 7e-5, "batch_size": 16, "epochs": 1}, Origin.ENQUEUED)
    on_the_grid = {"learning_rate": 1e-4, "batch_size": 16, "epochs": 4}
    history = asked(history, SPACE, on_the_grid, Origin.ENQUEUED)
    sampler = resolve_sampler("grid", SPACE, "f1", 0)
    assert sampler.is_finite
    while (params := sampler.propose(history)) is not None:
        history = asked(history, SPACE, params)  # none of them ends: as parallel asks see it
    tried = [each.params for each in history.trials.values()]
    points = list(SPACE.grid())
    assert len(points) == 18
    assert sorted(map(str, tried[1:])) == sorted(map(str, points))


def test_a_grid_object_says_how_many_points():
    space = hp.Space(learning_rate=hp.Float(1e-5, 1e-2, log=True))
    history = searched(resolve_sampler(hp.Grid(points=4), space, "f1", 0), space, 99)
    assert len(history.trials) == 4


def test_the_bayesian_sampler_learns():
    history = searched(resolve_sampler("bayesian", PLAIN, "f1", 3), PLAIN, 60)
    scores = [score(each.params) for each in history.trials.values()]
    assert sum(scores[40:]) / 20 > sum(scores[:10]) / 10
    assert max(scores[40:]) > 0.98


def test_the_bayesian_sampler_takes_a_waiting_trial_for_what_it_showed_and_not_for_one_in_flight():
    """It counts by its partial mean, as a pruned trial does; one in flight counts as bad wherever it is."""
    history, random = History(), resolve_sampler("random", PLAIN, "f1", 3)
    for number in range(20):
        history = told(asked(history, PLAIN, random.propose(history)), number, TrialState.PRUNED)
    numbers = range(20, 28)
    for number in numbers:
        params = {"learning_rate": 1e-3 * (1 + 0.01 * number), "batch_size": 8, "weight_decay": 0.1}
        history = told(asked(history, PLAIN, params), number, TrialState.RUNNING)
    proposed = {}
    for state in (TrialState.RUNNING, TrialState.WAITING, TrialState.PRUNED):
        shown = history
        for number in numbers:
            shown = told(shown, number, state)
        proposed[state] = [resolve_sampler("bayesian", PLAIN, "f1", seed).propose(shown) for seed in range(20)]
    assert proposed[TrialState.WAITING] == proposed[TrialState.PRUNED]
    assert proposed[TrialState.WAITING] != proposed[TrialState.RUNNING]


@pytest.mark.parametrize("qmc_type", ["sobol", "halton"])
def test_quasi_random_points_are_those_of_plain_optuna(qmc_type):
    def made():
        return optuna.samplers.QMCSampler(qmc_type=qmc_type, scramble=True, seed=2)

    plain = optuna.create_study(sampler=made(), direction="maximize")
    expected = []
    for _ in range(60):
        new = plain.ask()
        params = {
            "learning_rate": new.suggest_float("learning_rate", 1e-5, 1e-2, log=True),
            "batch_size": new.suggest_categorical("batch_size", (8, 16)),
            "weight_decay": new.suggest_float("weight_decay", 0.0, 0.3),
        }
        expected.append(params)
        plain.tell(new, score(params))
    history = searched(resolve_sampler(made(), PLAIN, "f1", 0), PLAIN, 60)
    found = [each.params for each in history.trials.values()]
    assert found[1:] == expected[1:]
    assert len({str(params) for params in found}) == 60
    resumed = searched(resolve_sampler(made(), PLAIN, "f1", 0), PLAIN, 30, replace(
        history, trials={n: t for n, t in history.trials.items() if n < 30}
    ))  # fmt: skip
    assert [each.params for each in resumed.trials.values()][1:] == expected[1:]


@pytest.mark.parametrize(
    ("sampler", "instead"),
    [
        (lambda: optuna.samplers.CmaEsSampler(), "sampler='bayesian'"),
        (lambda: optuna.samplers.NSGAIISampler(), "GPSampler"),
        (lambda: optuna.samplers.NSGAIIISampler(), "GPSampler"),
        (lambda: optuna.samplers.GridSampler({"learning_rate": [1e-3]}), "hp.Grid"),
        (lambda: optuna.samplers.BruteForceSampler(), "sampler='grid'"),
        (lambda: optuna.samplers.PartialFixedSampler({}, optuna.samplers.CmaEsSampler()), "sampler='bayesian'"),
    ],
)
def test_samplers_that_would_start_anew_at_every_proposal_are_refused(sampler, instead):
    with pytest.raises(UsageError, match="cannot be used here") as caught:
        resolve_sampler(sampler(), PLAIN, "f1", 0)
    assert instead in str(caught.value)


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(UsageError, match="bayesian"):
        resolve_sampler("baysian", PLAIN, "f1", 0)
