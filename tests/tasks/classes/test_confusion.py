import warnings
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score, f1_score, fbeta_score, make_scorer, zero_one_loss

from hpsearch.errors import MetricError
from hpsearch.metrics.direction import Direction
from hpsearch.metrics.known import is_negated_score
from hpsearch.tasks.classes.metric import ClassMetric, resolve_metric

SHARES = ("f1", "precision", "recall", "jaccard")
NAMES = (
    *("accuracy", "balanced_accuracy", "matthews_corrcoef"),
    *(f"{share}_{average}" for share in SHARES for average in ("macro", "micro", "weighted")),
)
CALLABLES = (
    cohen_kappa_score,
    make_scorer(fbeta_score, beta=0.5, average="macro"),
    make_scorer(f1_score, average="weighted", greater_is_better=False),
)


def asked(metrics, classes: int) -> list[ClassMetric]:
    kind = "binary" if classes == 2 else "multiclass"
    return [
        resolve_metric(metric, kind, range(classes), Direction.MINIMIZE if is_negated_score(metric) else None)
        for metric in metrics
    ]


METRICS = {classes: asked((*NAMES, *CALLABLES, *(SHARES if classes == 2 else ())), classes) for classes in (2, 3, 5)}


@st.composite
def rows(draw):
    """Few rows of few classes, so that classes are often absent on one side or on both."""
    classes = draw(st.sampled_from(sorted(METRICS)))
    count = draw(st.integers(1, 12))
    codes = st.lists(st.integers(0, classes - 1), min_size=count, max_size=count)
    weights = st.none() | st.lists(st.floats(0.1, 4.0), min_size=count, max_size=count)
    return classes, np.array(draw(codes)), np.array(draw(codes)), draw(weights)


def value(metric: ClassMetric, targets, chances, weight) -> float:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return metric(targets, chances, weight)
    except MetricError:
        return np.nan


@settings(max_examples=60, deadline=None)
@given(rows())
def test_values_are_those_of_scikit_learn(found):
    classes, targets, predicted, weights = found
    weight = None if weights is None else np.array(weights)
    chances = np.eye(classes)[predicted]
    for metric in METRICS[classes]:
        counted = metric.counted()
        assert counted is not None, metric.name
        counts = np.bincount(counted.cells(targets, chances), weight, classes**2)
        expected = value(metric, targets, chances, weight)
        assert counted.values(counts[None])[0] == pytest.approx(expected, abs=1e-12, nan_ok=True), metric.name


@pytest.mark.parametrize(
    ("metric", "kind"),
    [
        ("neg_log_loss", "multiclass"),
        ("roc_auc_ovr", "multiclass"),
        ("f1_macro", "multilabel"),
        (make_scorer(zero_one_loss, greater_is_better=False), "multiclass"),
        (make_scorer(f1_score, average="macro", zero_division=1.0), "multiclass"),
        (make_scorer(f1_score, pos_label="class 0"), "binary"),
        (make_scorer(cohen_kappa_score, weights="linear"), "multiclass"),
        (partial(f1_score, average="macro"), "multiclass"),
        (lambda truth, predicted: float(np.mean(truth == predicted)), "multiclass"),
    ],
)
def test_other_metrics_are_left_to_be_computed_row_by_row(metric, kind):
    classes = ("class 0", "class 1") if kind == "binary" else ("class 0", "class 1", "class 2")
    assert resolve_metric(metric, kind, classes).counted() is None
