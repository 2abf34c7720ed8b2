"""Studies in virtual time: one table, one log, whatever the workers, their luck, kills and pauses."""

import itertools
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from simulated_studies import (
    SMALL,
    KilledError,
    Study,
    Told,
    Trouble,
    in_folder,
)
from test_fitting import HUNGRY
from toy_studies import toy_study

import hpsearch as hp
from hpsearch.errors import UsageError
from hpsearch.policy.budget import Budget
from hpsearch.policy.early_stopping import EarlyStopping
from hpsearch.records import Fit, Outcome, Run, TrialState
from hpsearch.records.order_log import Entry, Happening

pytestmark = pytest.mark.slow

SAMPLERS, PRUNERS = ("bayesian", "gp", "grid"), ("none", "racing", "asha", "hyperband", "median")
STOPPING = (None, EarlyStopping(1.0))

USUAL = [
    ("bayesian", "none", None),
    ("bayesian", "racing", STOPPING[1]),
    ("bayesian", "asha", None),
    ("bayesian", "median", STOPPING[1]),
    ("gp", "hyperband", STOPPING[1]),
    ("grid", "racing", None),
]
"""What is tried each time; all that there is takes minutes."""

RULES = [
    pytest.param(*rules, marks=() if rules in USUAL else pytest.mark.extended, id=f"{rules[0]} {rules[1]} {rules[2]}")
    for rules in itertools.product(SAMPLERS, PRUNERS, STOPPING)
]


def same(one: Told, other: Told) -> None:
    """Assert that two tell the same, the log first: what differs there is the cause of what differs elsewhere."""
    for index, (entry, its) in enumerate(zip(one.entries, other.entries, strict=False)):
        assert entry == its, f"entry {index}"
    assert one.entries == other.entries
    assert one.decisions == other.decisions
    assert one.trials == other.trials
    assert one.evaluations == other.evaluations
    assert one.ends == other.ends
    assert one.predictions == other.predictions


def disturbances(entries: Iterable[Entry]) -> list[str]:
    return [entry.words for entry in entries if entry.is_disturbance]


def check(study: Study, others: Iterable[tuple[int, int]] = ((3, 3),)) -> Told:
    """Run a study on one worker, then on others, in so many parts, and assert that all tell the same."""
    study.run()
    told = study.told()
    for workers, parts in others:
        same(told, in_folder(study, f"{workers} in {parts}").run_in_parts(workers, workers * 10 + parts, parts).told())
    return told


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "one"


# ---------------------------------------------------------------------- one table


@pytest.mark.parametrize(("sampler", "pruner", "early_stopping"), RULES)
def test_one_table_comes_of_any_workers_and_of_any_kills(
    folder: Path, sampler: str, pruner: str, early_stopping: EarlyStopping | None
) -> None:
    told = check(Study(folder, sampler, pruner, early_stopping=early_stopping), [(2, 3), (4, 1)])
    assert len(told.trials) == 12
    assert all(trial.state.is_finished for trial in told.trials.values())
    assert disturbances(told.entries) == []
    assert all(told.predictions.values())
    assert {each.happening for each in told.entries} >= {Happening.ASKED, Happening.BEGUN, Happening.EVALUATED}


@pytest.mark.extended
@pytest.mark.parametrize("seed", range(1, 9))
def test_and_of_other_seeds(folder: Path, seed: int) -> None:
    luck = [(1 + (seed + part) % 4, part) for part in range(1, 12)]
    check(Study(folder, pruner=PRUNERS[seed % 5], early_stopping=STOPPING[seed % 2], seed=seed), luck)


@pytest.mark.extended
@pytest.mark.parametrize("is_durable", [True, False], ids=["after", "before"])
@pytest.mark.parametrize("pruner", ["racing", "median"])
def test_a_kill_at_any_write_changes_nothing(folder: Path, pruner: str, is_durable: bool) -> None:
    study = Study(folder, "grid", pruner, Budget(trials=5), SMALL, folds=2)
    study.run()
    told, deaths = study.told(), 0
    for write in range(1, 1000):
        again = in_folder(study, f"killed at {write}")
        try:
            again.run(3, write, (write, is_durable))
        except KilledError:
            deaths += 1
            again.run(2, write)
            same(told, again.told())
        else:
            break
    assert deaths > 40


def test_the_log_says_what_virtual_slots_did(folder: Path) -> None:
    """No more segments are open at a time than there are slots, and time passes as planned."""
    study = Study(folder)
    study.run(3)
    told, begun, most = study.told(), {}, 0
    assert [entry.time for entry in told.entries] == sorted(entry.time for entry in told.entries)
    for entry in told.entries:
        if entry.happening is Happening.BEGUN:
            assert entry.run not in begun
            begun[entry.run] = entry
            most = max(most, len(begun))
        elif entry.happening is Happening.EVALUATED:
            first = begun[entry.run]
            assert entry.time == first.time + first.overhead + first.cost * (entry.point - first.point)
        elif entry.happening in (Happening.ENDED, Happening.FAILED, Happening.LEFT):
            del begun[entry.run]
    assert not begun
    assert most == 4


