"""Metrics equal scikit-learn's on the same predictions, and one that cannot work is refused before training."""

import functools
from dataclasses import replace

import cloudpickle
import numpy as np
import pytest
import sklearn.metrics as reference
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import get_scorer, get_scorer_names, make_scorer

from hpsearch.errors import MetricError
from hpsearch.metrics.direction import Direction
from hpsearch.metrics.known import LOSSES
from hpsearch.metrics.metric import metric_name
from hpsearch.provenance.definitions import code_definition
from hpsearch.tasks.classes.labels import predicted_codes, probabilities
from hpsearch.tasks.classes.metric import ClassMetric, applicable_metrics, resolve_metric

BINARY = ("ham", "spam")
THREE = ("a", "b", "c")
UP = Direction.MAXIMIZE


def outputs(kind, rows=60, classes=3, seed=0):
    """Return (targets, probabilities) of a model that is right more often than not."""
    random = np.random.default_rng(seed)
    if kind == "multilabel":
        targets = (random.random((rows, classes)) < 0.5).astype(np.int64)
        targets[targets.sum(axis=1) == 0, 0] = 1
        return targets, probabilities((targets * 2 - 1) + random.normal(size=targets.shape), kind)
    count = 2 if kind == "binary" else classes
    targets = np.arange(rows) % count
    return targets, probabilities(np.eye(count)[targets] * 2 + random.normal(size=(rows, count)), kind)


# ---------------------------------------------------------------------------------------- probabilities, predictions


def test_binary_and_multiclass_probabilities_are_a_softmax():
    found = probabilities(np.array([[0.0, np.log(3.0)]], dtype=np.float32), "binary")
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, [[0.25, 0.75]], rtol=1e-6)
    np.testing.assert_allclose(probabilities(np.array([[1000.0, 0.0, 1000.0]]), "multiclass"), [[0.5, 0.0, 0.5]])


def test_multilabel_probabilities_are_a_sigmoid_each_and_do_not_overflow():
    found = probabilities(np.array([[0.0, np.log(3.0), 1000.0, -1000.0]]), "multilabel")
    np.testing.assert_allclose(found, [[0.5, 0.75, 1.0, 0.0]], rtol=1e-12)


def test_predictions_are_codes_or_indicators():
    assert predicted_codes(np.array([[0.5, 0.5], [0.1, 0.9]]), "binary").tolist() == [0, 1]
    assert predicted_codes(np.array([[0.2, 0.3, 0.5]]), "multiclass").tolist() == [2]
    assert predicted_codes(np.array([[0.5, 0.51, 0.49]]), "multilabel").tolist() == [[0, 1, 0]]


# ---------------------------------------------------------------------------------------- names


BINARY_VALUES = {
    "accuracy": lambda y, p: reference.accuracy_score(y, p.argmax(1)),
    "f1": lambda y, p: reference.f1_score(y, p.argmax(1)),
    "precision": lambda y, p: reference.precision_score(y, p.argmax(1)),
    "recall": lambda y, p: reference.recall_score(y, p.argmax(1)),
    "matthews_corrcoef": lambda y, p: reference.matthews_corrcoef(y, p.argmax(1)),
    "roc_auc": lambda y, p: reference.roc_auc_score(y, p[:, 1]),
    "average_precision": lambda y, p: reference.average_precision_score(y, p[:, 1]),
    "neg_log_loss": lambda y, p: -reference.log_loss(y, p),
    "neg_brier_score": lambda y, p: -reference.brier_score_loss(y, p[:, 1]),
    "positive_likelihood_ratio": lambda y, p: reference.class_likelihood_ratios(y, p.argmax(1))[0],
}
MULTICLASS_VALUES = {
    "accuracy": lambda y, p: reference.accuracy_score(y, p.argmax(1)),
    "balanced_accuracy": lambda y, p: reference.balanced_accuracy_score(y, p.argmax(1)),
    "f1_macro": lambda y, p: reference.f1_score(y, p.argmax(1), average="macro"),
    "jaccard_weighted": lambda y, p: reference.jaccard_score(y, p.argmax(1), average="weighted"),
    "roc_auc_ovr": lambda y, p: reference.roc_auc_score(y, p, multi_class="ovr"),
    "roc_auc_ovo_weighted": lambda y, p: reference.roc_auc_score(y, p, multi_class="ovo", average="weighted"),
    "neg_log_loss": lambda y, p: -reference.log_loss(y, p),
    "top_k_accuracy": reference.top_k_accuracy_score,
    "average_precision": reference.average_precision_score,
}
MULTILABEL_VALUES = {
    "accuracy": lambda y, p: reference.accuracy_score(y, p > 0.5),
    "f1_macro": lambda y, p: reference.f1_score(y, p > 0.5, average="macro"),
    "f1_samples": lambda y, p: reference.f1_score(y, p > 0.5, average="samples", zero_division=0),
    "roc_auc": reference.roc_auc_score,
    "roc_auc_ovr_weighted": lambda y, p: reference.roc_auc_score(y, p, average="weighted"),
    "average_precision": reference.average_precision_score,
}


