"""Metrics of spans, beside nervaluate's, and on many draws at once."""

from typing import Any

import numpy as np
import pytest
from nervaluate import Evaluator
from span_samples import TYPES, drawn, judge, predicted, true

from hpsearch.errors import MetricError
from hpsearch.metrics.direction import Direction
from hpsearch.tasks.spans.counts import NONE, strict_counts, taken_for
from hpsearch.tasks.spans.metric import SpanMetric, as_dicts, metric_names, resolve_metric


def inclusive(rows: Any) -> Any:
    """Return spans as nervaluate has them: the end is the last character."""
    return [[{"start": start, "end": end - 1, "label": name} for start, end, name in row] for row in rows]


@pytest.mark.parametrize("seed", range(4))
def test_strict_scores_are_those_of_nervaluate(seed: int) -> None:
    spans, found = drawn(60, seed)
    reference = Evaluator(inclusive(spans), inclusive(found), tags=list(TYPES), loader="dict").evaluate()
    of_all = reference["overall"]["strict"]
    targets, predictions = true(*spans), predicted(*found)
    for name in ("precision", "recall", "f1"):
        assert resolve_metric(name, TYPES, None)(targets, predictions) == pytest.approx(
            getattr(of_all, name), abs=1e-12
        )
        for of_type in TYPES:
            expected = getattr(reference["entities"][of_type]["strict"], name)
            assert resolve_metric(f"{name}:{of_type}", TYPES, None)(targets, predictions) == pytest.approx(expected)
    macro = np.mean([reference["entities"][of_type]["strict"].f1 for of_type in TYPES])
    assert resolve_metric("f1_macro", TYPES, None)(targets, predictions) == pytest.approx(macro)
    scores = judge().further_scores(targets, predictions, None)
    assert scores["f1:time"] == pytest.approx(reference["entities"]["time"]["strict"].f1)
    assert list(scores) == [f"{name}:{of_type}" for name in ("f1", "precision", "recall") for of_type in TYPES]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", [*metric_names(TYPES[:2]), "f1:time"])
def test_many_draws_at_once_are_what_each_is_alone(name: str, weighted: bool) -> None:
    spans, found = drawn(50, 7)
    right = np.random.default_rng(1).integers(0, 11, 50).tolist()
    targets, predictions = true(*spans), predicted(*found, right=right)
    weights = np.linspace(0.2, 3.0, 50) if weighted else None
    metric = resolve_metric(name, TYPES, None)
    of_draws = metric.on_draws(targets, predictions, weights)
    assert of_draws is not None
    random = np.random.default_rng(0)
    draws = [random.integers(0, 50, 50) for _ in range(20)]
    alone = [metric(targets[rows], predictions[rows], None if weights is None else weights[rows]) for rows in draws]
    assert of_draws(draws) == pytest.approx(alone, abs=1e-12)


def test_what_is_undefined_is_not_a_number_and_none_predicted_is_zero() -> None:
    nothing, one = true([], []), true([(0, 3, "city")], [])
    metric = {name: resolve_metric(name, TYPES, None) for name in metric_names(TYPES)}
    for name in ("precision", "recall", "f1", "f1_macro"):
        assert metric[name](one, predicted([], [])) == 0.0
        with pytest.raises(MetricError, match="not defined on these rows"):
            metric[name](nothing, predicted([], []))
    assert metric["precision"](nothing, predicted([(0, 3, "city")], [])) == 0.0
    assert metric["f1:city"](one, predicted([(0, 3, "city"), (5, 6, "name")], [])) == 1.0
    assert metric["f1_macro"](one, predicted([(0, 3, "city"), (5, 6, "name")], [])) == 0.5  # of two types
    assert metric["token_accuracy"](one, predicted([], [], right=[9, 3])) == 0.6


