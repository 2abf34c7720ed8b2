import random
from typing import Any

import pytest
import torch
from torch import nn
from training_learners import CONFIG, CPU, LEARNERS, ImageLearner, TextLearner, fine_tune, measured

from hpsearch.training.base_model import BaseModel


def whole(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def assert_equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name]), name


@pytest.mark.parametrize("kind", LEARNERS)
def test_a_fresh_model_is_the_loaded_one_but_for_its_head(kind: str) -> None:
    learner = LEARNERS[kind]()
    state = torch.get_rng_state()
    loaded = whole(learner.load_model())
    torch.set_rng_state(state)
    model = BaseModel(learner, CPU).fresh({}, seed=1)
    found = whole(model)
    assert not torch.equal(found.pop("classifier.weight"), loaded.pop("classifier.weight"))
    assert not found.pop("classifier.bias").any()
    del loaded["classifier.bias"]
    assert_equal(found, loaded)


@pytest.mark.parametrize("kind", LEARNERS)
def test_the_head_is_found_by_what_the_learner_draws(kind: str) -> None:
    assert BaseModel(LEARNERS[kind](), CPU).head == {"classifier.weight", "classifier.bias"}


def test_the_head_depends_on_the_seed_alone() -> None:
    base, other = BaseModel(TextLearner(), CPU), BaseModel(TextLearner(), CPU)
    first = whole(base.fresh({}, seed=1))
    assert_equal(first, whole(other.fresh({"dropout": 0.5}, seed=1)))
    second = whole(base.fresh({}, seed=2))
    assert not torch.equal(first["classifier.weight"], second["classifier.weight"])
    assert_equal(first, whole(base.fresh({}, seed=1)))


def test_everything_that_a_run_leaves_behind_is_undone() -> None:
    for learner in (TextLearner(), ImageLearner()):
        base = BaseModel(learner, CPU)
        model = base.fresh({}, seed=1)
        before = whole(model)
        dropouts = [module.p for module in model.modules() if isinstance(module, nn.Dropout)]

        measured(fine_tune(learner, {"freeze_layers": 1, "dropout": 0.7}, base=base), 2)
        with torch.no_grad():
            for tensor in (*model.parameters(), *model.buffers()):
                tensor.fill_(3)
        for parameter in model.parameters():
            parameter.grad = torch.ones_like(parameter)

        again = base.fresh({}, seed=1)
        assert again is model
        assert_equal(before, whole(again))
        assert all(parameter.requires_grad and parameter.grad is None for parameter in again.parameters())
        assert [module.p for module in again.modules() if isinstance(module, nn.Dropout)] == dropouts
        assert learner.loads == 1


def test_buffers_that_no_state_dict_has_are_reset_too() -> None:
    class Counting(TextLearner):
        def build(self) -> nn.Module:
            model = super().build()
            model.register_buffer("calls", torch.zeros((), dtype=torch.int64), persistent=False)
            return model

    base = BaseModel(Counting(), CPU)
    base.fresh({}, seed=0).get_buffer("calls").fill_(8)
    assert base.fresh({}, seed=0).get_buffer("calls") == 0


def test_the_callers_random_states_are_left_alone() -> None:
    torch.manual_seed(1), random.seed(1)
    expected = torch.rand(1).item(), random.random()
    torch.manual_seed(1), random.seed(1)
    base = BaseModel(TextLearner(), CPU)
    base.fresh({}, seed=3)
    assert (torch.rand(1).item(), random.random()) == expected


def test_generations_count_the_runs() -> None:
    base = BaseModel(TextLearner(), CPU)
    assert base.generation == 0
    for generation in (1, 2):
        base.fresh(CONFIG, seed=0)
        assert base.generation == generation


def test_a_learner_that_cannot_set_the_model_up_is_heard() -> None:
    class Broken(TextLearner):
        def configure(self, model: nn.Module, config: Any) -> None:
            raise LookupError("no such dropout")

    with pytest.raises(LookupError, match="no such dropout"):
        BaseModel(Broken(), CPU).fresh({}, seed=0)
