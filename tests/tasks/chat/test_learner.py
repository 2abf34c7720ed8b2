"""Language models in training: losses a token, packed rows, resumed runs, frozen layers that are kept."""

import numpy as np
import pandas as pd
import pytest
import torch
from chat_samples import ROWS
from feature_learners import cached, run_of, store
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
from hpsearch.training.adapters import held_in
from hpsearch.training.base_model import BaseModel
from hpsearch.training.gradients import accumulate_gradients
from hpsearch.training.prediction import predict

COUNT = 24
CONFIG = {"learning_rate": 3e-3, "batch_size": 8, "epochs": 2, "lr_scheduler_type": "linear"}


@pytest.fixture(scope="module")
def prepared_learner(models, tmp_path_factory):
    """Return a function that gives a task, its prepared rows and its learner."""
    made = {}

    def prepared(kind="llama", **options):
        key = (kind, *sorted(options.items()))
        if key not in made:
            rows = pd.DataFrame([ROWS[row % 8] for row in range(COUNT)])
            task = hp.ChatFineTuning(models(kind), train=rows, **options)
            found = task.prepare(tmp_path_factory.mktemp("cache"))
            made[key] = task, found, task.learner(found)
        return made[key]

    return prepared


def test_the_loss_is_that_of_the_trained_tokens(prepared_learner):
    """Against what torch computes from all logits of one row at a time, without padding."""
    _, _, learner = prepared_learner()
    model = learner.load_model()
    rows = np.array([2, 0, 5])
    with torch.no_grad():
        outputs = learner.outputs(model, learner.batch(rows, 16))
    for place, row in enumerate(rows.tolist()):
        tokens = torch.from_numpy(learner.tokens[row].astype(np.int64))
        wanted = torch.from_numpy(learner._trained[row]).bool()[1:]
        with torch.no_grad():
            logits = model(input_ids=tokens[None]).logits[0, :-1]
        losses = torch.nn.functional.cross_entropy(logits, tokens[1:], reduction="none")[wanted]
        assert outputs[place, 0].item() == pytest.approx(losses.sum().item(), rel=1e-5)
        assert outputs[place, 2] == (logits.argmax(dim=1) == tokens[1:])[wanted].sum()
        assert learner.token_counts[row] == len(losses) == wanted.sum()


def gradients(learner, rows, micro_batch=None):
    model = learner.load_model().train()
    loss, total = accumulate_gradients(
        model, learner, rows, label_smoothing=0.0, numerics=numerics(micro_batch=micro_batch), device=CPU,
        padding_multiple=16,
    )  # fmt: skip
    return loss.item() / total, {name: each.grad for name, each in model.named_parameters() if each.grad is not None}


def test_packed_rows_and_micro_batches_have_the_same_loss_and_gradient(prepared_learner):
    """The loss is divided by the trained tokens of the whole batch, whatever passes through the model at once."""
    rows = np.arange(COUNT)
    for kind in ("llama", "gpt2"):
        plain, packing = (prepared_learner(kind, **options)[2] for options in ({}, {"packing": True}))
        dropout_free = {"dropout": 0.0}
        expected_loss, expected = _without_dropout(plain, rows, dropout_free)
        for learner, micro_batch in ((packing, None), (plain, 5), (packing, 7)):
            loss, found = _without_dropout(learner, rows, dropout_free, micro_batch)
            assert loss == pytest.approx(expected_loss, rel=1e-5)
            for name, gradient in expected.items():
                assert torch.allclose(found[name], gradient, rtol=1e-3, atol=1e-6), name


def _without_dropout(learner, rows, config, micro_batch=None):
    load = learner.load_model

    def configured():
        model = load()
        learner.configure(model, config)
        return model

    learner.load_model = configured
    try:
        return gradients(learner, rows, micro_batch)
    finally:
        del learner.load_model


