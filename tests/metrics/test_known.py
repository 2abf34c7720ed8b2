"""What is known of metrics: of names and of scikit-learn's own functions, and of nothing that only looks like one."""

import functools
import inspect

import numpy as np
import pytest
import sklearn.metrics
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import check_scoring, get_scorer, get_scorer_names, make_scorer

from hpsearch.metrics.direction import Direction
from hpsearch.metrics.known import (
    LOSSES,
    bounds,
    is_negated_score,
    known_direction,
    measures,
    reads_scores,
    scikit_learn_name,
    wants_estimator,
)


@pytest.mark.parametrize("name", get_scorer_names())
def test_whatever_scikit_learn_registers_is_maximized(name: str) -> None:
    assert known_direction(name) is Direction.MAXIMIZE
    assert known_direction(get_scorer(name)) is Direction.MAXIMIZE
    assert not is_negated_score(get_scorer(name))
    assert measures(name) in ("classes", "numbers", "clusterings")


@pytest.mark.parametrize("name", sorted(name for losses in LOSSES.values() for name in losses))
def test_a_named_loss_is_minimized_and_never_below_zero(name: str) -> None:
    assert known_direction(name) is Direction.MINIMIZE
    assert bounds(name) == (0.0, np.inf)
    assert name in LOSSES[measures(name) or ""]


def test_a_language_model_adds_its_losses_as_words() -> None:
    assert (known_direction("perplexity"), measures("perplexity")) == (Direction.MINIMIZE, "texts")
    assert (known_direction("mine"), measures("mine")) == (None, None)


def test_the_losses_of_numbers_are_those_of_the_scorers() -> None:
    negated = {
        name.removeprefix("neg_") for name in get_scorer_names() if measures(name) == "numbers" and "neg_" in name
    }
    assert set(LOSSES["numbers"]) == negated | {"mae", "mse", "rmse"}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("f1_macro", (0, 1)),
        ("roc_auc_ovr", (0, 1)),
        ("spearman", (-1, 1)),
        ("r2", (-np.inf, 1)),
        ("neg_log_loss", (-np.inf, 0)),
        ("mine", (-np.inf, np.inf)),
    ],
)
def test_bounds_are_those_of_the_scorer(name: str, expected: tuple[float, float]) -> None:
    assert bounds(name) == expected


UP, DOWN = Direction.MAXIMIZE, Direction.MINIMIZE
SCORES = {
    name
    for name in sklearn.metrics.__all__
    if name.endswith(("_score", "corrcoef")) and name not in ("davies_bouldin_score",)
}
ERRORS = {name for name in sklearn.metrics.__all__ if name.endswith(("_loss", "_error", "_deviance"))}


def test_functions_of_scikit_learn_are_known_by_the_end_of_their_names_and_a_negative_is_the_opposite() -> None:
    assert len(SCORES) > 25
    assert len(ERRORS) > 12
    for names, direction in ((SCORES, UP), (ERRORS | {"davies_bouldin_score"}, DOWN)):
        for name in names:
            function = getattr(sklearn.metrics, name)
            assert known_direction(function) is direction, name
            assert known_direction(functools.partial(function, sample_weight=None)) is direction
            assert known_direction(make_scorer(function)) is direction
            negated = make_scorer(function, greater_is_better=False, sample_weight=[1])
            assert known_direction(negated) is direction.opposite
            assert is_negated_score(negated) is (direction is UP)
    others = {name for name in sklearn.metrics.__all__ if inspect.isfunction(getattr(sklearn.metrics, name))}
    for name in others - SCORES - ERRORS - {"davies_bouldin_score"}:
        assert known_direction(getattr(sklearn.metrics, name)) is None, name


def test_what_wraps_a_function_of_scikit_learn_is_not_it() -> None:
    @functools.wraps(sklearn.metrics.accuracy_score)
    def error(y_true: object, y_pred: object) -> float:
        return 1.0 - float(sklearn.metrics.accuracy_score(y_true, y_pred))

    assert error.__module__ == sklearn.metrics.accuracy_score.__module__
    assert scikit_learn_name(error) == ""
    assert known_direction(error) is known_direction(make_scorer(error)) is None
    assert scikit_learn_name(sklearn.metrics.accuracy_score) == "accuracy_score"


def test_functions_that_read_more_than_classes_are_known() -> None:
    read = {name for name in SCORES | ERRORS if reads_scores(getattr(sklearn.metrics, name))}
    probable = {"average_precision_score", "brier_score_loss", "d2_brier_score", "d2_log_loss_score", "log_loss"}
    ranking = {"coverage_error", "dcg_score", "label_ranking_average_precision_score", "label_ranking_loss"}
    rest = {"hinge_loss", "ndcg_score", "roc_auc_score", "top_k_accuracy_score"}
    assert read == probable | ranking | rest
    assert not reads_scores(lambda y_true, y_score: 0.0)


def test_what_is_called_with_an_estimator_is_known() -> None:
    model = LogisticRegression()
    for metric in (check_scoring(model), check_scoring(model, scoring=["accuracy"]), lambda estimator, x, y: 0.0):
        assert wants_estimator(metric)
    for metric in (check_scoring(model, scoring="accuracy"), sklearn.metrics.f1_score, "f1", len):
        assert not wants_estimator(metric)
