from dataclasses import replace
from typing import Any

import pytest
import torch
from fake_cuda import CUDA, fake_cuda
from test_single_rows import Normed, NumberLearner
from torch import Tensor, nn
from training_learners import (
    CONFIG,
    CPU,
    BertLearner,
    ImageLearner,
    TextLearner,
    assert_same_measurements,
    fine_tune,
    measured,
    numerics,
)

from hpsearch.records import Savings
from hpsearch.training.base_model import BaseModel
from hpsearch.training.memory_probe import memory_trial, possible_savings
from hpsearch.training.numerics import Numerics, probe_micro_batch


class Watching(TextLearner):
    """Allocates more than there is for batches of more than `fits` rows."""

    fits = 5

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[int, int, bool, int]] = []

    def outputs(self, model: nn.Module, batch: Any) -> Tensor:
        rows, length = batch["tokens"].shape
        with_gradient = sum(parameter.grad is not None for parameter in model.parameters())
        self.seen.append((rows, length, model.training, with_gradient))
        if model.training and rows > self.fits:
            torch.empty(10**15)
        return super().outputs(model, batch)


def test_the_probe_finds_what_fits_on_the_longest_rows() -> None:
    learner = Watching()
    base = BaseModel(learner, CPU)
    try_batch = memory_trial(base, numerics(), CONFIG)
    assert probe_micro_batch(try_batch, 16) == 4
    training = [seen for seen in learner.seen if seen[2]]
    assert [rows for rows, *_ in training] == [16, 8, 4, 4]
    longest = -(-int(learner.lengths.max()) // 16) * 16
    assert {length for _, length, *_ in training} == {longest}
    # All parameters but the two that are never used, in the second pass: gradients are held, and so is AdamW's state.
    parameters = len(list(base.model.parameters()))
    assert [gradients for *_, gradients in training] == [0, 0, 0, parameters - 2]
    assert learner.seen[-1][2] is False


def test_a_probe_leaves_the_base_ready_and_the_callers_random_states_alone() -> None:
    learner = TextLearner()
    base = BaseModel(learner, CPU)
    expected = measured(fine_tune(learner, base=base))
    torch.manual_seed(0)
    state = torch.get_rng_state()
    memory_trial(base, numerics(), CONFIG)(8)
    assert torch.equal(state, torch.get_rng_state())
    assert all(parameter.grad is None for parameter in base.model.parameters())
    assert_same_measurements(expected, measured(fine_tune(learner, base=base)))


def test_one_row_is_too_few_for_a_model_that_refuses_it() -> None:
    try_batch = memory_trial(BaseModel(NumberLearner(Normed, 9), CPU), numerics(), {**CONFIG, "freeze_layers": 0})
    try_batch(2)
    with pytest.raises(torch.OutOfMemoryError, match="only be trained on two or more"):
        try_batch(1)


def test_not_even_one_row() -> None:
    learner = Watching()
    learner.fits = 0
    with pytest.raises(torch.OutOfMemoryError):
        probe_micro_batch(memory_trial(BaseModel(learner, CPU), numerics(), CONFIG), 4)


def test_a_frozen_layer_is_tried_frozen() -> None:
    learner = Watching()
    base = BaseModel(learner, CPU)
    memory_trial(base, numerics(), {**CONFIG, "freeze_layers": 1})(4)
    training = [seen for seen in learner.seen if seen[2]]
    trained = sum(parameter.requires_grad for parameter in base.model.parameters())
    assert trained < len(list(base.model.parameters()))
    assert [gradients for *_, gradients in training] == [0, trained - 2]


def test_what_is_frozen_or_checkpointed_needs_less(monkeypatch: pytest.MonkeyPatch) -> None:
    """Peaks of 16 rows on a pretended GPU; just that much is enough, and one byte less is not."""
    whole = Numerics(device_type="cuda")
    cases = {
        "as it is": (whole, CONFIG),
        "checkpointed": (replace(whole, gradient_checkpointing=True), CONFIG),
        "half frozen": (whole, {**CONFIG, "freeze_layers": 1}),
        "head only": (whole, {**CONFIG, "freeze_layers": "all"}),
    }
    peaks = {}
    with fake_cuda(monkeypatch) as gpu:
        base = BaseModel(BertLearner(width=32), CUDA)
        for name, (computing, config) in cases.items():
            try_batch = memory_trial(base, computing, config)
            try_batch(16)
            peaks[name] = gpu.peak
            gpu.capacity = gpu.peak
            try_batch(16)
            gpu.capacity = gpu.peak - 1
            assert probe_micro_batch(try_batch, 16) < 16
            gpu.capacity = None
    assert peaks["as it is"] > peaks["half frozen"] > peaks["head only"]
    assert peaks["checkpointed"] < 0.7 * peaks["as it is"]


@pytest.mark.parametrize(
    ("learner", "freeze_layers", "expected"),
    [
        (BertLearner, 0, Savings(micro_batches=True, gradient_checkpointing=True)),
        (BertLearner, "all", Savings(micro_batches=True, gradient_checkpointing=False)),
        (TextLearner, 0, Savings(micro_batches=True, gradient_checkpointing=False)),
        (ImageLearner, 0, Savings(micro_batches=False, gradient_checkpointing=False)),
        (ImageLearner, 1, Savings(micro_batches=True, gradient_checkpointing=False)),
    ],
)
def test_how_a_model_may_be_trained_in_less_memory(learner: Any, freeze_layers: Any, expected: Savings) -> None:
    """Batch normalization that is trained averages over the rows that are together; frozen it does not."""
    made = BaseModel(learner(), CPU)
    assert possible_savings(made, {**CONFIG, "freeze_layers": freeze_layers}) == expected
