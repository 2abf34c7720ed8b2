"""The search as a scikit-learn regressor: scikit-learn's own checks, several targets, scores in the user's units."""

import pickle
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.base import is_classifier, is_regressor
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.metrics import mean_squared_error, r2_score, root_mean_squared_error
from sklearn.model_selection import cross_val_score
from sklearn.utils.estimator_checks import estimator_checks_generator
from tasks_samples import image_arrays, review_rows, save_base, save_text_model
from torch import nn

import hpsearch as hp
from hpsearch.errors import UsageError

pytestmark = pytest.mark.filterwarnings("ignore:.*joblib will operate in serial mode.*:UserWarning")


def make_network(n_features: int = 4, n_outputs: int = 1, width: int = 32) -> nn.Module:
    layers = [nn.BatchNorm1d(n_features), nn.Linear(n_features, width), nn.ReLU(), nn.Linear(width, n_outputs)]
    return nn.Sequential(*layers)


SPACE = hp.Space(
    default={"learning_rate": 0.03},
    learning_rate=hp.Float(1e-2, 1e-1, log=True),
    epochs=10,
    batch_size=16,
)


def search(model: Any = make_network, space: Any = SPACE, **changed: Any) -> hp.FineTuneSearchCV:
    settings = {"n_iter": 1, "cv": 2, "pruner": "none", "early_stopping": None, "devices": "inline", **changed}
    return hp.FineTuneSearchCV(model, space, targets="numbers", **settings)


def checks() -> list[Any]:
    """Return scikit-learn's checks under names that are the same in every process."""
    found = enumerate(check for _, check in estimator_checks_generator(search()))
    return [pytest.param(check, id=f"{number}-{getattr(check, 'func', check).__name__}") for number, check in found]


