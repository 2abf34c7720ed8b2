"""Gradual unfreezing: which layers train in which step, from the head down; and what that leaves as it was."""

from pathlib import Path
from typing import Any

import pytest
import torch
from feature_learners import BuiltLearner, FixedTextLearner, Stacked, cached, run_of, store
from torch import nn
from training_learners import (
    CPU,
    LEARNERS,
    PRECISIONS,
    TextLearner,
    assert_resumes_after_every_step,
    assert_same_measurements,
    assert_same_state,
    everything,
    fine_tune,
    measured,
)

from hpsearch.training.base_model import BaseModel
from hpsearch.training.freezing import Freezing
from hpsearch.training.unfreezing import Unfreezing

HALF_AN_EPOCH = {"gradual_unfreezing": 0.5}
"""A step and a half of the three of an epoch."""

TOPS = ("embeddings", "layers.0", "layers.1", "pooler", "classifier")


def joined(run: Any) -> list[tuple[str, ...]]:
    """Train a run; return what of `TOPS` trains in each of its steps: its gradients are kept, and it drops out."""
    seen: list[tuple[str, ...]] = []

    def look(*_: Any) -> None:
        if run.model.training:
            parts = {name: run.model.get_submodule(name) for name in TOPS}
            trained = {name for name, part in parts.items() if all(item.requires_grad for item in part.parameters())}
            assert trained == {name for name, part in parts.items() if part.training}
            assert trained == {name for name in TOPS if any(item.requires_grad for item in parts[name].parameters())}
            seen.append(tuple(name for name in TOPS if name in trained))

    run.model.get_submodule("classifier").register_forward_pre_hook(look)
    measured(run)
    return seen


def test_one_layer_after_the_other_joins_from_the_head_down() -> None:
    steps = joined(fine_tune(TextLearner(), {**HALF_AN_EPOCH}))
    assert [len(TOPS) - len(step) for step in steps] == [3, 3, 2, 1, 1, 0]
    assert all(step == TOPS[len(TOPS) - len(step) :] for step in steps)


@pytest.mark.parametrize(("freeze_layers", "frozen"), [(1, [3, 3, 2, 2, 2, 2]), (2, [3] * 6)])
def test_what_is_frozen_for_good_never_joins(freeze_layers: int, frozen: list[int]) -> None:
    steps = joined(fine_tune(TextLearner(), {**HALF_AN_EPOCH, "freeze_layers": freeze_layers}))
    assert [len(TOPS) - len(step) for step in steps] == frozen


def test_a_layer_is_as_pretrained_and_has_no_state_in_the_optimizer_until_it_joins() -> None:
    run = fine_tune(TextLearner(), {**HALF_AN_EPOCH, "warmup_ratio": 0.0})
    before = {name: item.detach().clone() for name, item in run.model.named_parameters()}
    first_change: dict[str, int] = {}
    for _ in run.advance(run.horizon):
        states = run._state.optimizer.state
        for name, item in run.model.named_parameters():
            assert bool(states.get(item)) == (name in first_change or not torch.equal(item, before[name])), name
            if not torch.equal(item, before[name]):
                first_change.setdefault(name, run.step)
    assert {first_change[f"layers.{layer}.output.weight"] for layer in (1,)} == {3}
    assert {first_change[f"layers.{layer}.output.weight"] for layer in (0,)} == {4}
    assert first_change["words.weight"] == 6
    assert first_change["pooler.weight"] == 1


@pytest.mark.parametrize("precision", [*PRECISIONS, "fp16"])
@pytest.mark.parametrize("kind", LEARNERS)
@pytest.mark.parametrize("optimizer", ["adamw", "schedule_free_adamw"])
def test_a_run_resumed_after_every_step_is_the_straight_one(kind: str, precision: str, optimizer: str) -> None:
    config = {**HALF_AN_EPOCH, "optimizer": optimizer, "layerwise_lr_decay": 0.7}
    assert_resumes_after_every_step(kind, config, precision)


def test_the_next_run_of_a_worker_trains_all_layers_again() -> None:
    learner = TextLearner()
    base = BaseModel(learner, CPU)
    run = fine_tune(learner, {"gradual_unfreezing": 9.0}, base=base)
    measured(run, 1)
    assert [len(step) for step in joined(fine_tune(learner, base=base))] == [5] * 6


@pytest.mark.parametrize("learner", [FixedTextLearner(), BuiltLearner(Stacked)])
def test_layers_frozen_for_good_are_read_and_those_that_join_are_computed(tmp_path: Path, learner: Any) -> None:
    config = {**HALF_AN_EPOCH, "freeze_layers": 1}
    plain = run_of(learner, BaseModel(learner, CPU), config)
    base = cached(learner, store(tmp_path))
    assert_same_measurements(expected := measured(plain), measured(read := run_of(learner, base, config)))
    assert_same_state(state := everything(plain), everything(read))
    assert read._features is not None
    again = run_of(learner, base, config)  # whose features are there already
    assert_same_measurements(expected, measured(again))
    assert_same_state(state, everything(again))


def test_the_step_alone_decides_and_rounding_delays_nothing() -> None:
    model = nn.Linear(1, 1)  # which is above all layers: the head
    freezing = Freezing((), frozenset())
    tenths = Unfreezing(model, freezing, [[]] * 31, never=0, epochs=0.1, steps_per_epoch=10)
    assert [tenths.frozen(step) for step in range(33)] == [*range(31, 0, -1), 0, 0]
    slow = Unfreezing(model, freezing, [[]] * 3, never=1, epochs=2.0, steps_per_epoch=4)
    assert [slow.frozen(step) for step in (0, 7, 8, 15, 16, 99)] == [3, 3, 2, 2, 1, 1]
    assert Unfreezing(model, freezing, [[]] * 3, never=2, epochs=None, steps_per_epoch=4).frozen(0) == 2


class Tied(nn.Module):
    """A language model whose output is its embeddings, with a final norm."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(5, 4)
        self.layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(3))
        self.norm = nn.LayerNorm(4)
        self.output = nn.Linear(4, 5, bias=False)
        self.output.weight = self.words.weight

    def groups(self) -> list[list[nn.Module]]:
        return [[self.words], *([layer] for layer in self.layers)]


@pytest.mark.parametrize(
    ("trained", "begins"), [(None, 3), ("layers.2", 3), ("layers.1", 2), ("words", 0), ("norm", 0)]
)
def test_it_begins_with_the_highest_layers_where_there_is_no_head(trained: str | None, begins: int) -> None:
    """A final norm alone would learn nothing; adapters may be in some layers only."""
    model = Tied()
    if trained is not None:
        model.requires_grad_(False)
        model.get_submodule(trained).requires_grad_(True)
    unfreezing = Unfreezing(model, Freezing((), frozenset()), model.groups(), never=0, epochs=1.0, steps_per_epoch=2)
    assert [unfreezing.frozen(step) for step in (0, 1, 2, 9)] == [begins, begins, max(0, begins - 1), 0]
    for step in range(9):
        unfreezing.train(step)
        assert any(parameter.requires_grad for parameter in model.parameters())
