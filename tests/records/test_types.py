import dataclasses
import math
from typing import Any

import pytest
from records_samples import evaluation_of

from hpsearch.records import Action, Decision, Outcome, Run, Segment, TrialState

RUN = Run("a" * 32, {"epochs": 3}, fold=0, repeat=0, horizon=6)


@pytest.mark.parametrize("changes", [{"horizon": 0}, {"fold": -1}, {"repeat": -1}])
def test_a_run_that_cannot_be_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=RUN.key):
        dataclasses.replace(RUN, **changes)


@pytest.mark.parametrize(("start", "stop"), [(0, 0), (3, 2), (-1, 2), (2, 7)])
def test_a_segment_lies_within_its_run_and_goes_forward(start: int, stop: int) -> None:
    assert Segment(RUN, 0, 6).stop == 6
    with pytest.raises(ValueError, match="segment"):
        Segment(RUN, start, stop)


def test_evaluation_points_start_at_one() -> None:
    with pytest.raises(ValueError, match="point 0"):
        dataclasses.replace(evaluation_of(RUN.key, 1), point=0)


def test_measurements_are_outside_equality_and_numbers_are_not() -> None:
    one = evaluation_of(RUN.key, 1)
    assert one == dataclasses.replace(one, seconds=9.0, peak_memory_bytes=1)
    assert one != dataclasses.replace(one, train_loss=one.train_loss + 1e-12)


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_is_infinitely_bad(loss: float) -> None:
    assert evaluation_of(RUN.key, 1, metrics={"loss": loss}).loss == math.inf
    assert evaluation_of(RUN.key, 1, metrics={"loss": 0.5}).loss == 0.5


def test_three_actions_end_a_trial() -> None:
    ends = {action: Decision(0, action, "").final_state for action in Action}
    assert {action: state for action, state in ends.items() if state} == {
        Action.COMPLETE: TrialState.COMPLETE,
        Action.PRUNE: TrialState.PRUNED,
        Action.FAIL: TrialState.FAIL,
    }
    assert all(state.is_finished for state in ends.values() if state)


def test_only_the_config_is_to_blame_for_divergence_and_memory() -> None:
    assert {outcome for outcome in Outcome if outcome.is_bad_luck} == {Outcome.DIVERGED, Outcome.OUT_OF_MEMORY}