@pytest.mark.parametrize(
    ("kind", "classes", "name", "expected"),
    [("binary", BINARY, name, value) for name, value in BINARY_VALUES.items()]
    + [("multiclass", THREE, name, value) for name, value in MULTICLASS_VALUES.items()]
    + [("multilabel", THREE, name, value) for name, value in MULTILABEL_VALUES.items()]
    + [("multilabel", THREE[:2], name, value) for name, value in MULTILABEL_VALUES.items()],
)
def test_a_name_gives_what_scikit_learn_gives(kind, classes, name, expected):
    targets, found = outputs(kind, classes=len(classes))
    value = resolve_metric(name, kind, classes, positive=1 if kind == "binary" else None)(targets, found)
    assert isinstance(value, float)
    assert value == pytest.approx(float(expected(targets, found)), rel=1e-12)


@pytest.mark.parametrize(("kind", "classes"), [("binary", (0, 1)), ("multiclass", THREE), ("multilabel", THREE)])
def test_every_scorer_name_works_or_is_refused_when_resolved(kind, classes):
    targets, found = outputs(kind)
    working = applicable_metrics(kind, len(classes))
    for name in get_scorer_names():
        if name in working:
            assert np.isfinite(resolve_metric(name, kind, classes)(targets, found)), name
        else:
            with pytest.raises(MetricError, match=f"{name!r} cannot be used on a {kind} task"):
                resolve_metric(name, kind, classes)
    assert not {"r2", "neg_mean_squared_error", "adjusted_rand_score"} & set(working)


def test_a_better_model_has_a_greater_score_in_every_metric():
    targets = np.arange(30) % 3
    for name in applicable_metrics("multiclass", len(THREE)):
        metric = resolve_metric(name, "multiclass", THREE)
        right = np.eye(3)[targets] * 0.7 + 0.1
        wrong = np.eye(3)[(targets + 1 + np.arange(30) % 2) % 3] * 0.7 + 0.1
        scores = [metric.direction.score(metric(targets, chances)) for chances in (right, wrong)]
        assert scores[0] > scores[1], name


def test_a_metric_of_one_class_is_of_the_positive_one():
    targets = np.array([1, 1, 1, 0])
    found = np.array([[0.1, 0.9], [0.8, 0.2], [0.7, 0.3], [0.6, 0.4]])
    assert resolve_metric("recall", "binary", (False, True))(targets, found) == pytest.approx(1 / 3)
    for positive, expected in ((1, 1 / 3), (0, 1.0)):
        metric = resolve_metric("recall", "binary", ("ant", "zebra"), positive=positive)
        assert metric(targets, found) == pytest.approx(expected)
        assert metric.of_class == ("ant", "zebra")[positive]


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("f1", "multiclass", ["'f1'", "Did you mean 'f1_macro'?", "average='binary'", "f1_weighted"]),
        ("f1", "multilabel", ["Did you mean 'f1_macro'?", "f1_samples"]),
        ("f1_samples", "multiclass", ["Did you mean 'f1_macro'?"]),
        ("roc_auc", "multiclass", ["Did you mean 'roc_auc_ovr'?"]),
        ("neg_log_loss", "multilabel", ["sum to one", "average_precision"]),
        ("top_k_accuracy", "binary", ["meaningless"]),
        ("r2", "binary", ["it measures numbers, not classes", "f1_macro"]),
        ("adjusted_rand_score", "binary", ["it measures clusterings, not classes"]),
        ("f1-macro", "binary", ["no metric called 'f1-macro'", "Did you mean 'f1_macro'?"]),
        ("logloss", "binary", ["Did you mean 'log_loss'?"]),
        ("F1_Macro", "binary", ["no metric called 'F1_Macro'", "Did you mean 'f1_macro'?"]),
        ("mean_absolute_error", "binary", ["cannot be used on a binary task", "it measures numbers, not classes"]),
        ("rmse", "multiclass", ["it measures numbers, not classes. Those that fit"]),
        ("spearman", "multilabel", ["it measures numbers"]),
        ("perplexity", "binary", ["it measures texts"]),
    ],
)
def test_a_name_that_does_not_fit_is_refused_with_a_better_one(name, kind, words):
    with pytest.raises(MetricError) as caught:
        resolve_metric(name, kind, BINARY if kind == "binary" else THREE)
    for word in words:
        assert word in str(caught.value)


