"""Which sampler a study gets, and what each of them does that others do not."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import optuna
import pytest
from sampled_histories import asked, grown, told
from sampled_histories import score as best_in_the_middle
from samples import F1

import hpsearch as hp
from hpsearch.errors import SpaceError, UsageError
from hpsearch.policy.rule_names import SAMPLERS, check_sampler
from hpsearch.policy.samplers import resolve_sampler, what_is_not_kept
from hpsearch.records import History, TrialState

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")

PLAIN = hp.Space(
    learning_rate=hp.Float(1e-5, 1e-2, log=True), batch_size=hp.Categorical([8, 16]), weight_decay=hp.Float(0.0, 0.3)
)


def score(params: Mapping[str, Any]) -> float:
    return 1.0 - abs(params["learning_rate"] - 1e-3) * 100


def searched(sampler: Any, count: int) -> History:
    """Let a sampler search, every third trial pruned."""
    history = History()
    for number in range(count):
        history = asked(history, PLAIN, sampler.propose(history))
        new = history.trials[number]
        state = {"state": TrialState.COMPLETE, "value": score(new.params)}
        if number % 3 == 1:
            history, state = told(history, PLAIN, number, "pruned"), {}
        history = history.with_trial(replace(history.trials[number], **state))
    return history


@pytest.mark.parametrize(("name", "count", "late"), [("bayesian", 60, 20)])
def test_it_learns(name: str, count: int, late: int) -> None:
    history = searched(resolve_sampler(name, PLAIN, F1, 3), count)
    scores = [score(each.params) for each in history.trials.values()]
    assert sum(scores[-late:]) / late > sum(scores[:10]) / 10
    assert max(scores[-late:]) > 0.97


def test_a_gaussian_process_learns_from_few_trials() -> None:
    space = hp.Space(learning_rate=hp.Float(1e-5, 1e-2, log=True))
    states = ("complete", "complete", "pruned")
    history = grown(resolve_sampler("random", space, F1, 1), space, 14, states=states)
    learnt = grown(resolve_sampler("gp", space, F1, 0), space, 2, history, states)
    values = [best_in_the_middle(space, each.params) for each in learnt.trials.values()]
    assert min(values[14:]) > 0.9  # each would be so by chance once in ten times


def test_the_bayesian_sampler_takes_a_waiting_trial_for_what_it_showed_and_not_for_one_in_flight() -> None:
    """It counts by its partial mean, as a pruned trial does; one in flight counts as bad wherever it is."""
    history = grown(resolve_sampler("random", PLAIN, F1, 3), PLAIN, 20)
    numbers = range(20, 28)
    for number in numbers:
        params = {"learning_rate": 1e-3 * (1 + 0.01 * number), "batch_size": 8, "weight_decay": 0.1}
        history = told(asked(history, PLAIN, params), PLAIN, number, "waiting")
    proposed = {}
    for state in ("running", "waiting", "pruned"):
        shown = history
        for number in numbers:
            trial = replace(shown.trials[number], state=TrialState.RUNNING)
            shown = told(shown.with_trial(trial), PLAIN, number, state) if state == "pruned" else shown
            shown = shown.with_trial(trial) if state == "running" else shown
        proposed[state] = [resolve_sampler("bayesian", PLAIN, F1, seed).propose(shown) for seed in range(20)]
    assert proposed["waiting"] == proposed["pruned"]
    assert proposed["waiting"] != proposed["running"]


@pytest.mark.parametrize("qmc_type", ["sobol", "halton"])
def test_the_points_of_a_quasi_random_object_are_those_of_plain_optuna(qmc_type: str) -> None:
    def made() -> optuna.samplers.QMCSampler:
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
    found = [each.params for each in searched(resolve_sampler(made(), PLAIN, F1, 0), 60).trials.values()]
    assert found[1:] == expected[1:]
    assert len({str(params) for params in found}) == 60


@pytest.mark.parametrize(
    ("sampler", "instead"),
    [
        (lambda: optuna.samplers.CmaEsSampler(), "sampler='gp'"),
        (lambda: optuna.samplers.NSGAIISampler(), "sampler='gp'"),
        (lambda: optuna.samplers.NSGAIIISampler(), "sampler='bayesian'"),
        (lambda: optuna.samplers.GridSampler({"learning_rate": [1e-3]}), "hp.Grid"),
        (lambda: optuna.samplers.BruteForceSampler(), "sampler='grid'"),
        (lambda: optuna.samplers.PartialFixedSampler({}, optuna.samplers.CmaEsSampler()), "sampler='gp'"),
        (lambda: optuna.samplers.QMCSampler(independent_sampler=optuna.samplers.NSGAIISampler()), "sampler='gp'"),
    ],
)
def test_samplers_that_would_start_anew_at_every_proposal_are_refused(sampler: Any, instead: str) -> None:
    with pytest.raises(UsageError, match="cannot be used here") as caught:
        resolve_sampler(sampler(), PLAIN, F1, 0)
    assert instead in str(caught.value)


@pytest.mark.filterwarnings("ignore:.*constraints_func:FutureWarning")
def test_constraints_that_only_optunas_loop_would_call_are_refused() -> None:
    sampler = optuna.samplers.TPESampler(constraints_func=lambda _: [0.0])
    with pytest.raises(UsageError, match="constraints_func, which only Optuna's own loop calls"):
        resolve_sampler(sampler, PLAIN, F1, 0)


def test_what_a_partly_fixed_sampler_fixes_stays_fixed() -> None:
    fixed = optuna.samplers.PartialFixedSampler({"weight_decay": 0.1}, optuna.samplers.TPESampler(seed=1))
    history = searched(resolve_sampler(fixed, PLAIN, F1, 0), 15)
    assert {each.params["weight_decay"] for each in history.trials.values()} == {0.1}
    assert len({each.params["learning_rate"] for each in history.trials.values()}) == 15


@pytest.mark.parametrize(
    ("fixed", "message"),
    [({"weight_decoy": 0.1}, "Did you mean 'weight_decay'"), ({"weight_decay": 0.9}, r"0\.9, which is not in Float")],
)
def test_what_a_partly_fixed_sampler_fixes_lies_in_the_space(fixed: dict[str, Any], message: str) -> None:
    sampler = optuna.samplers.PartialFixedSampler(fixed, optuna.samplers.TPESampler(seed=1))
    with pytest.raises(UsageError, match=message):
        resolve_sampler(sampler, PLAIN, F1, 0)


class Remembering(optuna.samplers.RandomSampler):
    """A sampler of the user's own, which does what no replay would know of."""

    def __init__(self) -> None:
        super().__init__(seed=0)
        self.asked = 0

    def sample_independent(self, study: Any, trial: Any, param_name: str, param_distribution: Any) -> Any:
        self.asked += 1
        return super().sample_independent(study, trial, param_name, param_distribution)


