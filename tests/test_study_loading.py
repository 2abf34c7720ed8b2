"""Studies found again without their script: wherever they were moved, whatever their data was, half made or damaged."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, log_loss
from toy_task import ToyTask

import hpsearch as hp
from hpsearch.errors import StoreError, StudyChangedError, StudyNotFoundError, UsageError
from hpsearch.records.store import Store
from hpsearch.records.urls import sqlite_url
from hpsearch.study_loading import read, study_folders

SPACE = hp.Space(
    default={"learning_rate": 0.01, "epochs": 2},
    learning_rate=hp.Float(1e-3, 1e-1, log=True),
    epochs=hp.Int(1, 2),
    batch_size=8,
    warmup_ratio=0.1,
)
POINTS = hp.Space(learning_rate=hp.Float(1e-3, 1e-1, grid=[0.01, 0.1]), epochs=1, batch_size=8)


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPSEARCH_CACHE", str(tmp_path / "cache"))


def made(folder: Path, name: str = "toy", **settings: object) -> hp.Study:
    given = {"space": SPACE, "sampler": "random", "cv": 2, "pruner": "none", "metrics": ["accuracy"], **settings}
    return hp.Study(name, ToyTask(), folder=folder, **given)


def run(study: hp.Study, trials: int) -> hp.Result:
    return study.run(trials=trials, devices="inline", progress=False)


def shown(result: hp.Result) -> pd.DataFrame:
    return result.table().drop(columns="seconds")


@pytest.fixture
def bert_folder(tmp_path: Path) -> Path:
    from tasks_samples import save_text_model

    return save_text_model(tmp_path / "bert")


@pytest.fixture
def vit_folder(tmp_path: Path) -> Path:
    from tasks_samples import save_base

    return save_base("vit", tmp_path / "vit")


def own_metric(y_true: np.ndarray, y_pred: np.ndarray) -> float:
    return float(np.mean(y_true == y_pred))


def test_a_loaded_study_goes_on_as_the_one_that_was_made(tmp_path: Path) -> None:
    run(made(tmp_path / "loaded"), 2)
    straight = run(made(tmp_path / "straight"), 4)
    study = hp.load("toy", folder=tmp_path / "loaded")
    assert len(study.result.history.trials) == 2
    pd.testing.assert_frame_equal(shown(run(study, 4)), shown(straight))


@pytest.mark.parametrize(
    "settings",
    [
        {"sampler": "grid", "space": POINTS, "early_stopping": None, "repeats": 2, "seed": 7},
        {"sampler": hp.Grid(points=2), "cv": hp.Holdout(0.25), "evaluations_per_epoch": 3},
        {"early_stopping": hp.EarlyStopping(0.5, "objective"), "precision": "fp32", "pruner": "median"},
        {"metric": own_metric, "metrics": ["f1_macro", "neg_log_loss"], "reproducible": False},
        {"metric": average_precision_score, "metrics": [log_loss, "average_precision"]},
    ],
    ids=["grid", "holdout", "early stopping", "own metric", "scikit-learn's functions"],
)
def test_every_setting_comes_back(tmp_path: Path, settings: dict[str, object]) -> None:
    study = made(tmp_path, **settings)
    before = run(study, 1)
    found = hp.load("toy", folder=tmp_path)
    assert found.space == study.space
    same = ("seed", "repeats", "evaluations_per_epoch", "early_stopping", "precision", "deterministic", "cv_name")
    for name in (*same, "reproducible"):
        assert getattr(found.plan, name) == getattr(study.plan, name), name
    assert [metric.name for metric in found.plan.measured] == [metric.name for metric in study.plan.measured]
    pd.testing.assert_frame_equal(shown(run(found, 1)), shown(before))  # nothing has changed, so nothing is refused


def test_a_splitter_object_is_replaced_by_its_folds(tmp_path: Path) -> None:
    from sklearn.model_selection import ShuffleSplit

    study = made(tmp_path, cv=ShuffleSplit(3, test_size=0.3, random_state=11))
    run(study, 1)
    found = hp.load("toy", folder=tmp_path)
    assert found.folds == study.folds
    assert len(run(found, 2).history.trials) == 2
    (tmp_path / "toy" / "folds.npz").unlink()
    with pytest.raises(UsageError, match="Run the study's own script again"):
        hp.load("toy", folder=tmp_path)


@pytest.mark.parametrize("content", [None, b"", b"PK no folds"])
@pytest.mark.parametrize("cv", [3, hp.Holdout(0.25)])
def test_folds_that_were_lost_or_damaged_are_made_again(tmp_path: Path, cv: object, content: bytes | None) -> None:
    study = made(tmp_path, cv=cv)
    before, file = run(study, 2), tmp_path / "toy" / "folds.npz"
    kept = file.read_bytes()
    file.unlink() if content is None else file.write_bytes(content)
    found = hp.load("toy", folder=tmp_path)
    pd.testing.assert_frame_equal(shown(found.result), shown(before))
    assert len(run(found, 3).history.trials) == 3
    assert file.read_bytes() == kept


def test_a_data_frame_comes_back_through_its_snapshot_after_a_move(tmp_path: Path, bert_folder: Path) -> None:
    from tasks_samples import review_rows

    task = hp.TextClassification(str(bert_folder), train=review_rows(24), text="text", label="label")
    space = hp.Space(learning_rate=hp.Float(1e-4, 1e-2, log=True), epochs=1, batch_size=8)
    study = hp.Study("frame", task, space, sampler="random", cv=2, folder=tmp_path / "runs")
    before = run(study, 1)
    shutil.move(tmp_path / "runs" / "frame", tmp_path / "elsewhere")
    found = hp.load(tmp_path / "elsewhere")
    pd.testing.assert_frame_equal(shown(found.result), shown(before))
    assert len(run(found, 2).history.trials) == 2
    assert not (tmp_path / "runs" / "frame").exists()


def test_an_array_of_images_comes_back_through_its_snapshot(tmp_path: Path, vit_folder: Path) -> None:
    from tasks_samples import image_arrays

    task = hp.ImageClassification(str(vit_folder), train=image_arrays(12))
    space = hp.Space(learning_rate=hp.Float(1e-4, 1e-2, log=True), epochs=1, batch_size=4)
    run(hp.Study("images", task, space, sampler="random", cv=2, folder=tmp_path), 1)
    found = hp.load("images", folder=tmp_path)
    assert len(run(found, 2).history.trials) == 2


def test_a_metric_that_cannot_be_imported_is_asked_for_where_it_is_needed(tmp_path: Path) -> None:
    before = run(made(tmp_path, metric=lambda y_true, y_pred: own_metric(y_true, y_pred)), 1)
    found = hp.load("toy", folder=tmp_path)
    pd.testing.assert_frame_equal(shown(found.result), shown(before))  # reading needs none
    for needs_it in (lambda: run(found, 2), lambda: found.result.refit(), lambda: found.result.test_scores()):
        with pytest.raises(UsageError, match=r"a function that cannot be imported .*hp\.load\(name, metric="):
            needs_it()
    assert len(run(hp.load("toy", folder=tmp_path, metric=lambda t, p: own_metric(t, p)), 2).history.trials) == 2
    assert read("toy", folder=tmp_path).description.needs_its_script


def test_a_sampler_object_is_given_again(tmp_path: Path) -> None:
    import optuna

    run(made(tmp_path, sampler=optuna.samplers.RandomSampler(seed=3)), 1)
    assert read("toy", folder=tmp_path).description.needs_its_script
    found = hp.load("toy", folder=tmp_path)
    assert len(found.result.history.trials) == 1  # reading needs none
    with pytest.raises(UsageError, match="<RandomSampler>"):
        run(found, 2)
    assert len(run(hp.load("toy", folder=tmp_path, sampler="random"), 2).history.trials) == 2


def test_a_pruner_object_is_given_again(tmp_path: Path) -> None:
    import optuna

    run(made(tmp_path, pruner=optuna.pruners.MedianPruner()), 1)
    found = hp.load("toy", folder=tmp_path)
    assert len(found.result.history.trials) == 1  # reading needs none
    with pytest.raises(UsageError, match="<MedianPruner>"):
        run(found, 2)
    assert len(run(hp.load("toy", folder=tmp_path, pruner="none"), 2).history.trials) == 2


def test_a_study_made_with_a_former_sampler_can_be_read_and_goes_on_with_another(tmp_path: Path) -> None:
    run(made(tmp_path), 1)
    with Store.open(sqlite_url(tmp_path / "toy" / "study.db"), "toy") as store:
        store.acquire()
        store.replace_description({**store.description, "sampler": "cmaes"})
    found = hp.load("toy", folder=tmp_path)
    assert len(found.result.history.trials) == 1
    with pytest.raises(UsageError, match=r"'cmaes' was removed.*hp\.load\(\.\.\., sampler='gp'\)"):
        run(found, 2)
    assert len(run(hp.load("toy", folder=tmp_path, sampler="random"), 2).history.trials) == 2


def test_a_study_of_names_alone_does_not_need_its_script(tmp_path: Path) -> None:
    run(made(tmp_path, sampler=hp.Grid(points=2)), 1)
    assert not read("toy", folder=tmp_path).description.needs_its_script


def test_read_needs_neither_task_nor_data(tmp_path: Path) -> None:
    result = run(made(tmp_path), 2)
    shutil.rmtree(tmp_path / "cache")
    found = read("toy", folder=tmp_path)
    assert dict(found.history.trials) == dict(result.history.trials)
    assert found.description.metric == "f1_macro"
    assert found.test_shares == (0.5, 0.5)
    assert found.folder == tmp_path / "toy"
    (tmp_path / "toy" / "folds.npz").unlink()
    assert read("toy", folder=tmp_path).test_shares is None


def test_studies_lists_descriptions_by_name(tmp_path: Path) -> None:
    for name in ("zebra", "ant"):
        run(made(tmp_path, name), 1)
    (tmp_path / "no study").mkdir()
    (tmp_path / "a file").touch()
    assert [description.name for description in hp.studies(tmp_path)] == ["ant", "zebra"]
    assert hp.studies(tmp_path / "nowhere") == []


def test_a_study_killed_before_its_description_was_written_is_found(tmp_path: Path) -> None:
    run(made(tmp_path), 1)
    (tmp_path / "toy" / "study.json").unlink()
    assert study_folders(tmp_path) == [tmp_path / "toy"]
    assert [description.name for description in hp.studies(tmp_path)] == ["toy"]
    run(hp.load("toy", folder=tmp_path), 2)
    assert json.loads((tmp_path / "toy" / "study.json").read_text())["name"] == "toy"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 1}', '{"format": 1, "name": "x", "colour": "red"}'])
def test_a_damaged_description_is_named(tmp_path: Path, text: str) -> None:
    run(made(tmp_path), 1)
    path = tmp_path / "toy" / "study.json"
    path.write_text(text)
    with pytest.raises(StoreError, match=r"study\.json"):
        hp.studies(tmp_path)
    path.unlink()
    assert len(run(hp.load("toy", folder=tmp_path), 2).history.trials) == 2


def test_a_description_of_another_format_is_refused(tmp_path: Path) -> None:
    run(made(tmp_path), 1)
    path = tmp_path / "toy" / "study.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 99}))
    with pytest.raises(StudyChangedError, match="format 99"):
        hp.studies(tmp_path)


def test_a_study_whose_database_is_elsewhere_says_so(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path / 'shared.db'}"
    run(made(tmp_path, storage=storage), 1)
    with pytest.raises(StudyNotFoundError, match=r"kept elsewhere.*storage="):
        hp.load("toy", folder=tmp_path)
    assert len(hp.load("toy", folder=tmp_path, storage=storage).result.history.trials) == 1


def test_a_study_that_is_not_there_names_those_that_are(tmp_path: Path) -> None:
    run(made(tmp_path), 1)
    with pytest.raises(StudyNotFoundError, match=r"Did you mean 'toy'\? The studies there are toy\."):
        hp.load("toyy", folder=tmp_path)
    with pytest.raises(StudyNotFoundError, match="There are no studies there"):
        hp.load("toy", folder=tmp_path / "nowhere")
