"""Metrics of numbers equal scikit-learn's and scipy's, know their direction, and are refused before training."""

import functools

import cloudpickle
import numpy as np
import pytest
import sklearn.metrics as reference
from scipy import stats
from sklearn.metrics import get_scorer, get_scorer_names, make_scorer

from hpsearch.errors import MetricError
from hpsearch.metrics.direction import Direction
from hpsearch.metrics.known import LOSSES, bounds
from hpsearch.tasks.numbers.metric import Range, applicable_metrics, resolve_metric

ONE = Range((0.0,), (10.0,))
TWO = Range((0.0, -1.0), (10.0, 1.0))


def numbers(several=False, rows=40, seed=0):
    """Return (targets, predictions) of a model that is not far off."""
    random = np.random.default_rng(seed)
    targets = random.normal(5.0, 2.0, size=(rows, 2) if several else rows)
    return targets, targets + random.normal(size=targets.shape)


SHORT = {"mae": "mean_absolute_error", "mse": "mean_squared_error", "rmse": "root_mean_squared_error"}
CORRELATIONS = {"pearson": stats.pearsonr, "spearman": stats.spearmanr}


def expected_value(name, targets, predictions, weights):
    full = SHORT.get(name, name)
    if full in CORRELATIONS:
        return CORRELATIONS[full](targets, predictions).statistic
    is_scorer = full in get_scorer_names()
    scorer = get_scorer(full if is_scorer else f"neg_{full}")
    arguments = {} if weights is None or "max_error" in full else {"sample_weight": weights}
    return scorer._score_func(targets, predictions, **arguments) * (scorer._sign if is_scorer else 1)


@pytest.mark.parametrize("name", applicable_metrics(ONE))
def test_a_name_is_that_of_a_scorer_or_of_its_loss_without_neg(name):
    targets, predictions = numbers()
    metric = resolve_metric(name, ONE)
    for weights in (None, np.linspace(0.5, 1.5, len(targets))):
        expected = expected_value(name, targets, predictions, weights)
        assert metric(targets, predictions, weights) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", applicable_metrics(TWO))
def test_several_targets_have_the_mean_over_them(name):
    targets, predictions = numbers(several=True)
    metric, single = resolve_metric(name, TWO), resolve_metric(name, ONE)
    columns = [single(true, predicted) for true, predicted in zip(targets.T, predictions.T, strict=True)]
    assert metric(targets, predictions) == pytest.approx(np.mean(columns), rel=1e-12)


def test_what_cannot_be_averaged_over_targets_is_not_offered():
    assert "max_error" in applicable_metrics(ONE)
    assert "max_error" not in applicable_metrics(TWO)


@pytest.mark.parametrize(
    ("metric", "direction"),
    [
        ("r2", Direction.MAXIMIZE),
        ("neg_root_mean_squared_error", Direction.MAXIMIZE),
        ("root_mean_squared_error", Direction.MINIMIZE),
        ("rmse", Direction.MINIMIZE),
        ("spearman", Direction.MAXIMIZE),
        (reference.mean_pinball_loss, Direction.MINIMIZE),
        (functools.partial(reference.mean_tweedie_deviance, power=0), Direction.MINIMIZE),
        (make_scorer(reference.mean_absolute_error, greater_is_better=False), Direction.MAXIMIZE),
    ],
)
def test_a_known_metric_sets_its_direction(metric, direction):
    assert resolve_metric(metric, ONE).direction is direction
    assert resolve_metric(metric, ONE, direction).direction is direction
    with pytest.raises(MetricError, match="contradicts metric"):
        resolve_metric(metric, ONE, direction.opposite)


def error(y_true, y_pred):
    return float(np.abs(y_true - y_pred).max())


def share_within_one(y_true, y_pred, sample_weight=None):
    return float(np.average(np.abs(y_true - y_pred) < 1.0, weights=sample_weight))


def test_a_users_error_needs_its_direction_said():
    with pytest.raises(MetricError, match='direction="minimize"'):
        resolve_metric(error, ONE)
    metric = resolve_metric(error, ONE, Direction.MINIMIZE)
    targets, predictions = numbers()
    assert (metric.direction, metric.weighted) == (Direction.MINIMIZE, False)
    assert metric(targets, predictions) == error(targets, predictions)


def test_a_users_score_is_maximised_and_cannot_be_minimised():
    metric = resolve_metric(share_within_one, ONE)
    assert (metric.direction, metric.weighted) == (Direction.MAXIMIZE, True)
    with pytest.raises(MetricError, match="right"):
        resolve_metric(share_within_one, ONE, Direction.MINIMIZE)


def bias(y_true, y_pred):
    return float(np.mean(y_pred) - np.mean(y_true))


def size_of_bias(y_true, y_pred):
    return abs(bias(y_true, y_pred))


def spread(y_true, y_pred):
    return float(np.std(y_pred))


def spread_of_errors(y_true, y_pred):
    return float(np.std(y_pred - y_true))


def upper_quantile(y_true, y_pred):
    return float(np.quantile(y_pred, 0.9))


RANGES = [ONE, TWO, Range((0.1,), (0.7,)), Range((1e9 - 1.0,), (1e9 + 1.0,)), Range((-3e-7,), (2e-7,))]


@pytest.mark.parametrize("ranges", RANGES)
def test_rounding_and_permutations_of_the_truth_decide_no_direction(ranges):
    for function in (bias, spread, upper_quantile):
        with pytest.raises(MetricError, match='direction="maximize" or direction="minimize"'):
            resolve_metric(function, ranges)
        assert resolve_metric(function, ranges, is_objective=False).direction is Direction.MAXIMIZE
    for function in (size_of_bias, spread_of_errors, error):
        with pytest.raises(MetricError, match="is an error, not a score: of made-up predictions it gives"):
            resolve_metric(function, ranges)
        assert resolve_metric(function, ranges, is_objective=False).direction is Direction.MINIMIZE


