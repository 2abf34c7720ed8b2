"""A metric is tried on made-up rows: a toy judge of numbers, whose metrics are functions of them."""

import functools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import sklearn.metrics
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import check_scoring, make_scorer

from hpsearch.errors import MetricError
from hpsearch.metrics.direction import Direction
from hpsearch.metrics.metric import Metric, checked_metric, metric_name
from hpsearch.metrics.resolving import MadeUp, resolve

UP, DOWN = Direction.MAXIMIZE, Direction.MINIMIZE
ROWS = np.arange(8.0)


class ToyMetric(Metric):
    def _compute(self, targets: Any, predictions: Any, weight: np.ndarray | None) -> Any:
        scorer: Any = self.function
        if hasattr(scorer, "_score_func"):
            return scorer._sign * scorer._score_func(targets, predictions, **scorer._kwargs)
        return scorer(targets, predictions) if weight is None else scorer(targets, predictions, sample_weight=weight)


def _wrong() -> Iterator[np.ndarray]:
    yield from (ROWS[::-1], ROWS + 3, ROWS - 3, np.full(8, 3.5), ROWS * 2 - 3.5, ROWS / 2 + 2)


MADE_UP = MadeUp((ROWS, ROWS + np.tile([0.5, -0.5], 4)), ROWS, ROWS, ROWS + np.tile([1e-3, -1e-3], 4), _wrong)


def resolved(function: Any, direction: Direction | None = None, *, is_objective: bool = True) -> ToyMetric:
    given: Any = checked_metric(function)
    return resolve(ToyMetric(metric_name(given), function=given), MADE_UP, direction, is_objective=is_objective)


def refused(function: Any, direction: Direction | None = None) -> str:
    with pytest.raises(MetricError) as caught:
        resolved(function, direction)
    return str(caught.value)


def mean_error(y: Any, p: Any) -> float:
    return float(np.mean(np.abs(p - y)))


def closeness(y: Any, p: Any) -> float:
    return float(np.mean(np.abs(p - y) < 1))


def bias(y: Any, p: Any) -> float:
    return float(np.mean(p) - np.mean(y))


def total(y: Any, p: Any) -> float:
    return float(np.sum(p))


def upper_quantile(y: Any, p: Any) -> float:
    return float(np.quantile(p, 0.9))


def of_the_truth(y: Any, p: Any) -> float:
    return float(np.mean(y))


def absolute_bias(y: Any, p: Any) -> float:
    return abs(bias(y, p))


def ratio_of_totals(y: Any, p: Any) -> float:
    return abs(math.log(abs(float(np.sum(p)) / float(np.sum(y)))))


def largest_distance(y: Any, p: Any) -> float:
    from scipy.stats import ks_2samp

    return float(ks_2samp(y, p).statistic)


def wasserstein(y: Any, p: Any) -> float:
    from scipy.stats import wasserstein_distance

    return float(wasserstein_distance(y, p))


@pytest.mark.parametrize("function", [mean_error, absolute_bias, ratio_of_totals, largest_distance, wasserstein])
def test_an_error_needs_the_word_even_where_a_permutation_of_the_truth_has_none(
    function: Callable[[Any, Any], float],
) -> None:
    said = refused(function)
    assert f"metric '{function.__name__}' is an error, not a score: of made-up predictions it gives 0 to those" in said
    assert 'direction="minimize"' in said
    assert resolved(function, DOWN).direction is resolved(function, is_objective=False).direction is DOWN
    assert refused(function, UP).startswith(
        f"direction='maximize' contradicts metric '{function.__name__}': of made-up"
    )
    assert refused(function, UP).endswith("Give direction='minimize'.")


@pytest.mark.parametrize("function", [bias, total, upper_quantile, of_the_truth])
def test_what_cannot_tell_right_from_wrong_needs_one_of_two_words(function: Callable[[Any, Any], float]) -> None:
    said = refused(function)
    assert f"metric '{function.__name__}' does not tell which way it is better: of made-up predictions it gives" in said
    assert 'direction="maximize" or direction="minimize"' in said
    for direction in Direction:
        assert resolved(function, direction).direction is direction
    assert resolved(function, is_objective=False).direction is UP  # nothing follows it


def test_a_score_is_maximized_and_cannot_be_minimized() -> None:
    assert resolved(closeness).direction is resolved(closeness, UP).direction is UP
    said = refused(closeness, DOWN)
    assert said.startswith("direction='minimize' contradicts metric 'closeness': of made-up predictions it gives 1 to")
    assert said.endswith("Leave direction= out.")


def test_rounding_decides_nothing() -> None:
    def rounded(y: Any, p: Any) -> float:
        return 1.0 if p is y else 1.0 + (float(np.sum(p)) - 28.0) * 1e-16

    def noise(y: Any, p: Any) -> float:
        return bias(y, p) + (0.0 if p is y else 1e-15)

    assert "the same to wrong ones" in refused(rounded)
    assert "to some wrong ones and" in refused(noise)


