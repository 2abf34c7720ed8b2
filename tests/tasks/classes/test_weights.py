"""Classes weigh in the training loss as torch's own losses have it, and nowhere else."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from custom_samples import Images, absolute, one_number
from sklearn.utils.class_weight import compute_class_weight
from tasks_samples import review_rows
from torch import nn

import hpsearch as hp
from hpsearch.errors import TaskError
from hpsearch.tasks.classes.weights import class_weights
from hpsearch.training.gradients import accumulate_gradients
from hpsearch.training.numerics import Numerics

INPUTS = np.random.default_rng(0).normal(size=(24, 1, 4, 4)).astype(np.float32)
TARGETS = np.array([0] * 14 + [1] * 6 + [2] * 4)
FLAGS = pd.DataFrame({"a": [1, 0, 0, 0] * 6, "b": [1, 1, 0] * 8, "c": [0, 1] * 12})
ROWS = np.array([0, 3, 14, 15, 20, 23])


def task_of(targets: Any = TARGETS, **arguments: Any) -> hp.CustomTask:
    return hp.CustomTask(Images, train=(INPUTS, targets), **arguments)


def test_balanced_is_as_scikit_learn_has_it() -> None:
    expected = compute_class_weight("balanced", classes=np.arange(3), y=TARGETS)
    assert class_weights("balanced", (0, 1, 2), TARGETS) == pytest.approx(expected)
    assert class_weights("balanced", (0, 1, 2), TARGETS[:14]).tolist() == pytest.approx([1 / 3, 1, 1])
    assert class_weights("balanced", ("a", "b", "c"), FLAGS.to_numpy(np.float32)).tolist() == [3.0, 0.5, 1.0]
    assert class_weights({"1": 4.0}, (0, 1, 2), TARGETS).tolist() == [1, 4, 1]


def gradients(learner: Any, micro_batch: int | None = None) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    model = learner.load_model().eval()
    numerics = Numerics(micro_batch=micro_batch)
    accumulate_gradients(
        model, learner, ROWS, label_smoothing=0.0, numerics=numerics, device=torch.device("cpu"), padding_multiple=1
    )
    return {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}


def expected_gradients(learner: Any, loss: nn.Module) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    model = learner.load_model().eval()
    loss(model(torch.from_numpy(INPUTS[ROWS])), learner.targets(ROWS)).backward()
    return {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}


@pytest.mark.parametrize("micro_batch", [None, 2])
def test_a_step_is_that_of_torchs_weighted_cross_entropy(tmp_path: Path, micro_batch: int | None) -> None:
    task = task_of(class_weight={0: 0.5, 2: 3.0})
    learner = task.learner(task.prepare(tmp_path)).weighed(task.complete({}), np.arange(24))
    expected = expected_gradients(learner, nn.CrossEntropyLoss(weight=torch.tensor([0.5, 1.0, 3.0])))
    for name, gradient in gradients(learner, micro_batch).items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-5, atol=1e-7)


def test_positives_of_several_labels_weigh_as_torchs_do(tmp_path: Path) -> None:
    task = task_of(FLAGS, class_weight="balanced")
    learner = task.learner(task.prepare(tmp_path)).weighed(task.complete({}), np.arange(24))
    expected = expected_gradients(learner, nn.BCEWithLogitsLoss(pos_weight=torch.tensor([3.0, 0.5, 1.0])))
    for name, gradient in gradients(learner).items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("targets", [TARGETS, FLAGS], ids=["one", "several"])
def test_what_is_evaluated_is_not_weighed(tmp_path: Path, targets: Any) -> None:
    task = task_of(targets, sample_weight=np.linspace(0.5, 2.0, 24))
    plain = task.learner(task.prepare(tmp_path)).fitted(np.arange(24))
    weighed = plain.weighed({"class_weight": "balanced"}, np.arange(24))
    kept = np.random.default_rng(1).normal(size=(6, 3)).astype(np.float32)
    assert weighed.mean_loss(kept, ROWS) == plain.mean_loss(kept, ROWS)
    assert np.array_equal(weighed.sample_weights(ROWS), plain.sample_weights(ROWS))
    outputs = torch.from_numpy(kept)
    losses = [each.losses(outputs, each.targets(ROWS), 0.0) * each.weights(ROWS) for each in (plain, weighed)]
    assert not torch.equal(*losses)


def test_it_is_a_hyperparameter_that_earlier_configs_lack(bert_folder: Path, tmp_path: Path) -> None:
    rows = review_rows()
    plain = hp.TextClassification(bert_folder, train=rows)
    assert "class_weight" not in plain.complete({})
    assert "class_weight" not in plain.describe()["arguments"]
    assert plain.complete({"class_weight": "balanced"})["class_weight"] == "balanced"
    weighed = hp.TextClassification(bert_folder, train=rows, class_weight={"good": 2, "bad": 0.5})
    assert weighed.complete({})["class_weight"] == {"bad": 0.5, "good": 2.0}
    assert weighed.complete({"class_weight": None})["class_weight"] is None
    described = weighed.snapshot(tmp_path).describe()
    assert hp.tasks.Task.from_description(described, tmp_path) == weighed != plain
    assert "class_weight" not in hp.TextRegression(bert_folder, train=rows, label="weight").hyperparameters()


def test_a_study_searches_it_and_trains_otherwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPSEARCH_CACHE", str(tmp_path / "cache"))
    space = hp.Space(class_weight=hp.Categorical([None, "balanced"]), learning_rate=1e-2, epochs=2, batch_size=8)
    result = hp.Study("weighed", task_of(), space, sampler="grid", cv=2, folder=tmp_path, pruner="none").run(
        trials=2, devices="inline", progress=False
    )
    table = result.table().set_index("class_weight" if "class_weight" in result.table() else "params_class_weight")
    assert len(table) == 2
    assert table["loss"].nunique() == 2
    plain = hp.Space(learning_rate=1e-2, epochs=2, batch_size=8)
    by_task = hp.Study(
        "by-task", task_of(class_weight="balanced"), plain, cv=2, folder=tmp_path, pruner="none", sampler="random"
    ).run(trials=1, devices="inline", progress=False)
    assert by_task.table()["loss"].iloc[0] == table.loc["balanced", "loss"]
    card = (by_task.export(tmp_path / "model") / "README.md").read_text()
    assert "| class_weight | balanced |" in card


def test_what_cannot_weigh_is_said(tmp_path: Path) -> None:
    for given, words in (
        ("balancd", "class_weight='balancd': give \"balanced\""),
        ({"a": 0}, "gives 'a' the weight 0: weights are finite numbers above 0"),
        ({"a": True}, "gives 'a' the weight True"),
        ([1, 2], r"class_weight=\[1, 2\]: give"),
    ):
        with pytest.raises(TaskError, match=words):
            task_of(class_weight=given)
    with pytest.raises(TaskError, match=r"has the label '3', which no training row has.* The labels are 0, 1, 2"):
        task_of(class_weight={3: 1.0}).prepare(tmp_path)
    with pytest.raises(TaskError, match="only classes have weights"):
        hp.CustomTask(one_number, train=(INPUTS, TARGETS * 0.5), targets="numbers", class_weight="balanced")
    with pytest.raises(TaskError, match="or weigh in your loss"):
        task_of(class_weight="balanced", loss=absolute)
