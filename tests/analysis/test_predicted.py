"""Predicted beside true numbers: the numbers of the figure equal scikit-learn's, and few points stand for many."""

import numpy as np
import pytest
from sklearn.metrics import r2_score, root_mean_squared_error

from hpsearch.analysis.predicted import MOST_POINTS, predicted_targets


def sample(rows):
    random = np.random.default_rng(0)
    true = random.normal(size=(rows, 2))
    return true, true + random.normal(size=true.shape)


def test_numbers_of_each_target():
    true, predicted = sample(100)
    for place, target in enumerate(predicted_targets(("a", "b"), true, predicted)):
        assert target.name == "ab"[place]
        assert target.r2 == pytest.approx(r2_score(true[:, place], predicted[:, place]))
        assert target.rmse == pytest.approx(root_mean_squared_error(true[:, place], predicted[:, place]))
        low, high = target.spread
        inside = (target.residuals >= low) & (target.residuals <= high)
        assert inside.mean() == pytest.approx(0.9, abs=0.02)


def test_one_target_without_a_name():
    (target,) = predicted_targets(("",), np.array([1.0, 2.0, 3.0]), np.array([1.5, np.nan, 3.0]))
    assert target.true.tolist() == [1.0, 3.0]
    assert target.residuals.tolist() == [0.5, 0.0]


def test_without_predictions_there_is_nothing():
    assert predicted_targets(("",), np.zeros(3), np.full(3, np.nan)) is None


def test_targets_that_are_all_the_same_have_no_r2():
    (target,) = predicted_targets(("",), np.zeros(3), np.ones(3))
    assert target.r2 is None


def test_many_rows_are_thinned_out_and_the_furthest_stay():
    true, predicted = sample(20_000)
    predicted[123, 0] += 50.0
    target = predicted_targets(("a", "b"), true, predicted)[0]
    shown_true, shown_predicted = target.shown()
    assert len(shown_true) == len(shown_predicted) == MOST_POINTS
    assert predicted[123, 0] in shown_predicted
    pairs = set(zip(target.true.tolist(), target.predicted.tolist(), strict=True))
    assert set(zip(shown_true.tolist(), shown_predicted.tolist(), strict=True)) <= pairs
    few = predicted_targets(("a", "b"), *sample(50))[0]
    assert len(few.shown()[0]) == 50
