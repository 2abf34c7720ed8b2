"""The positive class of two: clear by its name, or said; else a metric of one class is refused with both names."""

import functools
from typing import Any

import numpy as np
import pytest
import sklearn.metrics as reference
from sklearn.metrics import get_scorer, make_scorer

from hpsearch.errors import MetricError, TaskError
from hpsearch.metrics.direction import Direction
from hpsearch.metrics.known import OF_ONE_CLASS
from hpsearch.tasks.classes.judge import ClassJudge
from hpsearch.tasks.classes.metric import ClassMetric, applicable_metrics, resolve_metric
from hpsearch.tasks.classes.positive import clear_positive, lacks_positive, plain_label, positive_code
from hpsearch.tasks.numbers.judge import NumberJudge

IRONY = ("irony", "non_irony")
TARGETS = np.repeat([0, 1], [25, 15])
CHANCES = np.random.default_rng(3).random(40) * 0.6 + 0.4 * TARGETS
CHANCES[[0, 30]] = 0.5  # a tie is the first class, whichever is positive
PREDICTED = np.stack([1.0 - CHANCES, CHANCES], axis=1)


def computed(metric: Any, classes: tuple[Any, Any] = IRONY, positive: int | None = None) -> float:
    return resolve_metric(metric, "binary", classes, is_objective=False, positive=positive)(TARGETS, PREDICTED)


@pytest.mark.parametrize(
    ("classes", "expected"),
    [
        ((0, 1), 1), ((False, True), 1), (("0", "1"), 1), (("no", "yes"), 1), (("Yes", "no"), 0), (("-1", "1"), 1),
        ((-1, 1), 1), (("negative", "positive"), 1), (("NEG", "pos"), 1), (("False", "True"), 1), (("f", "t"), 1),
        (("0.0", "1.0"), 1), (("absent", "present"), 1), (("n", "y"), 1), (("off", "on"), 1),
        (IRONY, None), (("ham", "spam"), None), ((1, 2), None), ((0, 5), None), (("neutral", "positive"), None),
        (("1", "2"), None), (("pos", "positive"), None), (("a", "b", "c"), None), (("0", "no"), None),
    ],
)  # fmt: skip
def test_a_class_is_positive_by_its_name_beside_a_negative_one(classes: tuple[Any, ...], expected: int | None) -> None:
    assert clear_positive(classes) == expected


VALUES = {
    "f1": lambda y, p, s, k: reference.f1_score(y, p, pos_label=k),
    "precision": lambda y, p, s, k: reference.precision_score(y, p, pos_label=k),
    "recall": lambda y, p, s, k: reference.recall_score(y, p, pos_label=k),
    "jaccard": lambda y, p, s, k: reference.jaccard_score(y, p, pos_label=k),
    "average_precision": lambda y, p, s, k: reference.average_precision_score(y, s[k], pos_label=k),
    "positive_likelihood_ratio": lambda y, p, s, k: reference.class_likelihood_ratios(y, p, labels=[1 - k, k])[0],
    "neg_negative_likelihood_ratio": lambda y, p, s, k: -reference.class_likelihood_ratios(y, p, labels=[1 - k, k])[1],
}


@pytest.mark.parametrize("name", OF_ONE_CLASS)
@pytest.mark.parametrize("positive", [0, 1])
def test_a_metric_of_one_class_is_that_of_the_positive_class(name: str, positive: int) -> None:
    hard = PREDICTED.argmax(axis=1)
    expected = float(VALUES[name](TARGETS, hard, {0: 1.0 - CHANCES, 1: CHANCES}, positive))
    for given in (name, get_scorer(name)):
        assert computed(given, positive=positive) == pytest.approx(expected, rel=1e-12)
        assert computed(given, (IRONY[positive], "other"), 0 if positive == 0 else 1) is not None
    assert (
        computed(name, ("no", "yes"))
        == computed(name, positive=1)
        == computed(name, (0, 1))
        == computed(name, ("0", "1"))
    )


def test_of_every_scorer_name_it_is_known_whether_it_is_of_one_class() -> None:
    found = {name for name in applicable_metrics("binary", 2) if ClassMetric(name, "binary", IRONY).is_of_one_class()}
    assert found == set(OF_ONE_CLASS)
    for name in sorted(set(applicable_metrics("binary", 2)) - found):  # the positive class is no matter of theirs
        assert computed(name) == computed(name, positive=0) == computed(name, (0, 1)), name
        assert resolve_metric(name, "binary", IRONY, positive=0).of_class is None


CALLABLES = [
    reference.f1_score,
    reference.precision_score,
    reference.recall_score,
    reference.jaccard_score,
    functools.partial(reference.fbeta_score, beta=2),
    make_scorer(reference.f1_score),
    make_scorer(reference.f1_score, zero_division=0.0),
    make_scorer(functools.partial(reference.fbeta_score, beta=0.5)),
    make_scorer(reference.fbeta_score, beta=2, average="binary"),
    make_scorer(reference.average_precision_score, response_method="predict_proba"),
    make_scorer(reference.average_precision_score, response_method="decision_function"),
]


@pytest.mark.parametrize("metric", [*CALLABLES, *OF_ONE_CLASS, *map(get_scorer, OF_ONE_CLASS)])
def test_what_is_of_one_class_is_refused_where_nothing_says_which(metric: Any) -> None:
    for classes in (IRONY, (1, 2), ("1", "2")):
        for is_objective in (True, False):
            with pytest.raises(MetricError) as caught:
                resolve_metric(metric, "binary", classes, is_objective=is_objective)
            one, other = map(repr, classes)
            assert f"is of one class of two, and nothing says whether of {one} or of {other}" in str(caught.value)
            assert f"Give pos_label={one} or pos_label={other} to the task or estimator" in str(caught.value)
    for classes in ((0, 1), ("0", "1"), (False, True), ("negative", "positive")):
        assert resolve_metric(metric, "binary", classes).of_class == classes[1]