# ---------------------------------------------------------------------- bad ends


def diverges(run: Run) -> Trouble | None:
    """Say that a quarter of the configurations diverge, each in its own fold."""
    number = int(run.config["learning_rate"] * 1e8)
    return Trouble(1 + number % 3, Outcome.DIVERGED, "loss is nan") if number % 4 == run.fold else None


def raises(run: Run) -> Trouble | None:
    number = int(run.config["learning_rate"] * 1e8)
    return Trouble(1 + number % 3, Outcome.FAILED, "Traceback\nKeyError: 'x'") if number % 5 == run.fold else None


def starves(run: Run) -> Trouble | None:
    is_large = run.config["batch_size"] == 16 and run.config["freeze_layers"] == 1
    return Trouble(1, Outcome.OUT_OF_MEMORY, "out of memory") if is_large else None


@pytest.mark.parametrize(("faults", "state", "pruner"), [
    (diverges, TrialState.PRUNED, "none"), (diverges, TrialState.PRUNED, "racing"), (raises, TrialState.FAIL, "median"),
])  # fmt: skip
def test_runs_that_end_badly_do_so_at_one_virtual_time(
    folder: Path, faults: Any, state: TrialState, pruner: str
) -> None:
    told = check(Study(folder, pruner=pruner, faults=faults))
    failed = {entry.trial for entry in told.entries if entry.happening is Happening.FAILED}
    assert failed
    assert {told.trials[number].state for number in failed} == {state}
    assert disturbances(told.entries) == []


def test_a_trial_that_ran_out_of_memory_is_a_disturbance(folder: Path) -> None:
    told = check(Study(folder, faults=starves, seed=2))
    out = [number for number, trial in told.trials.items() if starves(trial.runs[0]) is not None]
    assert out
    assert disturbances(told.entries) == [f"trial {number} ran out of memory on fold 0" for number in out]
    assert {told.trials[number].state for number in out} == {TrialState.PRUNED}


def test_a_run_that_is_trained_again_in_less_memory_is_one_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPSEARCH_CACHE", str(tmp_path / "cache"))
    tables = []
    for name, calls in (("one", [4]), ("two", [2, 4])):
        for trials in calls:
            study = toy_study(tmp_path / name, HUNGRY, sampler="bayesian", pruner="racing")
            study.run(trials=trials, devices="inline", progress=False)
        store = study.store()
        given = ["trials: 4"] if len(calls) > 1 else []
        ran_out = [words for words in disturbances(store.entries) if "ran out of memory" in words]
        assert ran_out
        assert sorted(disturbances(store.entries)) == sorted([*ran_out, *given])
        history = store.history
        assert {trial.fit for trial in history.trials.values() if trial.former} == {Fit(4)}
        tables.append([(each.config, each.state, each.value, each.fit) for each in list(history.trials.values())[:2]])
        store.close()
    assert tables[0] == tables[1]


def test_a_worker_that_is_lost_once_changes_nothing_and_one_lost_three_times_is_a_disturbance(folder: Path) -> None:
    study = Study(folder, pruner="asha")
    study.run()
    told = study.told()
    lost = told.trials[2].runs[0].key
    once = in_folder(study, "once")
    once.run(2, losses={run.key: 2 for trial in told.trials.values() for run in trial.runs})
    again = once.told()
    assert again.entries == told.entries
    assert again.trials == told.trials
    assert again.evaluations == told.evaluations
    tables = []
    for workers in (1, 3):
        thrice = in_folder(study, f"thrice on {workers}")
        thrice.run(workers, losses={lost: 3})
        tells = thrice.told()
        assert disturbances(tells.entries) == ["trial 2 lost its worker 3 times on fold 0"]
        assert tells.trials[2].state is TrialState.FAIL
        assert [outcome for outcome, _, _ in tells.ends[lost]] == [Outcome.LOST] * 3
        tables.append(tells)
    same(*tables)


# ---------------------------------------------------------------------- equal trials, and what is trained ahead


@pytest.mark.parametrize(("pruner", "seed"), [("racing", 1), ("median", 2), ("none", 3)])
def test_equal_trials_are_charged_in_full(folder: Path, pruner: str, seed: int) -> None:
    """What idle workers have trained ahead of decisions saves a later, equal trial no virtual time."""
    study = Study(folder, pruner=pruner, space=SMALL, budget=Budget(trials=16), seed=seed)
    told = check(study)
    configs = [tuple(trial.params.items()) for trial in told.trials.values()]
    assert len(set(configs)) < len(configs)
    idle = replace(in_folder(study, "not ahead"), works_ahead=False)
    idle.run(4, 5)
    same(told, idle.told())
    assert all(told.predictions.values())


def test_nothing_stays_hidden_of_a_trial_that_is_complete(folder: Path) -> None:
    study = Study(folder)
    study.run(4)
    with study.store() as store:
        recorded, history = store.recorded, store.history
        for trial in history.finished(TrialState.COMPLETE):
            assert trial.stop is not None
            for run in trial.runs:
                assert history.of(run.key) == recorded.of(run.key)[: trial.stop]


