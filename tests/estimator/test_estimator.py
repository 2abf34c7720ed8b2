"""The search as a scikit-learn classifier: scikit-learn's own checks, and what one does with a `GridSearchCV`."""

import logging
import os
import pickle
import shutil
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from ray_nodes import two_nodes  # noqa: F401
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.utils.estimator_checks import estimator_checks_generator
from tasks_samples import image_arrays, review_rows, save_base, save_text_model
from torch import nn

import hpsearch as hp
import hpsearch.data.dataset
from hpsearch.errors import DataError, StudyChangedError, TaskError, UsageError
from hpsearch.estimator.checks import seed_of

pytestmark = pytest.mark.filterwarnings("ignore:.*joblib will operate in serial mode.*:UserWarning")


def make_network(n_features: int = 4, n_classes: int = 2, width: int = 16) -> nn.Module:
    """A small network behind batch normalization, so that the scale of X matters little."""
    layers = [nn.BatchNorm1d(n_features), nn.Linear(n_features, width), nn.ReLU(), nn.Linear(width, n_classes)]
    return nn.Sequential(*layers)


def make_flat_network(n_features: int = 4, n_classes: int = 2, width: int = 16) -> nn.Module:
    return nn.Sequential(nn.Flatten(), make_network(n_features, n_classes, width))


SPACE = hp.Space(
    default={"learning_rate": 0.03, "width": 16},
    learning_rate=hp.Float(1e-2, 1e-1, log=True),
    width=hp.Categorical([8, 16]),
    epochs=6,
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
    trial = fitted.result_.history.trials[0]
    times = [sum(each.seconds for each in fitted.result_.history.of(run.key)) for run in trial.runs]
    assert found["mean_fit_time"][0] == pytest.approx(np.mean(times))
    assert found["std_fit_time"][0] == pytest.approx(np.std(times))
    assert fitted.refit_time_ > 0
    assert fitted.multimetric_ is False


@pytest.mark.parametrize("reproducible", [True, False])
def test_whether_it_can_be_repeated_is_asked_of_its_study(iris, reproducible):
    assert hp.FineTuneSearchCV(make_network, SPACE).reproducible is True
    made = search(n_iter=2, pruner="racing", refit=False, reproducible=reproducible).fit(*iris)
    assert made.study_.plan.reproducible is reproducible
    assert bool(made.study_.store().entries) is reproducible


def test_it_predicts_labels_with_the_refitted_winner(fitted, iris):
    rows, labels = iris
    chances = fitted.predict_proba(rows)
    assert chances.shape == (150, 3)
    assert fitted.classes_.tolist() == ["setosa", "versicolor", "virginica"]
    assert (fitted.predict(rows) == fitted.classes_[chances.argmax(axis=1)]).all()
    assert fitted.score(rows, labels) > 0.9
    assert np.array_equal(fitted.predict_proba(rows[7:9]), chances[7:9])
    with pytest.raises(DataError, match="labels that the training rows do not have: 'tulip'"):
        fitted.score(rows[:2], ["setosa", "tulip"])
    with pytest.raises(UsageError, match="X has 5 rows and y has 4"):
        fitted.score(rows[:5], labels[:4])


def test_the_scorer_scores_this_and_other_classifiers(fitted, iris):
    rows, labels = iris
    assert fitted.scorer_(fitted, rows, labels) == fitted.score(rows, labels)
    other = LogisticRegression(max_iter=1000).fit(rows, labels)
    search_of_accuracy = search(scoring=None, cv=None).fit(rows, labels)
    assert search_of_accuracy.scorer_(other, rows, labels) == accuracy_score(labels, other.predict(rows))
    assert search_of_accuracy.n_splits_ == 5


def interrupted_accuracy(truth, predicted) -> float:
    """Accuracy; with INTERRUPT set, Ctrl-C is pressed at the first evaluation of a fold, not as the metric is tried."""
    is_running = signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    if os.environ.get("INTERRUPT") and len(truth) == 75 and is_running:
        os.kill(os.getpid(), signal.SIGINT)
    return float(np.mean(truth == predicted))


def test_ctrl_c_ends_fit_and_with_a_folder_the_next_one_goes_on(iris, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("INTERRUPT", "1")
    settings = {"n_iter": 3, "sampler": "random", "scoring": interrupted_accuracy}
    stopped = search(**settings)
    with pytest.raises(KeyboardInterrupt, match=r"nothing is stored"):
        stopped.fit(*iris)
    assert "Paused" not in capsys.readouterr().err
    with pytest.raises(NotFittedError):
        stopped.predict(iris[0])
    with pytest.raises(KeyboardInterrupt, match=r"fit again to continue"):
        search(folder=tmp_path, **settings).fit(*iris)
    assert "Paused. Continue by running the same script" in capsys.readouterr().err
    monkeypatch.delenv("INTERRUPT")
    gone_on = search(folder=tmp_path, **settings).fit(*iris)
    assert gone_on.cv_results_["params"] == search(**settings).fit(*iris).cv_results_["params"]


def test_a_time_that_is_up_is_said(iris, capsys):
    with pytest.raises(UsageError, match=r"timeout=0.01 was up before a trial was complete"):
        search(n_iter=50, timeout=0.01).fit(*iris)
    assert "Paused" not in capsys.readouterr().err


def test_a_spent_budget_is_said_and_what_is_complete_is_kept(iris, tmp_path, caplog):
    settings = {"n_iter": 9, "sampler": "random", "folder": tmp_path}
    with pytest.raises(UsageError, match=r"Budget\(epochs=6\) was spent before a trial was complete \(1 started\)"):
        search(budget=hp.Budget(epochs=6), **settings).fit(*iris)
    with caplog.at_level(logging.WARNING, logger="hpsearch"):
        short = search(budget=hp.Budget(epochs=30, timeout="1h"), **settings).fit(*iris)
    assert "Budget(epochs=30) was spent after 2 of 9 trials, 2 of them complete." in caplog.messages
    assert list(short.cv_results_["state"]).count("complete") == 2
    assert len(short.cv_results_["params"]) == 3  # begun beside the others: four segments are open at a time
    caplog.clear()
    good = search(budget=hp.Budget(target=0.5, trials=3), **{**settings, "n_iter": None}).fit(*iris)
    assert good.result_.ended_by.limit == "target"
    assert good.cv_results_["params"] == short.cv_results_["params"]
    assert not [message for message in caplog.messages if "spent" in message]


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"budget": 5}, r"budget=5 is a int: give an hp.Budget"),
        ({"budget": hp.Budget()}, r"budget=Budget\(\) limits nothing"),
        ({"n_iter": None, "sampler": "random", "budget": hp.Budget(target=0.9)}, r"never ends by itself"),
        ({"trials_per_device": 0}, r"trials_per_device=0 is not a number of trials"),
        ({"trials_per_device": 2}, r"trials_per_device=2 is for devices of this machine"),
        ({"notice_period": "soon"}, r"notice_period='soon' is not a duration"),
    ],
)
def test_limits_that_are_none_are_refused_as_a_study_refuses_them(iris, limits, words):
    with pytest.raises(UsageError, match=words):
        search(**limits).fit(*iris)


