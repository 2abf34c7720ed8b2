from dataclasses import replace

import numpy as np
import pytest
from records_samples import (
    POINTS,
    add_trial,
    complete,
    evaluation_of,
    outputs_of,
    prune,
    train,
)

from hpsearch.data.ragged import Ragged, to_bytes
from hpsearch.records import Action, Decision, History, Origin, Run, Trial, TrialState
from hpsearch.records.retention import needed_points
from hpsearch.records.store import Store

RUN = Run("a" * 32, {}, 0, 0, POINTS)


def trial(number: int, state: TrialState, point: int | None = None, horizon: int = POINTS) -> Trial:
    run = replace(RUN, horizon=horizon)
    return Trial(number, {}, {}, state, Origin.SAMPLER, (run,), point=point)


@pytest.mark.parametrize(
    ("trials", "wanted"),
    [
        ([], set()),
        ([trial(0, TrialState.COMPLETE, 4)], {4}),
        ([trial(0, TrialState.PRUNED, 2)], {5}),
        ([trial(0, TrialState.PRUNED, 2, horizon=3)], {3}),
        ([trial(0, TrialState.FAIL)], set()),
        ([trial(0, TrialState.COMPLETE, 4), trial(1, TrialState.COMPLETE, 2), trial(2, TrialState.PRUNED)], {2, 4, 5}),
        ([trial(0, TrialState.FAIL), trial(1, TrialState.WAITING)], None),
        ([trial(0, TrialState.COMPLETE, 4), trial(1, TrialState.RUNNING)], None),
        ([trial(0, TrialState.COMPLETE)], set(range(1, POINTS + 1))),
    ],
)
def test_every_trial_that_shares_a_run_has_its_say(trials: list[Trial], wanted: set[int] | None) -> None:
    history = History.of_trials(trials)
    for point in range(1, 6):
        history = history.with_evaluation(evaluation_of(RUN.key, point))
    assert needed_points(history, RUN.key) == wanted
    assert needed_points(history, "another") == set()


def kept(store: Store, trial: Trial) -> list[set[int]]:
    """Return the points whose predictions the store has, a set a run."""
    return [
        {point for point in range(1, POINTS + 1) if store.predictions(run.key, point) is not None} for run in trial.runs
    ]


def test_the_end_of_a_trial_keeps_what_its_value_rests_on(store: Store) -> None:
    first, second, third = (add_trial(store, index) for index in range(3))
    for each in (first, second, third):
        train(store, each, points=POINTS if each is first else 3)
    store.apply(complete(store, first, point=4))
    store.apply(prune(store, second))
    store.apply(Decision(third.number, Action.FAIL, "an exception"))
    assert kept(store, first) == [{4}] * 3
    assert kept(store, second) == [{3}] * 3
    assert kept(store, third) == [set()] * 3
    expected = outputs_of(first.runs[1].key, 4)
    found = store.predictions(first.runs[1].key, 4)
    assert isinstance(found, np.ndarray) and found.tobytes() == expected.tobytes()


def test_a_trial_with_the_same_runs_that_goes_on_keeps_them(store: Store) -> None:
    one, same = add_trial(store, 7), add_trial(store, 7)
    train(store, one)
    store.apply(complete(store, one, point=4))
    assert kept(store, one) == [set(range(1, POINTS + 1))] * 3
    store.apply(Decision(same.number, Action.FAIL, "an exception"))
    assert kept(store, one) == [{4}] * 3


def test_predictions_that_are_wanted_again_come_back_and_others_do_not(store: Store) -> None:
    one = add_trial(store, 7)
    run = one.runs[0].key
    train(store, one)
    store.apply(complete(store, one, point=4))
    for point in range(1, 4):
        store.record_evaluation(evaluation_of(run, point), outputs_of(run, point))
    assert kept(store, one)[0] == {4}
    add_trial(store, 7)
    for point in range(1, 6):
        store.record_evaluation(evaluation_of(run, point), outputs_of(run, point))
    assert kept(store, one)[0] == {1, 2, 3, 4, 5}
    assert store.mismatches == 0


def test_rows_of_different_lengths_are_kept_and_trimmed_alike(store: Store) -> None:
    trial = add_trial(store, 0, folds=1)
    run = trial.runs[0].key
    texts = [
        Ragged.of([np.arange(length, dtype=np.float64) + point for length in (2, 0, 5)])
        for point in range(1, POINTS + 1)
    ]
    for point, kept_of_point in enumerate(texts, start=1):
        store.record_evaluation(evaluation_of(run, point), kept_of_point)
    assert kept(store, trial) == [set(range(1, POINTS + 1))]
    store.apply(complete(store, trial, point=4))
    assert kept(store, trial) == [{4}]
    store.close()
    with Store.open(store.url.render_as_string(hide_password=False), store.name) as again:
        found = again.predictions(run, 4)
    assert isinstance(found, Ragged)
    assert to_bytes(found) == to_bytes(texts[3])
