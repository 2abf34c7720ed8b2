from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpsearch.policy.planned_cost import PlannedCost
from hpsearch.records import Fit, Run

CONFIG = {"learning_rate": 1e-3, "batch_size": 8, "epochs": 2, "freeze_layers": 0}


def run(horizon: int = 4, steps_per_epoch: int = 10, **changes: Any) -> Run:
    return Run("key", {**CONFIG, **changes}, 0, 0, horizon, steps_per_epoch)


def planned(layers: int = 6, held_out: int = 40) -> PlannedCost:
    return PlannedCost([held_out], lambda _: layers)


@given(
    layers=st.integers(0, 48),
    held_out=st.integers(0, 10**7),
    batch_size=st.integers(1, 4096),
    epochs=st.integers(1, 20),
    points_an_epoch=st.integers(1, 50),
    steps=st.integers(0, 10**6),
    frozen=st.integers(0, 60) | st.just("all"),
)
def test_costs_are_whole_numbers_that_let_time_pass(
    layers: int, held_out: int, batch_size: int, epochs: int, points_an_epoch: int, steps: int, frozen: Any
) -> None:
    cost = planned(layers, held_out)
    each = run(epochs * points_an_epoch, steps, batch_size=batch_size, epochs=epochs, freeze_layers=frozen)
    assert type(cost.of_a_point(each)) is int
    assert type(cost.of_a_segment(each)) is int
    assert cost.of_a_point(each) >= 1
    assert cost.of_a_segment(each) >= 1
    assert each.horizon * cost.of_a_point(each) + cost.of_a_segment(each) < 2**63  # as databases keep it


def test_a_frozen_layer_costs_nothing() -> None:
    costs = [planned().of_a_point(run(freeze_layers=frozen)) for frozen in range(7)]
    assert costs == sorted(costs, reverse=True)
    steps = {one - other for one, other in pairwise(costs)}
    assert len(steps) == 1  # each layer costs the same
    assert planned().of_a_point(run(freeze_layers="all")) == costs[6]
    assert planned(layers=0).of_a_point(run()) == costs[6]  # only what stands beside the layers is trained


@pytest.mark.parametrize("frozen", [7, 100, "all"])
def test_more_frozen_layers_than_there_are_cost_what_all_frozen_cost(frozen: Any) -> None:
    assert planned(6).of_a_point(run(freeze_layers=frozen)) == planned(6).of_a_point(run(freeze_layers=6))
    assert planned(6).of_a_segment(run(freeze_layers=frozen)) == planned(6).of_a_segment(run(freeze_layers=6))


@pytest.mark.parametrize("unknown", ["embeddings", None])
def test_what_names_no_layers_is_taken_to_freeze_none(unknown: Any) -> None:
    assert planned().of_a_point(run(freeze_layers=unknown)) == planned().of_a_point(run())


def test_a_config_without_batch_size_epochs_or_layers_has_a_cost() -> None:
    bare = replace(run(), config={"learning_rate": 1e-3})
    assert planned(layers=0).of_a_point(bare) >= 1


def test_equal_configs_cost_the_same_however_their_runs_fit_into_memory() -> None:
    cost = planned()
    for other in (run(), replace(run(), key="other"), replace(run(), fit=Fit(2, True)), run(learning_rate=1e-5)):
        assert cost.of_a_point(other) == cost.of_a_point(run())
        assert cost.of_a_segment(other) == cost.of_a_segment(run())


def test_an_epoch_costs_the_same_in_however_many_points_but_for_the_evaluations() -> None:
    without = planned(held_out=0)
    assert 4 * without.of_a_point(run(8)) == 2 * without.of_a_point(run(4))
    assert planned().of_a_point(run(4)) > without.of_a_point(run(4))


def test_smaller_batches_cost_more() -> None:
    costs = [planned().of_a_point(run(steps_per_epoch=320 // size, batch_size=size)) for size in (32, 16, 8, 4)]
    assert costs == sorted(costs)
    assert len(set(costs)) == 4


def test_each_fold_costs_its_own_evaluation() -> None:
    cost = PlannedCost([10, 1000], lambda _: 6)
    assert cost.of_a_point(replace(run(), fold=1)) > cost.of_a_point(run())


def test_the_layers_are_those_of_the_model_that_a_config_chooses() -> None:
    cost = PlannedCost([40], lambda config: {"small": 2, "large": 12}[config["model"]])
    assert cost.of_a_point(run(model="large")) > 4 * cost.of_a_point(run(model="small"))
