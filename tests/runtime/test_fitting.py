"""Runs that have too little memory: they begin again in smaller parts, and their shape is trained so from then on."""

import json
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from study_processes import Launcher
from tasks_samples import review_rows, save_text_model
from toy_studies import SHORTAGES, known_of, table, toy_study
from virtual_pool import VirtualPool

import hpsearch as hp
from hpsearch.errors import TaskError
from hpsearch.records import Fit, History, Outcome, Savings, SegmentResult, Slot, TrialState
from hpsearch.records.store import Store
from hpsearch.runtime import study_run
from hpsearch.runtime.messages import Probe, Probed
from hpsearch.runtime.pools import POOLS
from hpsearch.runtime.pools.base import PoolChoice
from hpsearch.training.fine_tune import FineTune

SHORT = "CUDA out of memory. Tried to allocate 2.00 GiB."
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
        assert whole.record.numerics_for(trial).micro_batch == 4
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


@pytest.mark.parametrize("sampler", ["grid", "random"])
def test_a_model_with_batch_norm_is_pruned_at_once_and_nothing_like_it_is_proposed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sampler: str
) -> None:
    monkeypatch.setenv("HPSEARCH_CACHE", str(tmp_path / "cache"))
    study = toy_study(tmp_path, {**HUNGRY, "rows_that_fit": 8, "norm": True}, sampler=sampler)
    history = study.run(trials=9, devices="inline", progress=False).history
    states = Counter((trial.config["batch_size"], trial.state) for trial in history.trials.values())
    small = 6 if sampler == "grid" else 8  # all that the grid has
    assert states == {(8, TrialState.COMPLETE): small, (16, TrialState.PRUNED): 1}
    assert outcomes(history)[Outcome.OUT_OF_MEMORY] == 1
    assert all(not trial.former and trial.fit is None for trial in history.trials.values())
    (pruned,) = history.finished(TrialState.PRUNED)
    assert pruned.reason is not None and "ran out of memory" in pruned.reason
    study.enqueue({"learning_rate": 0.1, "batch_size": 16, "epochs": 1, "warmup_ratio": 0.1})
    again = study.run(trials=10, devices="inline", progress=False).history
    assert len(again.finished(TrialState.PRUNED)) == 2  # what is enqueued is tried


def test_gradient_checkpointing_is_tried_first_and_changes_no_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Short(FineTune):
        def advance(self, point: int) -> Iterator[Any]:
            if not self._numerics.gradient_checkpointing:
                raise torch.OutOfMemoryError(SHORT)
            return super().advance(point)

    monkeypatch.setenv("HPSEARCH_CACHE", str(tmp_path / "cache"))
    model, rows = save_text_model(tmp_path / "bert"), review_rows(24)
    space = hp.Space(learning_rate=hp.Float(1e-4, 1e-3, log=True), batch_size=8, epochs=1, freeze_layers=0)

    def run(name: str) -> hp.Result:
        task = hp.TextClassification(str(model), train=rows)
        settings: dict[str, Any] = {"sampler": "random", "cv": 2, "pruner": "none", "folder": tmp_path / name}
        return hp.Study("text", task, space, **settings).run(trials=2, devices="inline", progress=False)

    plenty = run("plenty")
    monkeypatch.setattr("hpsearch.training.fine_tune.FineTune", Short)
    short = run("short")
    assert short.table().drop(columns="seconds").equals(plenty.table().drop(columns="seconds"))
    assert outcomes(short.history) == {Outcome.OK: 4, Outcome.OUT_OF_MEMORY: 1}
    for trial in short.history.trials.values():
        assert [run.fit for run in trial.runs] == [Fit(None, True)] * 2
    assert "batch_size=8 with gradient checkpointing" in short.text()


class Narrow(torch.nn.Module):
    """A model of a user's that takes four rows at once in training, however wide it is."""

    def __init__(self, width: int = 4, norm: bool = False) -> None:
        super().__init__()
        self.body = torch.nn.Linear(6, width)
        self.norm = torch.nn.BatchNorm1d(width) if norm else torch.nn.Identity()
        self.head = torch.nn.Linear(width, 3)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        if self.training and len(rows) > 4:
            raise torch.OutOfMemoryError(SHORT)
        return self.head(torch.relu(self.norm(self.body(rows))))