def test_the_random_state_is_the_seed(iris):
    assert search(random_state=np.int64(7)).fit(*iris).study_.seed == 7
    assert [seed_of(each) for each in (None, 0, 7)] == [0, 0, 7]
    assert seed_of(np.random.RandomState(5)) == np.random.RandomState(5).randint(2**31 - 1)
    with pytest.raises(UsageError, match="random_state=-1"):
        search(random_state=-1).fit(*iris)


def test_without_a_folder_nothing_stays_behind(iris, tmp_path, monkeypatch):
    monkeypatch.setenv("HPSEARCH_CACHE", str(tmp_path / "cache"))
    found = search().fit(*iris)
    assert not (tmp_path / "cache").exists()
    folder = found.study_.folder
    assert found.study_.plan.prepared.folder.is_relative_to(folder)
    del found
    assert not folder.exists()


def test_a_fit_that_fails_leaves_nothing_of_an_earlier_one(iris):
    found = search().fit(*iris)
    with pytest.raises(UsageError, match="one class only"):
        found.fit(iris[0], np.zeros(150))
    with pytest.raises(NotFittedError):
        found.predict(iris[0])


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
    tests = Path(__file__).parents[1]
    path = [str(Path(__file__).parent), *(str(tests / room) for room in ("tasks", "runtime")), str(tests.parent)]
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
    with pytest.raises(StudyChangedError, match="other settings"):  # as within cross_val_score: other rows
        search(n_iter=2, folder=tmp_path, name="iris").fit(iris[0][::2], iris[1][::2])


def test_without_a_refit_there_is_no_prediction(iris):
    found = search(refit=False).fit(*iris)
    assert not hasattr(found, "best_model_")
    with pytest.raises(AttributeError, match="predict"):
        found.predict(iris[0])
    with pytest.raises(NotFittedError):
        search().predict(iris[0])


ONE_EPOCH = hp.Space(learning_rate=hp.Float(1e-4, 1e-3, log=True), epochs=1, batch_size=8)


@pytest.fixture(scope="module")
def text_model(tmp_path_factory) -> str:
    return str(save_text_model(tmp_path_factory.mktemp("estimator") / "bert"))


@pytest.fixture(scope="module")
def on_texts(text_model) -> hp.FineTuneSearchCV:
    table = review_rows(24)
    return search(model=text_model, space=ONE_EPOCH).fit(table["text"], table["label"])


