"""An exported language model says to a stranger what it said in training: alone, in batches, and by its script."""

import json
import runpy

import numpy as np
import pandas as pd
import pytest
from chat_samples import ROWS

import hpsearch as hp

SPACE = {"learning_rate": 1e-2, "epochs": 6, "batch_size": 4, "lr_scheduler_type": "linear", "warmup_ratio": 0.0}


def exported(task, folder):
    """Return a study of one trial, its refit, and what its model card says of the exported folder."""
    study = hp.Study("chats", task, hp.Space(**SPACE), cv=hp.Holdout(0.25), folder=folder / "runs", precision="fp32")
    result = study.run(trials=1, devices="inline", progress=False)
    result.export(folder / "model")
    return study, result, json.loads((folder / "model" / "hpsearch.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(("kind", "style"), [("llama", "chatml"), ("gpt2", "llama")])
def test_an_exported_chat_answers_as_it_was_scored(models, tmp_path, kind, style):
    rows = pd.DataFrame([ROWS[row % 8] for row in range(24)])
    task = hp.ChatFineTuning(models(kind, style), train=rows, test=pd.DataFrame(ROWS[:8]), max_new_tokens=12)
    study, result, facts = exported(task, tmp_path)
    assert facts["check"]["agrees"] and len(facts["check"]["rows"]) == 8
    ways = [way["way"] for way in facts["check"]["ways"] if way["as_exported"]]
    assert ways == ["one by one", "in batches of 8, padded on the left"]
    refit = result.refit()
    expected = task.learner(study.prepared, "test").answers(refit.model.cpu(), {}, np.arange(8))
    assert len(set(expected)) > 2
    script = tmp_path / "model" / "predict.py"
    assert len(script.read_text(encoding="utf-8").splitlines()) <= 20
    predict = runpy.run_path(str(script))["predict"]
    prompts = [ROWS[row]["messages"][:-1] for row in range(8)]
    assert predict(prompts) == expected == [predict([prompt])[0] for prompt in prompts]
    generation = json.loads((tmp_path / "model" / "generation_config.json").read_text(encoding="utf-8"))
    tokenizer = task.learner(study.prepared).tokenizer()
    turn = {"chatml": "<|im_end|>", "llama": "<|eot|>"}[style]
    assert set(generation["eos_token_id"]) == {tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids(turn)}
    assert generation["do_sample"] is False and generation["max_new_tokens"] == 12
    assert (tmp_path / "model" / "chat_template.jinja").read_text(encoding="utf-8") == tokenizer.chat_template


def test_completions_are_read_back_without_generated_scores(models, tmp_path):
    """Where no answers are scored, some tokens of them show that the folder is the model."""
    rows = pd.DataFrame(
        {"prompt": ["Where is the train?", "And the sea?"] * 8, "completion": [" Here.", " There."] * 8}
    )
    _, _, facts = exported(hp.ChatFineTuning(models(), train=rows), tmp_path)
    assert facts["check"]["agrees"] and facts["check"]["split"] == "train" and len(facts["check"]["ways"]) >= 2
    assert "line.rstrip()" in (tmp_path / "model" / "predict.py").read_text(encoding="utf-8")


def test_plain_texts_are_exported_for_a_pipeline(models, tmp_path):
    rows = pd.DataFrame({"text": ["one and two and three"] * 16})
    _, _, facts = exported(hp.CausalLanguageModeling(models(), train=rows), tmp_path)
    assert facts["check"] is None
    predict = runpy.run_path(str(tmp_path / "model" / "predict.py"))["predict"]
    assert predict(["one and"])[0].startswith("two")


@pytest.mark.parametrize("merge", [True, False], ids=["merged", "apart"])
def test_an_adapter_of_a_chat_answers_as_it_was_scored(models, tmp_path, merge):
    pytest.importorskip("peft")
    rows = pd.DataFrame([ROWS[row % 8] for row in range(16)])
    task = hp.ChatFineTuning(models(), train=rows, max_new_tokens=8)
    space = hp.Space(**SPACE, lora_r=4, lora_target_modules="all-linear")
    study = hp.Study("lora", task, space, cv=hp.Holdout(0.25), folder=tmp_path / "runs", precision="fp32")
    result = study.run(trials=1, devices="inline", progress=False)
    result.export(tmp_path / "model", merge=merge)
    facts = json.loads((tmp_path / "model" / "hpsearch.json").read_text(encoding="utf-8"))
    assert facts["check"]["agrees"] and len(facts["check"]["ways"]) >= 2
    assert (tmp_path / "model" / "adapter_model.safetensors").exists() != merge
    expected = task.learner(study.prepared).answers(result.refit().model.cpu(), {}, np.arange(4))
    predict = runpy.run_path(str(tmp_path / "model" / "predict.py"))["predict"]
    assert predict([ROWS[row]["messages"][:-1] for row in range(4)]) == expected
