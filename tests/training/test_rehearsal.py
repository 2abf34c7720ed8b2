from typing import Any

import numpy as np
import pytest
import torch
from test_single_rows import Normed, NumberLearner
from torch import Tensor, nn
from training_learners import CONFIG, CPU, TextLearner, assert_same_measurements, fine_tune, measured, numerics

from hpsearch.errors import TaskError
from hpsearch.training.base_model import BaseModel
from hpsearch.training.rehearsal import rehearse


class Watched(TextLearner):
    """Does something to each batch that goes through, and notes its shape."""

    def __init__(self, trouble: Any = None) -> None:
        super().__init__()
        self.trouble = trouble
        self.training: list[tuple[int, int]] = []

    def outputs(self, model: nn.Module, batch: Any) -> Tensor:
        if model.training:
            self.training.append(tuple(batch["tokens"].shape))
        outputs = super().outputs(model, batch)
        return outputs if self.trouble is None else self.trouble(outputs, model)


def test_the_longest_the_shortest_and_an_odd_batch_are_tried() -> None:
    learner = Watched()
    rehearse(BaseModel(learner, CPU), numerics(), CONFIG)
    lengths = np.sort(learner.lengths)
    assert learner.training[1:] == [(1, lengths[-1]), (1, lengths[0]), (3, lengths[len(lengths) // 2])]
    assert learner.training[0][0] == 1  # whether it takes a single row


@pytest.mark.parametrize("batch_size", [4, 3])  # the first leaves a single row of nine
def test_the_shortest_batch_is_of_two_rows_where_the_model_takes_no_single_one(batch_size: int) -> None:
    learner = NumberLearner(Normed, 9)
    rehearse(BaseModel(learner, CPU), numerics(), {**CONFIG, "freeze_layers": 0, "batch_size": batch_size})
    assert learner.seen == [2, 2, 3]
    with pytest.raises(TaskError, match="batch_size=1"):
        rehearse(BaseModel(learner, CPU), numerics(), {**CONFIG, "freeze_layers": 0, "batch_size": 1})


def cast(outputs: Tensor, model: nn.Module) -> Tensor:
    """What DeBERTa v1 does: fill with a number that bf16 cannot hold."""
    return outputs.masked_fill(outputs.isnan(), torch.finfo(torch.float32).min)


def infinite_in_bf16(outputs: Tensor, model: nn.Module) -> Tensor:
    return outputs * (float("inf") if outputs.dtype == torch.bfloat16 else 1.0)


def backwards(outputs: Tensor, model: nn.Module) -> Tensor:
    return outputs.double().bmm(outputs.double()) if outputs.dtype == torch.bfloat16 else outputs


def in_evaluation(outputs: Tensor, model: nn.Module) -> Tensor:
    return outputs if model.training or outputs.dtype != torch.bfloat16 else outputs * float("nan")


@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        (cast, "cannot be trained in bf16: it fails on a training batch of 1: RuntimeError"),
        (backwards, "fails on a training batch of 1"),
        (infinite_in_bf16, "training loss that is not finite"),
        (in_evaluation, "outputs that are not finite"),
    ],
)
def test_what_fails_in_bf16_alone_is_found(trouble: Any, words: str) -> None:
    learner = Watched(trouble)
    base = BaseModel(learner, CPU)
    with pytest.raises(TaskError, match=words):
        rehearse(base, numerics("bf16"), CONFIG)
    rehearse(base, numerics("fp32"), CONFIG)


class Hidden(TextLearner):
    """A pooler whose outputs reach so much, before a tanh hides it."""

    def __init__(self, reached: float) -> None:
        super().__init__()
        self.reached = reached

    def build(self) -> nn.Module:
        model = super().build()
        with torch.no_grad():
            model.get_submodule("pooler").bias.fill_(self.reached)
        return model


@pytest.mark.parametrize(
    ("reached", "words"),
    [
        (1e3, None),
        (4e4, "cannot be trained in fp16: it computes numbers up to 4.*, too near to 65,504, the greatest of fp16"),
        (1e5, "computes numbers above 65,504, the greatest of fp16"),
    ],
)
def test_numbers_that_fp16_does_not_hold_are_found_where_the_model_hides_them(reached: float, words: str) -> None:
    base = BaseModel(Hidden(reached), CPU)
    rehearse(base, numerics("fp32"), CONFIG)
    if words is None:
        rehearse(base, numerics("fp16"), CONFIG)
        return
    with pytest.raises(TaskError, match=words):
        rehearse(base, numerics("fp16"), CONFIG)


class Routed(nn.Module):
    """A pooler with an expert that no row is led to."""

    def __init__(self, inner: Any) -> None:
        super().__init__()
        self.inner, self.bias = inner, inner.bias
        self.expert = nn.Linear(inner.out_features, inner.out_features)

    def forward(self, hidden: Tensor) -> Tensor:
        pooled: Tensor = self.inner(hidden)
        led = torch.zeros(pooled.shape[:-1], dtype=torch.bool)
        return pooled.index_put((led,), self.expert(pooled[led]).to(pooled.dtype))


class Attending(nn.Module):
    """A pooler with attention, which returns a tuple, beyond what fp16 holds, before a tanh hides it."""

    def __init__(self, inner: Any) -> None:
        super().__init__()
        self.inner, self.bias = inner, inner.bias
        self.attention = nn.MultiheadAttention(inner.out_features, 1)
        with torch.no_grad():
            self.attention.out_proj.bias.fill_(1e5)

    def forward(self, hidden: Tensor) -> Tensor:
        pooled: Tensor = self.inner(hidden)
        attended: Tensor = self.attention(pooled[None], pooled[None], pooled[None])[0][0]
        return pooled + torch.tanh(attended)


class Pooling(TextLearner):
    def __init__(self, kind: type[nn.Module]) -> None:
        super().__init__()
        self.kind = kind

    def build(self) -> Any:
        model: Any = super().build()
        model.pooler = self.kind(model.pooler)
        return model


def test_a_layer_that_no_row_reaches_is_no_trouble_in_fp16() -> None:
    rehearse(BaseModel(Pooling(Routed), CPU), numerics("fp16"), CONFIG)


def test_layers_that_return_tuples_are_looked_at_in_fp16() -> None:
    base = BaseModel(Pooling(Attending), CPU)
    rehearse(base, numerics("bf16"), CONFIG)
    with pytest.raises(TaskError, match="computes numbers above 65,504, the greatest of fp16"):
        rehearse(base, numerics("fp16"), CONFIG)


class Steep(TextLearner):
    """Losses so many times as great, for gradients that fp16 holds under a smaller scale, or under none."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def losses(self, logits: Tensor, targets: Tensor, label_smoothing: float) -> Tensor:
        return self.factor * super().losses(logits, targets, label_smoothing)


@pytest.mark.parametrize(("factor", "fits"), [(1.0, True), (1e4, True), (1e8, False)])
def test_gradients_in_fp16_are_tried_under_every_scale_that_the_loss_may_have(factor: float, fits: bool) -> None:
    base = BaseModel(Steep(factor), CPU)
    rehearse(base, numerics("fp32"), CONFIG)
    if fits:
        rehearse(base, numerics("fp16"), CONFIG)
        return
    with pytest.raises(TaskError, match="cannot be trained in fp16: it has a norm of the gradients that is not finite"):
        rehearse(base, numerics("fp16"), CONFIG)


def test_a_rehearsal_leaves_the_base_ready_and_the_callers_random_states_alone() -> None:
    learner = TextLearner()
    base = BaseModel(learner, CPU)
    expected = measured(fine_tune(learner, base=base))
    torch.manual_seed(0)
    state = torch.get_rng_state()
    for precision in ("fp32", "fp16"):
        rehearse(base, numerics(precision), CONFIG)
    assert torch.equal(state, torch.get_rng_state())
    assert all(parameter.grad is None for parameter in base.model.parameters())
    assert_same_measurements(expected, measured(fine_tune(learner, base=base)))
