"""Trials that wait at rungs and are promoted from their checkpoints, in real studies."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from toy_studies import files_of, known_of, table, toy_study

import hpsearch as hp
from hpsearch.records import TrialState
from hpsearch.records.checkpoint_folder import CheckpointFolder
from hpsearch.runtime.pools.inline import InlinePool

SPACE = hp.Space(
    learning_rate=hp.Float(1e-4, 1e-1, log=True),
    batch_size=hp.Categorical([8, 16, 32]),
    epochs=hp.Int(1, 4),
    weight_decay=hp.Float(1e-5, 0.1, log=True),
    warmup_ratio=0.1,
)
SETTINGS: Mapping[str, Any] = {"space": SPACE, "sampler": "random", "pruner": "asha", "seed": 1}
TRIALS = 14
IN_COHORTS = hp.SuccessiveHalving(synchronous=True)

PROCESS: Mapping[str, Any] = {"sampler": "random", "pruner": "asha", "seed": 1, "trials": 6}
"""A study in a process of its own, over the toy studies' space."""


@pytest.fixture
def orders(monkeypatch):
    """Every order that an inline pool was given."""
    found = []
    real = InlinePool.submit
    monkeypatch.setattr(InlinePool, "submit", lambda pool, slot, order: (found.append(order), real(pool, slot, order)))
    return found


def run(study, trials=TRIALS, devices="inline", **more):
    return study.run(trials=trials, devices=devices, progress=False, **more)


TRIALS_TO_RACE = 28
"""Of few trials racing trains a large share to their end, and which ones depends on which of two workers was faster: of
14 trials 144 to 156 evaluations were seen where all folds of all of them are 198, of 28 trials 276 to 284 of 402."""


@pytest.fixture(scope="module")
def straight(tmp_path_factory) -> Path:
    """The same trials, each trained to its end."""
    folder = tmp_path_factory.mktemp("straight")
    run(toy_study(folder, **{**SETTINGS, "pruner": "none"}), TRIALS_TO_RACE)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("devices", "pruner"),
    [
        *(("inline", pruner) for pruner in ("racing", "asha", "hyperband")),
        (2, "racing"),
        *(pytest.param(2, pruner, marks=pytest.mark.extended) for pruner in ("asha", "hyperband")),
    ],
)
def test_a_promoted_run_measures_what_it_would_have_measured_in_one_go(tmp_path, straight, pruner, devices):
    run(toy_study(tmp_path, **{**SETTINGS, "pruner": pruner}), TRIALS_TO_RACE, devices=devices)
    halved, whole = known_of(tmp_path), known_of(straight)
    states = [trial["state"] for trial in halved["trials"].values()]
    assert set(states) == {TrialState.COMPLETE, TrialState.PRUNED}
    for key, evaluations in halved["evaluations"].items():
        assert evaluations == whole["evaluations"][key][: len(evaluations)]
    for number, trial in halved["trials"].items():
        if trial["state"] is TrialState.COMPLETE:
            assert trial["value"] == whole["trials"][number]["value"]
    spent, all_ = (sum(len(each) for each in known["evaluations"].values()) for known in (halved, whole))
    assert spent < 0.75 * all_
    assert not [name for name in files_of(tmp_path) if "checkpoints/" in name]


def test_nothing_is_trained_twice(tmp_path, orders):
    run(toy_study(tmp_path, **SETTINGS))
    begun: dict[str, int] = {}
    for order in orders:
        assert order.segment.start == begun.get(order.segment.run.key, 0)
        assert (order.checkpoint is not None) is (order.segment.start > 0)
        begun[order.segment.run.key] = order.segment.stop
    assert sum(order.segment.start > 0 for order in orders) >= 3


def test_who_waits_keeps_a_checkpoint_and_is_not_under_way_to_optuna(tmp_path):
    held: dict[int, bool] = {}

    def look(study, trial):
        from optuna.trial import TrialState as OptunaState

        folder = CheckpointFolder(study.folder / "checkpoints", 10**9)
        history = study.store().history
        running = {t.number for t in study.optuna.get_trials(states=[OptunaState.RUNNING])}
        for each in history.unfinished():
            point = history.point(each.runs[0])
            if each.state is TrialState.WAITING and point < each.runs[0].horizon:
                saved = folder.read(each.runs[0].key)
                held[each.number] = saved is not None and saved.point == point
                assert each.number not in running

    run(toy_study(tmp_path, **SETTINGS, callbacks=[look]))
    assert len(held) >= 5
    assert all(held.values())


def test_what_is_trained_on_while_the_study_closes_is_never_said_to_wait(tmp_path):
    seen = []

    class Watching(InlinePool):
        def completed(self, timeout):
            for event in super().completed(timeout):
                yield event
                states = {run.key: each.state for each in study.store().history.unfinished() for run in each.runs}
                seen.extend(states.get(order.segment.run.key, TrialState.RUNNING) for _, order in self.training())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hpsearch.runtime.pools.inline.InlinePool", Watching)
        # On arrival: in virtual time a trial that waits may be trained ahead.
        study = toy_study(tmp_path, **{**SETTINGS, "evaluations_per_epoch": 4}, reproducible=False)
        run(study, 3)
    assert len(seen) > 10
    assert set(seen) == {TrialState.RUNNING}


