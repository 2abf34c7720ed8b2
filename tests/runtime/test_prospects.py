from collections.abc import Mapping
from typing import Any

import pytest

import hpsearch as hp
from hpsearch.records import History, Origin, Trial, TrialState
from hpsearch.runtime.prospects import Prospects


def asked(number: int, params: Mapping[str, Any], origin: Origin = Origin.SAMPLER) -> Trial:
    return Trial(number, params, params, TrialState.RUNNING, origin, ())


def proposed(
    space: hp.Space, *trials: Mapping[str, Any], is_grid: bool = False, points: int | None = None
) -> list[Mapping[str, Any]]:
    """Return what may still come beside the first of some trials, without what the space fixes."""
    history = History.of_trials(asked(number, params) for number, params in enumerate(trials))
    prospects = Prospects(space, list, None, dict, is_grid=is_grid, points=points)
    found = list(prospects.of(history, history.trials[0]))
    return [{name: value for name, value in config.items() if name in space.parameters} for config in found]


DISCRETE = hp.Space(batch_size=hp.Categorical([8, 16]), epochs=hp.Int(1, 4), learning_rate=0.01)


@pytest.mark.parametrize("is_grid", [True, False])
def test_of_a_space_without_continuous_ranges_every_length_can_come_that_was_not_tried(is_grid):
    trials = {"batch_size": 8, "epochs": 2}, {"batch_size": 8, "epochs": 4}, {"batch_size": 16, "epochs": 1}
    assert proposed(DISCRETE, *trials, is_grid=is_grid) == [
        {"batch_size": 8, "epochs": 1},
        {"batch_size": 8, "epochs": 3},
    ]


def test_a_value_drawn_from_a_continuous_range_does_not_come_again():
    space = hp.Space(learning_rate=hp.Float(1e-4, 1e-2, log=True, grid=[1e-4, 1e-2]), epochs=hp.Categorical([1, 2]))
    on_the_grid, off_it = {"learning_rate": 1e-2, "epochs": 1}, {"learning_rate": 3e-3, "epochs": 1}
    assert proposed(space, on_the_grid) == []
    assert proposed(space, on_the_grid, is_grid=True) == [{"learning_rate": 1e-2, "epochs": 2}]
    assert proposed(space, off_it, is_grid=True) == []


def test_of_many_lengths_drawn_by_chance_none_is_waited_for():
    space = hp.Space(epochs=hp.Int(1, 30), learning_rate=0.01)
    assert proposed(space, {"epochs": 2}) == []
    assert len(proposed(space, {"epochs": 2}, is_grid=True)) == 29
    assert len(proposed(space, {"epochs": 1}, is_grid=True, points=4)) == 3


def test_conditions_hold_in_what_can_come():
    space = hp.Space(
        epochs=hp.Categorical([1, 2]),
        lr_scheduler_type=hp.Categorical(["constant", "warmup_stable_decay"]),
        decay_ratio=hp.Categorical([0.1, 0.2]).when(lr_scheduler_type="warmup_stable_decay"),
    )
    found = proposed(space, {"epochs": 1, "lr_scheduler_type": "constant"})
    assert len(found) == 2 * (1 + 2) - 1
    assert all(space.contains(each) for each in found)


def test_the_default_and_what_is_enqueued_come_whatever_the_sampler_draws():
    space = hp.Space(learning_rate=hp.Float(1e-4, 1e-2), epochs=hp.Int(1, 4))
    queued, default = {"learning_rate": 1e-3, "epochs": 4}, {"learning_rate": 1e-3, "epochs": 3}
    prospects = Prospects(space, lambda: [queued], default, dict, is_grid=False)
    drawn = asked(0, {"learning_rate": 5e-3, "epochs": 1})
    assert list(prospects.of(History.of_trials([drawn]), drawn)) == [default, queued]
    tried = asked(1, default, Origin.DEFAULT)
    assert list(prospects.of(History.of_trials([drawn, tried]), drawn)) == [queued]