def test_idle_workers_train_ahead_unless_others_could_use_them(folder: Path) -> None:
    study = Study(folder, pruner="asha", budget=Budget(trials=4), early_stopping=None, slots=1)
    ahead = study.run(3)
    waiting = replace(in_folder(study, "waiting"), works_ahead=False)
    assert ahead.most > 1 == waiting.run(3).most
    same(study.told(), waiting.told())


# ---------------------------------------------------------------------- limits


@pytest.mark.parametrize(
    ("budget", "pruner", "ahead"),
    [
        (Budget(trials=20, target=0.6), "racing", True),
        (Budget(trials=20, patience=4), "asha", True),
        (Budget(epochs=20), "racing", False),
        (Budget(trials=10, epochs_per_trial=3), "median", True),
        (Budget(trials=10, distinct_trials=5), "racing", True),
    ],
    ids=["target", "patience", "epochs", "epochs a trial", "distinct trials"],
)
def test_limits_that_are_counted_end_a_study_at_one_trial(
    folder: Path, budget: Budget, pruner: str, ahead: bool
) -> None:
    told = check(Study(folder, pruner=pruner, budget=budget, works_ahead=ahead))
    assert len(told.trials) < 20
    assert disturbances(told.entries) == []


# ---------------------------------------------------------------------- what a later call may change


def test_more_virtual_slots_are_noted_and_fewer_refused(folder: Path) -> None:
    study = Study(folder, budget=Budget(trials=4), slots=2)
    study.run()
    more = replace(study, budget=Budget(trials=8), slots=3)
    more.run(2)
    told = more.told()
    assert [entry.number for entry in told.entries if entry.happening is Happening.SLOTS] == [2, 3]
    assert disturbances(told.entries) == ["virtual slots: 3"]
    with pytest.raises(UsageError, match=r"virtual_slots=2: the study 'made up' has 3"):
        study.run()
    replace(more, slots=None).run()
    same(told, more.told())


def test_other_facts_are_noted_and_the_same_are_not(folder: Path) -> None:
    study = Study(folder, budget=Budget(trials=3), facts={"trials": "3", "hpsearch": "1"})
    for facts in (study.facts, study.facts, {"trials": "5", "hpsearch": "1"}, {"hpsearch": "1"}):
        replace(study, facts=facts).run()
    given = [(entry.words, entry.number) for entry in study.told().entries if entry.happening is Happening.GIVEN]
    assert given == [("trials: 3", 0), ("hpsearch: 1", 0), ("trials: 5", 1), ("trials: none", 1)]


def test_more_trials_than_were_asked_for_first_are_noted(tmp_path: Path) -> None:
    for trials in (2, 2, 3):
        study = toy_study(tmp_path, sampler="bayesian", pruner="racing")
        result = study.run(trials=trials, devices="inline", progress=False)
    assert disturbances(study.store().entries) == ["trials: 3"]
    assert len(result.history.trials) == 3


# ---------------------------------------------------------------------- on arrival


@pytest.mark.parametrize("sampler", ["random", "grid", "qmc"])
def test_what_depends_on_no_history_waits_for_nobody(tmp_path: Path, sampler: str) -> None:
    """And a study that was begun so stays so, whatever a later call asks for."""
    study = toy_study(tmp_path, sampler=sampler)
    study.run(trials=2, devices="inline", progress=False)
    assert list(study.store().entries) == []
    study.run(devices="inline", progress=False, budget=hp.Budget(trials=3, patience=3))
    assert list(study.store().entries) == []
    assert len(study.store().history.trials) == 3


@pytest.mark.parametrize(
    ("settings", "budget"),
    [
        ({"sampler": "random", "pruner": "racing"}, hp.Budget(trials=2)),
        ({"sampler": "bayesian", "pruner": "none"}, hp.Budget(trials=2)),
        ({"sampler": "random", "pruner": "none"}, hp.Budget(trials=2, patience=2)),
        ({"sampler": "random", "pruner": "none"}, hp.Budget(trials=2, epochs=100)),
    ],
    ids=["a pruner", "a sampler that learns", "patience", "epochs"],
)
def test_what_depends_on_it_is_decided_in_virtual_time(
    tmp_path: Path, settings: dict[str, Any], budget: hp.Budget
) -> None:
    study = toy_study(tmp_path / "ordered", **settings)
    study.run(devices="inline", progress=False, budget=budget)
    assert study.store().entries[0].happening is Happening.SLOTS
    other = toy_study(tmp_path / "arrival", **settings, reproducible=False)
    other.run(devices="inline", progress=False, budget=budget)
    assert list(other.store().entries) == []


def test_a_study_on_arrival_shows_all_that_is_recorded(folder: Path) -> None:
    study = replace(Study(folder), reproducible=False)
    study.run(3)
    with study.store() as store:
        assert store.history is store.recorded
        assert list(store.entries) == []