@pytest.mark.slow
@pytest.mark.parametrize("check", checks())
def test_what_scikit_learn_expects_of_a_regressor(check: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        check(search())


@pytest.fixture(scope="module")
def rows() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    inputs = random.normal(size=(150, 4))
    return inputs, 300.0 + 20.0 * inputs[:, 0] - 5.0 * inputs[:, 1]


@pytest.fixture(scope="module")
def fitted(rows: tuple[np.ndarray, np.ndarray]) -> hp.FineTuneSearchCV:
    return search(n_iter=3, scoring="rmse", metrics=["r2"], random_state=1).fit(*rows)


def test_it_is_a_regressor_without_probabilities(fitted: hp.FineTuneSearchCV) -> None:
    assert is_regressor(fitted) and not is_classifier(fitted)
    assert not hasattr(fitted, "predict_proba") and not hasattr(fitted, "classes_")


def test_it_predicts_in_the_users_units_and_scores_are_greater_for_the_better(
    fitted: hp.FineTuneSearchCV, rows: tuple[np.ndarray, np.ndarray]
) -> None:
    inputs, numbers = rows
    predicted = fitted.predict(inputs)
    assert predicted.shape == (150,) and predicted.dtype == np.float64
    assert r2_score(numbers, predicted) > 0.9
    assert fitted.score(inputs, numbers) == pytest.approx(-root_mean_squared_error(numbers, predicted))
    found = fitted.cv_results_
    assert fitted.best_score_ == found["mean_test_score"].max() == -fitted.result_.best.value < 0.0
    assert found["rank_test_score"][fitted.best_index_] == 1
    assert (found["mean_test_r2"] > 0.0).all()
    other = Ridge().fit(inputs, numbers)
    assert fitted.scorer_(other, inputs, numbers) == -root_mean_squared_error(numbers, other.predict(inputs))


def test_several_targets_and_whole_numbers(rows: tuple[np.ndarray, np.ndarray]) -> None:
    inputs, numbers = rows
    both = np.stack([numbers.round().astype(int), -numbers], axis=1)
    made = search().fit(inputs, both)
    assert made.predict(inputs).shape == (150, 2)
    assert made.score(inputs, both) == pytest.approx(r2_score(both, made.predict(inputs)))
    assert made.score(inputs, both) > 0.8


def test_it_stands_inside_cross_validation(rows: tuple[np.ndarray, np.ndarray]) -> None:
    assert (cross_val_score(search(scoring="neg_mean_squared_error"), *rows, cv=2) < 0.0).all()


def test_a_pickle_predicts_the_same(fitted: hp.FineTuneSearchCV, rows: tuple[np.ndarray, np.ndarray]) -> None:
    again = pickle.loads(pickle.dumps(fitted))
    assert np.array_equal(again.predict(rows[0]), fitted.predict(rows[0]))
    assert again.score(*rows) == fitted.score(*rows)


def test_what_is_no_number_is_said(rows: tuple[np.ndarray, np.ndarray]) -> None:
    with pytest.raises(ValueError, match="not compatible with arrays of bytes/strings"):
        search().fit(rows[0], np.array(["a", "b"] * 75))
    with pytest.raises(UsageError, match=r"target is 2.0 in each of the 150 train rows"):
        search().fit(rows[0], np.full(150, 2.0))
    with pytest.raises(UsageError, match="X has 150 rows and y has 149"):
        search().fit(rows[0], rows[1][:-1])


def largest_error(true: np.ndarray, predicted: np.ndarray) -> float:
    return float(np.abs(true - predicted).max())


def test_an_own_error_is_minimized_and_scores_stay_greater_for_the_better(rows: tuple[np.ndarray, np.ndarray]) -> None:
    inputs, numbers = rows
    with pytest.raises(UsageError, match=r"'largest_error' is an error.*direction=\"minimize\""):
        search(scoring=largest_error).fit(inputs, numbers)
    made = search(n_iter=3, scoring=largest_error, direction="minimize").fit(inputs, numbers)
    found = made.cv_results_
    measured = [summary.value for summary in map(made.result_.summary, found["trial"])]
    assert found["mean_test_score"].tolist() == [-value for value in measured]
    assert made.best_score_ == -min(measured) < 0.0
    assert found["rank_test_score"][made.best_index_] == 1 and found["rank_test_score"].max() == 3
    assert made.score(inputs, numbers) == -largest_error(numbers, made.predict(inputs))
    assert made.result_.best.value == min(measured)
    with pytest.raises(UsageError, match="direction='lower' is unknown"):
        search(direction="lower").fit(inputs, numbers)


@pytest.mark.parametrize("shape", [(-1,), (-1, 1), (-1, 2)])
def test_numbers_are_predicted_in_the_shape_of_y(rows: tuple[np.ndarray, np.ndarray], shape: tuple[int, ...]) -> None:
    inputs, numbers = rows
    y = np.concatenate([numbers, numbers[::-1]])[: 150 * abs(shape[-1])].reshape(shape)
    made = search().fit(inputs, y)
    assert (
        made.predict(inputs[:7]).shape == LinearRegression().fit(inputs, y).predict(inputs[:7]).shape == (7, *shape[1:])
    )
    assert made.score(inputs, y) == pytest.approx(r2_score(y, made.predict(inputs)))
    assert pickle.loads(pickle.dumps(made)).predict(inputs[:7]).shape == (7, *shape[1:])


class Squashed(nn.Module):
    """Something follows the last linear layer."""

    def __init__(self, n_features: int = 4) -> None:
        super().__init__()
        self.inner = nn.Linear(n_features, 1)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return 3.0 * torch.tanh(self.inner(rows))


@pytest.mark.parametrize("model", [make_network, Squashed])
def test_what_the_best_model_gives_is_said(rows: tuple[np.ndarray, np.ndarray], model: Any) -> None:
    inputs, numbers = rows
    made = search(model).fit(inputs, numbers)
    with torch.no_grad():
        outputs = made.best_model_(torch.from_numpy(inputs.astype(np.float32))).double().numpy()[:, 0]
    own = outputs if model is make_network else outputs * np.std(numbers, axis=0) + np.mean(numbers, axis=0)
    np.testing.assert_allclose(own, made.predict(inputs), rtol=1e-5)
    assert abs(own.mean() - 300.0) < 20.0


def test_texts_and_images_with_models_of_transformers(tmp_path: Any) -> None:
    texts = review_rows(40)["text"].to_numpy()
    numbers = np.array([[len(text), len(text.split())] for text in texts], dtype=float)
    space = hp.Space(learning_rate=hp.Float(1e-3, 1e-2, log=True), epochs=2, batch_size=8)
    made = search(str(save_text_model(tmp_path / "text")), space, task_options={"strata": 4}).fit(texts, numbers)
    assert made.predict(texts[:5]).shape == (5, 2)
    images, _ = image_arrays(24)
    heights = images.reshape(24, -1).mean(axis=1)
    made = search(str(save_base("vit", tmp_path / "vit")), space).fit(images, heights)
    predicted = made.predict(images)
    assert predicted.shape == (24,)
    assert made.score(images, heights) == pytest.approx(
        1.0 - mean_squared_error(heights, predicted) / heights.var(), abs=1e-9
    )