def signal_to_noise(y: Any, p: Any) -> float:
    return float(10 * np.log10(np.max(y) ** 2 / np.mean((p - y) ** 2)))  # infinite where p is y


def inverse_error(y: Any, p: Any) -> float:
    return 1 / float(np.mean((p - y) ** 2))  # ZeroDivisionError there


def no_number(y: Any, p: Any) -> float:
    return float("nan") if mean_error(y, p) == 0 else -mean_error(y, p)


@pytest.mark.parametrize("function", [signal_to_noise, inverse_error, no_number])
@pytest.mark.filterwarnings("error")
def test_a_score_without_an_upper_bound_is_a_score(function: Callable[[Any, Any], float]) -> None:
    assert resolved(function).direction is UP
    assert "it gives" in refused(function, DOWN)
    flipped = lambda y, p: -function(y, p)  # noqa: E731
    assert "is an error, not a score" in refused(flipped)
    assert resolved(flipped, DOWN).direction is DOWN


def test_an_example_without_a_value_is_passed_over() -> None:
    def logarithmic(y: Any, p: Any) -> float:
        if np.min(p) < -1:
            raise ValueError("not below -1")
        return -float(np.mean((np.log1p(p) - np.log1p(y)) ** 2))

    assert resolved(logarithmic).direction is UP

    def never(y: Any, p: Any) -> float:
        return 1.0 if np.allclose(p, MADE_UP.ordinary[1]) else float("nan")

    assert "it cannot be computed of made-up predictions that are all right or all wrong" in refused(never)


def test_what_fails_says_that_the_rows_are_made_up() -> None:
    assert "could not be computed on 8 rows: KeyError: 'x'." in refused(lambda y, p: {}["x"])
    assert refused(lambda y, p: {}["x"]).endswith("(It was tried on made-up rows, before any training.)")
    assert refused(lambda y, p: float("nan")).endswith("(It was tried on made-up rows, before any training.)")


def test_weights_count_where_they_are_taken() -> None:
    def weighted(y: Any, p: Any, sample_weight: Any = None) -> float:
        return -float(np.average(np.abs(p - y), weights=sample_weight))

    def refusing(y: Any, p: Any, sample_weight: Any = None) -> float:
        return weighted(y, p) if sample_weight is None else 1 / 0

    assert [resolved(each).weighted for each in (weighted, refusing, closeness)] == [True, False, False]


def test_what_scikit_learn_knows_is_measured_as_well() -> None:
    assert resolved(sklearn.metrics.mean_absolute_error).direction is DOWN
    assert refused(sklearn.metrics.mean_absolute_error, UP) == (
        "direction='maximize' contradicts metric 'mean_absolute_error': less of it is better. Leave direction= out."
    )
    assert refused(sklearn.metrics.r2_score, DOWN) == (
        "direction='minimize' contradicts metric 'r2_score': more of it is better. Leave direction= out."
    )


def test_what_is_known_and_measured_apart_contradicts_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    def r2_score(y: Any, p: Any) -> float:
        return mean_error(y, p)

    monkeypatch.setattr(sklearn.metrics, "r2_score", r2_score)
    for direction in (None, *Direction):
        said = refused(r2_score, direction)
        assert "metric 'r2_score' contradicts itself: more of it is better, as scikit-learn has it, but of" in said


def test_a_wrapped_function_is_measured_whatever_its_name() -> None:
    @functools.wraps(sklearn.metrics.r2_score)
    def r2_score(y: Any, p: Any) -> float:
        return mean_error(y, p)

    assert "is an error, not a score" in refused(r2_score)


def test_the_negative_of_a_score_contradicts_itself_unless_it_is_said() -> None:
    for score in (sklearn.metrics.r2_score, sklearn.metrics.explained_variance_score):
        negated = make_scorer(score, greater_is_better=False)
        said = refused(negated)
        assert f"'neg_{score.__name__}' contradicts itself: more of {score.__name__} is better" in said
        assert "greater_is_better=False. Leave that out, or say direction='minimize'." in said
        assert resolved(negated, DOWN).direction is DOWN
        assert refused(negated, UP).endswith("Leave that out.")
        with pytest.raises(MetricError, match=r"Leave that out\.$"):
            resolved(negated, is_objective=False)


def test_a_scorer_of_a_loss_goes_the_way_of_what_it_gives() -> None:
    loss = sklearn.metrics.mean_squared_error
    assert resolved(make_scorer(loss)).direction is DOWN
    assert resolved(make_scorer(loss, greater_is_better=False)).direction is UP
    own = make_scorer(mean_error, greater_is_better=False)
    assert resolved(own).direction is UP
    assert "is an error" in refused(make_scorer(mean_error))


def test_what_is_called_with_an_estimator_is_refused() -> None:
    model = LogisticRegression()
    for metric in (check_scoring(model), check_scoring(model, scoring=["accuracy"]), lambda estimator, x, y: 0.0):
        assert "is called with an estimator and its rows: give a scorer from" in refused(metric)
