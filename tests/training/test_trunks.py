from typing import Any

import pytest
from training_learners import (
    BertLearner,
    ImageLearner,
    TextLearner,
    assert_same_measurements,
    assert_same_state,
    everything,
    fine_tune,
    measured,
)

from hpsearch.errors import CheckpointError
from hpsearch.training.schedules import learning_rate_factor, trunk_steps
from hpsearch.training.trunks import HORIZON, trunk_of

STABLE = {"lr_scheduler_type": "warmup_stable_decay", "warmup_steps": 2, "decay_ratio": 0.3}
CONSTANT = {"lr_scheduler_type": "constant", "warmup_steps": 2}


@pytest.mark.parametrize("schedule", ["constant", "warmup_stable_decay"])
@pytest.mark.parametrize(("one", "other"), [(5, 10), (7, 31), (1, 3)])
@pytest.mark.parametrize("warmup", [0, 2, 8])
def test_the_factors_of_the_steps_in_a_trunk_are_those_of_every_length(schedule, one, other, warmup):
    def factors(total: int, decay_ratio: float) -> list[float]:
        steps = trunk_steps(schedule, steps_total=total, warmup=warmup, decay_ratio=decay_ratio)
        return [
            learning_rate_factor(schedule, step, steps_total=total, warmup=warmup, decay_ratio=decay_ratio)
            for step in range(steps)
        ]

    short, long = factors(one, 0.2), factors(other, 0.4)
    assert len(short) >= one - one // 3 - 1
    assert short[: len(long)] == long[: len(short)]


def test_a_trunk_is_what_the_config_says_of_the_steps_before_its_end():
    shorter, longer = (trunk_of({**STABLE, "epochs": epochs}, 5) for epochs in (1, 3))
    assert shorter is not None
    assert longer is not None
    assert shorter.config == longer.config
    assert not set(HORIZON) & set(shorter.config)
    assert (shorter.steps, shorter.steps_total, longer.steps, longer.steps_total) == (3, 5, 10, 15)
    constant = trunk_of({**CONSTANT, "epochs": 3}, 5)
    assert constant is not None
    assert (constant.config, constant.steps) == (longer.config, 15)
    assert trunk_of({**STABLE, "epochs": 1, "learning_rate": 1e-3}, 5).config != shorter.config
    assert trunk_of({**STABLE, "epochs": 1, "warmup_steps": 3}, 5).config != shorter.config


def test_a_warmup_that_grows_with_the_run_is_not_shared():
    ratios = {"lr_scheduler_type": "constant", "warmup_ratio": 0.2}
    assert trunk_of({**ratios, "epochs": 1}, 5).config != trunk_of({**ratios, "epochs": 2}, 5).config
    without = {**ratios, "warmup_ratio": 0.0}
    assert trunk_of({**without, "epochs": 1}, 5).config == trunk_of({**without, "epochs": 2}, 5).config


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_linear_and_cosine_share_nothing(schedule):
    assert trunk_of({"lr_scheduler_type": schedule, "epochs": 2, "warmup_steps": 4}, 5) is None


def left_at(learner: Any, config: dict[str, Any], step: int) -> dict[str, bytes]:
    """Return the checkpoint that a run leaves after so many steps."""
    run = fine_tune(learner, config)
    for _ in run.advance(run.horizon):
        if run.step == step:
            return run.checkpoint()
    raise AssertionError(f"the run has no step {step}")


@pytest.mark.parametrize("kind", [TextLearner, BertLearner, ImageLearner])
@pytest.mark.parametrize(
    ("of", "to", "step"),
    [
        pytest.param({**CONSTANT, "epochs": 1}, {**CONSTANT, "epochs": 3}, 3, id="constant, the end of the shorter"),
        pytest.param({**STABLE, "epochs": 1}, {**STABLE, "epochs": 3}, 2, id="cooldowns, the shorter first"),
        pytest.param({**STABLE, "epochs": 3}, {**STABLE, "epochs": 2}, 4, id="cooldowns, the longer first"),
        pytest.param({**CONSTANT, "epochs": 2}, {**STABLE, "epochs": 2}, 4, id="constant to a cooldown"),
    ],
)
def test_a_run_from_another_ones_trunk_is_the_lone_run(kind, of, to, step):
    lone = fine_tune(kind(), to)
    expected = measured(lone)
    branched = fine_tune(kind(), to)
    branched.restore(left_at(kind(), of, step), inherited=True)
    assert branched.step == step
    point = branched.point
    assert_same_measurements(expected[point:], measured(branched))
    assert_same_state(everything(lone), everything(branched))


def test_no_run_goes_on_from_beyond_its_own_trunk():
    cooling = fine_tune(TextLearner(), {**STABLE, "epochs": 1})
    with pytest.raises(CheckpointError, match="stands at step 3 of a longer run, and 2 steps are shared"):
        cooling.restore(left_at(TextLearner(), {**STABLE, "epochs": 3}, 3))
    with pytest.raises(CheckpointError, match="belongs to run"):
        fine_tune(TextLearner(), {**STABLE, "epochs": 3}).restore(left_at(TextLearner(), {**STABLE, "epochs": 1}, 3))


def test_the_time_of_another_run_is_not_this_ones():
    files = left_at(TextLearner(), {**STABLE, "epochs": 3}, 1)
    own, branched = (fine_tune(TextLearner(), {**STABLE, "epochs": epochs}) for epochs in (3, 2))
    own.restore(files)
    branched.restore(files, inherited=True)
    assert own._state.position.seconds > 0
    assert branched._state.position.seconds == 0
