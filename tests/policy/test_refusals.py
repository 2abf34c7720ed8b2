"""Samplers that are asked again where what they propose is refused."""

from collections.abc import Mapping
from typing import Any

import pytest
from sampled_histories import asked, grown, told
from samples import F1

import hpsearch as hp
from hpsearch.policy.refusals import MOST_REFUSALS, Refusing
from hpsearch.policy.samplers import resolve_sampler
from hpsearch.records import History

SPACE = hp.Space(
    learning_rate=hp.Float(1e-5, 1e-2, log=True, grid=[1e-5, 1e-4, 1e-3, 1e-2]), batch_size=hp.Categorical([8, 16, 32])
)
SAMPLERS = ["random", "bayesian", "gp", "qmc", "grid"]


def too_large(params: Mapping[str, Any]) -> bool:
    return bool(params["batch_size"] > 8)


def nothing(_: Mapping[str, Any]) -> bool:
    return False


def sampler_of(name: str, refuses: Any = too_large, seed: int = 0) -> Refusing:
    return Refusing(resolve_sampler(name, SPACE, F1, seed), refuses)


def proposed(sampler: Any, history: History, count: int) -> list[Mapping[str, Any]]:
    """Return what is proposed one after the other, each trial complete before the next."""
    grown_history = grown(sampler, SPACE, count, history, states=("complete",))
    return [trial.params for number, trial in grown_history.trials.items() if number >= len(history.trials)]


@pytest.mark.parametrize("name", SAMPLERS)
def test_nothing_that_is_refused_is_proposed(name: str) -> None:
    params = proposed(sampler_of(name), History(), 6)
    assert {each["batch_size"] for each in params} == {8}
    if name == "grid":
        assert sorted(each["learning_rate"] for each in params) == [1e-5, 1e-4, 1e-3, 1e-2]  # and then it ends
    else:
        assert len({each["learning_rate"] for each in params}) == 6  # none is drawn twice


@pytest.mark.parametrize("name", SAMPLERS)
def test_where_nothing_is_refused_the_sampler_proposes_what_it_would(name: str) -> None:
    plain = resolve_sampler(name, SPACE, F1, 0)
    assert proposed(sampler_of(name, nothing), History(), 6) == proposed(plain, History(), 6)


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_resumed_study_is_proposed_the_same(name: str) -> None:
    whole = proposed(sampler_of(name), History(), 4)
    history = grown(sampler_of(name), SPACE, 2, states=("complete",))
    assert proposed(sampler_of(name), history, 2) == whole[2:]


@pytest.mark.parametrize("name", [name for name in SAMPLERS if name != "grid"])
def test_a_sampler_without_an_end_is_asked_a_bounded_number_of_times(name: str) -> None:
    questions: list[Mapping[str, Any]] = []

    def everything(params: Mapping[str, Any]) -> bool:
        questions.append(params)
        return True

    history = told(asked(History(), SPACE, {"learning_rate": 1e-3, "batch_size": 8}), SPACE, 0, "complete")
    assert sampler_of(name, everything).propose(history) == questions[-1]
    assert len(questions) == MOST_REFUSALS + 1
    rates = {each["learning_rate"] for each in questions}
    assert len(rates) == len(questions) or name == "gp"  # of a flat surface it likes some points best


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_history_goes_on_from_where_it_was_so_that_what_was_read_of_it_stays(name: str) -> None:
    """Rules read what has changed since they last looked."""
    history = told(asked(History(), SPACE, {"learning_rate": 1e-3, "batch_size": 8}), SPACE, 0, "complete")
    refuses = iter([True, False])
    sampler_of(name, lambda _: next(refuses)).propose(history)
    grown_on = asked(history, SPACE, {"learning_rate": 1e-4, "batch_size": 8})
    assert grown_on.changed_since(history) == {1}


def test_a_grid_of_which_nothing_is_allowed_has_nothing_left() -> None:
    assert sampler_of("grid", lambda _: True).propose(History()) is None
