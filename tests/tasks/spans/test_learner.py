"""Runs over spans: the loss of a token, resumed and read from the cache to the last bit."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from feature_learners import cached, run_of, store
from tasks_samples import booking_rows, save_text_model
from training_learners import (
    CPU,
    PRECISIONS,
    assert_same_measurements,
    assert_same_state,
    everything,
    measured,
    numerics,
)

import hpsearch as hp
from hpsearch.data.ragged import Ragged
from hpsearch.tasks.spans.learner import SpanLearner
from hpsearch.tasks.spans.tags import UNTAGGED
from hpsearch.training.base_model import BaseModel
from hpsearch.training.gradients import accumulate_gradients
from hpsearch.training.prediction import predict
from hpsearch.training.random_states import isolated

ROWS = 24


@pytest.fixture(scope="module", params=["bert", "xlnet"])
def prepared(request: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    """A task and its rows; XLNet's are padded on the left."""
    place = tmp_path_factory.mktemp(request.param)
    save_text_model(place / "model", request.param)
    task = hp.TokenClassification(str(place / "model"), train=booking_rows(ROWS), sample_weight="weight")
    return task, task.prepare(place / "cache")


def test_targets_lie_beside_the_logits_of_their_tokens(prepared: Any) -> None:
    task, rows = prepared
    learner = task.learner(rows)
    assert isinstance(learner, SpanLearner)
    chosen = np.array([3, 0, 7])
    batch, targets = learner.batch(chosen, 16), learner.targets(chosen)
    padding = learner.dataset.facts["pad_token_id"]
    whole = torch.full(batch["input_ids"].shape, UNTAGGED)
    if learner.dataset.facts["padding_side"] == "left":
        whole[:, -targets.shape[1] :] = targets
    else:
        whole[:, : targets.shape[1]] = targets
    assert (whole[batch["attention_mask"] == 0] == UNTAGGED).all()
    special = torch.isin(batch["input_ids"], torch.tensor([padding, 2, 3]))
    assert ((whole == UNTAGGED) == special).all()
    shares = learner.weights(chosen)
    assert shares is not None
    assert torch.equal(shares, (targets != UNTAGGED).sum(dim=1) * torch.from_numpy(learner.sample_weights(chosen)))


def test_the_loss_of_a_batch_is_that_of_a_token_whatever_its_parts(prepared: Any) -> None:
    """In training, in micro-batches, and of held-out rows."""
    task, rows = prepared
    learner, chosen = task.learner(rows), np.arange(ROWS)
    with isolated(0):
        model = learner.load_model().eval()
    batch, codes = learner.batch(chosen, 16), learner.targets(chosen)
    with torch.no_grad():
        logits = learner._beside(learner.outputs(model, batch), codes.shape[1])
        each = torch.nn.functional.cross_entropy(
            logits.reshape(-1, logits.shape[2]), codes.reshape(-1), reduction="none", ignore_index=UNTAGGED
        ).reshape(codes.shape)
    weights = torch.from_numpy(learner.sample_weights(chosen))[:, None] * (codes != UNTAGGED)
    expected = float((each * weights).sum() / weights.sum())
    for micro_batch in (None, 5):
        total, share = accumulate_gradients(
            model, learner, chosen, label_smoothing=0.0, numerics=numerics(micro_batch=micro_batch), device=CPU,
            padding_multiple=16,
        )  # fmt: skip
        assert float(total) / share == pytest.approx(expected, rel=1e-5)
    kept = predict(model, learner, chosen, numerics(), CPU)
    assert isinstance(kept, Ragged)
    assert learner.mean_loss(kept, chosen) == pytest.approx(expected, rel=1e-5)
    right = ((logits.argmax(dim=2) == codes) & (codes != UNTAGGED)).sum(dim=1)
    assert kept.elements[kept.offsets[:-1], 2].tolist() == right.tolist()


@pytest.mark.parametrize("precision", PRECISIONS)
def test_frozen_layers_may_be_read_and_a_run_may_be_resumed(prepared: Any, precision: str, tmp_path: Path) -> None:
    task, rows = prepared
    if precision != "fp32" and "xlnet" in str(rows.source):
        pytest.skip("one architecture shows it")
    learner = task.learner(rows)
    plain = BaseModel(learner, CPU)
    base = cached(learner, store(tmp_path), [rows.model_digest, rows.data_digest])
    for layers in (1, "all"):
        config = task.complete({"learning_rate": 3e-3, "batch_size": 8, "epochs": 1, "freeze_layers": layers})
        expected, run = (run_of(learner, each, config, numerics(precision), ROWS) for each in (plain, base))
        found = measured(expected)
        assert_same_measurements(found, measured(run))
        assert_same_state(everything(expected), everything(run))
        if "xlnet" not in str(rows.source):  # whose layers read more than the output below
            assert run._features is not None, layers
            assert all(run._features._recordings.values()), layers
        final = everything(expected)
        first = run_of(learner, plain, config, numerics(precision), ROWS)
        measured(first, 1)
        files = first.checkpoint()
        resumed = run_of(learner, plain, config, numerics(precision), ROWS)
        resumed.restore(files)
        assert_same_measurements(found[1:], measured(resumed))
        assert_same_state(final, everything(resumed))