# ---------------------------------------------------------------------------------------- directions


def error_rate(y_true, y_pred):
    return float(np.mean(y_true != y_pred))


def share_right(y_true, y_pred):
    return float(np.mean(y_true == y_pred))


MINIMISED = [
    "log_loss",
    "brier_score_loss",
    "zero_one_loss",
    "hamming_loss",
    reference.zero_one_loss,
    reference.log_loss,
    reference.hamming_loss,
    functools.partial(reference.zero_one_loss, normalize=False),
    make_scorer(reference.log_loss, response_method="predict_proba"),
    make_scorer(reference.brier_score_loss, response_method="predict_proba"),
    make_scorer(reference.zero_one_loss),
]
MAXIMISED = [
    "accuracy",
    "neg_log_loss",
    "neg_brier_score",
    reference.accuracy_score,
    get_scorer("neg_log_loss"),
    make_scorer(reference.zero_one_loss, greater_is_better=False),
    make_scorer(error_rate, greater_is_better=False),
    share_right,
]


@pytest.mark.parametrize(("metrics", "direction"), [(MINIMISED, Direction.MINIMIZE), (MAXIMISED, Direction.MAXIMIZE)])
def test_a_metric_knows_its_direction_and_refuses_the_other(metrics, direction):
    targets = np.array([0, 1, 0, 1])
    right, wrong = np.eye(2)[targets] * 0.8 + 0.1, np.eye(2)[1 - targets] * 0.8 + 0.1
    for metric in metrics:
        resolved = resolve_metric(metric, "binary", (0, 1))
        assert resolved.direction is direction, metric
        assert resolve_metric(metric, "binary", (0, 1), direction) == resolved
        values = [direction.score(resolved(targets, chances)) for chances in (right, wrong)]
        assert values[0] > values[1], metric
        with pytest.raises(MetricError, match=f"direction='{direction.opposite}' contradicts metric '"):
            resolve_metric(metric, "binary", (0, 1), direction.opposite)


def test_a_loss_by_its_name_is_the_negative_of_its_scorer():
    for kind, classes in (("binary", BINARY), ("multiclass", THREE)):
        targets, found = outputs(kind)
        for loss, scorer in (("log_loss", "neg_log_loss"), ("brier_score_loss", "neg_brier_score")):
            one, other = (resolve_metric(name, kind, classes) for name in (loss, scorer))
            assert one(targets, found) == -other(targets, found) > 0


@pytest.mark.parametrize(("kind", "classes"), [("binary", BINARY), ("multiclass", THREE), ("multilabel", THREE)])
def test_a_function_that_is_an_error_needs_its_direction_said(kind, classes):
    with pytest.raises(MetricError) as caught:
        resolve_metric(error_rate, kind, classes)
    said = (
        "is an error, not a score: of made-up predictions it gives 0 to those that are all right, and 1 to wrong ones"
    )
    assert said in str(caught.value)
    assert 'direction="minimize"' in str(caught.value)
    assert resolve_metric(error_rate, kind, classes, Direction.MINIMIZE).direction is Direction.MINIMIZE
    assert resolve_metric(error_rate, kind, classes, is_objective=False).direction is Direction.MINIMIZE
    with pytest.raises(MetricError, match="direction='minimize' contradicts metric 'share_right': of made-up"):
        resolve_metric(share_right, kind, classes, Direction.MINIMIZE)


