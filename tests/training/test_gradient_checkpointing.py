"""Gradient checkpointing changes what is kept, and no number."""

import random
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from training_learners import (
    CPU,
    PRECISIONS,
    BertLearner,
    ImageLearner,
    TextLearner,
    assert_same_measurements,
    assert_same_state,
    everything,
    fine_tune,
    measured,
    numerics,
)
from transformers import PretrainedConfig, PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer

from hpsearch.errors import TaskError
from hpsearch.training.base_model import BaseModel
from hpsearch.training.features.cache import FeatureCache
from hpsearch.training.features.store import FeatureStore
from hpsearch.training.fine_tune import FineTune
from hpsearch.training.freezing import freeze
from hpsearch.training.gradient_checkpointing import batch_statistics, can_checkpoint, checkpointed


class CountingLearner(BertLearner):
    """Counts how often the first layer computes."""

    computed = 0

    def build(self) -> nn.Module:
        model: Any = super().build()
        model.bert.encoder.layer[0].attention.register_forward_hook(self._count)
        return model

    def _count(self, *_: Any) -> None:
        self.computed += 1


class Layer(GradientCheckpointingLayer):
    """Draws from numpy's and Python's random numbers, averages over the batch, and keeps statistics of each row."""

    def __init__(self) -> None:
        super().__init__()
        self.dense, self.norm = nn.Linear(8, 8), nn.BatchNorm1d(8)
        self.row_norm = nn.InstanceNorm1d(4, track_running_stats=True)

    def forward(self, hidden: Tensor) -> Tensor:
        if self.training:
            hidden = hidden * (1.0 + 0.1 * np.random.randn() + 0.1 * random.gauss(0.0, 1.0))
        rows = self.row_norm(hidden.view(len(hidden), 4, 2)).view(len(hidden), 8)
        return torch.tanh(self.norm(self.dense(rows))) + hidden


class Stack(PreTrainedModel):
    config_class = PretrainedConfig
    main_input_name = "pixels"
    supports_gradient_checkpointing = True

    def __init__(self) -> None:
        super().__init__(PretrainedConfig())
        self.layers = nn.ModuleList([Layer(), Layer()])
        self.classifier = nn.Linear(8, 3)

    def forward(self, pixels: Tensor) -> Tensor:
        hidden = pixels.reshape(len(pixels), 8, 8).mean(dim=1)
        for layer in self.layers:
            hidden = layer(hidden)
        return self.classifier(hidden)


class Held(nn.Module):
    """A module of a user's own that holds a model of transformers."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = Stack()
        self.classifier = nn.Linear(3, 3)

    def forward(self, pixels: Tensor) -> Tensor:
        return self.classifier(self.backbone(pixels))


class StackLearner(ImageLearner):
    model: type[nn.Module] = Stack

    def build(self) -> nn.Module:
        return self.model()

    def layers(self, model: Any) -> Any:
        stack = getattr(model, "backbone", model)
        return [[], *([layer] for layer in stack.layers)]


class HeldLearner(StackLearner):
    model = Held


CHECKPOINTED = replace(numerics(), gradient_checkpointing=True)


def trained(learner: Any, config: Any, computing: Any, base: BaseModel | None = None) -> tuple[FineTune, list[Any]]:
    run = fine_tune(learner, config, computing=computing, base=base)
    return run, measured(run)


def assert_same(one: tuple[FineTune, list[Any]], other: tuple[FineTune, list[Any]]) -> None:
    assert_same_measurements(one[1], other[1])
    states = [everything(run) for run, _ in (one, other)]
    for state in states:
        del state["facts"]["identity"]  # another run: its numerics are a part of its key
    assert_same_state(*states)


CASES = [
    *[(BertLearner, freeze, rows, precision) for freeze in (0, 1) for rows in (None, 4) for precision in PRECISIONS],
    (StackLearner, 0, None, "fp32"),
    (StackLearner, 1, 4, "fp32"),
    (HeldLearner, 0, None, PRECISIONS[-1]),
]


@pytest.mark.parametrize(("kind", "freeze_layers", "micro_batch", "precision"), CASES)
def test_no_number_changes(kind: Any, freeze_layers: int, micro_batch: int | None, precision: str) -> None:
    """Weights, buffers, AdamW's state, every random state and all measurements, bitwise, with dropout."""
    learner, config = kind(), {"freeze_layers": freeze_layers}
    plain = numerics(precision, micro_batch)
    kept = trained(learner, config, plain)
    assert_same(kept, trained(learner, config, replace(plain, gradient_checkpointing=True)))


def test_the_layers_are_computed_twice_in_training_and_once_in_evaluation() -> None:
    learner = CountingLearner()
    trained(learner, {}, numerics())
    once = learner.computed
    trained(learner, {}, CHECKPOINTED)
    steps = 6
    assert learner.computed == 2 * once + steps


