"""What a study is given, checked before anything is read. The messages are in the catalogue of tests/bad_input."""

import threading

import pytest

import hpsearch as hp
from hpsearch.errors import MetricError, TaskError, UsageError
from hpsearch.plan.arguments import (
    check_callbacks,
    check_listed,
    check_no_class,
    check_settings,
    check_task,
    check_travels,
    named,
)


def test_what_is_given_rightly_passes() -> None:
    class Task:
        def hyperparameters(self) -> dict[str, object]:
            return {}

    check_task(Task())
    for value in ([], (), ["accuracy"], iter(["accuracy"])):
        check_listed("metrics", value)
    check_callbacks([print, Task])
    check_no_class(sampler="random", pruner=None, cv=5)
    check_settings("auto", False, 300)
    check_settings("bf16", True, 0.0)
    check_travels(lambda y_true, y_pred: 0.5, "half")


@pytest.mark.parametrize("task", ["train.csv", None, {"train": "train.csv"}, dict])
def test_a_task_is_an_object_with_hyperparameters(task: object) -> None:
    with pytest.raises(TaskError, match="task="):
        check_task(task)


@pytest.mark.parametrize(
    ("value", "remedy"), [("accuracy", r"metrics=\['accuracy'\]"), (max, r"\[max\]"), (3, r"\[3\]")]
)
def test_one_thing_is_no_list(value: object, remedy: str) -> None:
    with pytest.raises(UsageError, match=remedy):
        check_listed("metrics", value)


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        (("fp64", False, 1), "precision='fp64'"),
        ((None, False, 1), "precision=None"),
        (("auto", "no", 1), "deterministic='no'"),
        (("auto", False, -1), "checkpoint_every=-1"),
        (("auto", False, float("nan")), "checkpoint_every=nan"),
        (("auto", False, True), "checkpoint_every=True"),
        (("auto", False, "5m"), "checkpoint_every='5m'"),
    ],
)
def test_a_setting_names_itself_and_its_value(settings: tuple[object, object, object], name: str) -> None:
    with pytest.raises(UsageError, match=name):
        check_settings(*settings)


def test_a_class_is_no_object_of_it() -> None:
    with pytest.raises(UsageError, match=r"cv=dict is a class: make an object of it, such as cv=dict\(\.\.\.\)"):
        check_no_class(sampler="random", cv=dict)


def test_what_lives_in_one_process_cannot_travel() -> None:
    lock = threading.Lock()
    with pytest.raises(MetricError, match="metric 'half' cannot be sent to a worker process: TypeError"):
        check_travels(lambda y_true, y_pred: 0.5 if lock.locked() else 1.0, "half")


def test_an_object_is_described_as_one_whatever_it_says_of_itself() -> None:
    class Terse:
        def __repr__(self) -> str:
            return "median"

    assert named(Terse()) == "<median>"  # not the pruner of that name
    assert named(hp.Racing()).startswith("Racing(")
    assert named(hp.Pruner()) == "<Pruner>"
    assert (named("median"), named(None)) == ("median", "none")
