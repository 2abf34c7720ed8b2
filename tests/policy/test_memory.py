"""What memory allows: how runs go on that had too little, and what is never tried, on invented histories."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import ended, measured, trial

from hpsearch.policy.memory import (
    cannot_fit,
    expected_fit,
    fits_as_known,
    needs_no_less,
    next_fit,
    replaced_runs,
    savings_of,
    thriftier,
    too_large,
)
from hpsearch.records import Fit, Fits, History, ModelMemory, Outcome, Savings, TrialState, shape_of, thriftiest

PARTS, BOTH, NONE = Savings(), Savings(gradient_checkpointing=True), Savings(micro_batches=False)
BATCH_NORM_ALL = Savings(micro_batches=False, gradient_checkpointing=True)


def config(batch: int = 16, frozen: Any = 0, **more: Any) -> dict[str, Any]:
    return {"batch_size": batch, "freeze_layers": frozen, "model": "a", "learning_rate": 0.1, "epochs": 2, **more}


def ways(batch: int, savings: Savings, fit: Fit | None = None) -> list[Fit]:
    """Return all that is tried, one after the other."""
    tried, fit = [], fit or Fit()
    while (smaller := thriftier(fit, batch, savings)) is not None:
        tried.append(fit := smaller)
    return tried


@pytest.mark.parametrize(
    ("batch", "savings", "tried"),
    [
        (8, PARTS, [Fit(4), Fit(2), Fit(1)]),
        (12, PARTS, [Fit(6), Fit(3), Fit(2), Fit(1)]),
        (4, BOTH, [Fit(None, True), Fit(2, True), Fit(1, True)]),
        (1, PARTS, []),
        (1, BOTH, [Fit(None, True)]),
        (8, NONE, []),
        (8, BATCH_NORM_ALL, [Fit(None, True)]),  # which changes no statistics
    ],
)
def test_a_run_is_trained_in_ever_less_until_nothing_is_left(batch: int, savings: Savings, tried: list[Fit]) -> None:
    assert ways(batch, savings) == tried


@given(st.integers(1, 512), st.booleans(), st.one_of(st.none(), st.integers(1, 600)))
def test_each_step_saves_more_and_there_are_few(batch: int, checkpoints: bool, micro_batch: int | None) -> None:
    begun = Fit(micro_batch)
    tried = ways(batch, Savings(gradient_checkpointing=checkpoints), begun)
    assert len(tried) <= 1 + 10
    for before, after in zip([begun, *tried], tried, strict=False):
        assert before != after and thriftiest(before, after) == after
    rows = min(micro_batch or batch, batch)
    assert rows == 1 or tried[-1].micro_batch == 1


def test_a_run_is_first_trained_as_its_shape_is_by_now() -> None:
    run = trial(0, config()).runs[0]
    known = Fits(shapes={shape_of(run.config): Fit(4)})
    assert next_fit(run, Fit(), known, PARTS) == Fit(4)
    assert next_fit(replace(run, fit=Fit(8)), Fit(), known, PARTS) == Fit(4)
    assert next_fit(replace(run, fit=Fit(4)), Fit(), known, PARTS) == Fit(2)
    assert next_fit(replace(run, fit=Fit(2)), Fit(), known, PARTS) == Fit(1)  # less than its shape
    assert next_fit(run, Fit(), Fits(shapes={shape_of(run.config): Fit()}), PARTS) == Fit(8)  # the probe erred
    assert next_fit(run, Fit(6), Fits(), PARTS) == Fit(3)


def test_runs_that_have_begun_go_on_as_they_are() -> None:
    history = History.of_trials([trial(number, config()) for number in range(3)] + [trial(3, config(8))])
    history = ended(history, 0, 0, Outcome.OUT_OF_MEMORY)
    history = measured(history, 1, 0, [0.5])  # waits for its next segment
    history = ended(history, 1, 1, Outcome.PAUSED)  # has a checkpoint
    history = ended(measured(history, 2, 0, [0.5] * 4), 2, 0, Outcome.OK)
    found = replaced_runs(history, shape_of(history.trials[0].runs[0].config), Fit(8), {"0-1", "2-1"})
    assert [(number, run.key) for number, run in found] == [(0, "0-0"), (0, "0-2"), (1, "1-2"), (2, "2-2")]
    pruned = history.with_trial(replace(history.trials[0], state=TrialState.PRUNED))
    found = replaced_runs(pruned, shape_of(history.trials[0].runs[0].config), Fit(8), ())
    assert {number for number, _ in found} == {1, 2}


@pytest.mark.parametrize(
    ("one", "other", "in_parts", "whole"),
    [
        ({}, {}, True, True),
        ({"batch": 8}, {"batch": 16}, True, False),  # in parts of one row a step takes the same
        ({"batch": 32}, {"batch": 16}, True, True),
        ({"frozen": 0}, {"frozen": 2}, True, True),
        ({"frozen": 10}, {"frozen": 9}, False, False),  # not by the text
        ({"frozen": "all"}, {"frozen": 12}, False, False),
        ({"frozen": 12}, {"frozen": "all"}, True, True),
        ({"model": "b"}, {}, False, False),
        ({"width": 3}, {}, False, False),
        ({"learning_rate": 0.2, "epochs": 3, "lr_scheduler_type": "cosine"}, {}, True, True),
    ],
    ids=str,
)
def test_what_needs_no_less(one: Mapping[str, Any], other: Mapping[str, Any], in_parts: bool, whole: bool) -> None:
    shapes = shape_of(config(**one)), shape_of(config(**other))
    assert needs_no_less(*shapes, in_batch=False) is in_parts
    assert needs_no_less(*shapes, in_batch=True) is whole


def test_what_did_not_fit_at_its_smallest_is_known_from_the_history() -> None:
    history = History.of_trials([trial(number, config(8 * (number + 1))) for number in range(4)])
    history = ended(history, 0, 0, Outcome.OUT_OF_MEMORY)  # not decided on
    for number, outcome in ((1, Outcome.OUT_OF_MEMORY), (2, Outcome.DIVERGED)):
        history = ended(history, number, 0, outcome)
        history = history.with_trial(replace(history.trials[number], state=TrialState.PRUNED))
    assert too_large(history) == (shape_of(config(16)),)
    failed = too_large(history)
    assert cannot_fit(config(8), failed, PARTS) and not cannot_fit(config(8), failed, NONE)
    assert not cannot_fit(config(8), failed, None)  # an earlier version's study: its batch was not made smaller
    assert all(cannot_fit(config(32), failed, savings) for savings in (PARTS, NONE, None))
    assert not cannot_fit(config(32, 1), failed, PARTS)


def test_how_to_save_is_known_of_what_trains_no_more_than_was_tried() -> None:
    tried = ModelMemory(BOTH, largest=shape_of(config(16, 2)))
    assert savings_of(config(64, 2), tried) == savings_of(config(8, "all", width=3), tried) == BOTH
    assert savings_of(config(16, 1), tried) is None  # a layer with batch norm may be frozen no more
    assert savings_of(config(), None) is None


def test_only_what_may_not_fit_is_tried_on_the_device() -> None:
    roomy = ModelMemory(PARTS, 64, shape_of(config(64)))
    tight = ModelMemory(PARTS, 8, shape_of(config(64)))
    assert fits_as_known(config(64), roomy) and fits_as_known(config(64, 3), roomy)
    assert fits_as_known(config(8, 3), tight) and not fits_as_known(config(16, 3), tight)
    assert not fits_as_known(config(8, width=9), roomy)  # another model than the one that was tried
    assert not fits_as_known(config(64), ModelMemory(PARTS, 64, shape_of(config(64, 1))))  # enqueued, more layers
    assert fits_as_known(config(16), replace(tight, savings=NONE))  # it cannot be trained in parts
    assert fits_as_known(config(16), ModelMemory(PARTS))  # a CPU
    assert expected_fit(config(8), tight, Fits()) is None
    assert expected_fit(config(16), tight, Fits()) == Fit(8)
    assert expected_fit(config(16), tight, Fits(shapes={shape_of(config(16)): Fit(4)})) == Fit(4)
    assert expected_fit(config(16), None, Fits()) is None
