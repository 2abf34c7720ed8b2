import gc
import random
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from training_learners import (
    CONFIG,
    CPU,
    LEARNERS,
    TRAIN_ROWS,
    ImageLearner,
    TextLearner,
    assert_same_measurements,
    assert_same_state,
    everything,
    fine_tune,
    measured,
    numerics,
)

from hpsearch.training.base_model import BaseModel
from hpsearch.training.memory_probe import memory_trial


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

        for config in ({"freeze_layers": 1, "dropout": 0.7}, {"freeze_layers": "all"}, {}):
            measured(fine_tune(learner, config, base=base), 2)
            for parameter in model.parameters():
                parameter.grad = torch.ones_like(parameter)
            for buffer in model.buffers():
                buffer.fill_(3)

            again = base.fresh({}, seed=1)
            assert again is model
            assert_equal(before, whole(again))
            assert all(parameter.requires_grad and parameter.grad is None for parameter in again.parameters())
            assert [module.p for module in again.modules() if isinstance(module, nn.Dropout)] == dropouts
        assert learner.loads == 1


def test_what_was_changed_without_being_trained_is_read_again() -> None:
    """A model may write to its own weights: no run may hand such a change on."""
    learner = TextLearner()
    base = BaseModel(learner, CPU)
    model = base.fresh({}, seed=1)
    before = whole(model)
    measured(fine_tune(learner, {"freeze_layers": 1}, base=base), 2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(3)
        model.get_parameter("layers.0.inner.weight").data = torch.ones(32, 16)
    assert_equal(before, whole(base.fresh({}, seed=1)))
    assert learner.loads == 2
    assert_equal(before, whole(base.fresh({}, seed=1)))
    assert learner.loads == 2


class WritingLearner(TextLearner):
    """A learner of a model that writes to a weight of its first layer with each batch, and to find its layers."""

    def __init__(self, write: Callable[[nn.Parameter], object]) -> None:
        super().__init__()
        self._write = write

    def outputs(self, model: nn.Module, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        with torch.no_grad():
            self._write(model.get_parameter("layers.0.inner.weight"))
        return super().outputs(model, batch)

    def layers(self, model: nn.Module) -> Sequence[Sequence[nn.Module]]:
        with torch.no_grad():
            self.outputs(model, self.batch(TRAIN_ROWS[:1], 16))
        return super().layers(model)


WRITES: dict[str, Callable[[nn.Parameter], object]] = {
    "in place": lambda weight: weight.mul_(0.97),
    "in place of data": lambda weight: weight.data.mul_(0.97),
    "other data": lambda weight: setattr(weight, "data", weight.data * 0.97),
}


def test_runs_of_a_model_that_writes_to_itself_equal_runs_of_fresh_workers() -> None:
    """However it writes, and whether the weight is frozen, trained, or trained after a frozen layer was sought."""
    found = []
    for write in WRITES.values():
        base = BaseModel(WritingLearner(write), CPU)
        for config in ({"freeze_layers": 1}, {"freeze_layers": "all"}, {"freeze_layers": 0}, {"freeze_layers": 1}):
            run, other = fine_tune(base.learner, config, base=base), fine_tune(WritingLearner(write), config)
            found.append(measured(run))
            assert_same_measurements(found[-1], measured(other))
            assert_same_state(everything(run), everything(other))
    for other in (4, 8):
        for one in range(4):
            assert_same_measurements(found[one], found[one + other])


def test_the_copy_of_what_is_trained_is_not_taken_after_a_row_has_changed_it() -> None:
    class BelowOnly(WritingLearner):
        def layers(self, model: nn.Module) -> Sequence[Sequence[nn.Module]]:
            return super().layers(model)[:1]

    base = BaseModel(BelowOnly(WRITES["in place of data"]), CPU)
    before = whole(base.fresh({}, seed=5))
    for _ in range(2):
        run = fine_tune(base.learner, {"freeze_layers": "all"}, base=base)
        assert_equal(before, whole(run.model))
        measured(run, 1)
        assert_equal(before, whole(base.fresh({}, seed=5)))


def test_a_parameter_that_a_model_has_replaced_is_reset_too() -> None:
    base = BaseModel(TextLearner(), CPU)
    model: Any = base.fresh({}, seed=1)
    before = whole(model)
    model.pooler.weight = nn.Parameter(model.pooler.weight.detach() * 2)
    assert_equal(before, whole(base.fresh({}, seed=1)))


CONFIGS: tuple[dict[str, Any], ...] = (
    {"freeze_layers": "all"},
    {"freeze_layers": 1},
    {"freeze_layers": 0},
    {"freeze_layers": 1, "dropout": None},
    {"freeze_layers": "all", "learning_rate": 1e-3},
)


@pytest.mark.parametrize("kind", LEARNERS)
def test_runs_one_after_the_other_equal_runs_of_fresh_workers(kind: str) -> None:
    learner = LEARNERS[kind]()
    base = BaseModel(learner, CPU)
    for seed, config in enumerate((*CONFIGS, *CONFIGS[::-1])):
        run = fine_tune(learner, config, base=base, seed=seed % 3)
        other = fine_tune(LEARNERS[kind](), config, seed=seed % 3)
        assert_same_measurements(measured(run), measured(other))
        assert_same_state(everything(run), everything(other))
    assert learner.loads == 1


def test_a_layer_that_was_wrapped_before_it_was_given_is_trained() -> None:
    """A wrapper may hold the layer itself, where no copy of a model reaches it."""

    class Wrapped(TextLearner):
        def build(self) -> nn.Module:
            model: Any = super().build()
            layer, forward = model.layers[0], model.layers[0].forward
            layer.forward = lambda hidden, mask: forward(hidden, mask)
            return model

    wrapped, plain = (fine_tune(kind()) for kind in (Wrapped, TextLearner))
    assert_same_measurements(measured(wrapped), measured(plain))


class Drawn(TextLearner):
    """A learner of a model some ten times as large as its head and the layer below; it can draw part of a weight."""

    def __init__(self, part: int = 0) -> None:
        super().__init__(width=64)
        self._part = part

    def initialize_head(self, model: nn.Module) -> None:
        super().initialize_head(model)
        if self._part:
            nn.init.normal_(model.get_parameter("pooler.weight")[: self._part])


def megabytes(*owners: Any) -> float:
    """Return the memory of all tensors that can be reached from some objects, each storage once."""
    reached, waiting, seen = {}, list(owners), set()
    while waiting:
        item = waiting.pop()
        if id(item) in seen or isinstance(item, type | types.ModuleType | types.FunctionType):
            continue
        seen.add(id(item))
        if isinstance(item, torch.Tensor):
            reached[item.untyped_storage().data_ptr()] = item.untyped_storage().nbytes()
        waiting += gc.get_referents(item)
    return sum(reached.values()) / 2**20


class Copied(TorchDispatchMode):
    """Counts the bytes that are copied from tensor to tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (torch.ops.aten.copy_.default, torch.ops.aten._to_copy.default, torch.ops.aten.clone.default):
            self.bytes += args[0].nbytes
        return func(*args, **(kwargs or {}))


def test_a_frozen_model_is_in_memory_once_and_a_run_copies_only_what_it_trains() -> None:
    learner = Drawn()
    model_alone = megabytes(learner.load_model())
    base = BaseModel(learner, CPU)
    model = base.fresh({}, seed=0)
    head = sum(parameter.nbytes for name, parameter in model.named_parameters() if name in base.head)
    above = sum(item.nbytes for module in (model.pooler, model.never_used) for item in module.parameters())
    whole_model = sum(parameter.nbytes for parameter in model.parameters())
    rows = megabytes(learner)
    assert megabytes(base) - rows == pytest.approx((model_alone * 2**20 + head) / 2**20)

    def held_and_copied(config: dict[str, Any], seed: int) -> tuple[int, int]:
        """Return the bytes that a run's beginning leaves beside the model and the rows, and those that it copies."""
        with Copied() as copied:
            run = fine_tune(learner, config, base=base, seed=seed)
        beside = round((megabytes(base) - rows - model_alone) * 2**20)
        measured(run)
        return beside, copied.bytes

    small = 8 * 2**10  # random states and counters
    for seed in range(3):
        held, copied = held_and_copied({"freeze_layers": "all"}, seed)
        assert held == head
        assert copied < head + small
    for seed in range(3):
        held, copied = held_and_copied({"freeze_layers": 2}, seed)
        assert held == head + above
        assert copied < head + 2 * above + small
    held, copied = held_and_copied({"freeze_layers": 0}, 0)
    assert held == whole_model
    held, copied = held_and_copied({"freeze_layers": "all"}, 0)
    assert held == head
    assert whole_model <= copied < whole_model + 2 * head + small
    held, copied = held_and_copied({"freeze_layers": "all"}, 0)
    assert copied < head + small


def test_a_memory_probe_leaves_no_second_model() -> None:
    learner = Drawn()
    base = BaseModel(learner, CPU)
    before = whole(base.fresh({}, seed=0))
    alone = megabytes(base)
    memory_trial(base, numerics(), CONFIG)(4)
    assert megabytes(base) > 1.5 * alone - megabytes(learner)
    fine_tune(learner, {"freeze_layers": "all"}, base=base)
    assert megabytes(base) == pytest.approx(alone)
    assert_equal(before, whole(base.fresh({}, seed=0)))


def test_a_weight_of_which_a_part_is_drawn_is_pretrained_in_the_rest() -> None:
    learner = Drawn(part=5)
    pretrained = learner.load_model().get_parameter("pooler.weight").clone()
    base = BaseModel(learner, CPU)
    assert base.head == {"classifier.weight", "classifier.bias"}
    drawn = []
    for seed in (1, 2, 1):
        measured(fine_tune(learner, base=base, seed=seed), 1)
        weight = base.fresh({}, seed=seed).get_parameter("pooler.weight")
        assert torch.equal(weight[5:], pretrained[5:])
        drawn.append(weight[:5].clone())
    assert torch.equal(drawn[0], drawn[2])
    assert not torch.equal(drawn[0], drawn[1])


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