def test_texts_with_an_end_token_inside_are_not_predicted_where_the_model_refuses_them(tmp_path):
    table, folder = review_rows(24), save_text_model(tmp_path / "t5", "t5", ends=True)
    fitted = search(model=str(folder), space=ONE_EPOCH).fit(table["text"], table["label"])
    assert len(fitted.predict(["a film", "it was dull"])) == 2
    with pytest.raises(TaskError, match=r"predicted row 1 has '<end>' in column 'text'"):
        fitted.predict(["a film", "it <end> was", "dull"])


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (["good", None], r"no text in 1 of 2 rows: row 1"),
        ([None, "good"], r"no text in 1 of 2 rows: row 0"),
        (["good", float("nan")], r"no text in 1 of 2 rows: row 1"),
        (pd.Series(["good", pd.NA], dtype="string"), r"no text in 1 of 2 rows: row 1"),
        (["good", " "], r"no text in 1 of 2 rows: row 1"),
        ([None, None], r"no text in 2 of 2 rows"),
        (["good", 7], r"holds 7, a int, in row 1"),
        (np.zeros(3), r"holds 0.0, a float"),
        ([], r"X has no rows"),
        ("good", r"X='good' is one text: give a list of them"),
        ([["good", "bad"]], r"2 texts a row, shape \(1, 2\), and the model was fitted on single texts"),
        (np.zeros((3, 4, 4)), r"X has shape \(3, 4, 4\): give texts"),
    ],
)
def test_what_are_no_texts_is_not_predicted(on_texts, rows, words):
    with pytest.raises(UsageError, match=words):
        on_texts.predict(rows)
    assert not hasattr(on_texts, "n_features_in_")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({0: None}, r"no text in 1 of 24 rows: row 0"),
        ({3: float("nan")}, r"no text in 1 of 24 rows: row 3"),
        ({3: ""}, r"no text in 1 of 24 rows: row 3"),
        ({3: 7}, r"holds 7, a int, in row 3"),
    ],
)
def test_missing_texts_are_not_trained_on(text_model, wrong, words):
    table = review_rows(24)
    texts = [wrong.get(row, text) for row, text in enumerate(table["text"])]
    for rows in (texts, pd.Series(texts, dtype=object)):
        with pytest.raises(UsageError, match=words):
            search(model=text_model, space=ONE_EPOCH).fit(rows, table["label"])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"max_len": 8}, r"'max_len', which TextClassification does not take. Did you mean 'max_length'\?"),
        ({"text": "body"}, r"'text', which follows from X, y, groups, model and pos_label"),
        ("max_length", r"task_options='max_length' is a str"),
    ],
)
def test_options_that_are_none_are_named(text_model, options, words):
    table = review_rows(24)
    with pytest.raises(UsageError, match=words):
        search(model=text_model, space=ONE_EPOCH, task_options=options).fit(table["text"], table["label"])


def test_a_pickle_of_texts_or_images_needs_no_folder(tmp_path):
    texts, (images, labels) = review_rows(24), image_arrays(16)
    for model, rows, targets in (
        (save_text_model(tmp_path / "bert"), texts["text"].to_numpy(), texts["label"].to_numpy()),
        (save_base("resnet", tmp_path / "resnet"), np.stack(images), np.asarray(labels)),
    ):
        found = search(model=str(model), space=ONE_EPOCH).fit(rows, targets)
        chances, kept, folder = found.predict_proba(rows), pickle.dumps(found), found.study_.folder
        shutil.rmtree(model)
        assert np.array_equal(found.predict_proba(rows), chances)
        del found
        assert not folder.exists()
        assert np.array_equal(pickle.loads(kept).predict_proba(rows), chances)


def test_texts_and_pairs_with_a_model_of_transformers(text_model):
    model, space = text_model, ONE_EPOCH
    table = review_rows(24)
    found = search(model=model, space=space, task_options={"max_length": 16}).fit(table["text"], table["label"])
    assert set(found.predict(list(table["text"][:5]))) <= set(table["label"])
    tested = found.result_.plan.task
    assert tested.max_length == 16
    chances = found.predict_proba(table["text"].to_numpy())
    refit = found.result_.refit()
    from hpsearch.tasks.classes.labels import probabilities
    from hpsearch.training.prediction import predict

    study = found.study_
    learner = study.task.learner(study.plan.prepared)
    logits = predict(refit.model, learner, np.arange(24), study.record.numerics(), "cpu")
    assert np.allclose(chances, probabilities(logits, study.plan.prepared.judge.kind), rtol=0, atol=1e-2)
    pairs = np.stack([table["text"], table["text"].iloc[::-1]], axis=1)
    of_pairs = search(model=model, space=space).fit(pairs, table["label"])
    assert of_pairs.predict(pairs[:3]).shape == (3,)
    with pytest.raises(UsageError, match=r"X has 1 texts a row.*fitted on pairs of texts"):
        of_pairs.predict(table["text"])
    with pytest.raises(UsageError, match=r"groups has shape \(7,\), and X has 24 rows"):
        search(model=model, space=space).fit(pairs, table["label"], groups=np.arange(7))