def test_a_weight_counts_a_row_that_often() -> None:
    targets, found = true([(0, 3, "city")], [(0, 3, "city")]), predicted([(0, 3, "city")], [], right=[10, 2])
    weights = np.array([3.0, 1.0])
    assert resolve_metric("recall", TYPES, None)(targets, found, weights) == 0.75
    assert resolve_metric("token_accuracy", TYPES, None)(targets, found, weights) == 0.8
    assert judge().further_scores(targets, found, weights)["recall:city"] == 0.75


def test_a_users_function_sees_spans_as_dictionaries() -> None:
    seen: list[Any] = []

    def found_all(spans: Any, found: Any) -> float:
        seen.append((spans, found))
        return float(np.mean([one == other for one, other in zip(spans, found, strict=True)]))

    metric = resolve_metric(found_all, TYPES, None)
    assert (metric.name, metric.weighted, metric.direction) == ("found_all", False, Direction.MAXIMIZE)
    targets = true([(0, 3, "city")], [(1, 2, "name")])
    assert metric(targets, predicted([(0, 3, "city")], [])) == 0.5
    assert seen[-1] == ([[{"start": 0, "end": 3, "label": "city"}], [{"start": 1, "end": 2, "label": "name"}]],
                        [[{"start": 0, "end": 3, "label": "city"}], []])  # fmt: skip
    assert metric.on_draws(targets, predicted([], []), None) is None
    assert as_dicts(targets, TYPES) == seen[-1][0]


@pytest.mark.parametrize("name", metric_names(TYPES))
def test_of_each_more_is_better_and_weights_count(name: str) -> None:
    metric = resolve_metric(name, TYPES, None)
    assert isinstance(metric, SpanMetric)
    assert (metric.direction, metric.weighted, metric.name) == (Direction.MAXIMIZE, True, name)
    with pytest.raises(MetricError, match="contradicts metric"):
        resolve_metric(name, TYPES, Direction.MINIMIZE)


def test_names_that_are_no_metric_of_spans_are_refused() -> None:
    with pytest.raises(MetricError, match=r"there is no metric called 'f1:citty'. Did you mean 'f1:city'\?"):
        resolve_metric("f1:citty", TYPES, None)
    with pytest.raises(MetricError, match="'rmse' cannot be used on spans: it measures numbers"):
        resolve_metric("rmse", TYPES, None)
    with pytest.raises(MetricError, match="measures classes, not spans"):
        resolve_metric("accuracy", TYPES, None)
    from sklearn.metrics import f1_score, make_scorer

    with pytest.raises(MetricError, match="a scorer of scikit-learn's, and these targets are spans"):
        resolve_metric(make_scorer(f1_score), TYPES, None)


def test_counts_are_by_row_and_type() -> None:
    targets = true([(0, 3, "city"), (5, 9, "name")], [], [(0, 3, "city")])
    counts = strict_counts(targets, predicted([(0, 3, "city"), (5, 8, "name")], [(0, 1, "time")], []), 3)
    assert counts.right.tolist() == [[1, 0, 0], [0, 0, 0], [0, 0, 0]]
    assert counts.predicted.tolist() == [[1, 1, 0], [0, 0, 1], [0, 0, 0]]
    assert counts.true.tolist() == [[1, 1, 0], [0, 0, 0], [1, 0, 0]]


def test_types_that_are_taken_for_another_missed_or_not_there() -> None:
    spans = [(0, 10, "city"), (12, 20, "name"), (30, 34, "time")]
    found = [(0, 4, "name"), (5, 19, "city"), (40, 42, "time")]
    table = taken_for(true(spans, []), predicted(found, []), TYPES)
    assert table.classes == (*TYPES, NONE)
    # The second prediction shares 7 characters with the name, 5 with the city, which the first then has.
    assert table.counts == ((0, 1, 0, 0), (1, 0, 0, 0), (0, 0, 0, 1), (0, 0, 1, 0))
    assert table.noun == "spans"
    unknown = predicted(found, [])
    unknown.elements[0] = np.nan
    assert sum(map(sum, taken_for(true(spans, []), unknown, TYPES).counts)) == 0
