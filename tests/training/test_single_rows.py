from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from training_learners import CLASSES, CPU, ImageLearner, TinyLearner, measured, numerics

from hpsearch.errors import TaskError
from hpsearch.training.base_model import BaseModel
from hpsearch.training.batches import epoch_batches, parts, steps_per_epoch, without_single
from hpsearch.training.fine_tune import FineTune
from hpsearch.training.numerics import Numerics


class Normed(nn.Module):
    """Batch normalization of one value a row: a single row leaves it nothing to average."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU())
        self.classifier = nn.Linear(6, CLASSES)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.classifier(self.body(inputs))


class Squeezing(Normed):
    """Drops the axis of rows where there is one, and has no batch normalization."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 6), nn.ReLU())

    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs).squeeze(0)


class NumberLearner(TinyLearner):
    """Notes how many rows each training batch has."""

    def __init__(self, model: type[nn.Module], rows: int) -> None:
        super().__init__(rows)
        self._lengths = np.ones(rows, dtype=np.int64)
        self._model = model
        self._inputs = torch.randn(rows, 4, generator=torch.Generator().manual_seed(1))
        self.seen: list[int] = []

    def build(self) -> nn.Module:
        return self._model()

    def layers(self, model: nn.Module) -> list[list[nn.Module]]:
        return [[], [model.get_submodule("body")]]

    def batch(self, rows: np.ndarray, padding_multiple: int) -> dict[str, Tensor]:
        return {"inputs": self._inputs[rows]}

    def outputs(self, model: nn.Module, batch: Any) -> Tensor:
        if model.training and torch.is_grad_enabled():
            self.seen.append(len(batch["inputs"]))
        return super().outputs(model, batch)


def run_of(
    learner: TinyLearner,
    rows: int,
    batch_size: int,
    computing: Numerics | None = None,
    base: BaseModel | None = None,
    **config: Any,
) -> FineTune:
    """Return a run of two epochs on the first rows; the last four are held out."""
    return FineTune(
        learner,
        {"learning_rate": 1e-3, "batch_size": batch_size, "epochs": 2, **config},
        train_rows=np.arange(rows),
        held_out_rows=np.arange(len(learner.lengths) - 4, len(learner.lengths)),
        seed=5,
        evaluations_per_epoch=2,
        numerics=computing or numerics(),
        device=CPU,
        base=base or BaseModel(learner, CPU),
    )


def trained(model: type[nn.Module], rows: int, batch_size: int, **changes: Any) -> list[int]:
    """Return how many rows each training batch had."""
    learner = NumberLearner(model, rows + 4)
    run = run_of(learner, rows, batch_size, **changes)
    assert all(np.isfinite(each.validation_loss) for each in measured(run))
    assert run.point == run.horizon
    return sorted(learner.seen)


@pytest.mark.parametrize("model", [Normed, Squeezing])
def test_a_single_row_joins_the_batch_before_it_where_the_model_refuses_it(model: type[nn.Module]) -> None:
    assert trained(model, 13, 4) == [4, 4, 4, 4, 5, 5]
    assert trained(model, 5, 4) == [5, 5]
    assert trained(model, 14, 4) == [2, 2, 4, 4, 4, 4, 4, 4]


def test_micro_batches_of_one_row_join_the_ones_before_them() -> None:
    assert trained(Normed, 10, 5, computing=numerics(micro_batch=4)) == [5] * 4
    assert trained(Normed, 11, 5, computing=numerics(micro_batch=2)) == [2] * 8 + [3] * 2


def test_where_nothing_refuses_single_rows_batches_stay_as_they_are() -> None:
    assert trained(Normed, 13, 4, freeze_layers=1) == [1, 1, 4, 4, 4, 4, 4, 4]  # frozen norms take any number
    images = run_of(ImageLearner(13), 9, 4)
    assert images.steps_total == 6  # one image has several values a channel: torch takes it, and so it stays
    assert run_of(NumberLearner(Normed, 13), 9, 4).steps_total == 4


def test_trying_a_single_row_leaves_no_trace() -> None:
    base = BaseModel(NumberLearner(Normed, 13), CPU)
    torch.manual_seed(0)
    state = torch.get_rng_state()
    run_of(base.learner, 9, 4, base=base)  # type: ignore[arg-type]  # the learner that it was made with
    assert torch.equal(state, torch.get_rng_state())
    for name, buffer in base.model.named_buffers():
        assert torch.equal(buffer, base.pristine_buffers()[name]), name


@pytest.mark.parametrize(
    ("rows", "batch_size", "micro_batch", "words"),
    [
        (12, 1, None, "batch_size=1"),
        (12, 4, 1, "only one row fits on the device"),
        (1, 4, None, "there is one training row"),
    ],
)
def test_where_there_is_nothing_to_join_it_is_said(
    rows: int, batch_size: int, micro_batch: int | None, words: str
) -> None:
    with pytest.raises(TaskError, match=words):
        trained(Normed, rows, batch_size, computing=numerics(micro_batch=micro_batch))


@given(st.integers(1, 200), st.integers(2, 64), st.integers(0, 9))
def test_joined_batches_are_every_row_once_and_never_one_alone(rows: int, batch_size: int, epoch: int) -> None:
    lengths = np.random.default_rng(rows).integers(1, 99, rows)
    batches = epoch_batches(lengths, batch_size, 0, epoch, joins_single=True)
    assert sorted(np.concatenate(batches)) == list(range(rows))
    assert len(batches) == steps_per_epoch(rows, batch_size, joins_single=True)
    assert all(2 <= len(batch) <= batch_size + 1 for batch in batches) or rows == 1
    if rows % batch_size != 1:
        plain = epoch_batches(lengths, batch_size, 0, epoch)
        assert [batch.tolist() for batch in batches] == [batch.tolist() for batch in plain]
    assert [part.tolist() for part in without_single(parts(np.arange(5), 2))] == [[0, 1], [2, 3, 4]]
