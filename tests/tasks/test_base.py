import json
import subprocess
import sys
from dataclasses import dataclass

import cloudpickle
import numpy as np
import pandas as pd
import pytest
from tasks_samples import image_arrays, review_rows

from hpsearch.errors import DataError, TaskError
from hpsearch.tasks import ImageClassification, Task, TextClassification
from hpsearch.tasks.aliases import ALIASES
from hpsearch.training.hyperparameters import TRAINING_HYPERPARAMETERS


def text_task(**settings):
    return TextClassification("some-model", **{"train": "train.csv", **settings})


def restored(task, folder=None):
    return Task.from_description(json.loads(json.dumps(task.describe())), folder)


def test_complete_fills_in_and_checks_every_hyperparameter():
    whole = text_task().complete({"learning_rate": 1e-4, "batch_size": 8.0, "freeze_layers": "all"})
    assert set(whole) == {name for name, known in TRAINING_HYPERPARAMETERS.items() if not known.left_out_at_default}
    assert (whole["learning_rate"], whole["batch_size"], whole["freeze_layers"]) == (1e-4, 8, "all")
    assert type(whole["batch_size"]) is int
    assert whole["weight_decay"] == TRAINING_HYPERPARAMETERS["weight_decay"].default
    assert text_task().complete(whole) == whole


def test_an_unknown_hyperparameter_names_the_nearest():
    with pytest.raises(
        TaskError, match=r"does not know the hyperparameter 'learning_rat'\. Did you mean 'learning_rate'"
    ):
        text_task().complete({"learning_rat": 1e-4})
    for short, name in ALIASES.items():
        with pytest.raises(TaskError, match=f"hyperparameter '{short}'. Did you mean '{name}'"):
            text_task().complete({short: 1})
    with pytest.raises(TaskError, match="batch_size=0"):
        text_task().complete({"batch_size": 0})


@pytest.mark.parametrize("kind", [TextClassification, ImageClassification])
def test_what_is_recommended_can_be_trained(kind):
    task = kind("some-model", train="train.csv")
    assert task.complete(task.recommended()).items() >= dict(task.recommended()).items()


def test_what_a_config_does_not_name_is_as_the_literature_recommends():
    images = ImageClassification("some-model", train="images")
    whole = images.complete({"learning_rate": 1e-3})
    assert (whole["epochs"], whole["batch_size"], whole["lr_scheduler_type"]) == (30, 64, "cosine")
    assert whole == images.complete({**images.recommended(), "learning_rate": 1e-3})
    assert whole["adam_beta2"] == TRAINING_HYPERPARAMETERS["adam_beta2"].default
    assert images.complete({"epochs": 2})["epochs"] == 2
    assert text_task().complete({})["epochs"] == 3


def test_relative_paths_mean_what_they_meant_when_the_task_was_made(tmp_path, monkeypatch):
    (tmp_path / "model").mkdir()
    monkeypatch.chdir(tmp_path)
    task = TextClassification("model", train="rows/train.csv")
    monkeypatch.chdir("/")
    described = task.describe()["arguments"]
    assert described["train"] == {"path": "rows/train.csv", "resolved": str(tmp_path / "rows/train.csv")}
    assert described["model"] == {"path": "model", "resolved": str(tmp_path / "model")}
    again = restored(task)
    assert again == task
    assert (str(again.train), str(again.model)) == (str(tmp_path / "rows/train.csv"), str(tmp_path / "model"))


def test_a_name_on_the_hub_stays_a_name():
    task = TextClassification("organisation/model", train="train.csv", text=["text", "second"], label=["a", "b"])
    assert task.describe()["arguments"]["model"] == "organisation/model"
    assert restored(task) == task
    assert (restored(task).text, restored(task).label) == (("text", "second"), ("a", "b"))


def test_a_frame_is_described_by_its_content_and_kept_as_parquet(tmp_path):
    table = review_rows().assign(unread=[object()] * 24)
    task = text_task(train=table, test=review_rows(6, seed=4), group="site")
    kept = task.snapshot(tmp_path)
    assert kept == task
    assert hash(kept) == hash(task)
    files = sorted(tmp_path.iterdir())
    assert [file.name.split("-")[0] for file in files] == ["test", "train"]
    assert [file.suffix for file in files] == [".parquet", ".parquet"]
    written = pd.read_parquet(files[1])
    pd.testing.assert_frame_equal(written, table[["text", "label", "site"]], check_dtype=False)
    again = restored(kept)
    assert again == task
    pd.testing.assert_frame_equal(again.train.value, written)
    times = [file.stat().st_mtime_ns for file in files]
    assert task.snapshot(tmp_path) == kept.snapshot(tmp_path) == task
    assert [file.stat().st_mtime_ns for file in sorted(tmp_path.iterdir())] == times
    assert text_task(train=review_rows(seed=1)) != task
    assert len(cloudpickle.dumps(kept)) < 3000
    assert cloudpickle.loads(cloudpickle.dumps(kept)) == task


