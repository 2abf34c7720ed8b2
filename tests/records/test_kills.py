"""Nothing is lost: writers killed between any two steps, and at random, and what the next coordinator finds."""

import itertools
import random
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from records_samples import (
    POINTS,
    add_trial,
    complete,
    config_of,
    die_at_call,
    evaluation_of,
    everything,
    killed_after,
    killed_in_child,
    mean,
    new_store,
    optuna_tool,
    outputs_of,
    prune,
    refitted,
    train,
    url_of,
)

from hpsearch.records import Origin, TrialState, optuna_writing, retention
from hpsearch.records.leased_study import LeasedStudy
from hpsearch.records.optuna_rows import OptunaRows
from hpsearch.records.store import Store

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and fork")


def in_child(url: str, work: Callable[[Store], object], kill: Callable[[], None]) -> bool:
    """Do `work` as the study's coordinator in a child of its own, with `kill` armed; True when it was killed."""

    def child() -> None:
        with Store.open(url, "emotion") as store:
            store.acquire()
            kill()
            work(store)

    return killed_in_child(child)


@pytest.fixture(scope="module")
def trained_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study with two trials trained to the end and not decided on, and one half trained."""
    folder = tmp_path_factory.mktemp("trained")
    with new_store(url_of(folder)) as store:
        for index in range(3):
            train(store, add_trial(store, index), points=POINTS if index < 2 else 3, folds=3 if index < 2 else 1)
    return folder


@pytest.fixture
def url(trained_folder: Path, tmp_path: Path) -> str:
    shutil.copy(trained_folder / "study.db", tmp_path / "study.db")
    return url_of(tmp_path)


def check(store: Store, url: str) -> None:
    """Hold the invariants of a study whose lease has just been taken, and of Optuna's view of it."""
    with optuna_tool(url) as study:
        frozen_trials = {frozen.number: frozen for frozen in study.trials}
    assert list(store.history.trials) == list(frozen_trials)
    assert list(frozen_trials) == list(range(len(frozen_trials)))  # a trial is there whole or not at all
    for number, trial in store.history.trials.items():
        frozen = frozen_trials[number]
        assert frozen.state.name == trial.state.name
        assert len(trial.runs) == 3
        if trial.state is TrialState.COMPLETE:
            assert frozen.value == trial.value == mean(store, trial, 4)
            assert frozen.intermediate_values == {1: 0.5, 2: trial.value}
            assert frozen.user_attrs["folds"] == [0.25, 0.5, 0.75]
            assert frozen.user_attrs["reason"] == trial.reason == "trained to the end"
        for run in trial.runs:
            evaluations = store.history.of(run.key)
            wanted = retention.needed_points(store.history, run.key)
            for evaluation in evaluations:
                assert evaluation == evaluation_of(run.key, evaluation.point)
                found = store.predictions(run.key, evaluation.point)
                if wanted is None or evaluation.point in wanted:
                    assert found is not None
                    assert found.tobytes() == outputs_of(run.key, evaluation.point).tobytes()
                else:
                    assert found is None
            assert store.predictions(run.key, len(evaluations) + 1) is None


INSIDE_APPLY = [
    *((optuna_writing, name, 1, after) for name in ("_write_reports", "_write_attributes") for after in (False, True)),
    *((optuna_writing, "_insert", call, True) for call in (1, 2, 3)),  # reports, attributes, the value
    *((optuna_writing, "_write_state", 1, after) for after in (False, True)),
    *((OptunaRows, "tell", 1, after) for after in (False, True)),
    (retention, "trim", 1, False),
    (retention, "trim", 1, True),
]
"""Optuna's part of a decision is one transaction, after the decision's own."""


@pytest.mark.parametrize(("owner", "name", "call", "after"), INSIDE_APPLY)
def test_a_decision_is_told_whole_or_not_made(url: str, owner: Any, name: str, call: int, after: bool) -> None:
    def decide(store: Store) -> None:
        store.apply(complete(store, store.history.trials[0]))

    assert in_child(url, decide, lambda: die_at_call(owner, name, call, after))
    with Store.open(url, "emotion") as store:
        made = owner is not retention  # before the decision's own transaction is committed there is no decision
        assert store.history.trials[0].state is (TrialState.COMPLETE if made else TrialState.RUNNING)
        store.acquire()
        check(store, url)
        assert (store.predictions(store.history.trials[0].runs[0].key, 1) is None) is made
        store.apply(complete(store, store.history.trials[0]))  # made again, or for the first time: the same
        check(store, url)
        assert len(store.decisions()) == 1


def test_the_next_coordinator_may_be_killed_as_well(url: str) -> None:
    def both(store: Store) -> None:
        for number in (0, 1):
            store.apply(complete(store, store.history.trials[number]))

    assert in_child(url, both, lambda: die_at_call(optuna_writing, "_write_reports", 2))
    for _ in range(2):

        def acquire() -> None:
            die_at_call(optuna_writing, "_write_attributes", 1, after=True)
            Store.open(url, "emotion").acquire()

        assert killed_in_child(acquire)
    with Store.open(url, "emotion") as store:
        store.acquire()
        check(store, url)
        assert [trial.state.name for trial in store.history.trials.values()] == ["COMPLETE", "COMPLETE", "RUNNING"]


