"""Completed configs, and the keys made of them: as the versions before left_out_at_default made them."""

from dataclasses import dataclass
from typing import Any, ClassVar

import pytest

from hpsearch.records import run_key
from hpsearch.tasks import (
    CustomTask,
    ImageClassification,
    ImageRegression,
    Task,
    TextClassification,
    TextRegression,
)
from hpsearch.training.hyperparameters import TRAINING_HYPERPARAMETERS, Hyperparameter, IntegerCheck, TrainingSettings


def make(width: int = 4, dropout: float = 0.1) -> Any:
    raise AssertionError("completing a config makes no model")


ADAM = {"adam_beta1": 0.9, "adam_beta2": 0.999, "adam_epsilon": 1e-08}
SHAPE = {"warmup_ratio": 0.1, "warmup_steps": None, "decay_ratio": 0.2, "max_grad_norm": 1.0}
TEXT = {"batch_size": 32, "epochs": 3, "weight_decay": 0.01, "lr_scheduler_type": "linear"} | SHAPE | ADAM
IMAGE = TEXT | {"batch_size": 64, "epochs": 30, "weight_decay": 0.001, "lr_scheduler_type": "cosine"}
OWN = TEXT | {"epochs": 20, "dropout": 0.1, "width": 4}
PRETRAINED = {"freeze_layers": 0, "dropout": None}
SMOOTHED = {"label_smoothing_factor": 0.0}

NUMBERS = {"train": ([[0.0]], [0.5]), "targets": "numbers", "head": "head"}
EARLIER: list[tuple[Task, dict[str, Any], str]] = [
    (TextClassification("some-model", train="t.csv"), TEXT | PRETRAINED | SMOOTHED, "e5a0354267bc20fa0bc421fabb86a6d8"),
    (TextRegression("some-model", train="t.csv"), TEXT | PRETRAINED, "de979b9107d7a521aaba89fd9ad4146e"),
    (ImageClassification("some-model", train="t"), IMAGE | PRETRAINED | SMOOTHED, "d21b89e63f88da13ac0639359e73e75c"),
    (ImageRegression("some-model", train="t", label="y"), IMAGE | PRETRAINED, "2ed6fd41bfbc30de3eebc06b0932cc94"),
    (CustomTask(make, train=([[0.0]], [0])), OWN | SMOOTHED, "ac5063cd575b9a38b6c741582adffd64"),
    (CustomTask(make, **NUMBERS), OWN | {"freeze_layers": 0}, "aa16aa4ea4e25d7e54953a1e2b3a3c8f"),
]
"""Tasks, what hpsearch 0.2.0 completed {"learning_rate": 0.01} to, and the key of a run of it."""


@pytest.mark.parametrize(("task", "whole", "key"), EARLIER, ids=[type(task).__name__ for task, _, _ in EARLIER])
def test_a_completed_config_and_its_keys_are_what_they_were(task: Task, whole: dict[str, Any], key: str) -> None:
    completed = task.complete({"learning_rate": 0.01})
    assert completed == {"learning_rate": 0.01, **whole}
    assert run_key(completed, 0, 0, 0, "data", "model", {"precision": "fp32"}) == key
    named = {name: known.default for name, known in task.hyperparameters().items() if known.left_out_at_default}
    assert task.complete({"learning_rate": 0.01, **named}) == completed


def test_checkpoints_are_of_the_same_config() -> None:
    assert TrainingSettings.of({}).named() == {
        "learning_rate": 5e-5, **TEXT, **PRETRAINED, **SMOOTHED
    }  # fmt: skip


LATER = Hyperparameter(3, IntegerCheck("later", 1, optional=True), "Came later.", left_out_at_default=True)


@dataclass(frozen=True, eq=False)
class LaterTask(TextClassification):
    """A task with a hyperparameter that came later, for which it recommends a value."""

    recommends: ClassVar[dict[str, Any]] = {}

    def hyperparameters(self) -> dict[str, Hyperparameter]:
        return {**super().hyperparameters(), "later": LATER}

    def _literature(self) -> dict[str, Any]:
        return {**super()._literature(), **self.recommends}


def test_what_came_later_is_named_where_it_is_not_at_its_default(monkeypatch: pytest.MonkeyPatch) -> None:
    task = LaterTask("some-model", train="t.csv")
    for config in ({}, {"later": 3}, {"later": 3.0}):
        assert "later" not in task.complete(config)
    assert task.complete({"later": None})["later"] is None
    assert task.complete({"later": 4.0})["later"] == 4
    monkeypatch.setattr(LaterTask, "recommends", {"later": 7})
    assert task.complete({})["later"] == 7
    whole = task.complete({"later": 3})
    assert whole["later"] == 3  # left out, it would be completed to 7 the next time
    assert task.complete(whole) == whole


def test_only_what_came_later_is_left_out() -> None:
    first = {*TEXT, *PRETRAINED, *SMOOTHED, "learning_rate"}
    assert {name for name, known in TRAINING_HYPERPARAMETERS.items() if not known.left_out_at_default} == first