def test_what_other_arguments_of_ones_own_model_can_save_is_asked_when_they_run_out_of_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HPSEARCH_CACHE", str(tmp_path / "cache"))
    rows = np.random.default_rng(0).normal(size=(48, 6)).astype(np.float32)
    task = hp.CustomTask(Narrow, train=(rows, np.arange(48) % 3))
    space = hp.Space(
        width=hp.Categorical([4, 8]), norm=hp.Categorical([False, True]), learning_rate=1e-2, batch_size=8, epochs=1
    )
    study = hp.Study("own", task, space, sampler="grid", cv=2, pruner="none", folder=tmp_path)
    history = study.run(devices="inline", progress=False).history
    ends = {(t.config["width"], t.config["norm"]): (t.state, t.fit) for t in history.trials.values()}
    fitted, pruned = (TrialState.COMPLETE, Fit(4)), (TrialState.PRUNED, None)
    assert ends == {(4, False): fitted, (8, False): fitted, (4, True): pruned, (8, True): pruned}


def test_a_forecast_trains_its_steps_in_the_memory_that_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HPSEARCH_CACHE", str(tmp_path / "cache"))
    study = toy_study(tmp_path, HUNGRY)
    assert study.forecast(trials=3, devices="inline").seconds.value > 0
    assert not (tmp_path / "toy" / "study.db").exists()
    with pytest.raises(TaskError, match=r"It fits in no way .* Free memory, or leave what is as large out"):
        toy_study(tmp_path, {**HUNGRY, "norm": True}).forecast(trials=3, devices="inline")


# A device whose memory is looked at: a stand-in for a GPU, in virtual time.


class Device(VirtualPool):
    """Two workers on one GPU, whose memory holds 12 rows of a model with nothing frozen, and 4 more for each layer."""

    def __init__(self) -> None:
        super().__init__(2, lambda run: 40.0 / run.config["batch_size"])
        self.probes: list[tuple[int, int, bool]] = []
        self.alone: list[bool] = []

    def environment(self) -> Mapping[str, Any]:
        return {**super().environment(), "device_type": "cuda", "device_model": "a stand-in", "bf16": False}

    def idle(self) -> Sequence[Slot]:
        return [] if self.alone[-1:] == [False] and self.busy() else super().idle()

    def probe(self, order: Probe, slot: Slot | None = None) -> Probed | None:
        assert (slot is None) is order.is_first
        self.alone.append(not self.busy())
        if self.busy():
            return None
        assert order.rows is not None and order.rows == order.config["batch_size"]
        self.probes.append((order.rows, order.config["freeze_layers"], order.is_first))
        room = 12 + 4 * order.config["freeze_layers"]
        return Probed(max(rows for rows in (32, 16, 8, 4) if rows <= room and rows <= order.rows))


class Normed(Device):
    """The same, of a model whose first layer has a batch norm."""

    def probe(self, order: Probe, slot: Slot | None = None) -> Probed | None:
        probed = super().probe(order, slot)
        savings = Savings(micro_batches=order.config["freeze_layers"] > 0)
        return None if probed is None else replace(probed, savings=savings)


def pretended(monkeypatch: pytest.MonkeyPatch, kind: type[Device]) -> list[Device]:
    """Return the stand-ins that studies with devices="virtual" are run on."""
    pools: list[Device] = []

    def opening(_: Any) -> Callable[[], Device]:
        pools.append(kind())
        return lambda: pools[-1]

    virtual = PoolChoice(("virtual",), lambda devices: devices == "virtual", opening, is_in_process=True)
    monkeypatch.setattr("hpsearch.runtime.pools.POOLS", [virtual, *POOLS])
    return pools


def test_each_shape_is_tried_once_and_alone_as_its_first_trial_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HPSEARCH_CACHE", str(tmp_path / "cache"))
    pools = pretended(monkeypatch, Device)
    space = hp.Space(
        learning_rate=hp.Float(1e-3, 1e-1, log=True, grid=[1e-3, 1e-2]),
        batch_size=hp.Categorical([8, 16, 32]),
        freeze_layers=hp.Int(0, 1),
        epochs=1,
        warmup_ratio=0.1,
    )
    toy_study(tmp_path, space=space).run(trials=6, devices="virtual", progress=False)
    result = toy_study(tmp_path, space=space).run(devices="virtual", progress=False)
    assert len(result.history.finished(TrialState.COMPLETE)) == 12
    (first, *later), none = pools[0].probes, [probe for probe in pools[1].probes if probe[2]]
    assert first == (32, 0, True) and not none  # the largest, at the study's first start
    tried = [*later, *pools[1].probes]
    assert sorted(tried) == [(16, 0, False), (16, 1, False), (32, 0, False), (32, 1, False)]  # 8 fits: of 32 did
    assert not all(pools[0].alone + pools[1].alone)  # some had to wait
    fits = {(t.config["batch_size"], t.config["freeze_layers"]): t.fit for t in result.history.trials.values()}
    small, whole = Fit(8), None
    assert fits == {
        (8, 0): whole, (8, 1): whole, (16, 0): small, (16, 1): whole, (32, 0): small, (32, 1): Fit(16),
    }  # fmt: skip
    assert result.record.numerics().micro_batch is None
    assert "batch_size=32, freeze_layers=1 in parts of at most 16 rows" in result.text()