def test_a_moved_study_finds_its_snapshots(tmp_path):
    task = text_task(train=review_rows())
    description = json.loads(json.dumps(task.snapshot(tmp_path / "old").describe()))
    (tmp_path / "old").rename(tmp_path / "new")
    with pytest.raises(DataError, match="cannot be read"):
        _ = Task.from_description(description).train.value
    assert len(Task.from_description(description, tmp_path / "new").train.value) == 24


def test_a_snapshot_that_was_changed_is_refused(tmp_path):
    kept = text_task(train=review_rows()).snapshot(tmp_path)
    review_rows(seed=5).to_parquet(kept.train.file)
    with pytest.raises(DataError, match="has changed"):
        _ = kept.train.value


def test_arrays_are_kept_as_npy_files(tmp_path):
    images, labels = image_arrays()
    task = ImageClassification("some-model", train=(images, labels.astype(object)))
    kept = task.snapshot(tmp_path)
    assert sorted(file.suffix for file in tmp_path.iterdir()) == [".npy", ".npy"]
    assert restored(kept) == task
    found = restored(kept).train.value
    assert isinstance(found[0], np.memmap)
    assert np.array_equal(found[0], images)
    assert found[1].tolist() == labels.tolist()


def test_rows_that_were_not_kept_cannot_be_loaded():
    with pytest.raises(TaskError, match=r"not kept.*hp\.load\(name, task=\.\.\.\)"):
        restored(text_task(train=review_rows()))


def test_a_frame_that_parquet_cannot_keep(tmp_path):
    table = review_rows().assign(site=["one", 2, 3.5] * 8)
    with pytest.raises(DataError, match="train DataFrame cannot be written to Parquet"):
        text_task(train=table, group="site").snapshot(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("__main__:Mine", "defined in a notebook or script"),
        ("hpsearch.tasks.text:Missing", "cannot be imported"),
        ("no_such_module:Task", "cannot be imported"),
        ("hpsearch.errors:TaskError", "is not a task"),
    ],
)
def test_a_task_that_cannot_be_found_again(path, message):
    with pytest.raises(TaskError, match=message):
        Task.from_description({"task": path, "arguments": {}})


def test_a_task_with_a_hyperparameter_of_its_own():
    from hpsearch.training.hyperparameters import Hyperparameter, RealCheck

    @dataclass(frozen=True, eq=False)
    class Mine(TextClassification):
        def hyperparameters(self):
            return {
                **super().hyperparameters(),
                "margin": Hyperparameter(0.5, RealCheck("margin", low=0.0), "A margin."),
            }

    task = Mine("some-model", train="train.csv")
    assert task.complete({})["margin"] == 0.5
    with pytest.raises(TaskError, match="margin=-1"):
        task.complete({"margin": -1})
    with pytest.raises(TaskError, match="does not know the hyperparameter 'margin'"):
        text_task().complete({"margin": 1.0})


def test_making_a_task_is_light():
    code = (
        "import sys, hpsearch.tasks as tasks\n"
        "tasks.TextClassification('some-model', train='train.csv').complete({})\n"
        "tasks.ImageClassification('some-model', train='images').describe()\n"
        "print([name for name in ('torch', 'transformers', 'pandas', 'sklearn', 'PIL') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert found.stdout.strip() == "[]"


def test_a_warmup_is_given_in_steps_or_as_a_ratio():
    task = text_task()
    counted = task.complete({"warmup_steps": 20})
    assert (counted["warmup_steps"], counted["warmup_ratio"]) == (20, 0.0)
    assert task.complete(counted) == counted
    assert task.complete({"warmup_ratio": 0.2})["warmup_steps"] is None
    with pytest.raises(TaskError, match=r"warmup_steps=20 and warmup_ratio=0.2 both say .* Give one of them"):
        task.complete({"warmup_steps": 20, "warmup_ratio": 0.2})
