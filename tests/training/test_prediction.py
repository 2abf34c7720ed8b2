from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from training_learners import CPU, PRECISIONS, BertLearner, ImageLearner, TagLearner, TextLearner, TinyLearner, numerics

from hpsearch.data.ragged import Ragged, to_bytes
from hpsearch.errors import DataError
from hpsearch.training.base_model import BaseModel
from hpsearch.training.prediction import predict

ROWS = 160


class OneOutput(TextLearner):
    """A head with one output: a product of a matrix and a vector, for which there are other kernels."""

    def build(self) -> nn.Module:
        model = super().build()
        model.register_module("classifier", nn.Linear(64, 1))
        return model


def wide(kind: type[TinyLearner]) -> tuple[TinyLearner, nn.Module]:
    """Return a learner and a model wide enough for the kernels to take other paths for other shapes."""
    learner = kind(ROWS, width=64, heads=4) if issubclass(kind, TextLearner) else kind(ROWS)
    return learner, BaseModel(learner, CPU).fresh({}, seed=0)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("kind", [TextLearner, BertLearner, OneOutput, ImageLearner])
def test_a_rows_logits_do_not_depend_on_its_company(kind: type[TinyLearner], precision: str) -> None:
    learner, model = wide(kind)
    rows, computing = np.arange(ROWS), numerics(precision)
    together = predict(model, learner, rows, computing, CPU)
    assert together.dtype == np.float32
    assert together.shape == (ROWS, 1 if kind is OneOutput else 3)

    alone = np.concatenate([predict(model, learner, rows[row : row + 1], computing, CPU) for row in rows])
    few = predict(model, learner, rows, numerics(precision, micro_batch=2), CPU)
    permuted = np.random.default_rng(0).permutation(ROWS)
    in_other_order = predict(model, learner, permuted, computing, CPU)
    some = predict(model, learner, permuted[:37], computing, CPU)
    assert np.array_equal(together, alone)
    assert np.array_equal(together, few)
    assert np.array_equal(together[permuted], in_other_order)
    assert np.array_equal(together[permuted[:37]], some)


def test_without_padding_to_sixteen_company_does_matter() -> None:
    """Else the test above would hold whatever the padding."""
    learner, model = wide(TextLearner)
    rows, computing = np.arange(ROWS), numerics(padding_multiple=1)
    together = predict(model, learner, rows, computing, CPU)
    alone = np.concatenate([predict(model, learner, rows[row : row + 1], computing, CPU) for row in rows])
    np.testing.assert_allclose(together, alone, atol=1e-4)
    assert not np.array_equal(together, alone)


def test_the_model_is_in_eval_mode_and_nothing_is_remembered_for_a_backward_pass() -> None:
    class Watching(TextLearner):
        seen: list[tuple[bool, bool]]

        def outputs(self, model: nn.Module, batch: Any) -> Tensor:
            logits = super().outputs(model, batch)
            self.seen.append((model.training, logits.requires_grad))
            return logits

    learner = Watching()
    learner.seen = []
    model = BaseModel(learner, CPU).fresh({}, seed=0).train()
    predict(model, learner, np.arange(9), numerics(), CPU)
    assert set(learner.seen) == {(False, False)}
    assert not any(module.training for module in model.modules())


def test_a_model_that_draws_random_numbers_is_a_function_all_the_same() -> None:
    class Noisy(ImageLearner):
        def outputs(self, model: nn.Module, batch: Any) -> Tensor:
            logits = super().outputs(model, batch)
            return logits + torch.randn_like(logits)

    learner = Noisy()
    model = BaseModel(learner, CPU).fresh({}, seed=0)
    state = torch.get_rng_state()
    first = predict(model, learner, np.arange(9), numerics(), CPU)
    assert torch.equal(state, torch.get_rng_state())
    torch.rand(3)
    assert np.array_equal(first, predict(model, learner, np.arange(9), numerics(), CPU))


@pytest.mark.parametrize("precision", PRECISIONS)
def test_rows_of_different_lengths_are_kept_in_the_order_given(precision: str) -> None:
    learner = TagLearner(ROWS, width=64, heads=4)
    model = BaseModel(learner, CPU).fresh({}, seed=0)
    computing, permuted = numerics(precision), np.random.default_rng(0).permutation(ROWS)
    together = predict(model, learner, np.arange(ROWS), computing, CPU)
    assert isinstance(together, Ragged)
    assert together.elements.dtype == np.float32
    assert np.diff(together.offsets).tolist() == learner.lengths.tolist()
    in_other_order = predict(model, learner, permuted, computing, CPU)
    assert to_bytes(in_other_order) == to_bytes(together[permuted])
    alone = [predict(model, learner, np.array([row]), computing, CPU) for row in (5, 77)]
    assert [to_bytes(one) for one in alone] == [to_bytes(together[np.array([row])]) for row in (5, 77)]


def test_what_is_kept_may_be_of_any_type_and_shape() -> None:
    class Codes(TextLearner):
        def keep(self, outputs: Tensor, batch: Any, *_: Any) -> Tensor:
            return outputs.argmax(dim=1)

    learner = Codes()
    model = BaseModel(learner, CPU).fresh({}, seed=0)
    codes = predict(model, learner, np.arange(9), numerics(), CPU)
    logits = predict(model, TextLearner(), np.arange(9), numerics(), CPU)
    assert isinstance(codes, np.ndarray) and isinstance(logits, np.ndarray)
    assert (codes.dtype, codes.tolist()) == (np.int64, logits.argmax(axis=1).tolist())


@pytest.mark.parametrize(
    ("kept", "words"),
    [
        (lambda rows, number: list(rows) if number else rows, "a tensor for one batch and a list for another"),
        (lambda rows, _: [row.sum() for row in rows], "a list of one tensor of one axis or more a row"),
    ],
)
def test_what_is_kept_in_two_forms_or_in_none_is_an_error(kept: Any, words: str) -> None:
    class Careless(TextLearner):
        batches = 0

        def keep(self, outputs: Tensor, batch: Any, *_: Any) -> Any:
            self.batches += 1
            return kept(outputs, self.batches - 1)

    learner = Careless(ROWS)
    model = BaseModel(learner, CPU).fresh({}, seed=0)
    with pytest.raises(TypeError, match=words):
        predict(model, learner, np.arange(ROWS), numerics(), CPU)


def test_what_is_kept_may_be_computed_from_targets_and_by_the_model() -> None:
    class Right(TextLearner):
        def keep(self, outputs: Tensor, batch: Any, rows: np.ndarray, model: nn.Module) -> Tensor:
            assert not model.training
            return (outputs.argmax(dim=1) == self.targets(rows)).float()

    learner = Right(40)
    model = BaseModel(learner, CPU).fresh({}, seed=0)
    logits = predict(model, TextLearner(40), np.arange(40), numerics(), CPU)
    assert isinstance(logits, np.ndarray)
    expected = logits.argmax(axis=1) == learner.targets(np.arange(40)).numpy()
    assert predict(model, learner, np.arange(40), numerics(), CPU).tolist() == expected.tolist()  # type: ignore[union-attr]


def test_no_rows_are_an_error() -> None:
    learner = TextLearner()
    with pytest.raises(DataError, match="no rows to predict"):
        predict(learner.load_model(), learner, np.array([], dtype=np.int64), numerics(), CPU)
