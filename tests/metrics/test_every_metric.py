"""Every metric of scikit-learn's, named and callable, on every kind of targets: the right way round, or refused."""

import functools
import inspect
import re
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import sklearn.metrics
from sklearn.metrics import get_scorer, get_scorer_names, make_scorer

from hpsearch.errors import MetricError
from hpsearch.metrics.direction import Direction
from hpsearch.metrics.known import CORRELATIONS, LOSSES
from hpsearch.tasks.classes.judge import ClassJudge
from hpsearch.tasks.judge import Judge
from hpsearch.tasks.numbers.judge import NumberJudge

ROWS = 60
RANDOM = np.random.default_rng(0)
NOISE = RANDOM.normal(size=(ROWS, 3))

SKILLS = (3.0, 0.6, -1.5)
"""Of a good model, of a middling one, and of one that is wrong most of the time: of three trials the first is best."""


def classes_of(judge: ClassJudge) -> tuple[Any, list[Any]]:
    count = len(judge.classes)
    if judge.kind == "multilabel":
        targets: Any = (RANDOM.random((ROWS, count)) < 0.5).astype(np.int64)
        targets[:2] = [[1] * count, [0] * count]
        sides = 2.0 * targets - 1.0
    else:
        targets = np.arange(ROWS) % count
        sides = np.eye(count)[targets]
    return targets, [judge.predictions(skill * sides + NOISE[:, :count]) for skill in SKILLS]


def numbers_of(judge: NumberJudge) -> tuple[Any, list[Any]]:
    low, high = np.array(judge.ranges.low), np.array(judge.ranges.high)
    places = np.tile(np.linspace(0.0, 1.0, ROWS)[:, None], len(low))
    found = []
    for skill in SKILLS:
        near = 0.5 + np.sign(skill) * (places - 0.5) * 0.9
        found.append(low + (high - low) * (near + 0.03 * NOISE[:, : len(low)] * (4 - skill)))
    targets = low + (high - low) * places
    return (targets[:, 0], [each[:, 0] for each in found]) if len(low) == 1 else (targets, found)


JUDGES: dict[str, tuple[Judge, tuple[Any, list[Any]]]] = {
    name: (judge, classes_of(judge) if isinstance(judge, ClassJudge) else numbers_of(judge))
    for name, judge in {
        "0 and 1": ClassJudge.learn([0, 1]),
        "irony": ClassJudge.learn(["irony", "non_irony"]).of_class("irony"),
        "1 and 2": ClassJudge.learn([1, 2]).of_class(2),
        "three": ClassJudge.learn(["a", "b", "c"]),
        "labels": ClassJudge.learn(np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]])),
        "number": NumberJudge.learn([-2.0, 3.0]),
        "large number": NumberJudge.learn([100.0, 110.0]),
        "two numbers": NumberJudge.learn([[0.0, 50.0], [1.0, 60.0]]),
    }.items()
}  # fmt: skip

FUNCTIONS = {
    name: function
    for name in sklearn.metrics.__all__
    if inspect.isfunction(function := getattr(sklearn.metrics, name))
    and len(inspect.signature(function).parameters) > 1
}
NAMES = sorted(
    {*get_scorer_names(), *CORRELATIONS, *(name for losses in LOSSES.values() for name in losses), *FUNCTIONS}
)


def written(name: str) -> Iterator[tuple[str, Any]]:
    """Yield every way to write a metric."""
    yield name, name
    if name in get_scorer_names():
        yield f"get_scorer({name})", get_scorer(name)
    if name in FUNCTIONS:
        function = FUNCTIONS[name]
        yield f"{name} itself", function
        yield f"partial({name})", functools.partial(function)
        for is_greater in (True, False):
            for method in ("predict", "predict_proba", "decision_function"):
                yield (
                    f"make_scorer({name}, {method}, {is_greater})",
                    make_scorer(function, response_method=method, greater_is_better=is_greater),
                )
        for average in ("macro", "micro", "weighted"):
            if "average" in inspect.signature(function).parameters:
                yield f"make_scorer({name}, {average})", make_scorer(function, average=average)


COARSE = ("max_error", "median_absolute_error", "neg_max_error", "neg_median_absolute_error")
"""Of labels that are numbers they have few values, so that two models may share one."""

REMEDY = re.compile(
    r"Those that fit: \w|\b(Give|Leave|Choose|Say) |Check its arguments|Make it return|Fix the function", re.I
)