def test_images_of_another_size_become_those_of_training(tmp_path):
    images, labels = image_arrays(16)
    images = np.stack(images)
    found = search(model=str(save_base("resnet", tmp_path / "resnet")), space=ONE_EPOCH).fit(images, np.asarray(labels))
    large = images.repeat(2, axis=1).repeat(2, axis=2)
    trained = hpsearch.data.dataset.open_dataset(found.study_.plan.prepared.folder)["pixels"]
    prepared = found._inputs.prepared(found._encoder, found._prepared, large, tmp_path)
    assert hpsearch.data.dataset.open_dataset(prepared.test_folder)["pixels"].shape == trained.shape
    assert found.predict(large[:2]).shape == (2,)
    with pytest.raises(UsageError, match=r"X has shape \(16, 4\), and the model was fitted on images"):
        found.predict(np.zeros((16, 4)))


def test_rows_of_another_number_of_dimensions_are_refused():
    rows = np.random.default_rng(0).normal(size=(24, 3, 4))
    found = search(model=make_flat_network).fit(rows, np.arange(24) % 2)
    assert not hasattr(found, "n_features_in_")
    assert found.predict(rows[:2]).shape == (2,)
    with pytest.raises(
        UsageError, match=r"X has shape \(24, 12\), and the model was fitted on rows of shape \(rows, 3"
    ):
        found.predict(rows.reshape(24, 12))


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
        (["a", "b", "c"], ["x", None, "y"], "bert", r"y has no label in row 1"),
    ],
)
def test_what_does_not_go_together_is_said(rows, labels, model, words):
    with pytest.raises(ValueError, match=words):
        search(model=model).fit(rows, labels)


def test_what_y_is_has_a_name(iris):
    with pytest.raises(TaskError, match="targets='klasses'"):
        search(targets="klasses").fit(*iris)


def test_scores_are_greater_for_the_better_whatever_the_objective(iris):
    fitted, mirrored = (search(n_iter=3, cv=2, scoring=scoring).fit(*iris) for scoring in ("log_loss", "neg_log_loss"))
    for name in ("mean_test_score", "std_test_score", "rank_test_score", "split0_test_score"):
        assert fitted.cv_results_[name].tolist() == mirrored.cv_results_[name].tolist()
    assert fitted.best_params_ == mirrored.best_params_
    assert fitted.best_score_ == mirrored.best_score_ < 0.0
    assert fitted.score(*iris) == mirrored.score(*iris) < 0.0


@pytest.mark.parametrize(
    ("text", "label", "where"),
    [("a\ud83d", "a", "X of the given data"), ("a", "a\ud83d", "y of the train data"), ("a", "a\0", "y of the")],
)
def test_half_a_character_and_a_name_with_nul_are_refused_by_row(tmp_path, text, label, where):
    """NumPy drops a NUL at the end of a text: "a" and "a\\0" would be one class."""
    estimator = search(model="no-model", folder=tmp_path)
    with pytest.raises(DataError, match=rf"{where}.*row 3"):
        estimator.fit(["a", "b", "c", text], ["a", "b", "b", label])


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.usefixtures("two_nodes")
def test_a_search_on_a_ray_cluster_is_that_on_this_machine(iris):
    def network(n_features: int = 4, n_classes: int = 2, width: int = 16) -> nn.Module:  # travels by value
        return nn.Sequential(nn.Linear(n_features, width), nn.Dropout(0.1), nn.Linear(width, n_classes))

    here = search(model=network, n_iter=3, devices=1).fit(*iris)
    there = clone(here).set_params(devices="ray").fit(*iris)
    assert np.array_equal(there.predict_proba(iris[0]), here.predict_proba(iris[0]))
    assert np.array_equal(there.predict(iris[0]), here.predict(iris[0]))
    assert (there.best_params_, there.best_score_) == (here.best_params_, here.best_score_)
    for column in here.cv_results_.keys() - {"mean_fit_time", "std_fit_time"}:
        assert pd.Series(there.cv_results_[column]).equals(pd.Series(here.cv_results_[column])), column
    nested = cross_val_score(clone(there).set_params(n_iter=1), *iris, cv=2, error_score="raise")
    assert np.array_equal(nested, cross_val_score(clone(here).set_params(n_iter=1), *iris, cv=2))
