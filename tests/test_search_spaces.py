"""The shipped search spaces on the tasks that they are for: each is known to its task, and each runs."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from chat_samples import ROWS, save_chat_model
from tasks_samples import image_arrays, review_rows, save_base, save_text_model

import hpsearch as hp
from hpsearch.errors import TaskError
from hpsearch.records import Origin, TrialState
from hpsearch.space import list_spaces

SPACES = list_spaces()
MODELS = {
    "bert": "bert",
    "roberta": "roberta",
    "deberta": "deberta",
    "electra": "electra",
    "distilbert": "distilbert",
    "causal-small": "gpt2",
    "vit": "vit",
    "resnet-transfer": "resnet",
    "image-transfer": "convnext",
    "lora": "roberta",
    "chat-lora": "llama",
}
"""Name of a space to the architecture that it is tried on."""

DEEP_ENOUGH = {"distilbert": {"n_layers": 6}, "gpt2": {"n_layer": 6}}
"""Arguments that give an architecture the six layers that a space may ask to freeze; others have num_hidden_layers."""


def task_of(name: str, folder: Path) -> Any:
    """Return a small task of the kind that a space is for, with a tiny model of its architecture."""
    architecture = MODELS[name]
    if SPACES[name].notes.task == "text":
        depth = DEEP_ENOUGH.get(architecture, {"num_hidden_layers": 6})
        return hp.TextClassification(
            str(save_text_model(folder / "model", architecture, **depth)), train=review_rows(12)
        )
    if SPACES[name].notes.task == "chat":
        return hp.ChatFineTuning(str(save_chat_model(folder / "model", architecture)), train=pd.DataFrame(ROWS[:8]))
    size = {} if architecture == "vit" else {"image_size": 16}
    return hp.ImageClassification(str(save_base(architecture, folder / "model")), train=image_arrays(12), **size)


def test_every_space_is_tried() -> None:
    assert set(MODELS) == set(SPACES)


@pytest.mark.parametrize("name", SPACES)
def test_a_space_is_known_to_its_task_at_every_edge(name: str) -> None:
    kinds = {"text": hp.TextClassification, "image": hp.ImageClassification, "chat": hp.ChatFineTuning}
    kind: Any = kinds[SPACES[name].notes.task]
    known = kind("model", train="data").hyperparameters()
    for key, parameter in SPACES[name].parameters.items():
        for edge in parameter.edges():
            known[key].check(edge)
    for key, value in SPACES[name].fixed.items():
        known[key].check(value)


@pytest.mark.parametrize("name", MODELS)
def test_a_space_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The literature default, and one more that the sampler draws."""
    monkeypatch.setenv("HPSEARCH_CACHE", str(tmp_path / "cache"))
    study = hp.Study(
        name,
        task_of(name, tmp_path),
        name,
        sampler="random",
        cv=hp.Holdout(0.5),
        metric="token_accuracy" if SPACES[name].notes.task == "chat" else "accuracy",
        pruner="none",
        evaluations_per_epoch=1,
        precision="fp32",
        folder=tmp_path / "runs",
    )
    result = study.run(trials=2, devices="inline", progress=False)
    assert [trial.state for trial in result.history.trials.values()] == [TrialState.COMPLETE] * 2
    assert result.history.trials[0].origin is Origin.DEFAULT
    default = SPACES[name].default
    assert default is not None
    assert default.items() <= result.history.trials[0].config.items()


def test_adapters_are_refused_in_words_where_no_model_of_transformers_is_loaded() -> None:
    task = hp.CustomTask(lambda: None, train=image_arrays(12))
    with pytest.raises(TaskError, match=r"CustomTask does not know the hyperparameter 'lora_.*begins with 'lora_'"):
        hp.Study("adapters", task, "lora")