@pytest.mark.parametrize("kind", JUDGES)
@pytest.mark.parametrize(
    "is_objective", [True, pytest.param(False, marks=pytest.mark.extended)], ids=["metric=", "metrics="]
)
def test_the_best_of_three_trials_is_found_or_the_metric_is_refused(kind: str, is_objective: bool) -> None:
    judge, (targets, trials) = JUDGES[kind]
    taken, wrong = 0, []
    for name in NAMES:
        for text, metric in written(name):
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    resolved = judge.metric(metric, is_objective=is_objective)
                    values = [resolved(targets, predictions) for predictions in trials]
            except MetricError as error:
                if not REMEDY.search(str(error)):
                    wrong.append((text, str(error)))
                continue
            taken += 1
            scores = [resolved.direction.score(value) for value in values]
            is_right = scores[0] >= scores[1] >= scores[2] if name in COARSE else scores[0] > scores[1] > scores[2]
            if not is_right:
                wrong.append((text, values, resolved.direction))
    assert not wrong, wrong
    assert taken > 40


ERRORS = {
    "0 and 1": ["zero_one_loss", "log_loss", "hamming_loss", "brier_score_loss"],
    "three": ["zero_one_loss", "log_loss", "hamming_loss", "brier_score_loss"],
    "labels": ["zero_one_loss", "hamming_loss"],
    "number": ["mean_squared_error", "max_error", "median_absolute_error"],
}


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, names in ERRORS.items() for name in names])
def test_an_error_is_minimized_by_name_by_function_and_by_scorer(kind: str, name: str) -> None:
    judge, _ = JUDGES[kind]
    method = "predict_proba" if name in ("log_loss", "brier_score_loss") else "predict"
    function = FUNCTIONS[name]
    for metric in (name, function, make_scorer(function, response_method=method)):
        assert judge.metric(metric).direction is Direction.MINIMIZE
        with pytest.raises(MetricError, match="contradicts"):
            judge.metric(metric, Direction.MAXIMIZE)
    assert judge.metric(make_scorer(function, response_method=method, greater_is_better=False)).direction is (
        Direction.MAXIMIZE
    )


def agreement(truth: Any, predicted: Any) -> float:
    """Return a score that says nothing of fewer than 50 rows."""
    if len(truth) < 50:
        raise ValueError(f"{len(truth)} rows are too few")
    return float(np.mean(np.isclose(np.asarray(truth, np.float64), np.asarray(predicted, np.float64))))


def disagreement(truth: Any, predicted: Any) -> float:
    return 1 - agreement(truth, predicted) if len(truth) >= 50 else float("nan")


def agreement_of_the_last(truth: Any, predicted: Any) -> float:
    """Return the same number for whatever is predicted of a few rows."""
    return agreement(truth, predicted) if len(truth) >= 50 else 0.0


def halves(truth: Any, predicted: Any) -> float:
    if len(truth) < 50:
        raise ValueError
    return 0.5


@pytest.mark.parametrize("kind", ["0 and 1", "labels", "number", "two numbers"])
def test_a_metric_that_needs_many_rows_is_tried_on_many(kind: str) -> None:
    judge, _ = JUDGES[kind]
    for metric in (agreement, make_scorer(agreement), agreement_of_the_last):
        for is_objective in (True, False):
            assert judge.metric(metric, is_objective=is_objective).direction is Direction.MAXIMIZE
    assert judge.metric(disagreement, is_objective=False).direction is Direction.MINIMIZE
    assert judge.metric(disagreement, Direction.MINIMIZE).direction is Direction.MINIMIZE
    with pytest.raises(MetricError, match="'disagreement' is an error, not a score: of made-up"):
        judge.metric(disagreement)
    with pytest.raises(MetricError, match="'halves' does not tell which way it is better: of made-up"):
        judge.metric(halves)
    with pytest.raises(MetricError, match=r"on \d\d? rows: NameError: name 'y_treu' is not defined"):
        judge.metric(lambda truth, predicted: y_treu, is_objective=False)  # noqa: F821
    with pytest.raises(MetricError, match=r"on 1,?00\d rows: NameError: name 'y_treu' is not defined"):
        judge.metric(lambda truth, predicted: halves(truth, predicted) + y_treu, is_objective=False)  # noqa: F821


def test_the_best_of_many_rows_are_known_by_their_probabilities() -> None:
    def precision_of_the_best(truth: Any, probabilities: Any) -> float:
        return float(np.mean(np.asarray(truth)[np.argsort(-np.asarray(probabilities), kind="stable")[:100]]))

    scorer = make_scorer(precision_of_the_best, response_method="predict_proba")
    assert JUDGES["0 and 1"][0].metric(scorer).direction is Direction.MAXIMIZE