@pytest.mark.parametrize("ranges", [RANGES[0], RANGES[1], RANGES[2], Range((1e6 - 10.0,), (1e6 + 10.0,))])
def test_every_name_and_its_scorer_go_the_way_of_their_values(ranges):
    places = np.linspace(0.0, 1.0, 9)
    right, wrong = ranges.at(places + 0.01 * (-1.0) ** np.arange(9)), ranges.at(1.0 - places)
    for name in applicable_metrics(ranges):
        metric = resolve_metric(name, ranges)
        assert metric.direction is (Direction.MINIMIZE if name in LOSSES["numbers"] else Direction.MAXIMIZE), name
        scores = [metric.direction.score(metric(ranges.at(places), predicted)) for predicted in (right, wrong)]
        assert scores[0] > scores[1], name
        if name in get_scorer_names():
            assert resolve_metric(get_scorer(name), ranges).direction is Direction.MAXIMIZE, name


def test_what_scikit_learn_knows_is_not_overruled_by_rounding():
    near = Range((1e9 - 1.0,), (1e9 + 1.0,))
    for function in (reference.mean_gamma_deviance, reference.mean_poisson_deviance):
        assert resolve_metric(function, near).direction is Direction.MINIMIZE


def test_the_negative_of_a_known_score_contradicts_itself_unless_it_is_said():
    upside_down = make_scorer(reference.r2_score, greater_is_better=False)
    with pytest.raises(MetricError, match="contradicts itself: more of r2_score is better"):
        resolve_metric(upside_down, ONE)
    assert resolve_metric(upside_down, ONE, Direction.MINIMIZE).direction is Direction.MINIMIZE


def signal_to_noise(y_true, y_pred):
    return float(10 * np.log10(np.ptp(y_true) ** 2 / np.mean((y_pred - y_true) ** 2)))


def inverse_error(y_true, y_pred):
    return 1 / float(np.mean((y_pred - y_true) ** 2))


@pytest.mark.parametrize("function", [signal_to_noise, inverse_error])
def test_a_score_without_an_upper_bound_is_a_score(function):
    for ranges in (ONE, TWO):
        assert resolve_metric(function, ranges).direction is Direction.MAXIMIZE


def test_a_function_sees_targets_in_the_users_units():
    seen = []

    def spy(y_true, y_pred):
        seen.append((y_true.min(), y_true.max(), y_true.dtype))
        return -error(y_true, y_pred)

    resolve_metric(spy, Range((1e9 - 1.0,), (1e9 + 1.0,)))
    assert set(seen) == {(1e9 - 1.0, 1e9 + 1.0, np.dtype(np.float64))}


def test_a_metric_of_positive_numbers_is_tried_on_predictions_outside_of_the_range():
    with pytest.raises(MetricError, match=r"strictly positive.*outside of their range"):
        resolve_metric("mean_gamma_deviance", Range((0.1,), (10.0,)))
    assert resolve_metric("mean_gamma_deviance", Range((100.0,), (101.0,))).direction is Direction.MINIMIZE


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "accuracy",
            "cannot be used on these numbers: it measures classes.*Those that fit: .*mae.*spearman",
        ),
        ("hamming_loss", "it measures classes, not numbers"),
        ("rand_score", "it measures clusterings, not numbers"),
        ("perplexity", "it measures texts, not numbers"),
        ("rsme", "no metric called 'rsme'.*Did you mean 'rmse'"),
        ("RMSE", "no metric called 'RMSE'. Did you mean 'rmse'"),
        ("R2", "Did you mean 'r2'"),
        ("neg_mean_squared", "Did you mean 'neg_mean_squared_error'"),
        (lambda y_true, y_pred: 1 / 0, "Fix the function"),
        (lambda y_true, y_pred: y_pred, "where one number is needed"),
        (lambda y_true, y_pred: float("nan"), "cannot be compared"),
        (3, "give a scikit-learn scorer name"),
        (make_scorer(reference.log_loss, response_method="predict_proba"), "it measures classes, not numbers"),
    ],
)
def test_what_cannot_work_is_refused(name, message):
    with pytest.raises(MetricError, match=message):
        resolve_metric(name, ONE)


def test_a_constant_prediction_has_no_correlation_and_constant_targets_have_none_to_find():
    for name in ("pearson", "spearman"):
        metric = resolve_metric(name, ONE)
        assert metric(np.arange(5.0), np.full(5, 2.0)) == 0.0
        with pytest.raises(MetricError, match="often because the targets are all the same"):
            metric(np.full(5, 2.0), np.arange(5.0))


def test_correlations_hold_for_great_and_for_close_numbers():
    for targets in (np.arange(6.0) * 1e140, 1e9 + np.arange(6.0), np.arange(6.0) * 1e-160):
        assert resolve_metric("pearson", ONE)(targets, targets * 1.0) == pytest.approx(1.0)


def test_a_metric_travels_to_workers():
    metric = resolve_metric(error, ONE, Direction.MINIMIZE)
    targets, predictions = numbers()
    sent = cloudpickle.loads(cloudpickle.dumps(metric))
    assert sent(targets, predictions) == metric(targets, predictions)


@pytest.mark.parametrize("name", applicable_metrics(ONE))
def test_what_is_known_of_the_bounds_holds(name):
    low, high = bounds(name)
    metric = resolve_metric(name, ONE)
    targets = np.linspace(0.0, 10.0, 30)
    assert metric(targets, targets) in (low, high)
    for predictions in (targets[::-1], targets * 100.0, np.zeros(30)):
        assert low <= metric(targets, predictions) <= high