KINDS = [("binary", (0, 1)), ("multiclass", THREE), ("multilabel", THREE)]


@pytest.mark.parametrize(("kind", "classes"), KINDS)
def test_every_scorer_and_loss_goes_the_way_of_its_values(kind, classes):
    """Named, and the scorer object: more of it is better, and so it is measured on right and on wrong predictions."""
    codes = np.repeat(np.arange(len(classes)), 5)
    targets = np.eye(len(classes), dtype=np.int64)[codes] if kind == "multilabel" else codes
    right, wrong = (np.eye(len(classes))[(codes + shift) % len(classes)] * 0.7 + 0.1 for shift in (0, 1))
    right[0], wrong[0] = wrong[0].copy(), right[0].copy()  # so that no ratio has nothing below its line
    for name in applicable_metrics(kind, len(classes)):
        metric = resolve_metric(name, kind, classes)
        assert metric.direction is (Direction.MINIMIZE if name in LOSSES["classes"] else UP), name
        scores = [metric.direction.score(metric(targets, chances)) for chances in (right, wrong)]
        assert scores[0] > scores[1], name
        if name in get_scorer_names():
            assert resolve_metric(get_scorer(name), kind, classes).direction is UP, name


def test_the_negative_of_a_known_score_contradicts_itself_unless_it_is_said():
    for score in (reference.accuracy_score, reference.f1_score, reference.jaccard_score):
        upside_down = make_scorer(score, greater_is_better=False)
        for direction in (None, UP):
            with pytest.raises(MetricError, match=f"contradicts itself: more of {score.__name__} is better"):
                resolve_metric(upside_down, "binary", (0, 1), direction)
        assert resolve_metric(upside_down, "binary", (0, 1), Direction.MINIMIZE).direction is Direction.MINIMIZE


def more_spam(y_true, y_pred):
    last = np.unique(y_true)[-1]
    return float(np.mean(y_pred == last) - np.mean(y_true == last))


def off_in_spam(y_true, y_pred):
    return abs(more_spam(y_true, y_pred))


def total(y_true, y_pred):
    return float(np.sum(y_pred == np.unique(y_true)[-1]))


@pytest.mark.parametrize(("kind", "classes"), [*KINDS, ("binary", (False, True)), ("multiclass", tuple(range(12)))])
def test_what_counts_predictions_is_no_score(kind, classes):
    for function in (more_spam, total):
        assert resolve_metric(function, kind, classes, is_objective=False).direction is UP
        with pytest.raises(MetricError, match='direction="maximize" or direction="minimize"'):
            resolve_metric(function, kind, classes)
        for direction in Direction:
            assert resolve_metric(function, kind, classes, direction).direction is direction
    with pytest.raises(MetricError, match="'off_in_spam' is an error, not a score"):
        resolve_metric(off_in_spam, kind, classes)


def test_arguments_that_turn_a_loss_over_are_found():
    """The Brier score of class 0, computed from hard predictions of class 1."""
    turned = make_scorer(reference.brier_score_loss, pos_label=0)
    with pytest.raises(MetricError, match="contradicts itself: less of it is better, as scikit-learn has it, but of"):
        resolve_metric(turned, "binary", (0, 1))


def test_a_function_that_wraps_one_of_scikit_learns_is_the_users():
    @functools.wraps(reference.accuracy_score)
    def accuracy_score(y_true, y_pred):
        return 1.0 - reference.accuracy_score(y_true, y_pred)

    with pytest.raises(MetricError, match="is an error, not a score"):
        resolve_metric(accuracy_score, "binary", BINARY)
    metric = resolve_metric(accuracy_score, "binary", BINARY, Direction.MINIMIZE)
    assert metric.counted() is None  # it is not computed from counts as accuracy would be

    @functools.wraps(reference.log_loss)
    def log_loss(y_true, y_pred):
        return float(np.mean(y_true == y_pred))

    assert resolve_metric(log_loss, "binary", BINARY).direction is UP