def test_with_little_room_the_best_that_wait_keep_their_checkpoints(tmp_path, orders):
    """On arrival: in virtual time four trials are trained side by side, which have checkpoints first."""
    one = 6_000  # bytes, about: a toy's weights, its optimizer's moments, and its random states
    run(toy_study(tmp_path / "wide", **SETTINGS, reproducible=False))
    wide = [order.checkpoint is not None for order in orders if order.segment.start]
    orders.clear()
    run(toy_study(tmp_path / "tight", checkpoint_bytes=5 * one, **SETTINGS, reproducible=False))
    tight = [order.checkpoint is not None for order in orders if order.segment.start]
    assert all(wide)
    assert sum(tight) >= len(tight) - 2  # what is promoted is what was kept
    assert table(tmp_path / "tight").equals(table(tmp_path / "wide"))


def test_a_stop_while_the_models_are_loaded_is_heard(tmp_path, monkeypatch):
    from hpsearch.runtime import study_run

    real = study_run.settled_numerics
    study = toy_study(tmp_path, **SETTINGS)
    monkeypatch.setattr(study_run, "settled_numerics", lambda *given: (study.stop(), real(*given))[1])
    assert not run(study).history.finished()
    monkeypatch.setattr(study_run, "settled_numerics", real)
    assert len(run(study, 3).history.finished()) == 3


@pytest.mark.parametrize("rule", [IN_COHORTS, hp.Racing(synchronous=True)])
def test_in_cohorts_two_workers_find_what_one_finds(tmp_path, rule):
    settings = {**SETTINGS, "pruner": rule}
    run(toy_study(tmp_path / "one", **settings))
    run(toy_study(tmp_path / "two", **settings), devices=2)
    one, two = known_of(tmp_path / "one"), known_of(tmp_path / "two")
    assert (two["trials"], two["evaluations"]) == (one["trials"], one["evaluations"])
    assert table(tmp_path / "two").equals(table(tmp_path / "one"))


@pytest.mark.parametrize("rule", [hp.SuccessiveHalving(2, None, synchronous=True), hp.Racing(3, None, spread=False)])
def test_loaded_by_name_it_goes_on_alike(tmp_path, rule):
    study = toy_study(tmp_path, **{**SETTINGS, "pruner": rule})
    run(study, 3)
    study.store().close()
    loaded = hp.load("toy", folder=tmp_path)
    assert loaded.plan.pruner == rule
    run(loaded, 5)
    assert len(loaded.store().history.finished()) == 5


@pytest.fixture(scope="module")
def whole(tmp_path_factory, launcher) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    process = launcher.launch("run", folder=str(folder), **PROCESS)
    assert process.wait() == 0, process.text()
    states = {trial["state"].name for trial in known_of(folder)["trials"].values()}
    assert states == {"COMPLETE", "PRUNED"}
    return folder


def is_over(known: Mapping[str, Any]) -> bool:
    trials = known["trials"].values()
    return len(trials) == PROCESS["trials"] and all(trial["state"].is_finished for trial in trials)


@pytest.mark.slow
@pytest.mark.long
def test_paused_at_every_evaluation_it_is_the_straight_study(tmp_path, launcher):
    settings = {**PROCESS, "cv": 2, "reproducible": False}  # in virtual time: test_one_table.py
    straight, paused = tmp_path / "straight", tmp_path / "paused"
    assert launcher.launch("run", folder=str(straight), **settings).wait() == 0
    assert {trial["state"].name for trial in known_of(straight)["trials"].values()} == {"COMPLETE", "PRUNED"}
    pauses, known = 0, {"trials": {}}
    while not is_over(known):
        process = launcher.launch("run", folder=str(paused), stops=1, **settings)
        assert process.wait() == 0, process.text()
        pauses += 1
        known = known_of(paused)
    assert pauses >= 10
    assert table(paused).equals(table(straight))
    assert known["evaluations"] == known_of(straight)["evaluations"]


@pytest.mark.chaos
@pytest.mark.parametrize("count", [2, 4])
@pytest.mark.parametrize("moment", ["inside a decision", "before a rename", "after a rename", "before tell"])
def test_killed_while_trials_wait_it_ends_as_if_nothing_had_been(tmp_path, launcher, whole, moment, count):
    folder = tmp_path / "killed"
    process = launcher.launch("run", folder=str(folder), die=[moment, count], **PROCESS)
    assert process.wait() == -9, process.text()
    process = launcher.launch("run", folder=str(folder), **PROCESS)
    assert process.wait() == 0, process.text()
    assert table(folder).equals(table(whole))
    assert files_of(folder) == files_of(whole)