def test_packing_needs_fewer_tokens_and_evaluation_is_never_packed(prepared_learner):
    learner = prepared_learner("llama", packing=True)[2]
    model, seen = learner.load_model(), []
    handle = model.register_forward_pre_hook(
        lambda _, __, given: seen.append(tuple(given["input_ids"].shape)), with_kwargs=True
    )
    batch = learner.batch(np.arange(8), 16)
    for mode in (model.train, model.eval):
        mode()
        learner.outputs(model, batch)
    handle.remove()
    assert seen[0][0] < 8 and seen[1][0] == 8
    apart = learner.outputs(model, batch)
    assert torch.equal(
        apart, prepared_learner("llama")[2].outputs(model, prepared_learner("llama")[2].batch(np.arange(8), 16))
    )


@pytest.mark.parametrize("packing", [False, True], ids=["apart", "packed"])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_resumed_run_is_the_same_to_the_bit(prepared_learner, precision, packing):
    options = {"packing": True} if packing else {}
    task, _, learner = prepared_learner("gpt2", **options)
    config = {**task.complete(CONFIG), "dropout": 0.1}
    computing = numerics(precision)
    whole = run_of(learner, BaseModel(learner, CPU), config, computing, COUNT)
    expected = measured(whole)
    first = run_of(learner, BaseModel(learner, CPU), config, computing, COUNT)
    before = measured(first, 2)
    files = first.checkpoint()
    second = run_of(learner, BaseModel(learner, CPU), config, computing, COUNT)
    second.restore(files)
    assert_same_measurements(expected, [*before, *measured(second)])
    assert_same_state(everything(whole), everything(second))


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_frozen_layers_that_are_kept_give_what_computed_ones_do(prepared_learner, kind, tmp_path):
    task, prepared, learner = prepared_learner(kind)
    base = cached(learner, store(tmp_path), [prepared.model_digest, prepared.data_digest])
    for precision in PRECISIONS:
        config = task.complete({**CONFIG, "freeze_layers": 1})
        expected, run = (
            run_of(learner, each, config, numerics(precision), COUNT) for each in (BaseModel(learner, CPU), base)
        )
        assert_same_measurements(measured(expected), measured(run))
        assert_same_state(everything(expected), everything(run))
        assert run._features is not None, precision


def test_answers_are_the_same_alone_and_together(prepared_learner):
    task, prepared, learner = prepared_learner("llama", max_new_tokens=12)
    run = run_of(learner, BaseModel(learner, CPU), task.complete({**CONFIG, "epochs": 6}), rows=COUNT)
    measured(run)
    model = run.model.eval()
    rows = np.arange(8)
    together = learner.answers(model, {}, rows)
    assert together == [learner.answers(model, {}, rows[[row]])[0] for row in rows]
    assert len(set(together)) > 1
    assert learner.answers(model, {}, np.array([3, 3, 1])) == [together[3], together[3], together[1]]
    kept = learner.for_answers().keep(torch.ones(8, 3, dtype=torch.float64), {}, rows, model)
    predictions = prepared.judge.predictions(Ragged.of([row.numpy() for row in kept]))
    assert predictions.texts.tolist() == together and predictions.loss_sums.tolist() == [1.0] * 8


@pytest.mark.parametrize("precision", PRECISIONS)
def test_answers_are_generated_by_adapters_over_a_base_in_the_same_precision(prepared_learner, precision):
    """In bf16 the frozen weights are in bf16 and the adapters in fp32: only autocast brings the two together."""
    task, prepared, learner = prepared_learner("llama", max_new_tokens=12)
    config, computing = task.complete({**CONFIG, "lora_r": 2}), numerics(precision)
    base = BaseModel(learner, CPU, held_in=held_in(learner, config, computing))
    run = run_of(learner, base, config, computing, COUNT)
    measured(run)
    held = torch.bfloat16 if precision == "bf16" else torch.float32
    assert {each.dtype for each in run.model.parameters()} == {torch.float32, held}
    kept = predict(run.model, learner.for_answers(), np.arange(8), computing, CPU)
    assert all(isinstance(text, str) for text in prepared.judge.predictions(kept).texts)
