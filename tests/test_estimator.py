"""The search as a scikit-learn classifier: scikit-learn's own checks, and what one does with a `GridSearchCV`."""

import pickle
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.utils.estimator_checks import estimator_checks_generator
from tasks_samples import image_arrays, review_rows, save_base, save_text_model
from torch import nn

import hpsearch as hp
from hpsearch.errors import UsageError

pytestmark = pytest.mark.filterwarnings("ignore:.*joblib will operate in serial mode.*:UserWarning")


def make_network(n_features: int = 4, n_classes: int = 2, width: int = 16) -> nn.Module:
    """A small network behind batch normalization, so that the scale of X matters little."""
    layers = [nn.BatchNorm1d(n_features), nn.Linear(n_features, width), nn.ReLU(), nn.Linear(width, n_classes)]
    return nn.Sequential(*layers)


SPACE = hp.Space(
    default={"learning_rate": 0.03, "width": 16},
    learning_rate=hp.Float(1e-2, 1e-1, log=True),
    width=hp.Categorical([8, 16]),
    epochs=12,
    batch_size=16,
)


def search(**changed) -> hp.FineTuneSearchCV:
    settings = {"n_iter": 1, "cv": 2, "pruner": "none", "early_stopping": None, "devices": "inline", **changed}
    return hp.FineTuneSearchCV(
        changed.pop("model", make_network),
        changed.pop("space", SPACE),
        **{name: value for name, value in settings.items() if name not in ("model", "space")},
    )


def checks() -> list:
    """Return scikit-learn's checks under names that are the same in every process."""
    found = enumerate(check for _, check in estimator_checks_generator(search(scoring="accuracy")))
    return [pytest.param(check, id=f"{number}-{getattr(check, 'func', check).__name__}") for number, check in found]


@pytest.mark.slow
@pytest.mark.parametrize("check", checks())
def test_what_scikit_learn_expects_of_a_classifier(check):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        check(search(scoring="accuracy"))


@pytest.fixture(scope="module")
def iris() -> tuple[np.ndarray, np.ndarray]:
    rows, codes = load_iris(return_X_y=True)
    return rows, np.array(["setosa", "versicolor", "virginica"])[codes]


@pytest.fixture(scope="module")
def fitted(iris) -> hp.FineTuneSearchCV:
    return search(n_iter=4, cv=3, metrics=["accuracy"], random_state=1).fit(*iris)


def test_the_winner_and_the_table_are_those_of_the_study(fitted):
    found = fitted.cv_results_
    table = fitted.result_.table()
    assert found["mean_test_score"].tolist() == table["value"].tolist()
    assert found["rank_test_score"][fitted.best_index_] == 1
    assert fitted.best_score_ == found["mean_test_score"].max() == fitted.result_.best.value
    assert found["params"][fitted.best_index_] == fitted.best_params_
    assert set(fitted.best_params_) == {"learning_rate", "width"}
    splits = np.array([found[f"split{fold}_test_score"] for fold in range(fitted.n_splits_)])
    assert np.allclose(splits.mean(axis=0), found["mean_test_score"], rtol=0, atol=1e-15)
    assert np.allclose(splits.std(axis=0), found["std_test_score"], rtol=0, atol=1e-15)
    assert found["param_width"].tolist() == [each["width"] for each in found["params"]]
    assert found["mean_test_accuracy"][fitted.best_index_] == fitted.result_.best.metrics["accuracy"]
    assert pd.DataFrame(found).shape[0] == 4


def test_it_predicts_labels_with_the_refitted_winner(fitted, iris):
    rows, labels = iris
    chances = fitted.predict_proba(rows)
    assert chances.shape == (150, 3)
    assert fitted.classes_.tolist() == ["setosa", "versicolor", "virginica"]
    assert (fitted.predict(rows) == fitted.classes_[chances.argmax(axis=1)]).all()
    assert fitted.score(rows, labels) > 0.9
    assert np.array_equal(fitted.predict_proba(rows[7:9]), chances[7:9])
    with pytest.raises(UsageError, match="label 'tulip'"):
        fitted.score(rows[:2], ["setosa", "tulip"])


def test_a_clone_with_the_same_seed_finds_the_same(fitted, iris):
    again = clone(fitted).fit(*iris)
    assert again.best_params_ == fitted.best_params_
    assert np.array_equal(again.predict_proba(iris[0]), fitted.predict_proba(iris[0]))
    other = clone(fitted).set_params(random_state=2).fit(*iris)
    assert other.cv_results_["params"][1:] != fitted.cv_results_["params"][1:]


def test_pruned_trials_have_no_score_and_the_last_rank(iris):
    found = search(n_iter=9, cv=3, pruner="asha", sampler="random").fit(*iris).cv_results_
    pruned = found["state"] == "pruned"
    assert 0 < pruned.sum() < 9
    assert np.isnan(found["mean_test_score"][pruned]).all()
    assert (found["rank_test_score"][pruned] == 1 + (~pruned).sum()).all()
    assert np.isfinite(found["mean_test_score"][~pruned]).all()