def test_a_sampler_of_the_users_own_class_is_asked_itself_and_it_is_said_what_that_means() -> None:
    sampler = Remembering()
    history = searched(resolve_sampler(sampler, PLAIN, F1, 0), 4)
    assert sampler.asked == 4 * 3
    assert len({str(each.params) for each in history.trials.values()}) == 4
    assert what_is_not_kept(sampler) == (
        "The sampler Remembering is not one of Optuna's own, so its random state and what it remembers are not kept "
        "with the study: with it, a resumed study may try other configurations than one that was never stopped. Every "
        "trial that is recorded stays as it is."
    )


@pytest.mark.parametrize("sampler", ["bayesian", hp.Grid(2), optuna.samplers.TPESampler()])
def test_names_grids_and_optunas_own_are_kept_whole(sampler: Any) -> None:
    assert what_is_not_kept(sampler) is None


def test_an_unknown_name_is_answered_with_the_nearest_and_with_all() -> None:
    with pytest.raises(UsageError, match="Did you mean 'bayesian'") as caught:
        resolve_sampler("baysian", PLAIN, F1, 0)
    assert "'bayesian', 'tpe', 'random', 'grid', 'gp', 'qmc', nor hp.Grid(points=...)" in str(caught.value)


def test_a_grid_over_a_range_needs_points() -> None:
    with pytest.raises(SpaceError, match="learning_rate"):
        resolve_sampler("grid", PLAIN, F1, 0)


def test_a_sampler_of_an_earlier_version_may_stand_in_a_study_but_cannot_be_run() -> None:
    check_sampler("cmaes", PLAIN)
    with pytest.raises(UsageError, match=r"'cmaes' was removed.* Use sampler='gp' .*hp\.load\(\.\.\., sampler='gp'\)"):
        resolve_sampler("cmaes", PLAIN, F1, 0)


GRID = hp.Space(batch_size=hp.Categorical([8, 16]), epochs=hp.Int(1, 3))
"""A space that every sampler can search, the grid among them."""


@pytest.mark.parametrize("name", SAMPLERS)
def test_each_name_is_a_sampler_that_proposes(name: str) -> None:
    assert GRID.contains(resolve_sampler(name, GRID, F1, 0).propose(History()) or {})


@pytest.mark.parametrize("given", [5, None, ["random"], len])
def test_what_is_no_sampler_is_said_to_be_none(given: Any) -> None:
    with pytest.raises(UsageError, match="is not one of 'bayesian'"):
        resolve_sampler(given, PLAIN, F1, 0)


def test_an_object_that_was_not_kept_has_to_be_given_again() -> None:
    with pytest.raises(UsageError, match=r"was an object, <TPESampler>, .* hp\.load\(\.\.\., sampler=\.\.\.\)"):
        resolve_sampler("<TPESampler>", PLAIN, F1, 0)