@pytest.mark.parametrize(
    ("function", "name", "kinds"),
    [
        (reference.log_loss, "log_loss", ("binary", "multiclass")),
        (functools.partial(reference.log_loss), "log_loss", ("binary", "multiclass")),
        (reference.brier_score_loss, "brier_score_loss", ("binary", "multiclass")),
        (reference.roc_auc_score, "roc_auc", ("binary", "multilabel")),
        (reference.average_precision_score, "average_precision", ("binary", "multiclass", "multilabel")),
        (reference.top_k_accuracy_score, "top_k_accuracy", ("multiclass",)),
        (reference.d2_log_loss_score, "d2_log_loss_score", ("binary", "multiclass")),
    ],
)
def test_a_function_that_needs_probabilities_is_its_scorer(function, name, kinds):
    for kind in kinds:
        classes = (0, 1) if kind == "binary" else THREE
        targets, found = outputs(kind)
        metric, scorer = resolve_metric(function, kind, classes), resolve_metric(name, kind, classes)
        assert replace(metric, name=name) == scorer
        assert metric.name == metric_name(function)  # so that a study that is loaded imports it again
        assert metric(targets, found) == scorer(targets, found)
    if name == "roc_auc":
        with pytest.raises(MetricError, match="Did you mean 'roc_auc_ovr'"):
            resolve_metric(function, "multiclass", THREE)


@pytest.mark.parametrize(
    ("function", "remedy"),
    [
        (functools.partial(reference.log_loss, normalize=False), "log_loss, response_method='predict_proba'"),
        (functools.partial(reference.roc_auc_score, average=None), "roc_auc_score, response_method='predict_proba'"),
        (reference.hinge_loss, "hinge_loss, response_method='decision_function'"),
        (reference.label_ranking_loss, "label_ranking_loss, response_method='predict_proba'"),
    ],
)
def test_a_function_that_needs_probabilities_and_is_no_scorer_is_refused(function, remedy):
    for kind, classes in KINDS:
        with pytest.raises(MetricError) as caught:
            resolve_metric(function, kind, classes)
        assert "needs probabilities or decisions, and a function is given the predicted classes." in str(caught.value)
        assert f"make_scorer({remedy})" in str(caught.value)


def test_a_scorer_of_an_estimator_is_refused_with_words():
    with pytest.raises(MetricError, match="'_MultimetricScorer' is called with an estimator"):
        resolve_metric(reference.check_scoring(LogisticRegression(), scoring=["accuracy"]), "binary", BINARY)


def test_something_that_is_no_metric_is_refused():
    with pytest.raises(MetricError, match="is a int: give a scikit-learn scorer name"):
        resolve_metric(3, "binary", BINARY)


# ---------------------------------------------------------------------------------------- folds with gaps


def test_a_fold_without_a_class_is_fine_where_scikit_learn_allows_it():
    targets, found = outputs("multiclass")
    rows = targets != 2
    for name in ("neg_log_loss", "neg_brier_score", "top_k_accuracy", "f1_macro", "balanced_accuracy"):
        assert np.isfinite(resolve_metric(name, "multiclass", THREE)(targets[rows], found[rows]))
    expected = -reference.log_loss(targets[rows], found[rows], labels=[0, 1, 2])
    assert resolve_metric("neg_log_loss", "multiclass", THREE)(targets[rows], found[rows]) == pytest.approx(expected)
    one = np.zeros(4, dtype=np.int64)
    assert resolve_metric("neg_log_loss", "binary", BINARY)(one, np.full((4, 2), 0.5)) == pytest.approx(np.log(0.5))


@pytest.mark.parametrize("name", ["f1_macro", "precision_macro", "average_precision", "matthews_corrcoef"])
def test_a_constant_predictor_has_a_value_and_no_warning(name):
    targets = np.arange(9) % 3
    constant = np.tile([[0.8, 0.1, 0.1]], (9, 1))
    assert resolve_metric(name, "multiclass", THREE)(targets, constant) < 0.5


def test_a_value_that_is_not_finite_names_metric_and_value():
    metric = resolve_metric("roc_auc", "binary", BINARY)
    with pytest.raises(MetricError, match=r"'roc_auc' gave nan.*one class only"):
        metric(np.ones(4, dtype=np.int64), np.full((4, 2), 0.5))


def test_what_scikit_learn_cannot_compute_is_a_metric_error_with_its_reason():
    with pytest.raises(MetricError, match=r"'accuracy' could not be computed on 3 rows: ValueError.*inconsistent"):
        resolve_metric("accuracy", "binary", BINARY)(np.zeros(3), np.full((4, 2), 0.5))


