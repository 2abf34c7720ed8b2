import math
import random
from dataclasses import replace
from typing import Any

import pytest
from analysis_samples import OBJECTIVE, with_trial

from hpsearch.analysis.aggregates import TrialSummary, summarize_all
from hpsearch.analysis.importance import LEAST_TRIALS, _values, importance
from hpsearch.metrics.direction import Direction
from hpsearch.records import History, TrialState

SPACE: dict[str, dict[str, Any]] = {
    "learning_rate": {"type": "float", "low": 1e-6, "high": 1e-2, "log": True},
    "noise": {"type": "float", "low": 0.0, "high": 1.0},
    "scheduler": {"type": "categorical", "choices": ["linear", "stable"]},
    "decay": {"type": "float", "low": 0.1, "high": 0.5, "when": {"scheduler": ["stable"]}},
    "fixed": {"type": "int", "low": 3, "high": 9},
}


def searched(trials: int, *, prunes: bool = False, seed: int = 0) -> tuple[TrialSummary, ...]:
    """Return trials whose value is decided by the learning rate alone, best at 1e-4."""
    draw = random.Random(seed)
    history = History()
    for number in range(trials):
        config: dict[str, Any] = {
            "learning_rate": 10 ** draw.uniform(-6, -2),
            "noise": draw.random(),
            "scheduler": draw.choice(["linear", "stable"]),
            "fixed": 3,
        }
        if config["scheduler"] == "stable":
            config["decay"] = draw.uniform(0.1, 0.5)
        value = 0.8 - 0.2 * abs(math.log10(config["learning_rate"]) + 4)
        state = TrialState.PRUNED if prunes and value < 0.7 else TrialState.COMPLETE
        history = with_trial(history, number, [[value]], value=value, point=1, config=config, state=state)
    return summarize_all(history, OBJECTIVE)


def test_what_decides_comes_first_and_stands_out() -> None:
    found = importance(searched(60), SPACE)
    assert found.why_not is None
    assert next(iter(found.shares)) == "learning_rate"
    assert found.shares["learning_rate"] > 0.5
    assert math.fsum(found.shares.values()) == pytest.approx(1.0)
    assert found.stands_out("learning_rate")
    assert not any(found.stands_out(name) for name in ("noise", "scheduler"))
    assert list(found.shares.values()) == sorted(found.shares.values(), reverse=True)


def test_what_a_pruner_has_sorted_out_still_counts() -> None:
    """Every complete trial has a good learning rate: among them alone it would explain next to nothing."""
    trials = searched(160, prunes=True)
    assert any(summary.state is TrialState.PRUNED for summary in trials)
    found = importance(trials, SPACE)
    assert found.trials == 160
    assert found.stands_out("learning_rate")
    only_complete = tuple(summary for summary in trials if summary.state is TrialState.COMPLETE)
    assert found.shares["learning_rate"] > importance(only_complete, SPACE).shares["learning_rate"]


def test_a_conditional_parameter_is_told_by_the_trials_that_have_it() -> None:
    trials = searched(60)
    found = importance(trials, SPACE)
    assert found.present["decay"] == sum("decay" in summary.config for summary in trials) < found.present["noise"] == 60
    assert found.shares["decay"] < found.shares["learning_rate"]


def test_a_parameter_that_never_differs_has_no_importance() -> None:
    assert "fixed" not in importance(searched(40), SPACE).shares


def test_equal_trials_give_equal_numbers() -> None:
    assert importance(searched(40), SPACE) == importance(searched(40), SPACE)


@pytest.mark.parametrize(
    ("trials", "why"),
    [
        (searched(LEAST_TRIALS - 1), f"{LEAST_TRIALS - 1} complete or pruned, and {LEAST_TRIALS} are needed"),
        (searched(0), "0 complete or pruned"),
        (
            searched(200, prunes=True)[:LEAST_TRIALS],
            "the others were pruned before, and 10 are needed: run",
        ),
    ],
)
def test_too_few_trials_are_noise_and_are_called_so(trials: tuple[TrialSummary, ...], why: str) -> None:
    found = importance(trials, SPACE)
    assert found.shares == {}
    assert found.why_not is not None
    assert found.why_not.startswith("too few trials to tell importance from noise")
    assert why in found.why_not


