import numpy as np
import pytest
import torch
from token_samples import causal_model, counting

from hpsearch.data.ragged import Ragged, to_bytes
from hpsearch.tasks.generation import learner as learner_module
from hpsearch.training.gradients import accumulate_gradients
from hpsearch.training.numerics import Numerics
from hpsearch.training.prediction import predict

ROWS = np.arange(24)


def plain_loss(learner, model, rows, weights):
    """The loss a token of a batch, computed row by row with all logits."""
    total = tokens = 0.0
    for row in rows:
        own = torch.from_numpy(learner.tokens[int(row)].astype(np.int64))
        count, weight = int(learner.token_counts[row]), 1.0 if weights is None else float(weights[row])
        logits = model(input_ids=own[None]).logits[0]
        losses = torch.nn.functional.cross_entropy(logits[:-1], own[1:], reduction="none")[-count:]
        total, tokens = total + weight * losses.sum(), tokens + weight * count
    return total / tokens


@pytest.mark.parametrize("micro_batch", [None, 3])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_batch_has_the_loss_a_token_however_it_is_divided(tmp_path, micro_batch, weighted):
    learner, model = counting(tmp_path, weights=weighted), causal_model()
    rows = np.array([2, 7, 1, 9, 15, 4, 20])
    wanted = plain_loss(learner, model, rows, learner.dataset.get("weights"))
    wanted.backward()
    gradients = [parameter.grad.clone() for parameter in model.parameters()]
    model.zero_grad()
    total, weight = accumulate_gradients(
        model, learner, rows, label_smoothing=0.0, numerics=Numerics(micro_batch=micro_batch),
        device=torch.device("cpu"), padding_multiple=1,
    )  # fmt: skip
    assert total.item() / weight == pytest.approx(wanted.item(), rel=1e-6)
    for own, parameter in zip(gradients, model.parameters(), strict=True):
        assert torch.allclose(own, parameter.grad, atol=1e-6)


def test_what_is_kept_of_a_row_does_not_depend_on_its_company(tmp_path):
    learner, model = counting(tmp_path), causal_model()
    together = predict(model, learner, ROWS, Numerics(), "cpu")
    assert together.shape == (24, 3) and together.dtype == np.float64
    assert together[:, 1].tolist() == learner.token_counts.tolist()
    assert to_bytes(predict(model, learner, np.array([7, 3]), Numerics(), "cpu")) == to_bytes(together[[7, 3]])
    with torch.no_grad():
        wanted = plain_loss(learner, model, ROWS, None).item()
    assert learner.mean_loss(together, ROWS) == pytest.approx(wanted, rel=1e-6)


def test_answers_are_kept_beside_the_same_numbers_on_request(tmp_path):
    learner, model = counting(tmp_path), causal_model()
    numbers = predict(model, learner, ROWS, Numerics(), "cpu")
    kept = predict(model, learner.for_answers(), ROWS, Numerics(), "cpu")
    assert isinstance(kept, Ragged) and kept.elements.dtype == np.uint8
    predictions = learner.judge.predictions(kept)
    assert predictions.texts.tolist() == [f"row {row} é" for row in ROWS]
    assert predictions.loss_sums.tolist() == numbers[:, 0].tolist()
    assert learner.mean_loss(kept, ROWS) == learner.mean_loss(numbers, ROWS)
    assert learner.judge.predictions(numbers).texts is None
    assert not counting(tmp_path / "none", max_new_tokens=0).for_answers().answering


def test_a_long_answer_is_cut_to_what_the_judge_says(tmp_path):
    learner = counting(tmp_path, max_new_tokens=1)
    learner.answers = lambda model, batch, rows: ["é" * 30] * len(rows)
    kept = predict(causal_model(), learner.for_answers(), ROWS[:3], Numerics(), "cpu")
    assert learner.judge.predictions(kept).texts.tolist() == ["é" * 4] * 3
    assert np.diff(kept.offsets).max() == learner.judge.row_bytes


def test_evaluation_batches_hold_no_more_logits_than_fit(tmp_path, monkeypatch):
    learner = counting(tmp_path)
    assert learner.evaluation_rows > 10_000
    monkeypatch.setattr(learner_module, "EVALUATION_LOGITS", 40 * int(learner.token_counts.max()) * 20)
    assert learner.evaluation_rows == 20
    seen = []
    batch = learner.batch
    learner.batch = lambda rows, multiple: seen.append(len(rows)) or batch(rows, multiple)
    predict(causal_model(), learner, ROWS, Numerics(), "cpu")
    assert seen == [32]
    monkeypatch.setattr(learner_module, "EVALUATION_LOGITS", 1)
    seen.clear()
    predict(causal_model(), learner, ROWS, Numerics(), "cpu")
    assert seen == [16, 16]


def test_label_smoothing_is_torchs(tmp_path):
    learner, model = counting(tmp_path), causal_model()
    rows = np.array([5, 6])
    outputs = learner.outputs(model, learner.batch(rows, 1))
    found = learner.losses(outputs, learner.targets(rows), 0.2)
    for place, row in enumerate(rows):
        own, count = torch.from_numpy(learner.tokens[int(row)].astype(np.int64)), int(learner.token_counts[row])
        logits = model(input_ids=own[None]).logits[0]
        losses = torch.nn.functional.cross_entropy(logits[:-1], own[1:], reduction="none", label_smoothing=0.2)
        assert found[place].item() == pytest.approx(losses[-count:].mean().item(), rel=1e-5)
