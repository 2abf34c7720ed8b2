from typing import Any

import pytest
import torch
from torch import nn
from training_learners import CPU, LEARNERS, ImageLearner, TextLearner, TinyLearner, fine_tune, measured

from hpsearch.errors import TaskError
from hpsearch.training.base_model import BaseModel

WATCHED = {"embedding_norm", "layers.0.dropout", "layers.1.dropout", "pooler", "dropout", "classifier", "stage.1"}
FROZEN = [("text", 1), ("text", 2), ("text", "all"), ("bert", 1), ("bert", "all"), ("image", 1), ("image", "all")]
"""Model and freeze_layers."""


def whole(model: nn.Module) -> dict[str, torch.Tensor]:
    named = [*model.named_parameters(), *model.named_buffers()]
    return {name: tensor.detach().clone() for name, tensor in named}


@pytest.mark.parametrize(("kind", "freeze_layers"), FROZEN)
def test_what_is_frozen_stays_bitwise_as_it_was_and_the_rest_moves(kind: str, freeze_layers: Any) -> None:
    learner = LEARNERS[kind]()
    base = BaseModel(learner, CPU)
    before = whole(base.fresh({}, seed=5))
    run = fine_tune(learner, {"freeze_layers": freeze_layers}, base=base)
    frozen = {name for name, parameter in run.model.named_parameters() if not parameter.requires_grad}
    measured(run)
    after = whole(run.model)

    count = len(learner.layers(run.model)) - 1 if freeze_layers == "all" else freeze_layers
    modules = [module for layer in learner.layers(run.model)[: count + 1] for module in layer]
    inside = {id(parameter) for module in modules for parameter in module.parameters()}
    expected = {name for name, parameter in run.model.named_parameters() if id(parameter) in inside}
    if freeze_layers == "all":
        assert frozen > expected or kind == "image"
        assert {name for name in before if not torch.equal(before[name], after[name])} == {
            "classifier.weight",
            "classifier.bias",
        }
    else:
        assert frozen == expected
    buffers = {id(buffer) for module in modules for buffer in module.buffers()}
    for name, buffer in run.model.named_buffers():
        if id(buffer) in buffers:
            assert torch.equal(before[name], after[name]), name
    for name in before:
        if name in frozen:
            assert torch.equal(before[name], after[name]), name
        elif (
            "num_batches" not in name
            and "never_used" not in name
            and "position_ids" not in name
            and name not in {buffer for buffer, _ in run.model.named_buffers()}
        ):
            assert not torch.equal(before[name], after[name]), name


def test_statistics_of_an_unfrozen_batch_norm_do_move() -> None:
    run = fine_tune(ImageLearner(), {"freeze_layers": 0})
    before = whole(run.model)
    measured(run)
    assert not torch.equal(before["stem.1.running_mean"], run.model.get_buffer("stem.1.running_mean"))
    assert run.model.get_buffer("stem.1.num_batches_tracked") == 6


@pytest.mark.parametrize(
    ("kind", "freeze_layers", "in_train_mode"),
    [
        ("text", 0, {"embedding_norm", "layers.0.dropout", "layers.1.dropout", "pooler", "dropout", "classifier"}),
        ("text", 1, {"layers.1.dropout", "pooler", "dropout", "classifier"}),
        ("text", "all", {"dropout", "classifier"}),
        ("image", 1, {"dropout", "classifier"}),
        ("image", "all", {"dropout", "classifier"}),
    ],
)
def test_frozen_means_eval_mode_also_after_an_evaluation(
    kind: str, freeze_layers: Any, in_train_mode: set[str]
) -> None:
    run = fine_tune(LEARNERS[kind](), {"freeze_layers": freeze_layers})
    seen: list[set[str]] = []
    run.model.get_submodule("classifier").register_forward_pre_hook(
        lambda *_: seen.append({name for name, module in run.model.named_modules() if module.training})
    )
    for item in run.advance(2):
        if item is not None:
            assert seen.pop() == set()
        (training,) = seen[-1:]
        leaves = {name for name in training if not list(run.model.get_submodule(name).children())}
        assert leaves & WATCHED == in_train_mode


def test_no_gradient_is_computed_below_the_first_trained_layer() -> None:
    run = fine_tune(TextLearner(), {"freeze_layers": 1})
    graphs: dict[str, bool] = {}
    for name in ("layers.0", "layers.1"):
        run.model.get_submodule(name).register_forward_hook(
            lambda module, inputs, output, name=name: graphs.update({name: output.grad_fn is not None})
        )
    next(iter(run.advance(1)))
    assert graphs == {"layers.0": False, "layers.1": True}
    optimized = {id(item) for group in run._state.optimizer.param_groups for item in group["params"]}
    assert optimized == {id(item) for item in run.model.parameters() if item.requires_grad}


@pytest.mark.parametrize(("kind", "layers"), [("text", 2), ("bert", 2), ("image", 1)])
def test_more_layers_than_there_are_is_an_error_with_their_number(kind: str, layers: int) -> None:
    learner = LEARNERS[kind]()
    fine_tune(learner, {"freeze_layers": layers})
    with pytest.raises(TaskError, match=f"freeze_layers={layers + 1} .* from 0 to {layers}, or 'all'"):
        fine_tune(learner, {"freeze_layers": layers + 1})


def test_a_model_that_is_pretrained_throughout_has_no_head_to_train_alone() -> None:
    class Whole(TextLearner):
        def initialize_head(self, model: nn.Module) -> None:
            """Nothing is new."""

    learner = Whole()
    assert BaseModel(learner, CPU).head == frozenset()
    with pytest.raises(TaskError, match="freeze_layers='all' leaves no parameter"):
        fine_tune(learner, {"freeze_layers": "all"})
    assert len(measured(fine_tune(learner, {"freeze_layers": 2}))) == 4


def test_layers_are_not_asked_for_when_nothing_is_frozen() -> None:
    class Flat(TextLearner):
        def layers(self, model: Any) -> Any:
            raise TaskError("no layers are known")

    assert len(measured(fine_tune(Flat(), {"freeze_layers": 0}))) == 4
    with pytest.raises(TaskError, match="no layers are known"):
        fine_tune(Flat(), {"freeze_layers": 1})


def test_parameters_that_come_frozen_stay_frozen_and_later_runs_do_not_inherit() -> None:
    class Sinusoidal(TextLearner):
        def build(self) -> nn.Module:
            model = super().build()
            model.get_parameter("embedding_norm.weight").requires_grad_(False)
            return model

    learner: TinyLearner = Sinusoidal()
    base = BaseModel(learner, CPU)
    fine_tune(learner, {"freeze_layers": "all"}, base=base)
    run = fine_tune(learner, base=base)
    without = {name for name, item in run.model.named_parameters() if not item.requires_grad}
    assert without == {"embedding_norm.weight"}
