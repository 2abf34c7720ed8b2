import sys

import pytest
from adapter_samples import ADAPTERS, text_task
from tasks_samples import save_text_model

import hpsearch as hp
from hpsearch.errors import SpaceError, TaskError
from hpsearch.plan.adapters import check_adapters, check_targets


def test_a_space_that_is_fit_passes(monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    check_adapters(hp.Space(learning_rate=1e-3))
    check_adapters(hp.Space(learning_rate=1e-3, lora_r=None))  # for which peft is not needed
    monkeypatch.undo()
    for settings in ADAPTERS.values():
        check_adapters(hp.Space(learning_rate=1e-3, **settings))
    both = hp.Categorical([0, "all"])
    check_adapters(hp.Space(lora_r=hp.Categorical([None, 4]), freeze_layers=both.when(lora_r=None)))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lora_alpha": 16}, "The space has lora_alpha, a setting of adapters, and without lora_r there are none"),
        (
            {"lora_r": hp.Int(2, 8), "freeze_layers": "all"},
            "that may be 'all': that trains the head alone",
        ),
        ({"lora_r": 4, "pretrained": hp.Categorical([True, False])}, "pretrained that may be False"),
        ({"lora_r": 4, "freeze_layers": hp.Categorical([0, "all"])}, r"\.when\(lora_r=None\)"),
    ],
)
def test_settings_that_fight(settings, message):
    with pytest.raises(SpaceError, match=message):
        check_adapters(hp.Space(**settings))


def test_peft_is_asked_for_before_anything_is_read(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "peft", None)
    task = hp.TextClassification("no-such-model", train="no-such-file.csv")
    with pytest.raises(TaskError, match=r'pip install "hpsearch\[peft\]"'):
        hp.Study("adapters", task, hp.Space(learning_rate=1e-4, lora_r=4), folder=tmp_path)


def test_a_target_that_a_model_does_not_have_is_found_before_training(tmp_path):
    space = hp.Space(learning_rate=1e-4, lora_r=4, lora_target_modules=hp.Categorical(["q_proj,v_proj", "all-linear"]))
    study = hp.Study("targets", text_task(save_text_model(tmp_path / "model")), space, folder=tmp_path, cv=2)
    with pytest.raises(TaskError, match=r"has no module 'q_proj' .*names, between commas: query, key, value, dense\."):
        study.run(trials=1, devices="inline")
    check_targets(hp.Space(lora_r=None, lora_target_modules="nothing"), {"model": ("query",)})
    check_targets(hp.Space(lora_r=1, lora_target_modules="self.query"), {"model": ("query",), "unknown": ()})
