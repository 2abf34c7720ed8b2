"""An exported folder is read back as a stranger would, and its score is stated only where it predicts as scored."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import transformers
from tasks_samples import image_arrays, review_rows, save_base, save_image_folder, save_tokenizer
from torch import nn
from typer.testing import CliRunner

import hpsearch as hp
from hpsearch.cli.commands import app
from hpsearch.result.read_back import _sample
from hpsearch.tasks.base import Prepared
from hpsearch.tasks.classes.judge import ClassJudge
from hpsearch.tasks.numbers.judge import NumberJudge
from hpsearch.tasks.pretrained import quiet


def run(folder: Path, task: Any, metric: str = "accuracy", **settings: Any) -> hp.Result:
    space = hp.Space(
        default={"learning_rate": 1e-2}, learning_rate=hp.Float(5e-3, 2e-2, log=True), epochs=2, batch_size=8
    )
    study = hp.Study("back", task, space, sampler="random", cv=2, metric=metric, folder=folder, **settings)
    return study.run(trials=1, devices="inline", progress=False)


def facts_of(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "hpsearch.json").read_text()))


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPSEARCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def decoder(tmp_path: Path) -> Path:
    """A GPT-2 whose config pads with token 0, and whose tokenizer has no pad token."""
    return save_tokenizer(save_base("gpt2", tmp_path / "gpt2", pad_token_id=0), pad=False, pairs=False)


def accuracies(folder: Path, table: pd.DataFrame) -> list[float]:
    """Return the accuracy that a pipeline over the folder has, one by one and in batches of 16."""
    with quiet():
        pipeline = transformers.pipeline("text-classification", str(folder), device="cpu")
        answers = [pipeline(table["text"].tolist(), truncation=True, batch_size=size) for size in (1, 16)]
    return [float(np.mean([row["label"] for row in found] == table["label"])) for found in answers]


def test_the_reported_score_is_that_of_a_pipeline_alone_and_in_batches(decoder: Path, tmp_path: Path) -> None:
    test = review_rows(40, seed=2)
    result = run(tmp_path, hp.TextClassification(str(decoder), train=review_rows(40), test=test))
    facts = facts_of(result.export(tmp_path / "model"))
    reported = facts["test"]["metrics"]["accuracy"]
    assert accuracies(tmp_path / "model", test) == [pytest.approx(reported)] * 2
    assert facts["check"]["agrees"]
    assert facts["check"]["split"] == "test"
    ways = {way["way"]: way["as_exported"] for way in facts["check"]["ways"]}
    size = -(-len(facts["check"]["rows"]) // 2)
    assert ways == {
        "one by one": True,
        f"in batches of {size}, padded on the right": True,
        f"in batches of {size}, padded on the left": False,
    }
    page = (tmp_path / "model" / "README.md").read_text()
    assert f"{len(facts['check']['rows'])} test rows were predicted from this folder" in page
    assert "rows differ: leave the tokenizer's padding_side as it is." in page  # GPT-2 counts positions so


def edited(name: str, **settings: Any) -> Callable[[Path], None]:
    """Return what changes a JSON file of an exported folder."""

    def edit(folder: Path) -> None:
        content = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps({**content, **settings}))

    return edit


def without_a_weight(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    state = load_file(folder / "model.safetensors")
    state["score.weight"] = state["score.weight"].flip(0)
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})


FAULTS: dict[str, tuple[Callable[[Path], None], str]] = {
    "another pad token": (edited("tokenizer_config.json", pad_token="<end>"), "In batches of"),
    "another side": (edited("tokenizer_config.json", padding_side="left"), "padded on the left"),
    "another length": (edited("tokenizer_config.json", model_max_length=6), "One by one"),
    "labels in another order": (
        edited("config.json", id2label={"0": "good", "1": "bad"}, label2id={"good": 0, "bad": 1}),
        "One by one",
    ),
    "another head": (without_a_weight, "One by one"),
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), "it cannot be loaded"),
}


@pytest.mark.parametrize("fault", [pytest.param(fault, marks=pytest.mark.extended) for fault in list(FAULTS)[1:]])
def test_each_fault_of_a_folder_is_said(
    fault: str, decoder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    told(fault, decoder, tmp_path, caplog, monkeypatch)


def test_a_folder_that_predicts_otherwise_states_no_score(
    decoder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was exported before: the tokenizer pads with its end of text, and the config says 0."""
    told("another pad token", decoder, tmp_path, caplog, monkeypatch)
    found = CliRunner().invoke(app, ["export", "back", str(tmp_path / "again"), "--folder", str(tmp_path)])
    assert found.exit_code == 0
    assert facts_of(tmp_path / "again")["test"] is None


