"""Adapters of a causal language model, whose head is pretrained: only adapters are trained."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
import transformers
from adapter_samples import base_of, learner_of, run_of
from chat_samples import ROWS, save_chat_model
from training_learners import PRECISIONS, assert_same_measurements, measured, numerics

import hpsearch as hp
from hpsearch.tasks.adapters.export import load_exported
from hpsearch.tasks.adapters.lora import is_adapter
from hpsearch.tasks.pretrained import quiet
from hpsearch.training.prediction import predict
from hpsearch.training.run_checkpoint import TENSORS


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    rows = pd.DataFrame([ROWS[row % 8] for row in range(24)])
    return hp.ChatFineTuning(save_chat_model(tmp_path_factory.mktemp("chat")), train=rows)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("unfreezing", [None, 0.5])
def test_adapters_of_a_chat_model_are_all_that_is_trained_and_resume(task, tmp_path, precision, unfreezing):
    learner, config = learner_of(task, tmp_path), {"lora_r": 2, "dropout": None, "gradual_unfreezing": unfreezing}
    straight = run_of(base_of(learner, precision), config, precision)
    assert all(is_adapter(name) == each.requires_grad for name, each in straight.model.named_parameters())
    expected = measured(straight)
    base, found, files = base_of(learner, precision), [], None
    for point in range(1, straight.horizon + 1):
        run = run_of(base, config, precision)
        if files is not None:
            run.restore(files)
        found += measured(run, point)
        files = run.checkpoint()
    assert_same_measurements(expected, found)
    assert files[TENSORS] == straight.checkpoint()[TENSORS]


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("rank", [None, 2])
def test_answers_are_generated_in_each_precision(task, tmp_path, precision, rank):
    """Whether or not weights are rounded; in bf16 and fp16 a full fine-tune has autocast around it."""
    learner = learner_of(replace(task, max_new_tokens=4), tmp_path)
    base, computing = base_of(learner, precision, adapters=rank is not None), numerics(precision)
    model = base.fresh({"lora_r": rank}, seed=0)
    kept = predict(model, learner.for_answers(), np.arange(3), computing, "cpu")
    assert len(learner.judge.predictions(kept).texts) == 3


def test_an_exported_adapter_is_loaded_by_transformers_itself(task, tmp_path):
    space = hp.Space(learning_rate=1e-2, epochs=2, batch_size=4, lora_r=2)
    result = hp.Study("chat", task, space, folder=tmp_path, cv=2).run(trials=1, devices="inline", progress=False)
    learner = task.learner(result.plan.prepared)
    batch = {name: each for name, each in learner.batch(np.arange(2), 16).items() if name != "labels"}
    batch = {name: batch[name] for name in ("input_ids", "attention_mask") if name in batch}
    before = learner.load_model().eval()
    refit = result.refit().model
    folder, merged = result.export(tmp_path / "adapter", merge=False), result.export(tmp_path / "merged")
    assert not (folder / "config.json").exists() and (folder / "generation_config.json").exists()
    with quiet():
        whole = transformers.AutoModelForCausalLM.from_pretrained(merged)
        alone = transformers.pipeline("text-generation", model=str(folder), dtype="float32").model.eval()
    with torch.no_grad():
        own = refit(**batch).logits.numpy()
        assert not np.allclose(before(**batch).logits.numpy(), own, atol=1e-4)
        for model in (whole, alone, load_exported(folder)):
            assert model(**batch).logits.numpy() == pytest.approx(own, abs=1e-4)
