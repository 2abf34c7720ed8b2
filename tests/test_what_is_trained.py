"""A study that searches optimizers, layer-wise decay, gradual unfreezing and drawn weights: run, said, and exported."""

import json
from pathlib import Path

import pytest
from tasks_samples import review_rows, save_text_model

import hpsearch as hp
from hpsearch.errors import SpaceError
from hpsearch.records import TrialState
from hpsearch.study import Study

CONFIGS = [
    {"optimizer": "lion", "pretrained": True, "layerwise_lr_decay": 0.8, "gradual_unfreezing": 0.5},
    {"optimizer": "schedule_free_adamw", "pretrained": False},
    {"optimizer": "adamw", "pretrained": True, "layerwise_lr_decay": 1.0, "gradual_unfreezing": None},
]
KEYS = ("learning_rate", "optimizer", "pretrained", "layerwise_lr_decay", "gradual_unfreezing")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_text_model(tmp_path_factory.mktemp("trained") / "bert")


def study_of(model: Path, folder: Path) -> Study:
    rows = review_rows(24)
    space = hp.Space(
        learning_rate=hp.Float(1e-5, 1e-2, log=True),
        optimizer=hp.Categorical(["adamw", "lion", "schedule_free_adamw"]),
        pretrained=hp.Categorical([True, False]),
        layerwise_lr_decay=hp.Float(0.5, 1.0).when(pretrained=True),
        gradual_unfreezing=hp.Categorical([None, 0.5]).when(pretrained=True),
        epochs=2,
        batch_size=8,
    )
    task = hp.TextClassification(model, train=rows, test=review_rows(12, seed=1))
    study = Study("trained", task, space, folder=folder, precision="fp32", sampler="random", cv=2, pruner="none")
    for config in CONFIGS:
        study.enqueue({"learning_rate": 1e-3, **config})
    return study


@pytest.fixture(scope="module")
def result(model: Path, tmp_path_factory: pytest.TempPathFactory) -> hp.Result:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("HPSEARCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        return study_of(model, tmp_path_factory.mktemp("runs")).run(trials=4, devices="inline", progress=False)


def test_the_default_lies_in_the_space_and_every_way_of_training_is_trained(result: hp.Result) -> None:
    trials = list(result.history.trials.values())
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 4
    assert trials[0].config["optimizer"] == "adamw"
    assert trials[0].config["pretrained"] is True
    for trial, config in zip(trials[1:], CONFIGS, strict=True):
        assert trial.config.items() >= config.items()
        trained = trial.runs[0].config
        assert "pretrained" not in trained or trained["pretrained"] is False
    assert trials[2].runs[0].config["lr_scheduler_type"] == "constant"
    assert not {"optimizer", "layerwise_lr_decay", "gradual_unfreezing"} & set(trials[3].runs[0].config)
    assert set(KEYS) <= set(result.table().columns)


def test_a_run_at_the_defaults_is_the_run_of_a_study_that_does_not_search_them(
    result: hp.Result, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HPSEARCH_CACHE", str(tmp_path / "cache"))
    space = hp.Space(learning_rate=hp.Float(1e-5, 1e-2, log=True), epochs=2, batch_size=8)
    task = hp.TextClassification(model, train=review_rows(24), test=review_rows(12, seed=1))
    plain = Study("plain", task, space, folder=tmp_path, precision="fp32", sampler="random", cv=2, pruner="none")
    plain.enqueue({"learning_rate": 1e-3})
    other = plain.run(trials=2, devices="inline", progress=False)
    assert [run.key for run in other.history.trials[1].runs] == [run.key for run in result.history.trials[3].runs]
    assert other.history.trials[1].value == result.history.trials[3].value


@pytest.mark.parametrize("number", [2, 3])
def test_its_model_is_exported_and_the_card_says_what_was_trained(
    result: hp.Result, tmp_path: Path, number: int
) -> None:
    result.export(tmp_path / "model", number=number)
    card = (tmp_path / "model" / "README.md").read_text()
    assert f"| optimizer | {CONFIGS[number - 1]['optimizer']} |" in card
    assert ("trained from scratch" in card) == (number == 2)
    facts = json.loads((tmp_path / "model" / "hpsearch.json").read_text())
    assert facts["check"] is not None


def test_a_space_that_mixes_them_is_refused_before_anything_is_read(model: Path, tmp_path: Path) -> None:
    task = hp.TextClassification(model, train="nowhere.csv")
    space = hp.Space(pretrained=hp.Categorical([True, False]), freeze_layers=hp.Float(0.0, 1.0))
    with pytest.raises(SpaceError, match=r"\.when\(pretrained=True\)"):
        Study("mixed", task, space, folder=tmp_path)