def told(
    fault: str, decoder: Path, place: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Export a model with a fault, and see what is said of it."""
    break_it, words = FAULTS[fault]
    save = hp.TextClassification.save

    def broken(task: Any, model: nn.Module, folder: Path, prepared: Prepared) -> None:
        with torch.no_grad():
            model.score.weight.mul_(20.0)  # probabilities far apart
        save(task, model, folder, prepared)
        break_it(folder)

    result = run(place, hp.TextClassification(str(decoder), train=review_rows(40), test=review_rows(40, seed=2)))
    monkeypatch.setattr(hp.TextClassification, "save", broken)
    with caplog.at_level(logging.WARNING, "hpsearch"):
        folder = result.export(place / "model")
    facts, page = facts_of(folder), (folder / "README.md").read_text()
    assert not facts["check"]["agrees"]
    assert facts["test"] is None
    assert set(facts["cross_validation"]) == {"objective", "direction"}
    said = caplog.messages[-1]
    assert "its score is not stated" in said
    assert words in said
    assert said in page
    assert "| accuracy |" not in page
    assert str(place) not in page


def test_images_and_several_labels(tmp_path: Path) -> None:
    """Training rows are predicted where there are no test rows, and files are given as files."""
    images = save_image_folder(tmp_path / "images", rows=8)
    vit = save_base("vit", tmp_path / "vit")
    result = run(tmp_path / "one", hp.ImageClassification(str(vit), train=str(images)))
    check = facts_of(result.export(tmp_path / "files"))["check"]
    assert (check["agrees"], check["split"], check["rows"]) == (True, "train", list(range(8)))
    assert [way["way"] for way in check["ways"]] == ["one by one", "in batches of 8"]
    bert = save_tokenizer(save_base("bert", tmp_path / "bert"))
    task = hp.TextClassification(
        str(bert), train=review_rows(24), text=("text", "second"), label=["is_kind", "is_long"]
    )
    assert facts_of(run(tmp_path / "two", task).export(tmp_path / "labels"))["check"]["agrees"]


def test_numbers_are_compared_in_the_users_units(tmp_path: Path) -> None:
    table = review_rows(24).assign(length=lambda rows: rows["text"].str.len() * 1e4 + 3e6)
    bert = save_tokenizer(save_base("bert", tmp_path / "bert"))
    task = hp.TextRegression(str(bert), train=table, label=["length", "weight"])
    assert facts_of(run(tmp_path / "one", task, "rmse").export(tmp_path / "texts"))["check"]["agrees"]
    images, _ = image_arrays(12)
    vit = save_base("vit", tmp_path / "vit")
    numbers = hp.ImageRegression(str(vit), train=(images, images.mean(axis=(1, 2, 3))))
    assert facts_of(run(tmp_path / "two", numbers, "rmse").export(tmp_path / "images-model"))["check"]["agrees"]


class Adding(nn.Module):
    """Reads the padding, if it is told to."""

    def __init__(self, reads_padding: bool = False) -> None:
        super().__init__()
        self.reads_padding = reads_padding
        self.layer = nn.Linear(1, 2)

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        places = torch.arange(x.shape[1]) < lengths[:, None]
        there = torch.ones_like(places) if self.reads_padding else places
        return (self.layer(x[..., None]) * there[..., None]).sum(dim=1)


@pytest.mark.parametrize("reads_padding", [False, True])
def test_a_custom_model_is_made_and_loaded(
    reads_padding: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    random = np.random.default_rng(0)
    rows = [random.normal(size=length).astype(np.float32) + row % 2 for row, length in enumerate([3, 9, 4, 7] * 6)]
    task = hp.CustomTask(Adding, train=(rows, np.arange(24) % 2), literature_default={"reads_padding": reads_padding})
    check = facts_of(run(tmp_path, task).export(tmp_path / "model"))["check"]
    assert check["agrees"] is not reads_padding
    assert ("does not predict as it was scored" in caplog.text) is reads_padding


# ---------------------------------------------------------------- what is a difference


def test_another_class_is_a_difference_unless_the_two_best_are_as_likely() -> None:
    judge = ClassJudge("multiclass", ("a", "b", "c"))
    scored = np.array([[0.50004, 0.49996, 0], [0.5002, 0.4998, 0], [0.6, 0.3, 0.1], [0.6, 0.3, 0.1], [0.6, 0.3, 0.1]])
    answered = scored.copy()
    answered[:2] = answered[:2, [1, 0, 2]]
    answered[3] += [-5e-4, 5e-4, 0]
    answered[4] += [-2e-3, 2e-3, 0]
    assert judge.differing(scored, answered).tolist() == [False, True, False, False, True]
    assert judge.differing(scored, np.full_like(scored, np.nan)).all()
    assert judge.prediction_text(scored, 2) == "a (0.6000)"


def test_a_label_that_applies_or_not_is_a_difference() -> None:
    judge = ClassJudge("multilabel", ("a", "b"))
    scored = np.array([[0.50004, 0.9], [0.5002, 0.9], [0.2, 0.9]])
    answered = np.array([[0.49996, 0.9], [0.4998, 0.9], [0.2, 0.9]])
    assert judge.differing(scored, answered).tolist() == [False, True, False]
    assert judge.prediction_text(scored, 2) == "a 0.2000, b 0.9000"


def test_a_number_may_be_off_by_a_thousandth_of_a_deviation() -> None:
    judge = NumberJudge.learn(np.array([0.0, 100.0, 200.0])).fitted(np.array([0.0, 100.0, 200.0]))
    scored = np.array([10.0, 10.0, 10.0])
    off = judge.scale[0] * np.array([0.0, 9e-4, 1.1e-3])
    assert judge.differing(scored, scored + off).tolist() == [False, False, True]
    assert judge.prediction_text(scored, 0) == "10"


def test_the_sample_has_the_longest_the_shortest_and_rows_from_all_over() -> None:
    lengths = np.random.default_rng(0).permutation(1000)
    rows = _sample(lengths)
    assert len(rows) <= 32
    assert {int(np.argmax(lengths)), int(np.argmin(lengths)), 0, 999} <= set(rows.tolist())
    assert _sample(np.ones(3)).tolist() == [0, 1, 2]
