"""Rows that `validation=` gives are what every trial is evaluated on, and nothing is trained on them."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from custom_samples import Images, Sounds
from tasks_samples import image_arrays, review_rows, save_image_folder

import hpsearch as hp
from hpsearch.data.dataset import open_dataset
from hpsearch.data.folds import Folds
from hpsearch.errors import DataError, UsageError
from hpsearch.runtime.refit import refit
from hpsearch.runtime.study_run import workload_of
from hpsearch.tasks import Task

SPACE = hp.Space(learning_rate=hp.Float(1e-3, 1e-2, log=True), epochs=2, batch_size=8)
GIVEN = "<the validation rows that you gave>"


def study_of(task: Task, folder: Path, **settings: object) -> hp.Study:
    return hp.Study("given", task, SPACE, sampler="random", folder=folder, **settings)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPSEARCH_CACHE", str(tmp_path / "cache"))


def pictures(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    return random.normal(size=(rows, 1, 4, 4)).astype(np.float32), np.arange(rows) % 3


def custom(**arguments: object) -> hp.CustomTask:
    given = {"train": pictures(24, 0), "validation": pictures(9, 1), "test": pictures(9, 2)}
    return hp.CustomTask(Images, **{**given, **arguments})


def test_the_rows_lie_behind_the_training_rows(bert_folder: Path, tmp_path: Path) -> None:
    train, validation = review_rows(), review_rows(6, seed=9).assign(site=lambda rows: "new" + rows["site"].astype(str))
    task = hp.TextClassification(bert_folder, train=train, validation=validation, group="site", sample_weight="weight")
    prepared = task.prepare(tmp_path)
    assert (prepared.rows, prepared.validation_rows, prepared.trained_rows, prepared.test_rows) == (30, 6, 24, 0)
    together = pd.concat([train, validation], ignore_index=True)
    whole = hp.TextClassification(bert_folder, train=together, group="site", sample_weight="weight").prepare(tmp_path)
    for name, array in open_dataset(whole.folder).arrays.items():
        assert np.array_equal(open_dataset(prepared.folder)[name], array)
    assert prepared.data_digest != whole.data_digest
    assert prepared.judge == whole.judge
    folds = study_of(task, tmp_path).folds
    assert [[side.tolist() for side in pair] for pair in folds.pairs] == [[list(range(24)), list(range(24, 30))]]


def test_without_validation_rows_a_description_is_as_it_was(bert_folder: Path) -> None:
    task = hp.TextClassification(bert_folder, train=review_rows())
    assert "validation" not in task.describe()["arguments"]
    assert not {"validation", "validation_group", "validation_sample_weight"} & set(
        custom(validation=None).describe()["arguments"]
    )
    assert hp.TextClassification(bert_folder, train=review_rows(), validation=review_rows(6)) != task


def test_a_study_splits_by_them_and_by_nothing_else(tmp_path: Path) -> None:
    assert study_of(custom(), tmp_path).plan.cv_name == GIVEN
    assert study_of(custom(validation=None), tmp_path).plan.cv == 5
    with pytest.raises(UsageError, match="cv=3 is given, and the task has validation="):
        study_of(custom(), tmp_path, cv=3)


def test_a_task_may_have_a_split_of_its_own(tmp_path: Path) -> None:
    class Held(hp.CustomTask):
        default_cv = hp.Holdout(0.25)

    held = Held(Images, train=pictures(24, 0))
    assert len(study_of(held, tmp_path).folds.pairs[0][1]) == 6
    assert study_of(held, tmp_path, cv=2).plan.cv == 2


def test_a_study_is_evaluated_on_them_and_refitted_without_them(tmp_path: Path) -> None:
    study = study_of(custom(), tmp_path)
    result = study.run(trials=2, devices="inline", progress=False)
    predictions = result.out_of_fold()
    assert np.isnan(predictions[:24]).all()
    assert np.isfinite(predictions[24:]).all()
    target = result.export(tmp_path / "model")
    card, facts = (target / "README.md").read_text(), json.loads((target / "hpsearch.json").read_text())
    assert "trained on all 24 training rows" in card
    assert "not trained on the 9 validation rows" in card
    assert "| metric | validation |" in card
    assert "ross-validated" not in card
    assert facts["validation_rows"] == 9
    again = hp.load("given", folder=tmp_path)
    assert again.result.best.number == result.best.number
    assert study.record.description.split_text == "the 9 validation rows that you gave"
    assert isinstance(again.plan.cv, Folds)
    assert again.plan.cv_name == GIVEN
    more = again.run(trials=3, devices="inline", progress=False)  # from the snapshot of the arrays
    assert len(more.table()) == 3
    assert study_of(custom(), tmp_path).run(trials=3, devices="inline", progress=False).best.number == more.best.number
    for name, value in more.best.metrics.items():
        assert np.isfinite(value), name


def test_the_refit_is_that_of_the_training_rows_alone(tmp_path: Path) -> None:
    config = {"learning_rate": 1e-2, "epochs": 2, "batch_size": 8}
    weights = []
    for given in (pictures(9, 1), pictures(12, 7)):
        study = study_of(custom(validation=given, test=None), tmp_path / str(len(given[1])))
        study.run(trials=1, devices="inline", progress=False)
        workload = workload_of(study.plan, study.record.numerics())
        fitted = refit(workload, study.plan.complete(config), 4)
        weights.append(fitted.model.state_dict())
    assert all(bool((weights[0][name] == weights[1][name]).all()) for name in weights[0])


def test_rows_of_other_lengths_are_laid_behind_each_other(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    waves = [random.normal(size=6 + row % 4).astype(np.float32) for row in range(12)]
    same = random.normal(size=(6, 9)).astype(np.float32)
    task = hp.CustomTask(Sounds, train=(waves, np.arange(12) % 3), validation=(same, np.arange(6) % 3))
    learner = task.learner(task.prepare(tmp_path))
    assert learner.lengths.tolist() == [*(6 + row % 4 for row in range(12)), *[9] * 6]
    assert np.array_equal(learner.batch(np.array([13]), 1)["input"][0].numpy(), same[1])


def test_images_of_a_folder_and_of_arrays(vit_folder: Path, tmp_path: Path) -> None:
    arrays, labels = image_arrays(12)
    prepared = hp.ImageClassification(
        vit_folder, train=(arrays, labels), validation=(arrays[:4][:, ::-1], labels[:4])
    ).prepare(tmp_path)
    assert (prepared.rows, prepared.validation_rows) == (16, 4)
    folder = save_image_folder(tmp_path / "train")
    task = hp.ImageClassification(vit_folder, train=folder, validation=folder)
    given = task.prepare(tmp_path)
    assert given.rows == 2 * given.validation_rows
    assert any("validation rows have images that are training rows too" in text for text in given.warnings)
    named = np.array(["cat", "dog"])[np.arange(12) % 2]
    with pytest.raises(DataError, match="different forms"):
        hp.ImageClassification(vit_folder, train=folder, validation=(arrays, named)).prepare(tmp_path)


def refused(task: Task, folder: Path, *words: str) -> None:
    with pytest.raises(DataError) as caught:
        task.prepare(folder)
    for word in words:
        assert word in str(caught.value)


def test_what_does_not_go_with_the_training_rows_is_refused(bert_folder: Path, tmp_path: Path) -> None:
    def task(validation: pd.DataFrame, **arguments: object) -> Task:
        return hp.TextClassification(bert_folder, train=review_rows(), validation=validation, **arguments)

    rows = review_rows(6, seed=9)
    refused(task(rows.drop(columns="label")), tmp_path, "the validation data has no column 'label'")
    refused(task(rows.assign(label="odd")), tmp_path, "the validation rows have labels", "'odd'")
    refused(task(rows, group="site"), tmp_path, "stand in both the training and the validation rows", "one side")
    absent = rows.drop(columns="weight")
    refused(task(absent, sample_weight="weight"), tmp_path, "the validation data has no column 'weight'")
    refused(task(rows.assign(text=None)), tmp_path, "column 'text' of the validation data has no text")
    same = task(review_rows()).prepare(tmp_path)
    said = "24 of 24 validation rows have texts that are training rows too: validation scores will flatter."
    assert said in same.warnings


def test_what_does_not_go_with_a_custom_tasks_rows_is_refused(tmp_path: Path) -> None:
    wide = np.zeros((6, 1, 5, 5), dtype=np.float32), np.arange(6) % 3
    refused(custom(validation=wide), tmp_path, "in the validation data")
    refused(custom(group=np.arange(24)), tmp_path, "validation_group= is not given")
    groups = {"group": np.arange(24), "validation_group": np.arange(9)}
    refused(custom(**groups), tmp_path, "9 groups of group= stand in both")
    refused(custom(validation=(pictures(9, 1)[0], np.arange(9))), tmp_path, "the validation rows have labels")