def test_equal_values_and_equal_settings_are_said_to_be_so() -> None:
    history = History()
    for number in range(30):
        history = with_trial(history, number, [[0.5]], value=0.5, point=1, config={"noise": number / 30, "fixed": 3})
    trials = summarize_all(history, OBJECTIVE)
    assert importance(trials, SPACE).why_not == "all trials that lasted have the same value"
    assert importance(trials, {"fixed": SPACE["fixed"]}).why_not == "no hyperparameter differs between the trials"


def test_values_outside_the_space_and_choices_that_equal_each_other_are_taken() -> None:
    """An enqueued value may lie outside; 1, 1.0 and True are told apart by their types; a space may be unknown."""
    history = History()
    for number in range(30):
        config = {"rate": 10.0 ** (number % 4), "choice": (1, True, "1", None)[number % 4], "whole": number % 5}
        history = with_trial(history, number, [[number / 30]], value=number / 30, point=1, config=config)
    space: dict[str, dict[str, Any]] = {"rate": {"low": 1, "high": 10, "log": True, "type": "float"}, "choice": {}}
    found = importance(summarize_all(history, OBJECTIVE), {**space, "whole": {}})
    assert set(found.shares) == {"rate", "choice", "whole"}


def halved(trials: int, *, ended: bool = True, value: bool = True) -> tuple[TrialSummary, ...]:
    """Return trials of two folds as a halving pruner leaves them: 4 complete, a sixth that lasted one fold, a rest."""
    draw = random.Random(3)
    rates = sorted((10 ** draw.uniform(-6, -2) for _ in range(trials)), key=lambda rate: abs(math.log10(rate) + 4))
    history = History()
    for place, rate in enumerate(rates):
        score = 0.8 - 0.1 * abs(math.log10(rate) + 4)
        config = {"learning_rate": rate, "noise": draw.random()}
        lasted = ended and 4 <= place < 4 + trials // 6
        whole: dict[str, Any] = {"stop": 4, "point": 4} if place < 4 or lasted else {"point": 1}
        curves = [[score] * 4, [score] * 4] if place < 4 else [[score] * 4, []] if lasted else [[score], []]
        shown = score + 0.1 if lasted else score  # one easy fold: higher than any mean of two
        history = with_trial(
            history,
            place,
            curves,
            state=TrialState.COMPLETE if place < 4 else TrialState.PRUNED,
            value=shown if value or not lasted else None,
            config=config,
            **whole,
        )
    return summarize_all(history, OBJECTIVE)


def test_trials_that_lasted_a_fold_fill_up_the_top_where_a_pruner_leaves_few() -> None:
    found = importance(halved(60), SPACE)
    assert found.why_not is None
    assert found.stands_out("learning_rate")
    assert not found.stands_out("noise")


def test_a_partial_value_never_stands_above_a_complete_one() -> None:
    values = _values(halved(60))
    assert min(values[:4]) > max(values[4:])
    assert list(values[4:14]) == sorted(set(values[4:14]), reverse=True)
    assert len(set(values[14:])) == 1
    assert values[14] < min(values[4:14])


def test_what_was_pruned_in_its_first_fold_or_diverged_is_none_of_the_top() -> None:
    for trials in (halved(60, ended=False), halved(60, value=False)):
        assert "4 of 60 lasted a whole fold" in str(importance(trials, SPACE).why_not)


def test_the_mirror_image_has_the_same_importance() -> None:
    trials = searched(160, prunes=True)
    image = [replace(each, value=None if each.value is None else -each.value) for each in trials]
    assert importance(image, SPACE, Direction.MINIMIZE) == importance(trials, SPACE)
    assert importance(image, SPACE) != importance(trials, SPACE)