def test_probabilities_that_are_not_numbers_are_refused():
    with pytest.raises(MetricError, match="neg_log_loss"):
        resolve_metric("neg_log_loss", "binary", BINARY)(
            np.array([0, 1]), probabilities(np.array([[np.inf, np.inf], [0.0, 1.0]]), "binary")
        )


# ---------------------------------------------------------------------------------------- weights


def test_sample_weights_count_where_the_scorer_takes_them():
    targets, found = outputs("binary")
    weight = np.random.default_rng(1).random(len(targets))
    metric = resolve_metric("f1", "binary", (0, 1))
    expected = reference.f1_score(targets, found.argmax(1), sample_weight=weight)
    assert metric(targets, found, weight) == pytest.approx(expected)
    assert metric(targets, found, weight) != metric(targets, found)
    log_loss = resolve_metric("neg_log_loss", "binary", BINARY)
    expected = -reference.log_loss(targets, found, sample_weight=weight)
    assert log_loss(targets, found, weight) == pytest.approx(expected)


def test_sample_weights_are_left_out_where_the_scorer_refuses_them():
    targets, found = outputs("multiclass")
    metric = resolve_metric("roc_auc_ovo", "multiclass", THREE)
    assert not metric.weighted
    assert metric(targets, found, np.arange(1.0, 61.0)) == metric(targets, found)


# ---------------------------------------------------------------------------------------- callables


def share_of_spam(y_true, y_pred):
    return float(np.mean((y_true == "spam") & (y_pred == "spam")))


def test_a_function_sees_the_labels_of_the_data():
    metric = resolve_metric(share_of_spam, "binary", BINARY)
    assert metric.name == "share_of_spam"
    assert not metric.weighted
    assert metric(np.array([1, 1, 0, 0]), np.array([[0, 1], [1, 0], [1, 0], [1, 0]], float)) == 0.25


def test_a_function_sees_whole_numbers_and_booleans_as_they_are():
    seen = []

    def spy(y_true, y_pred):
        seen.append((y_true.tolist(), y_pred.tolist()))
        return 0.0

    resolve_metric(spy, "multiclass", (10, 20, 30), UP)(np.array([2, 0]), np.eye(3)[[2, 1]])
    assert seen[-1] == ([30, 10], [30, 20])
    resolve_metric(spy, "binary", (False, True), UP)(np.array([1, 0]), np.eye(2)[[1, 1]])
    assert seen[-1] == ([True, False], [True, True])
    resolve_metric(spy, "multilabel", THREE, UP)(np.array([[1.0, 0, 1]]), np.array([[0.9, 0.1, 0.2]]))
    assert seen[-1] == ([[1, 0, 1]], [[1, 0, 0]])


def test_a_function_is_given_weights_if_it_asks_for_them():
    def weighted(y_true, y_pred, sample_weight=None):
        return 0.0 if sample_weight is None else float(sample_weight.sum())

    metric = resolve_metric(weighted, "binary", BINARY, UP)
    assert metric(np.array([0, 1]), np.eye(2), np.array([2.0, 3.0])) == 5.0
    assert metric(np.array([0, 1]), np.eye(2)) == 0.0


def test_a_scorer_object_sees_the_labels_of_the_data():
    targets, found = outputs("binary")
    names = np.array(BINARY)
    metric = resolve_metric(make_scorer(reference.fbeta_score, beta=2, pos_label="spam"), "binary", BINARY)
    expected = reference.fbeta_score(names[targets], names[found.argmax(1)], beta=2, pos_label="spam")
    assert metric(targets, found) == pytest.approx(expected)
    assert metric.name == "fbeta_score(beta=2, pos_label='spam')"
    losing = make_scorer(reference.log_loss, response_method="predict_proba", greater_is_better=False)
    metric = resolve_metric(losing, "binary", BINARY)
    assert metric.name == "neg_log_loss"
    assert metric(targets, found) == pytest.approx(-reference.log_loss(targets, found))
    hinge = make_scorer(reference.hinge_loss, response_method="decision_function", greater_is_better=False)
    decision = np.log(found[:, 1]) - np.log(found[:, 0])
    assert resolve_metric(hinge, "binary", BINARY)(targets, found) == pytest.approx(
        -reference.hinge_loss(targets, decision)
    )


