"""What every sampler keeps to, whoever made it."""

from collections.abc import Callable, Mapping
from typing import Any

import optuna
import pytest
from sampled_histories import asked, before, grown, told
from samples import F1, MIRRORED, mirrored

import hpsearch as hp
from hpsearch.metrics.direction import Objective
from hpsearch.policy.rule_names import SAMPLERS
from hpsearch.policy.samplers import resolve_sampler
from hpsearch.records import History, Origin

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")

SPACES: Mapping[str, hp.Space] = {
    "mixed": hp.Space(
        learning_rate=hp.Float(1e-5, 1e-2, log=True),
        batch_size=hp.Categorical([8, 16]),
        lr_scheduler_type=hp.Categorical(["linear", "warmup_stable_decay"]),
        epochs=hp.Int(1, 9, step=4),
        decay_ratio=hp.Float(0.1, 0.5).when(lr_scheduler_type="warmup_stable_decay"),
        freeze_layers=hp.Int(1, 64, log=True),
        dropout=hp.Float(0.1, 0.3, step=0.1),
        weight_decay=hp.Float(0.01, 0.01),
        warmup_ratio=0.1,
    ),
    "one choice": hp.Space(batch_size=hp.Categorical([8, 16, 32])),
    "whole numbers": hp.Space(
        epochs=hp.Int(1, 9), freeze_layers=hp.Int(0, 12, step=3), batch_size=hp.Int(1, 99, log=True)
    ),
    "one number": hp.Space(learning_rate=hp.Float(1e-5, 1e-2, log=True)),
}
CONTINUOUS = hp.Space(learning_rate=hp.Float(1e-5, 1e-2, log=True), weight_decay=hp.Float(0.0, 0.3))

OBJECTS: Mapping[str, Callable[[], Any]] = {
    "Grid object": lambda: hp.Grid(points=3),
    "TPE object": lambda: optuna.samplers.TPESampler(seed=1, multivariate=True, group=True, n_startup_trials=4),
    "TPE object without seed": lambda: optuna.samplers.TPESampler(),
    "GP object": lambda: optuna.samplers.GPSampler(seed=1, n_startup_trials=4, warn_independent_sampling=False),
    "QMC object": lambda: optuna.samplers.QMCSampler(seed=1, scramble=True, warn_independent_sampling=False),
    "QMC object without seed": lambda: optuna.samplers.QMCSampler(
        qmc_type="halton", scramble=True, warn_independent_sampling=False, warn_asynchronous_seeding=False
    ),
    "partly fixed": lambda: optuna.samplers.PartialFixedSampler({}, optuna.samplers.TPESampler(seed=1)),
}
OUTSIDE = {"near_best": "near_best_sampler:near_best"}  # tests/extending
NAMED = {name: (lambda name=name: name) for name in (*SAMPLERS, *OUTSIDE) if name != "grid"}  # a grid needs points
EVERY: Mapping[str, Callable[[], Any]] = {**NAMED, **OBJECTS}
FINITE = ("Grid object",)
SLOW = ("gp", "GP object")


@pytest.fixture(autouse=True)
def _samplers_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, path in OUTSIDE.items():
        monkeypatch.setitem(SAMPLERS, name, path)


def made(name: str, space: hp.Space, seed: int = 0, objective: Objective = F1) -> Any:
    return resolve_sampler(EVERY[name](), space, objective, seed)


def all_states(space: hp.Space) -> History:
    """Twenty random trials in all states, the last two in flight."""
    history = asked(History(), space, made("random", space, 9).propose(History()), Origin.ENQUEUED)
    history = grown(made("random", space, 9), space, 17, told(history, space, 0, "complete"))
    return asked(grown(made("random", space, 8), space, 1, history), space, made("random", space, 7).propose(history))


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
@pytest.mark.parametrize("name", EVERY)
def test_proposals_lie_in_the_space_whatever_state_the_trials_are_in(name: str, space: hp.Space) -> None:
    sampler, history = made(name, space), all_states(space)
    for _ in range(1 if name in SLOW else 6):
        params = sampler.propose(history)
        if params is None:
            assert name in FINITE
            assert len({str(trial.params) for trial in history.trials.values()}) >= len(sampler)
            break
        assert list(params) == list(space.active(params))  # the conditions hold
        assert space.validate(params, "the proposal") == params  # to the bit, and of the parameters' own types
        history = asked(history, space, params)