def test_a_batch_norm_that_is_frozen_in_what_is_tried_first_is_not_trained_in_parts_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HPSEARCH_CACHE", str(tmp_path / "cache"))
    pretended(monkeypatch, Normed)
    space = hp.Space(
        lr_scheduler_type=hp.Categorical(["linear", "cosine"]),
        freeze_layers=hp.Int(1, 2).when(lr_scheduler_type="cosine"),
        learning_rate=1e-2,
        batch_size=32,
        epochs=1,
    )
    history = toy_study(tmp_path, space=space).run(devices="virtual", progress=False).history
    fits = {trial.config.get("freeze_layers", 0): trial.fit for trial in history.trials.values()}
    assert fits == {0: None, 1: Fit(16), 2: Fit(16)}


class Crowded(Device):
    """A GPU that another program has filled when an architecture is tried for the `crowded`th time."""

    crowded = 1

    def __init__(self) -> None:
        super().__init__()
        self.widths: list[int] = []

    def probe(self, order: Probe, slot: Slot | None = None) -> Probed | None:
        if self.busy():
            return None
        self.widths.append(order.config["width"])
        return Probed(0, None) if self.widths.count(8) == self.crowded and self.widths[-1] == 8 else Probed(4)


@pytest.mark.parametrize("crowded", [1, 2])
def test_what_could_not_be_found_out_is_found_out_with_the_next_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, crowded: int
) -> None:
    """Of a model that is new to the study, and of a shape of one that it knows."""
    monkeypatch.setenv("HPSEARCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(Crowded, "crowded", crowded)
    pretended(monkeypatch, Crowded)
    rows = np.random.default_rng(0).normal(size=(48, 6)).astype(np.float32)
    task = hp.CustomTask(Narrow, train=(rows, np.arange(48) % 3))
    rates = hp.Categorical([1e-3, 1e-2])  # two configurations of each shape
    space = hp.Space(width=hp.Categorical([4, 8]), batch_size=hp.Categorical([8, 16]), learning_rate=rates, epochs=1)
    study = hp.Study("own", task, space, sampler="grid", cv=2, pruner="none", folder=tmp_path)
    history = study.run(devices="virtual", progress=False).history
    fits = {width: [t.fit for t in history.trials.values() if t.config["width"] == width] for width in (4, 8)}
    assert fits[4] == [Fit(4)] * 4
    assert Counter(fits[8]) == {None: 1, Fit(4): 3}


def test_a_study_of_an_earlier_version_keeps_its_one_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it does not have, how its configurations fit, is not found out; out of memory is pruned as it was."""
    monkeypatch.setenv("HPSEARCH_CACHE", str(tmp_path / "cache"))
    study = toy_study(tmp_path, {**HUNGRY, "rows_that_fit": 8})
    study.run(trials=1, devices="inline", progress=False)
    store = study.store()
    store.acquire()
    study.record.keep(replace(study.record.description, fits=None))
    store.release()
    history = toy_study(tmp_path, {**HUNGRY, "rows_that_fit": 8}).run(devices="inline", progress=False).history
    states = Counter((trial.config["batch_size"], trial.state) for trial in history.trials.values())
    assert states == {(8, TrialState.COMPLETE): 6, (16, TrialState.PRUNED): 1}
    assert all(run.fit is None for trial in history.trials.values() for run in trial.runs)
    assert hp.load("toy", folder=tmp_path).record.description.fits is None


def test_a_refit_short_of_memory_says_that_nothing_is_lost_and_can_be_done_again(tmp_path: Path) -> None:
    flag = tmp_path / "short"
    study = toy_study(tmp_path, {"trouble": "hungry", "rows_that_fit": 0, "flag": str(flag)})
    result = study.run(trials=1, devices="inline", progress=False)
    flag.touch()
    for call in (result.refit, result.test_scores, lambda: result.export(tmp_path / "best")):
        with pytest.raises(TaskError, match=r"Out of memory on cpu .*\. No result of the study is lost"):
            call()
    flag.unlink()
    assert result.refit().point == result.best.point