def test_less_is_kept_for_the_backward_pass() -> None:
    learner = BertLearner()
    model: Any = learner.load_model()
    model.train()
    batch = learner.batch(np.arange(8), 16)
    kept = []
    for wanted in (False, True):
        sizes: list[int] = []
        with (
            checkpointed(model, wanted=wanted),
            torch.autograd.graph.saved_tensors_hooks(lambda item, into=sizes: into.append(item.nbytes) or item, id),
        ):
            learner.outputs(model, batch)
        kept.append(sum(sizes))
    assert kept[1] < kept[0] / 4


def test_nothing_is_left_of_it_for_the_next_run_evaluation_or_export(tmp_path: Path) -> None:
    learner = CountingLearner()
    base = BaseModel(learner, CPU)
    before = base.model.config.to_dict()
    kept = trained(BertLearner(), {}, numerics())
    run, _ = trained(learner, {}, CHECKPOINTED, base)
    model: Any = run.model
    assert not model.is_activation_checkpointing
    assert not any(module._forward_hooks for module in model.bert.embeddings.modules())
    assert model.config.to_dict() == before
    model.save_pretrained(tmp_path)
    assert "checkpointing" not in (tmp_path / "config.json").read_text(encoding="utf-8")
    learner.computed = 0
    again = trained(learner, {}, numerics(), base)
    assert_same(kept, again)
    fresh = CountingLearner()
    trained(fresh, {}, numerics())
    assert learner.computed == fresh.computed


def test_an_error_within_a_step_leaves_nothing_either() -> None:
    model: Any = BertLearner().load_model()
    with suppress(ZeroDivisionError), checkpointed(model, wanted=True):
        assert model.is_activation_checkpointing
        raise ZeroDivisionError
    assert not model.is_activation_checkpointing


def test_a_model_that_its_owner_has_switched_on_stays_so() -> None:
    model: Any = BertLearner().load_model()
    model.activation_checkpointing_enable()
    own = model.bert.encoder.layer[0]._gradient_checkpointing_func
    assert not can_checkpoint(model.train())  # there is nothing more to be saved
    for wanted in (False, True):
        with checkpointed(model, wanted=wanted):
            assert model.bert.encoder.layer[0]._gradient_checkpointing_func is own
        assert model.is_activation_checkpointing


@pytest.mark.parametrize("kind", [TextLearner, ImageLearner], ids=["text", "image"])
def test_a_plain_module_offers_none(kind: Any) -> None:
    learner = kind()
    assert not can_checkpoint(learner.load_model().train())
    with pytest.raises(TaskError, match=r"offers no gradient checkpointing: only models of transformers do"):
        trained(learner, {}, CHECKPOINTED)


def test_a_model_that_says_that_it_does_not_support_it_cannot(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Stack().train()
    assert can_checkpoint(model)
    monkeypatch.setattr(Stack, "supports_gradient_checkpointing", False)
    assert not can_checkpoint(model)


@pytest.mark.parametrize(("freeze_layers", "can"), [(0, True), (1, True), (2, False), ("all", False)])
def test_what_is_frozen_keeps_nothing_so_there_is_nothing_to_save(freeze_layers: int | str, can: bool) -> None:
    learner = BertLearner()
    model = learner.load_model()
    head = {"classifier.weight", "classifier.bias"}
    freeze(model, learner.layers(model), freeze_layers, head).train(model)
    assert can_checkpoint(model) is can


def test_frozen_embeddings_need_no_gradient() -> None:
    learner = BertLearner()
    model: Any = learner.load_model()
    freeze(model, learner.layers(model), 1, ()).train(model)
    outputs = []
    model.bert.embeddings.register_forward_hook(lambda *found: outputs.append(found[-1]))
    with checkpointed(model, wanted=True):
        learner.outputs(model, learner.batch(np.arange(4), 16)).sum().backward()
    assert not outputs[0].requires_grad


def test_batch_norm_averages_over_a_batch_unless_it_is_frozen() -> None:
    learner = StackLearner()
    model = learner.load_model()
    assert batch_statistics(model) == []
    assert len(batch_statistics(model.train())) == 2
    freeze(model, learner.layers(model), 1, ()).train(model)
    assert len(batch_statistics(model)) == 1


def test_the_outputs_of_frozen_layers_are_the_same_and_are_read(tmp_path: Path) -> None:
    """Those that a run without has left are read by one with it."""
    store = FeatureStore(tmp_path, 1 << 30)

    class Fixed(CountingLearner):
        inputs_are_fixed = True

    config = {"freeze_layers": 1}
    runs, computed = [], []
    for computing in (numerics(), CHECKPOINTED):
        learner = Fixed()
        base = BaseModel(learner, CPU, FeatureCache(store, ["bert"]))
        run, items = trained(learner, config, computing, base)
        assert run._features is not None
        runs.append((run, items))
        computed.append(learner.computed)
    assert_same(*runs)
    assert_same(trained(BertLearner(), config, numerics()), runs[1])
    assert len(store.entries()) == 1
    assert computed[1] < computed[0]  # what the first run left was not computed again