@pytest.mark.parametrize("call", range(1, 5))
def test_a_trial_is_there_whole_or_not_at_all(url: str, call: int) -> None:
    def ask(store: Store) -> None:
        add_trial(store, 3, Origin.ENQUEUED)

    with Store.open(url, "emotion") as store:
        store.enqueue(config_of(3))
    # params, user attribute, system attributes, and what comes after the commit
    owner, name = (optuna_writing, "_insert") if call <= 3 else (OptunaRows, "_learn")
    assert in_child(url, ask, lambda: die_at_call(owner, name, call if call <= 3 else 1))
    with Store.open(url, "emotion") as store:
        store.acquire()
        check(store, url)
        made = call == 4
        assert len(store.history.trials) == (4 if made else 3)
        assert store.queued() == ([] if made else [config_of(3)])


@pytest.mark.parametrize("after", [False, True])
def test_an_evaluation_comes_with_its_predictions_or_not_at_all(url: str, after: bool) -> None:
    def go_on(store: Store) -> None:
        train(store, store.history.trials[2])

    assert in_child(url, go_on, lambda: die_at_call(retention, "keep", 2, after))
    with Store.open(url, "emotion") as store:
        store.acquire()
        check(store, url)
        assert len(store.history.of(store.history.trials[2].runs[0].key)) == 4  # the fifth was being written


@pytest.mark.parametrize(
    ("owner", "name", "call", "after"),
    [
        *((OptunaRows, "replace_runs", call, after) for call in (1, 2) for after in (False, True)),
        (optuna_writing, "_insert", 1, False),
        (retention, "trim", 1, False),
        (retention, "trim", 1, True),
        (LeasedStudy, "_write", 1, True),
    ],
)
def test_runs_are_replaced_with_the_description_or_not_at_all(
    url: str, owner: Any, name: str, call: int, after: bool
) -> None:
    """The first trial's second fold has too little memory; the third trial has not begun its own."""

    def shrink(store: Store) -> None:
        first, third = (store.history.trials[number] for number in (0, 2))
        store.replace_runs({"fits": "smaller"}, {0: refitted(first, 1), 2: refitted(third, 1)})

    with Store.open(url, "emotion") as store:
        store.acquire()
        before = store.history.trials
    assert in_child(url, shrink, lambda: die_at_call(owner, name, call, after))
    made = owner is LeasedStudy
    for _ in range(2):
        with Store.open(url, "emotion") as store:
            store.acquire()
            assert (store.description == {"fits": "smaller"}) is made
            assert (store.history.trials == before) is not made
            for number in (0, 2):
                trial = store.history.trials[number]
                assert trial.runs == tuple(refitted(before[number], 1 if made else 3))
                assert trial.former == (before[number].runs[1:] if made else ())
                for run in before[number].runs[1:]:  # what was measured stays, its outputs go
                    assert store.history.of(run.key) or number == 2
                    assert (store.predictions(run.key, 1) is None) is (made or number == 2)
                assert store.predictions(trial.runs[0].key, 1) is not None
            if not made:
                shrink(store)
        made = True


def write(url: str, trials: int | None, started: Callable[[], object] = lambda: None) -> None:
    """Bring a study to `trials` finished trials, or on and on with None, going on where it stands."""
    with Store.open(url, "emotion") as store:
        store.acquire()
        started()
        for index in itertools.count() if trials is None else range(trials):
            trial = store.history.trials.get(index) or add_trial(store, index)
            if trial.state.is_finished:
                continue
            if index % 3:
                train(store, trial)
                store.apply(complete(store, trial))
            else:
                train(store, trial, points=2, folds=1)
                store.set_state(index, TrialState.WAITING)
                store.apply(prune(store, trial))


def kill_at_random_moments(folder: Path, kills: int, trials: int, seed: int) -> None:
    """Run a writer again and again, killing it `kills` times; then its study must equal an undisturbed writer's."""
    url, undisturbed = url_of(folder / "killed"), url_of(folder / "undisturbed")
    moments, states = random.Random(seed), set()
    for each in (url, undisturbed):
        new_store(each).close()
    for _ in range(kills):
        # without an end of its own: on a fast machine any number of trials may be written before the kill
        assert killed_after(moments.uniform(0, 0.2), lambda started: write(url, None, started))
        with Store.open(url, "emotion") as store:
            states.add(everything(store))
            store.acquire()
            check(store, url)
            written = len(store.history.trials)
    assert len(states) > kills / 2  # most of them came while it was writing
    for each in (url, undisturbed):
        write(each, max(trials, written))
    with Store.open(url, "emotion") as store, Store.open(undisturbed, "emotion") as other:
        check(store, url)
        assert store.history.trials == other.history.trials
        assert store.history.evaluations == other.history.evaluations


def test_a_writer_killed_at_random_moments_loses_nothing(tmp_path: Path) -> None:
    kill_at_random_moments(tmp_path, kills=4, trials=15, seed=0)


@pytest.mark.chaos
def test_a_writer_killed_thirty_times_loses_nothing(tmp_path: Path) -> None:
    kill_at_random_moments(tmp_path, kills=30, trials=100, seed=1)
