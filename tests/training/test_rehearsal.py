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


def test_a_rehearsal_leaves_the_base_ready_and_the_callers_random_states_alone() -> None:
    learner = TextLearner()
    base = BaseModel(learner, CPU)
    expected = measured(fine_tune(learner, base=base))
    torch.manual_seed(0)
    state = torch.get_rng_state()
    rehearse(base, numerics(), CONFIG)
    assert torch.equal(state, torch.get_rng_state())
    assert all(parameter.grad is None for parameter in base.model.parameters())
    assert_same_measurements(expected, measured(fine_tune(learner, base=base)))