def test_a_scorer_from_scikit_learn_itself_works_and_its_own_labels_are_kept():
    targets, found = outputs("multiclass")
    assert resolve_metric(get_scorer("f1_macro"), "multiclass", THREE)(targets, found) == pytest.approx(
        reference.f1_score(targets, found.argmax(1), average="macro")
    )

    def labels_told(y_true, y_proba, labels=None):
        return float(len(labels))

    told = make_scorer(labels_told, response_method="predict_proba")
    own = make_scorer(labels_told, response_method="predict_proba", labels=[*THREE, "d"])
    assert resolve_metric(told, "multiclass", THREE, UP)(targets, found) == 3.0
    assert resolve_metric(own, "multiclass", THREE, UP)(targets, found) == 4.0


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda y_true: 0.0, "TypeError"),
        (lambda y_true, y_pred: np.array([1.0, 2.0]), "one number is needed"),
        (lambda y_true, y_pred: "good", "gave 'good', a str"),
        (lambda y_true, y_pred: float("nan"), "gave nan"),
        (lambda y_true, y_pred: float("-inf"), "gave -inf"),
        (make_scorer(reference.f1_score), "nothing says whether of 'ham' or of 'spam'"),
    ],
)
def test_a_callable_that_cannot_work_is_refused_when_resolved(function, words):
    with pytest.raises(MetricError, match=words):
        resolve_metric(function, "binary", BINARY)


def test_a_function_may_return_any_real_scalar():
    for value in (1, True, np.float32(1.0), np.array(1.0)):
        metric = resolve_metric(lambda y_true, y_pred, value=value: value, "binary", BINARY, UP)
        assert metric(np.array([0]), np.array([[1.0, 0.0]])) == 1.0


def test_names_of_callables():
    assert metric_name("f1_macro") == "f1_macro"
    assert metric_name(share_of_spam) == "share_of_spam"
    assert metric_name(lambda y_true, y_pred: 0.0) == "function"
    assert metric_name(functools.partial(share_of_spam)) == "share_of_spam"
    resolved = resolve_metric("accuracy", "binary", BINARY)
    assert metric_name(resolved) == "accuracy"
    assert resolve_metric(resolved, "multiclass", THREE) == ClassMetric("accuracy", "multiclass", THREE)


def test_the_name_of_the_validation_loss_is_taken():
    def loss(y_true, y_pred):
        return 0.0

    with pytest.raises(MetricError, match="may not be called 'loss'"):
        resolve_metric(loss, "binary", BINARY)


def test_metrics_travel_by_cloudpickle():
    targets, found = outputs("binary")
    for metric in (
        resolve_metric("roc_auc", "binary", BINARY),
        resolve_metric(lambda y_true, y_pred: float(np.mean(y_true == y_pred)), "binary", BINARY),
        resolve_metric(make_scorer(reference.fbeta_score, beta=2, pos_label="spam"), "binary", BINARY),
    ):
        travelled = cloudpickle.loads(cloudpickle.dumps(metric))
        assert travelled(targets, found) == metric(targets, found)
        assert travelled.name == metric.name


def test_a_definition_is_code_defaults_and_closure():
    def made(factor, code="return factor * 0.5"):
        space = {"factor": factor}
        exec(f"def score(y_true, y_pred, weight=1):\n    {code}\n", space)
        return space["score"]

    def closing_over(factor):
        return lambda y_true, y_pred: factor

    assert code_definition(made(1)) == code_definition(made(1, "# a comment\n    return factor * 0.5"))
    assert code_definition(made(1)) != code_definition(made(1, "return factor * 0.25"))
    assert code_definition(closing_over(1)) == code_definition(closing_over(1))
    assert code_definition(closing_over(1)) != code_definition(closing_over(2))
    beta = [functools.partial(reference.fbeta_score, beta=beta) for beta in (1, 1, 2)]
    assert code_definition(beta[0]) == code_definition(beta[1]) != code_definition(beta[2])
    scorers = [make_scorer(reference.fbeta_score, beta=beta) for beta in (1, 1, 2)]
    assert code_definition(scorers[0]) == code_definition(scorers[1]) != code_definition(scorers[2])
