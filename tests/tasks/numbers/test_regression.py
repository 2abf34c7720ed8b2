"""Studies of numbers: the same bits however they are run, the same model once exported, the same winner mirrored."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import make_scorer, root_mean_squared_error
from tasks_samples import WORDS, image_arrays, save_base, save_text_model
from torch import nn
from toy_studies import known_of, table

import hpsearch as hp
from hpsearch.errors import MetricError, TaskError

SPACE = hp.Space(
    learning_rate=hp.Float(1e-3, 1e-2, log=True),
    freeze_layers=hp.Categorical([0, 1, "all"]),
    epochs=2,
    batch_size=8,
    default={"learning_rate": 5e-3, "freeze_layers": 1},
)


def lengths(rows: int, seed: int, start: float = 0.0) -> pd.DataFrame:
    """Return texts with their numbers of words and of letters."""
    random = np.random.default_rng(seed)
    texts = [" ".join(random.choice(WORDS, size=random.integers(2, 20))) for _ in range(rows)]
    return pd.DataFrame(
        {"text": texts, "words": [start + len(t.split()) for t in texts], "letters": [len(t) for t in texts]}
    )


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_text_model(tmp_path_factory.mktemp("model")))


def study(folder: Path, task: Any, space: hp.Space = SPACE, **settings: Any) -> hp.Study:
    given = {"sampler": "random", "cv": 2, "metric": "rmse", "metrics": ["r2", "spearman"], "pruner": "none"}
    return hp.Study("toy", task, space, folder=folder, seed=3, **{**given, **settings})


def run(study: hp.Study, trials: int = 3, devices: Any = "inline") -> hp.Result:
    return study.run(trials=trials, devices=devices, progress=False)


# ---------------------------------------------------------------------------------------- the same bits


def test_two_workers_with_a_cache_find_what_one_process_without_finds(tmp_path: Path, model: str) -> None:
    task = hp.TextRegression(model, train=lengths(40, 0), label=["words", "letters"], strata=4)
    run(study(tmp_path / "two", task), devices=2)
    run(study(tmp_path / "one", task, feature_cache_bytes=0))
    assert table(tmp_path / "one").equals(table(tmp_path / "two"))
    one, two = (known_of(tmp_path / name) for name in ("one", "two"))
    assert one == two
    assert len(one["predictions"]) == 6


# ---------------------------------------------------------------------------------------- the exported model


def exported_numbers(folder: Path, **inputs: Any) -> Any:
    """Return what a stranger finds who copies the model card's code."""
    code = re.search(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.S)
    assert code is not None
    found = dict(inputs)
    exec(code.group(1).replace("path/to/this/folder", str(folder)), found)
    return found["numbers"]


@pytest.mark.parametrize(("start", "is_settled"), [(0.0, True), (1e9, False)])
@pytest.mark.parametrize("label", ["words", ["words", "letters"]], ids=["one", "two"])
def test_the_exported_texts_model_predicts_what_was_scored(
    tmp_path: Path, model: str, label: Any, start: float, is_settled: bool
) -> None:
    test = lengths(30, 1, start)
    task = hp.TextRegression(model, train=lengths(60, 0, start), test=test, label=label)
    result = run(study(tmp_path, task), trials=1)
    folder = result.export(tmp_path / "exported")
    assert ("target_mean" in json.loads((folder / "config.json").read_text())) is not is_settled
    found = exported_numbers(folder, texts=test["text"].tolist())
    if label == "words":
        numbers, true = np.array(found), test["words"].to_numpy()
    else:
        numbers, true = np.array([[row[name] for name in label] for row in found]), test[label].to_numpy()
    scores = json.loads((folder / "hpsearch.json").read_text())["test"]["metrics"]
    assert root_mean_squared_error(true, numbers) == pytest.approx(scores["rmse"], abs=1e-4)
    facts = json.loads((folder / "hpsearch.json").read_text())
    names = [label] if isinstance(label, str) else label
    assert (facts["targets"], facts["target_names"]) == (f"{len(names)} number{'s' * (len(names) > 1)}", names)
    alone = exported_numbers(folder, texts=test["text"].tolist()[:1])
    assert str(alone[0])[:8] == str(found[0])[:8]
    assert scores == result.test_scores()


def test_the_exported_images_model_predicts_what_was_scored(tmp_path: Path) -> None:
    images, _ = image_arrays(60)
    numbers = images.reshape(60, -1).mean(axis=1) / 10.0
    vit = save_base("vit", tmp_path / "vit")
    task = hp.ImageRegression(str(vit), train=(images[:40], numbers[:40]), test=(images[40:], numbers[40:]))
    folder = run(study(tmp_path, task), trials=1).export(tmp_path / "exported")
    import PIL.Image

    found = exported_numbers(folder, images=[PIL.Image.fromarray(image) for image in images[40:]])
    scores = json.loads((folder / "hpsearch.json").read_text())["test"]["metrics"]
    assert root_mean_squared_error(numbers[40:], found) == pytest.approx(scores["rmse"], abs=1e-4)