@pytest.mark.parametrize("metric", CALLABLES)
def test_functions_and_scorers_are_of_the_class_that_the_task_says(metric: Any) -> None:
    unsaid, named = computed(metric, (0, 1)), computed(metric, (0, 1), 0)
    assert unsaid != named
    for positive, expected in ((1, unsaid), (0, named)):
        for classes in (IRONY, (1, 2), ("0", "1")):
            resolved = resolve_metric(metric, "binary", classes, positive=positive)
            assert resolved(TARGETS, PREDICTED) == pytest.approx(expected, rel=1e-12)
            assert resolved.of_class == classes[positive]
            if (counted := resolved.counted()) is not None:
                counts = np.bincount(counted.cells(TARGETS, PREDICTED), minlength=4)
                assert counted.values(counts[None])[0] == pytest.approx(expected, rel=1e-12)


def test_a_function_that_says_its_class_is_of_that_one_whatever_the_task_says() -> None:
    for label, code in (("irony", 0), ("non_irony", 1)):
        given = [
            make_scorer(reference.f1_score, pos_label=label),
            functools.partial(reference.f1_score, pos_label=label),
            make_scorer(functools.partial(reference.f1_score, pos_label=label)),
        ]
        for metric in given:
            for positive in (None, 0, 1):
                assert computed(metric, positive=positive) == pytest.approx(computed("f1", positive=code))
                assert resolve_metric(metric, "binary", IRONY, positive=positive).of_class is None


def test_a_metric_of_both_classes_needs_no_word() -> None:
    for metric in (
        make_scorer(reference.f1_score, average="macro"),
        functools.partial(reference.recall_score, average="weighted"),
        make_scorer(reference.brier_score_loss, response_method="predict_proba"),  # the same of either class
        make_scorer(reference.roc_auc_score, response_method="predict_proba"),
        reference.accuracy_score, "roc_auc", "brier_score_loss", "f1_macro",
    ):  # fmt: skip
        resolved = resolve_metric(metric, "binary", IRONY)
        assert resolved.of_class is None
        assert resolved(TARGETS, PREDICTED) == pytest.approx(computed(metric, (0, 1)))


def test_a_function_of_the_users_own_keeps_its_default_and_is_told_where_it_has_none() -> None:
    def told(y_true: Any, y_pred: Any, pos_label: Any) -> float:
        return float(reference.f1_score(y_true, y_pred, pos_label=pos_label))

    def own(y_true: Any, y_pred: Any, pos_label: Any = "irony") -> float:
        return told(y_true, y_pred, pos_label)

    assert (lacks_positive(told), lacks_positive(own)) == (True, False)
    assert lacks_positive(functools.partial(told, pos_label="irony")) is False
    assert lacks_positive(reference.f1_score) is True
    assert lacks_positive(reference.accuracy_score) is lacks_positive(len) is False
    assert (
        computed(told, positive=0)
        == computed(own)
        == computed(own, positive=1)
        == pytest.approx(computed("f1", positive=0))
    )
    with pytest.raises(MetricError, match="'told' is of one class of two"):
        resolve_metric(told, "binary", IRONY)


@pytest.mark.parametrize(
    ("label", "classes", "expected"),
    [
        ("irony", IRONY, 0),
        (1, (0, 1), 1),
        ("1", (0, 1), 1),
        (1, ("0", "1"), 1),
        (True, (False, True), 1),
        (0, (0, 1), 0),
    ],
)
def test_a_class_is_found_by_its_text(label: Any, classes: tuple[Any, Any], expected: int) -> None:
    assert positive_code(label, classes) == expected
    assert ClassJudge("binary", classes).of_class(label).positive == expected


def test_a_pos_label_that_is_no_class_of_two_is_refused() -> None:
    with pytest.raises(TaskError, match="pos_label='iron' is no class: the two are 'irony' and 'non_irony'"):
        ClassJudge("binary", IRONY).of_class("iron")
    with pytest.raises(TaskError, match="only one of two classes is the positive one, and there are 3"):
        ClassJudge("multiclass", ("a", "b", "c")).of_class("a")
    with pytest.raises(TaskError, match=r"each row has 2 labels\. Leave pos_label out"):
        ClassJudge("multilabel", ("a", "b")).of_class("a")
    with pytest.raises(TaskError, match=r"each row has 1 number\. Leave pos_label out"):
        NumberJudge.learn([1.0, 2.0]).of_class(1)
    with pytest.raises(TaskError, match=r"pos_label=\['a'\] is a list: give the label of the positive class"):
        plain_label(["a"])
    assert [plain_label(value) for value in (np.int64(1), 1.0, np.str_("a"), np.bool_(True), None)] == [
        1, 1, "a", True, None
    ]  # fmt: skip


def test_what_is_assumed_gives_way_to_what_is_said() -> None:
    judge = ClassJudge("binary", IRONY)
    assert judge.assuming("non_irony").positive == 1
    assert judge.of_class("irony").assuming("non_irony").positive == 0
    assert judge.assuming(None) is judge.assuming("other") is judge
    several = ClassJudge("multilabel", ("a", "b"))
    assert several.assuming("a") is several
    assert judge.assuming("non_irony").to_json() == judge.to_json()  # no digest of data or run knows of it


def test_the_direction_is_found_for_either_class() -> None:
    for positive in (0, 1):
        for metric in CALLABLES:
            assert resolve_metric(metric, "binary", IRONY, positive=positive).direction is Direction.MAXIMIZE
