"""Runs of a fraction of an epoch, and of a number of steps."""

from typing import Any

import numpy as np
import pytest
from training_learners import (
    CPU,
    HELD_OUT_ROWS,
    TRAIN_ROWS,
    TextLearner,
    assert_resumes_after_every_step,
    assert_same_measurements,
    assert_same_state,
    everything,
    fine_tune,
    measured,
    numerics,
)

from hpsearch.errors import CheckpointError, TaskError
from hpsearch.training.base_model import BaseModel
from hpsearch.training.fine_tune import FineTune

STEPS = {"epochs": None}
"""With max_steps beside it. There are three steps an epoch."""


def run_on(rows: np.ndarray, config: dict[str, Any], first_fold_rows: int | None = None, points: int = 2) -> FineTune:
    learner = TextLearner()
    return FineTune(
        learner,
        {"batch_size": 6, "learning_rate": 1e-3, **config},
        train_rows=rows,
        held_out_rows=HELD_OUT_ROWS,
        seed=5,
        evaluations_per_epoch=points,
        numerics=numerics(),
        device=CPU,
        base=BaseModel(learner, CPU),
        first_fold_rows=first_fold_rows,
    )


@pytest.mark.parametrize(
    ("config", "steps"),
    [
        ({"epochs": 1}, [2, 3]),
        ({"epochs": 0.5}, [2]),
        ({"epochs": 0.25}, [1]),
        ({"epochs": 1.25}, [2, 3, 4]),
        ({"epochs": 1.5}, [2, 3, 5]),
        ({"epochs": 1.6}, [2, 3, 5, 5]),
        ({**STEPS, "max_steps": 1}, [1]),
        ({**STEPS, "max_steps": 2}, [2, 2]),
        ({**STEPS, "max_steps": 3}, [2, 3]),
        ({**STEPS, "max_steps": 7}, [2, 3, 5, 6, 7]),
    ],
)
def test_points_lie_on_fractions_of_an_epoch_and_the_last_on_the_last_step(
    config: dict[str, Any], steps: list[int]
) -> None:
    run = fine_tune(TextLearner(), config)
    assert run.horizon == len(steps)
    assert [run.step_of(point) for point in range(run.horizon + 1)] == [0, *steps]
    found = measured(run)
    assert (run.step, run.steps_total) == (steps[-1], steps[-1])
    assert [item.point for item in found] == list(range(1, len(steps) + 1))
    assert found[-1].learning_rate == pytest.approx(fine_tune(TextLearner(), config)._learning_rate(steps[-1] - 1))


@pytest.mark.parametrize("config", [{"epochs": 1.4}, {**STEPS, "max_steps": 4}])
def test_they_resume_to_the_bit(config: dict[str, Any]) -> None:
    assert_resumes_after_every_step("text", config, "fp32")


def test_as_many_steps_as_epochs_have_are_the_same_training() -> None:
    in_epochs, in_steps = fine_tune(TextLearner()), fine_tune(TextLearner(), {**STEPS, "max_steps": 6})
    assert_same_measurements(measured(in_epochs), measured(in_steps))
    one, two = everything(in_epochs), everything(in_steps)
    assert one["tensors"] == two["tensors"]
    for state in (one, two):
        del state["facts"]["identity"]
    assert_same_state(one, two)


def test_a_float_of_whole_epochs_is_the_run_of_the_whole_number() -> None:
    whole, floating = (fine_tune(TextLearner(), {"epochs": epochs}) for epochs in (2, 2.0))
    measured(whole, 2)
    floating.restore(whole.checkpoint())
    assert floating.point == 2


def test_steps_are_counted_on_the_first_folds_rows_and_all_folds_have_the_same_points() -> None:
    config = {**STEPS, "max_steps": 9}
    first = run_on(TRAIN_ROWS[:12], config, 12)  # two steps an epoch
    later = run_on(TRAIN_ROWS, config, 12)  # three
    assert (first.steps_total, later.steps_total) == (9, 14)
    assert first.horizon == later.horizon == 9
    found = measured(later)
    assert later.step == 14
    assert [later.step_of(point) for point in range(10)] == [0, 2, 3, 5, 6, 8, 9, 11, 12, 14]
    assert [item.epoch for item in found[1::2]] == [1.0, 2.0, 3.0, 4.0]
    for points in range(1, 6):
        horizons = {run_on(TRAIN_ROWS[:rows], config, 12, points).horizon for rows in (5, 12, 13, 16)}
        assert len(horizons) == 1


def test_a_checkpoint_of_a_run_counted_otherwise_is_refused() -> None:
    config = {**STEPS, "max_steps": 9}
    run = run_on(TRAIN_ROWS, config, 12)
    measured(run, 1)
    with pytest.raises(CheckpointError, match="it belongs to run"):
        run_on(TRAIN_ROWS, config, 16).restore(run.checkpoint())


def test_a_run_needs_a_length() -> None:
    with pytest.raises(TaskError, match=r"epochs=None .* a number above 0 where max_steps is None"):
        fine_tune(TextLearner(), {"epochs": None})
