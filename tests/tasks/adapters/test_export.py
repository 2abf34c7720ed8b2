"""What a study with adapters exports, in the hands of somebody who has only the folder and its base."""

import json

import numpy as np
import peft
import pytest
import torch
import transformers
from adapter_samples import ROWS, pixels_and_numbers, text_task
from safetensors.torch import load_file
from tasks_samples import review_rows, save_base, save_text_model

import hpsearch as hp
from hpsearch.errors import UsageError
from hpsearch.tasks.adapters.export import load_exported
from hpsearch.tasks.pretrained import quiet

SPACE = {"learning_rate": 2e-2, "epochs": 3, "batch_size": 6, "lora_r": 3}


def finished(task, folder, precision="fp32", **space):
    study = hp.Study("adapters", task, hp.Space(**{**SPACE, **space}), folder=folder, cv=2, precision=precision)
    return study.run(trials=1, devices="inline")


def logits_of(model, batch):
    with torch.no_grad():
        return model.eval()(**batch).logits.numpy()


@pytest.fixture(scope="module", params=["bert query,value", "gpt2 dora"])
def exported(request, tmp_path_factory):
    """Return a study's result, the folders of its adapter and its merged model, and outputs of the model in process."""
    name, kind = request.param.split()
    folder = tmp_path_factory.mktemp(name)
    task = text_task(save_text_model(folder / "base", name), test=review_rows(12, classes=3, seed=1))
    space = {"lora_variant": "dora"} if kind == "dora" else {"lora_target_modules": kind, "freeze_layers": 1}
    result = finished(task, folder, **space)
    refit = result.refit()
    batch = task.learner(result.plan.prepared, "test").batch(np.arange(6), 16)
    outputs = logits_of(refit.model, batch)
    return result, result.export(folder / "adapter", merge=False), result.export(folder / "merged"), batch, outputs


def test_both_predict_as_was_scored(exported):
    _, *folders, _, _ = exported
    for folder in folders:
        facts = json.loads((folder / "hpsearch.json").read_text())
        assert facts["check"]["agrees"] and len(facts["check"]["ways"]) >= 2
        assert facts["test"]["metrics"]


def test_both_give_the_outputs_of_the_model_in_process(exported):
    _, adapter, merged, batch, outputs = exported
    assert len(np.unique(outputs.round(4), axis=0)) > 1
    assert logits_of(load_exported(adapter), batch) == pytest.approx(outputs, abs=1e-5)
    whole = transformers.AutoModelForSequenceClassification.from_pretrained(merged)
    assert logits_of(whole, batch) == pytest.approx(outputs, abs=1e-5)
    with quiet():
        automatic = peft.AutoPeftModelForSequenceClassification.from_pretrained(
            str(adapter), num_labels=3, pad_token_id=whole.config.pad_token_id
        )
    assert logits_of(automatic, batch) == pytest.approx(outputs, abs=1e-5)


def test_an_adapter_alone_is_small_and_names_its_base(exported):
    result, adapter, merged, _, _ = exported
    config = json.loads((adapter / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(result.plan.task.model)
    assert (config["r"], config["lora_alpha"], config["task_type"]) == (3, 16, "SEQ_CLS")
    held = load_file(adapter / "adapter_model.safetensors")
    (head,) = config["modules_to_save"]
    assert head in ("classifier", "score") and f"base_model.model.{head}.weight" in held
    assert all("lora_" in name or name.startswith(f"base_model.model.{head}.") for name in held)
    assert not (adapter / "model.safetensors").exists() and (adapter / "tokenizer.json").exists()
    assert not any("lora" in name for name in load_file(merged / "model.safetensors"))
    assert not (merged / "adapter_config.json").exists()


def test_the_model_card_says_what_it_is_and_its_code_runs(exported, tmp_path):
    _, adapter, merged, _, _ = exported
    card = (adapter / "README.md").read_text()
    assert "library_name: peft" in card and "adapter of rank 3 (alpha 16" in card
    assert "This folder holds it alone: it belongs on" in card
    assert "It is merged into the weights." in (merged / "README.md").read_text()
    code = card.split("```python\n")[1].split("```")[0].replace("path/to/this/folder", str(adapter))
    code = code.replace("classify(texts", "answers = classify(['the film was great', 'dull']")
    found = {}
    with quiet():
        exec(code, found)
    assert [answer["label"] in ("bad", "good", "mixed") for answer in found["answers"]] == [True, True]


def test_numbers_are_in_the_users_units_and_images_too(tmp_path):
    images, numbers = pixels_and_numbers(ROWS)
    task = hp.ImageRegression(
        save_base("vit", tmp_path / "base"), train=(images, numbers), test=pixels_and_numbers(10, seed=1)
    )
    result = finished(task, tmp_path / "study")
    for merge in (True, False):
        folder = result.export(tmp_path / str(merge), merge=merge)
        assert json.loads((folder / "hpsearch.json").read_text())["check"]["agrees"]


def test_an_adapter_trained_in_bf16_is_scored_on_the_base_as_it_is(bert_folder, tmp_path):
    task = text_task(bert_folder, test=review_rows(12, classes=3, seed=1))
    result = finished(task, tmp_path / "study", precision="bf16")
    for merge in (True, False):
        folder = result.export(tmp_path / str(merge), merge=merge)
        assert json.loads((folder / "hpsearch.json").read_text())["check"]["agrees"]
    assert {each.dtype for each in load_file(tmp_path / "True" / "model.safetensors").values()} == {torch.float32}


def test_a_trial_without_adapters_has_none_to_write_alone(bert_folder, tmp_path):
    result = finished(text_task(bert_folder), tmp_path / "study", lora_r=None, epochs=1)
    with pytest.raises(UsageError, match=r"merge=False \(--no-merge\) writes an adapter alone, and trial 0 has none"):
        result.export(tmp_path / "model", merge=False)
    assert not (tmp_path / "model").exists()