def test_a_pickle_predicts_in_another_process(fitted, iris, tmp_path):
    (tmp_path / "search.pickle").write_bytes(pickle.dumps(fitted))
    np.save(tmp_path / "rows.npy", iris[0])
    lines = (
        "import pickle, sys; import numpy as np",
        f"search = pickle.load(open({str(tmp_path / 'search.pickle')!r}, 'rb'))",
        f"np.save({str(tmp_path / 'found.npy')!r}, search.predict_proba(np.load({str(tmp_path / 'rows.npy')!r})))",
        "print(hasattr(search, 'result_'))",
    )
    path = [str(Path(__file__).parent), str(Path(__file__).parent / "tasks"), str(Path(__file__).parents[1])]
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {path!r}\n" + "\n".join(lines)],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout.strip() == "False"
    assert np.array_equal(np.load(tmp_path / "found.npy"), fitted.predict_proba(iris[0]))


def test_it_stands_inside_cross_validation(iris):
    scores = cross_val_score(search(scoring="accuracy"), *iris, cv=3)
    assert (scores > 0.8).all()


def test_groups_stay_together(iris):
    groups = np.arange(150) % 10
    found = search(cv=GroupKFold(2)).fit(*iris, groups=groups)
    for train, held_out in found.study_.folds.pairs:
        assert not set(groups[train]) & set(groups[held_out])


def test_a_folder_keeps_the_study_and_an_equal_fit_trains_nothing_anew(iris, tmp_path):
    first = search(n_iter=2, folder=tmp_path, name="iris").fit(*iris)
    again = search(n_iter=2, folder=tmp_path, name="iris").fit(*iris)
    results = again.study_.store().results()
    assert len(results) == len(first.study_.store().results())
    assert (tmp_path / "iris" / "study.json").is_file()
    assert again.best_params_ == first.best_params_


def test_without_a_refit_there_is_no_prediction(iris):
    found = search(refit=False).fit(*iris)
    assert not hasattr(found, "best_model_")
    with pytest.raises(AttributeError, match="predict"):
        found.predict(iris[0])
    with pytest.raises(NotFittedError):
        search().predict(iris[0])


def test_texts_and_pairs_with_a_model_of_transformers(tmp_path):
    model = str(save_text_model(tmp_path / "bert"))
    table = review_rows(24)
    space = hp.Space(learning_rate=hp.Float(1e-4, 1e-3, log=True), epochs=1, batch_size=8)
    found = search(model=model, space=space, task_options={"max_length": 16}).fit(table["text"], table["label"])
    assert set(found.predict(list(table["text"][:5]))) <= set(table["label"])
    tested = found.result_.study.task
    assert tested.max_length == 16
    chances = found.predict_proba(table["text"].to_numpy())
    refit = found.result_.refit()
    from hpsearch.metrics import probabilities
    from hpsearch.training.prediction import predict

    study = found.study_
    learner = study.task.learner(study.prepared)
    logits = predict(refit.model, learner, np.arange(24), study.stored_numerics(), "cpu")
    assert np.allclose(chances, probabilities(logits, study.prepared.kind), rtol=0, atol=1e-2)
    pairs = np.stack([table["text"], table["text"].iloc[::-1]], axis=1)
    assert search(model=model, space=space).fit(pairs, table["label"]).predict(pairs[:3]).shape == (3,)


def test_images_with_a_model_of_transformers(tmp_path):
    images, labels = image_arrays(16)
    images = np.stack(images)
    space = hp.Space(learning_rate=hp.Float(1e-4, 1e-3, log=True), epochs=1, batch_size=8)
    found = search(model=str(save_base("vit", tmp_path / "vit")), space=space).fit(images, np.asarray(labels))
    assert found.predict(images[:3]).shape == (3,)
    with pytest.raises(UsageError, match=r"groups= with images"):
        search(model=str(tmp_path / "vit"), space=space).fit(images, np.asarray(labels), groups=np.arange(16))


@pytest.mark.parametrize(
    ("rows", "labels", "model", "words"),
    [
        (np.zeros((4, 2)), [0, 1, 0, 1], "bert", r"X has shape \(4, 2\) and type float32.*function that makes"),
        (np.zeros((4, 2)), [0, 1, 0, 1], nn.Linear(2, 2), r"make_model is a model already, a Linear"),
        (np.zeros((4, 2)), [0, 1, 0, 1], 7, r"model=7 is a int"),
        (["a", "b", "c"], [1, 1, 1], "bert", r"y has one class only, 1"),
        (["a", "b", "c"], [0, 1], "bert", r"X has 3 rows and y has 2"),
        (["a", "b", "c"], None, "bert", r"requires y"),
    ],
)
def test_what_does_not_go_together_is_said(rows, labels, model, words):
    with pytest.raises(ValueError, match=words):
        search(model=model).fit(rows, labels)
