"""Runs that have too little memory: they begin again in smaller parts, and their shape is trained so from then on."""

import json
import logging
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from study_processes import Launcher
from toy_studies import SHORTAGES, known_of, table, toy_study

import hpsearch as hp
from hpsearch.records import Fit, History, Outcome, SegmentResult, TrialState
from hpsearch.records.store import Store
from hpsearch.runtime import study_run

HUNGRY = {"trouble": "hungry", "rows_that_fit": 4}
TRIALS = 5


def outcomes(history: History) -> Counter[Outcome]:
    return Counter(result.outcome for ended in history.results.values() for result in ended)


def fits_of(folder: Path) -> dict[int, Fit]:
    """Return what is kept with a study of how its batches fit, by their size."""
    fits = hp.load("toy", folder=folder).record.fits.shapes
    return {int(dict(shape)["batch_size"]): fit for shape, fit in fits.items()}


def measured(folder: Path) -> dict[str, Any]:
    """Return what is known of a study's trials, whichever runs were replaced on the way."""
    known = known_of(folder)
    trials = known["trials"].values()
    runs = [run["key"] for trial in trials for run in trial["runs"]]
    values = [(t["config"], t["state"], t["value"], t["point"], t["stop"]) for t in trials]
    return {"values": values, **{name: {key: known[name].get(key) for key in runs} for name in ("evaluations",)}}


@pytest.fixture(scope="module")
def small_from_the_start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study whose numerics say that four rows pass through the model at once."""
    folder = tmp_path_factory.mktemp("small")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("HPSEARCH_CACHE", str(folder / "cache"))
        patched.setattr(study_run, "resolve_numerics", partial(study_run.resolve_numerics, micro_batch=4))
        toy_study(folder).run(trials=TRIALS, devices="inline", progress=False)
    return folder


@pytest.mark.parametrize("devices", ["inline", 2])
def test_a_study_that_had_too_little_memory_ends_as_one_with_small_parts_from_the_start(
    small_from_the_start: Path, tmp_path: Path, devices: str | int, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "hpsearch"):
        first = toy_study(tmp_path, HUNGRY).run(trials=3, devices=devices, progress=False)
    assert {trial.state for trial in first.history.trials.values()} == {TrialState.COMPLETE}
    assert fits_of(tmp_path) == {8: Fit(4), 16: Fit(4)}
    at_first = outcomes(first.history)[Outcome.OUT_OF_MEMORY]
    assert at_first >= 3  # 16 rows and 8 rows of the one shape, 8 of the other; two workers may try one at once
    assert "trained in parts of at most 4 rows from now on" in caplog.text
    whole = toy_study(tmp_path, HUNGRY).run(trials=TRIALS, devices=devices, progress=False)
    assert outcomes(whole.history)[Outcome.OUT_OF_MEMORY] == at_first  # known from the start
    assert table(tmp_path).equals(table(small_from_the_start))
    assert measured(tmp_path) == measured(small_from_the_start)
    for trial in whole.history.trials.values():
        assert trial.fit == Fit(4)
        assert whole.record.numerics_for(trial.config, trial.fit).micro_batch == 4
    assert "batch_size=16 in parts of at most 4 rows" in whole.text()
    assert "batch_size=16 in parts of at most 4 rows" in whole.report(tmp_path / "report.html").read_text()


@pytest.mark.parametrize("moment", SHORTAGES)
def test_a_coordinator_killed_as_runs_are_replaced_loses_nothing(
    launcher: Launcher, small_from_the_start: Path, tmp_path: Path, moment: str
) -> None:
    environment = {"HPSEARCH_CACHE": str(tmp_path / "cache")}
    arguments: dict[str, Any] = {"folder": str(tmp_path), "task": HUNGRY, "trials": TRIALS}
    process = launcher.launch("run", environment, die=(moment, 2), **arguments)
    assert process.wait() == -9, process.text()
    process = launcher.launch("run", environment, **arguments)
    assert process.wait() == 0, process.text()
    assert measured(tmp_path) == measured(small_from_the_start)
    assert outcomes(hp.load("toy", folder=tmp_path).result.history)[Outcome.OUT_OF_MEMORY] == 3
    assert not list((tmp_path / "toy" / "checkpoints").glob("*"))


def test_a_trial_keeps_what_its_first_folds_measured(
    small_from_the_start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory becomes short after the first fold: that one's numbers and key stay, the other folds' are new."""
    flag, recorded = tmp_path / "short", Store.record_result

    def and_then_short(store: Store, result: SegmentResult) -> History:
        flag.touch()
        return recorded(store, result)

    monkeypatch.setattr(Store, "record_result", and_then_short)
    study = toy_study(tmp_path, {**HUNGRY, "flag": str(flag)})
    result = study.run(trials=1, devices="inline", progress=False)
    (trial,) = result.history.trials.values()
    assert [run.fit for run in trial.runs] == [None, Fit(4), Fit(4)]
    assert trial.state is TrialState.COMPLETE and trial.fit == Fit(4)
    small = hp.load("toy", folder=small_from_the_start).result.history.trials[0]
    assert [run.key for run in trial.runs[1:]] == [run.key for run in small.runs[1:]]
    plenty = toy_study(tmp_path / "plenty").run(trials=1, devices="inline", progress=False)
    assert trial.runs[0] == plenty.history.trials[0].runs[0]
    assert result.history.of(trial.runs[0].key) == plenty.history.of(trial.runs[0].key)
    again = hp.load("toy", folder=tmp_path).result
    assert again.history.trials[0] == trial
    assert again.refit().point == result.best.point
    assert json.loads((again.export(tmp_path / "model") / "hpsearch.json").read_text())["numerics"]["micro_batch"] == 4