@pytest.mark.parametrize("name", EVERY)
def test_a_sampler_made_anew_proposes_what_the_one_that_was_there_all_along_proposed(name: str) -> None:
    """That is what resuming is. Nothing else may be remembered, also of what is asked and never answered."""
    space = SPACES["mixed"]
    count = 13 if name in SLOW else 21
    history = grown(made(name, space, 5), space, count)
    for number in [3, count - 1] if name in SLOW else range(count):
        assert made(name, space, 5).propose(before(history, number)) == history.trials[number].params
    warm = made(name, space, 5)
    assert warm.propose(history) == warm.propose(history)


@pytest.mark.parametrize("name", EVERY)
def test_a_sampler_is_asked_about_another_past_than_the_one_it_saw(name: str) -> None:
    """A waiting trial comes to more, one in flight ends: the proposal is that of a sampler that never saw it before."""
    history = all_states(CONTINUOUS)
    warm = made(name, CONTINUOUS)
    warm.propose(history)
    waiting = next(
        trial for trial in history.trials.values() if trial.state.name == "WAITING" and history.point(trial.runs[0])
    )
    for number in (waiting.number, len(history.trials) - 1):
        history = told(history, CONTINUOUS, number, "complete")
    assert warm.propose(history) == made(name, CONTINUOUS).propose(history)


@pytest.mark.parametrize("name", EVERY)
def test_the_study_decides_the_proposals_with_its_seed(name: str) -> None:
    history = all_states(CONTINUOUS)
    proposals = [made(name, CONTINUOUS, seed).propose(history) for seed in (1, 1, 2)]
    assert proposals[0] == proposals[1]
    if name != "QMC object":  # its own seed scrambles the sequence
        assert proposals[0] != proposals[2]


@pytest.mark.parametrize("name", EVERY)
def test_parallel_asks_do_not_propose_a_point_twice(name: str) -> None:
    history = all_states(CONTINUOUS)
    sampler = made(name, CONTINUOUS)
    for _ in range(2 if name in SLOW else 8):
        history = asked(history, CONTINUOUS, sampler.propose(history))
    tried = [tuple(trial.params.values()) for trial in history.trials.values()]
    assert len(set(tried)) == len(tried)


@pytest.mark.parametrize("name", EVERY)
def test_a_study_of_which_nothing_is_known_but_failures_goes_on(name: str) -> None:
    history = History()
    for number, state in enumerate(["failed", "diverged", "fresh", "running"] * 3):
        params = made("random", CONTINUOUS).propose(history)
        history = told(asked(history, CONTINUOUS, params), CONTINUOUS, number, state)
    params = made(name, CONTINUOUS).propose(history)
    assert CONTINUOUS.validate(params, "the proposal") == params


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
@pytest.mark.parametrize("name", EVERY)
def test_the_mirror_image_of_a_search_proposes_exactly_the_same(name: str, space: hp.Space) -> None:
    count = 8 if name in SLOW else 21
    history = grown(made(name, space, 5), space, count)
    for number in [count - 1] if name in SLOW else range(len(history.trials)):
        past = mirrored(before(history, number))
        assert made(name, space, 5, MIRRORED).propose(past) == history.trials[number].params
    everything = all_states(space)
    proposed = made(name, space, 2, MIRRORED).propose(mirrored(everything))
    assert proposed == made(name, space, 2).propose(everything)


def test_objects_with_other_seeds_propose_otherwise_and_are_not_touched() -> None:
    history = all_states(CONTINUOUS)
    objects = [optuna.samplers.RandomSampler(seed=seed) for seed in (1, 1, 2)]
    found = [resolve_sampler(each, CONTINUOUS, F1, 0).propose(history) for each in objects]
    assert found[0] == found[1] != found[2]
    unseen = optuna.samplers.RandomSampler(seed=1)
    assert objects[0]._rng.rng.random() == unseen._rng.rng.random()
