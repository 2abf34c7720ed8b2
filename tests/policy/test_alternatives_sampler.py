from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import optuna
import pytest
from samples import trial

import hpsearch as hp
from hpsearch.errors import UsageError
from hpsearch.policy.alternatives_sampler import AlternativesSampler
from hpsearch.policy.names import SAMPLERS
from hpsearch.policy.projection import Projection
from hpsearch.policy.samplers import resolve_sampler
from hpsearch.records import History, TrialState

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")

SPACE = hp.Space(
    model=hp.Categorical(["small", "large", "other"]),
    freeze_layers=[hp.Int(0, 2).when(model="small"), hp.Int(4, 5).when(model="large")],
    learning_rate=hp.Float(1e-5, 1e-2, log=True, grid=[1e-3]),
)
SAMPLERS_HERE: Mapping[str, Any] = {
    **{name: name for name in SAMPLERS},
    "object": optuna.samplers.TPESampler(seed=1),
}


def told(history: History, params: Mapping[str, Any]) -> History:
    number = len(history.trials)
    done = replace(trial(number), params=dict(params), config=SPACE.config(params), state=TrialState.COMPLETE)
    return history.with_trial(replace(done, value=1.0 - params.get("freeze_layers", 0) / 10))


@pytest.mark.parametrize("name", SAMPLERS_HERE)
def test_every_sampler_proposes_values_of_the_alternative_that_exists(name: str) -> None:
    sampler = resolve_sampler(SAMPLERS_HERE[name], SPACE, "f1", 3)
    history = History()
    for _ in range(14):
        params = sampler.propose(history)
        if params is None:
            break
        assert SPACE.contains(params)
        history = told(history, params)
    assert {t.params["model"] for t in history.trials.values()} == {"small", "large", "other"}


def test_a_grid_ends_with_every_point_tried() -> None:
    sampler = resolve_sampler("grid", SPACE, "f1", 0)
    assert sampler.is_finite
    history = History()
    while (params := sampler.propose(history)) is not None:
        history = told(history, params)
    tried = {(t.params["model"], t.params.get("freeze_layers")) for t in history.trials.values()}
    assert len(history.trials) == len(tried) == 6
    assert tried == {("small", 0), ("small", 1), ("small", 2), ("large", 4), ("large", 5), ("other", None)}


def test_the_sampler_inside_learns_each_alternative_alone() -> None:
    class Listening:
        is_finite = False
        seen: list[History]

        def __init__(self, space: hp.Space) -> None:
            self.space, self.seen = space, []

        def propose(self, history: History) -> Mapping[str, Any]:
            self.seen.append(history)
            return {"model": "large", "freeze_layers__2": 5, "learning_rate": 1e-3}

    made: list[Listening] = []
    sampler = AlternativesSampler(SPACE, lambda space: made.append(Listening(space)) or made[0])
    history = told(told(History(), {"model": "small", "freeze_layers": 2, "learning_rate": 1e-3}),
                   {"model": "other", "learning_rate": 1e-3})  # fmt: skip
    assert sampler.propose(history) == {"model": "large", "freeze_layers": 5, "learning_rate": 1e-3}
    sampler.propose(history)
    first, second = made[0].seen
    assert first.trials[0].params == {"model": "small", "freeze_layers__1": 2, "learning_rate": 1e-3}
    assert first.trials[1] is second.trials[1]  # renamed once
    frozen = Projection(made[0].space, "f1").study(first).get_trials(deepcopy=False)[0]
    assert frozen.distributions["freeze_layers__1"] == optuna.distributions.IntDistribution(0, 2)


def test_pruners_see_the_one_name() -> None:
    history = told(History(), {"model": "large", "freeze_layers": 5, "learning_rate": 1e-3})
    frozen = Projection(SPACE, "f1").trial(history, history.trials[0])
    assert frozen.distributions["freeze_layers"] == optuna.distributions.IntDistribution(4, 5)


def fixing(**fixed: Any) -> optuna.samplers.BaseSampler:
    return optuna.samplers.PartialFixedSampler(fixed, optuna.samplers.RandomSampler(seed=0))


def test_a_partly_fixed_sampler_is_told_of_the_names_that_the_space_has() -> None:
    """Inside, the alternatives are called freeze_layers__1 and freeze_layers__2, which nobody has written."""
    message = r"fixes freeze_layers at 1, .* several ranges .* hp\.Space\(freeze_layers=1, \.\.\.\)"
    with pytest.raises(UsageError, match=message) as caught:
        resolve_sampler(fixing(freeze_layers=1), SPACE, "f1", 0)
    assert "__" not in str(caught.value)
    with pytest.raises(UsageError, match="searches model, freeze_layers, learning_rate"):
        resolve_sampler(fixing(freeze=1), SPACE, "f1", 0)


def test_a_partly_fixed_sampler_fixes_what_is_no_alternative() -> None:
    sampler = resolve_sampler(fixing(model="large"), SPACE, "f1", 0)
    params = sampler.propose(History())
    assert params is not None
    assert (params["model"], params["freeze_layers"] in (4, 5)) == ("large", True)
