"""An hpsearch study is an Optuna study: what Optuna's own tools see."""

import math
from pathlib import Path
from typing import Any

import optuna
import pytest
from records_samples import (
    DISTRIBUTIONS,
    add_trial,
    complete,
    config_of,
    mean,
    new_store,
    optuna_tool,
    prune,
    train,
    url_of,
)

from hpsearch.records import Action, Decision, Origin, TrialState, optuna_writing
from hpsearch.records.optuna_writing import Change, write_change
from hpsearch.records.store import Store


def test_optuna_sees_params_states_values_and_reports(store: Store, url: str) -> None:
    first, second, third, fourth = (add_trial(store, index) for index in range(4))
    train(store, first)
    train(store, second, points=2, folds=1)
    value = mean(store, first, 4)
    store.apply(complete(store, first))
    store.apply(prune(store, second))
    store.apply(Decision(third.number, Action.FAIL, "an exception"))
    with optuna_tool(url) as study:
        trials = study.trials
        assert study.direction.name == "MAXIMIZE"
        assert (study.best_trial.number, study.best_value) == (0, value)
    assert [trial.state.name for trial in trials] == ["COMPLETE", "PRUNED", "FAIL", "RUNNING"]
    assert trials[0].params == first.params == {"learning_rate": config_of(0)["learning_rate"], "epochs": 3}
    assert trials[0].distributions == DISTRIBUTIONS
    assert trials[0].user_attrs == {
        "config": config_of(0),
        "epoch": 2.0,
        "folds": [0.25, 0.5, 0.75],
        "reason": "trained to the end",
    }
    assert trials[0].intermediate_values == {1: 0.5, 2: value}
    assert trials[0].duration is not None
    assert trials[1].user_attrs["partial_mean"] == trials[1].value == 0.25
    assert math.isnan(trials[1].intermediate_values[2])
    assert trials[2].user_attrs["reason"] == "an exception"
    assert trials[fourth.number].system_attrs["hpsearch:runs"][2] == [fourth.runs[2].key, 2, 0, 6]
    assert [trial.number for trial in store.optuna_study().trials] == [0, 1, 2, 3]


def test_a_pruned_trial_without_a_finite_mean_has_no_value(store: Store) -> None:
    for index, value in enumerate((None, math.nan, math.inf)):
        trial = add_trial(store, index)
        store.apply(Decision(trial.number, Action.PRUNE, "diverged", value=value))
        frozen = store.optuna_study().trials[trial.number]
        assert (frozen.state.name, frozen.values) == ("PRUNED", None)
        assert frozen.user_attrs.get("partial_mean") == (None, "NaN", "Infinity")[index]


def test_pausing_and_going_on_moves_between_optunas_states(store: Store) -> None:
    trial = add_trial(store, 0)
    for state in (TrialState.WAITING, TrialState.WAITING, TrialState.RUNNING, TrialState.RUNNING, TrialState.WAITING):
        assert store.set_state(trial.number, state).trials[0].state is state
        assert store.optuna_study().trials[0].state.name == state.name
        assert store.reload().trials[0].state is state
    store.apply(Decision(0, Action.STOP_EARLY, "no better", stop=4, reports=((1, 0.5),)))
    assert store.history.trials[0].state is TrialState.WAITING
    store.apply(prune(store, trial))
    with pytest.raises(ValueError, match="cannot go from pruned to waiting"):
        store.set_state(0, TrialState.WAITING)
    with pytest.raises(ValueError, match="without a decision"):
        store.set_state(add_trial(store, 1).number, TrialState.FAIL)


def test_trials_of_other_tools_are_left_alone_and_leave_gaps(store: Store, url: str) -> None:
    add_trial(store, 0)
    with optuna_tool(url) as theirs:
        theirs.add_trial(optuna.trial.create_trial(value=9.0, user_attrs={"config": {}}))
        theirs.ask()
    add_trial(store, 1)
    assert list(store.history.trials) == list(store.reload().trials) == [0, 3]


def test_a_trial_that_another_tool_ended_is_ended(store: Store, url: str) -> None:
    trial = add_trial(store, 0)
    with optuna_tool(url) as theirs:
        theirs.tell(trial.number, 0.5)
    found = store.reload().trials[0]
    assert (found.state, found.value) == (TrialState.COMPLETE, 0.5)
    assert found.reason == "ended by another Optuna tool"


def test_a_report_that_changes_is_the_later_one(store: Store) -> None:
    trial = add_trial(store, 0)
    for value in (0.25, 0.25, 0.5):
        store.apply(Decision(trial.number, Action.CONTINUE, "", reports=((3, value),), attributes={"epoch": value}))
    frozen = store.optuna_study().trials[0]
    assert frozen.intermediate_values == {3: 0.5}
    assert frozen.user_attrs["epoch"] == 0.5


def test_only_what_is_new_is_told(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    trial = add_trial(store, 0)
    told: list[Change] = []

    def noted(connection: Any, trial_id: int, change: Change) -> None:
        told.append(change)
        write_change(connection, trial_id, change)

    monkeypatch.setattr(optuna_writing, "write_change", noted)
    for step in (1, 2, 3, 3):
        reports = tuple((each, each / 4) for each in range(1, step + 1))
        store.apply(Decision(trial.number, Action.CONTINUE, "", reports=reports, attributes={"folds": 1}))
    assert told == [Change({1: 0.25}, {"folds": 1}), Change({2: 0.5}), Change({3: 0.75})]


def test_a_trial_that_another_tool_ends_under_our_hands_stays_as_it_ended(
    store: Store, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hpsearch.records.outage.RETRY_SECONDS", 0.0)
    trial = add_trial(store, 0)
    with optuna_tool(url) as theirs:
        theirs.tell(trial.number, 0.5)
    store.apply(Decision(trial.number, Action.FAIL, "an exception"))
    frozen = store.optuna_study().trials[0]
    assert (frozen.state.name, frozen.value, "reason" in frozen.user_attrs) == ("COMPLETE", 0.5, False)


def test_origins_and_training_configs_are_rebuilt(tmp_path: Path) -> None:
    with new_store(url_of(tmp_path)) as store:
        for index, origin in enumerate(Origin):
            trial = add_trial(store, index, origin)
            assert trial.origin is origin
            assert trial.runs[0].config == {**config_of(index), "batch_size": 16, "dropout": None}
        assert store.history == store.reload()


def test_a_config_is_in_memory_as_it_will_be_read(store: Store) -> None:
    config: dict[Any, Any] = {"layers": (1, 2), "learning_rate": 1e-5, 3: "x"}
    runs = [("a" * 32, 0, 0, 4)]
    trial = store.add_trial(config, {}, {}, config, runs, Origin.ENQUEUED)
    assert trial.config == trial.runs[0].config == {"layers": [1, 2], "learning_rate": 1e-5, "3": "x"}
    assert store.reload().trials[0] == trial