class Squashed(nn.Module):
    """Something follows the last linear layer, so that no weight can take the mean of the targets."""

    def __init__(self, n_features: int = 5) -> None:
        super().__init__()
        self.inner = nn.Linear(n_features, 1)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return 3.0 * torch.tanh(self.inner(rows))


def plain(n_features: int = 5) -> nn.Module:
    return nn.Linear(n_features, 1)


@pytest.mark.parametrize("make", [plain, Squashed])
def test_the_exported_custom_model_predicts_what_was_scored(tmp_path: Path, make: Any) -> None:
    random = np.random.default_rng(0)
    rows = random.normal(size=(80, 5)).astype(np.float32)
    numbers = 50.0 + 7.0 * rows[:, 0]
    task = hp.CustomTask(make, train=(rows[:60], numbers[:60]), test=(rows[60:], numbers[60:]), targets="numbers")
    space = hp.Space(learning_rate=hp.Float(1e-2, 1e-1, log=True), epochs=10, batch_size=8)
    folder = run(study(tmp_path, task, space), trials=1).export(tmp_path / "exported")
    code = re.search(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.S)
    assert code is not None
    found: dict[str, Any] = {"inputs": torch.from_numpy(rows[60:]), "torch": torch}
    with torch.no_grad():
        exec(code.group(1).replace("path/to/this/folder", str(folder)), found)
        predicted = found["numbers"] if make is Squashed else found["model"](found["inputs"])
    scores = json.loads((folder / "hpsearch.json").read_text())["test"]["metrics"]
    assert scores["r2"] > 0.5
    assert root_mean_squared_error(numbers[60:], predicted[:, 0]) == pytest.approx(scores["rmse"], abs=1e-4)


# ---------------------------------------------------------------------------------------- mirrored, and refused


def largest_error(y_true: np.ndarray, y_pred: np.ndarray) -> float:
    return float(np.abs(y_true - y_pred).max())


MIRRORS = {
    "rmse": ("rmse", "neg_root_mean_squared_error", None),
    "own": (largest_error, make_scorer(largest_error, greater_is_better=False), "minimize"),
}


@pytest.mark.parametrize("name", MIRRORS)
def test_a_search_ends_where_its_mirror_image_ends(tmp_path: Path, name: str) -> None:
    random = np.random.default_rng(0)
    rows = random.normal(size=(90, 5)).astype(np.float32)
    task = hp.CustomTask(plain, train=(rows, 50.0 + rows @ np.arange(5.0)), targets="numbers")
    space = hp.Space(learning_rate=hp.Float(1e-4, 1e-1, log=True), epochs=hp.Int(2, 8), batch_size=8)
    objective, mirrored, direction = MIRRORS[name]
    given = {"sampler": "bayesian", "cv": 3, "pruner": "racing", "metrics": ["r2"]}
    one = run(study(tmp_path / "one", task, space, metric=objective, direction=direction, **given), trials=8)
    other = run(study(tmp_path / "other", task, space, metric=mirrored, **given), trials=8)
    configs = [[trial.config for trial in found.history.trials.values()] for found in (one, other)]
    assert configs[0] == configs[1]
    assert one.best.number == other.best.number
    assert [-value for value in one.best.folds] == list(other.best.folds)
    assert min(one.best.folds) > 0.0


def test_an_own_error_without_its_direction_is_refused_before_training(tmp_path: Path, model: str) -> None:
    task = hp.TextRegression(model, train=lengths(20, 0), label="words")
    with pytest.raises(MetricError, match='direction="minimize"'):
        run(study(tmp_path, task, metric=largest_error))
    assert not (tmp_path / "toy").exists() or not (tmp_path / "toy" / "study.db").exists()


def test_what_a_regression_does_not_have_is_said(model: str) -> None:
    with pytest.raises(TaskError, match="keep_head=True: a regression trains on standardised numbers"):
        hp.TextRegression(model, train=lengths(20, 0), label="words", keep_head=True)
    with pytest.raises(TaskError, match="strata=1: give a whole number from 2"):
        hp.TextRegression(model, train=lengths(20, 0), label="words", strata=1)
    task = hp.TextRegression(model, train=lengths(20, 0), label="words")
    assert "label_smoothing_factor" not in task.hyperparameters()
    with pytest.raises(TaskError, match="does not know the hyperparameter 'label_smoothing_factor'"):
        task.complete({"label_smoothing_factor": 0.1})


def test_list_and_show_say_what_is_predicted(tmp_path: Path, model: str) -> None:
    from hpsearch.cli.listing import show_text

    task = hp.TextRegression(model, train=lengths(20, 0), label=["words", "letters"])
    result = run(study(tmp_path, task), trials=1)
    assert "TextRegression on 20 rows, 2 numbers" in show_text("toy", tmp_path, None)
    assert result.content(with_test=False).facts["targets"].startswith("words 3 to 19; letters 13 to ")


def test_a_study_of_numbers_that_names_no_objective_has_r2(tmp_path: Path, model: str) -> None:
    task = hp.TextRegression(model, train=lengths(20, 0), label="words")
    assert hp.Study("toy", task, SPACE, folder=tmp_path).objective.name == "r2"
