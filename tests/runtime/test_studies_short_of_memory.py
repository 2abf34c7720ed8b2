"""Whole studies on a pretended GPU that has too little memory: from the first probe to the table."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from fake_cuda import FakeCuda, fake_cuda
from little_memory import BATCH, WideTask
from tasks_samples import review_rows, save_text_model

import hpsearch as hp
from hpsearch.records import Fit, Outcome, TrialState
from hpsearch.runtime import study_run
from hpsearch.runtime.devices import Inventory


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeCuda]:
    monkeypatch.setenv("HPSEARCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("hpsearch.runtime.pools.inline.inventory", lambda: Inventory(cuda=1, mps=False, cores=2))
    with fake_cuda(monkeypatch) as pretended:
        yield pretended


def run(task: Any, folder: Path, sizes: list[int]) -> Any:
    space = hp.Space(learning_rate=1e-2, batch_size=hp.Categorical(sizes), epochs=1, warmup_ratio=0.0)
    study = hp.Study(
        "short", task, space, sampler="grid", cv=2, metrics=["accuracy"], pruner="none", early_stopping=None,
        folder=folder, precision="fp32",
    )  # fmt: skip
    return study.run(trials=len(sizes), devices="inline", progress=False)


def then(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], None]) -> None:
    """Have something happen once the study's models have been tried, and before the first trial."""
    tried = study_run.tried_numerics

    def and_then(*arguments: Any) -> Any:
        found = tried(*arguments)
        happens()
        return found

    monkeypatch.setattr(study_run, "tried_numerics", and_then)


def fits(result: Any) -> dict[int, set[Fit | None]]:
    trials = result.history.trials.values()
    return {trial.config["batch_size"]: {run.fit for run in trial.runs} for trial in trials}


def outcomes(result: Any) -> list[Outcome]:
    return [ended.outcome for found in result.history.results.values() for ended in found]


def values(result: Any) -> list[Any]:
    return [
        [evaluation.metrics for run in trial.runs for evaluation in result.history.of(run.key)]
        for trial in result.history.trials.values()
    ]


@pytest.mark.extended
def test_a_batch_that_does_not_fit_is_trained_in_the_parts_that_the_probe_found(gpu: FakeCuda, tmp_path: Path) -> None:
    gpu.capacity = 4 << 20  # 40 rows need 6 MB, and 20 need 3
    result = run(WideTask(wide=8192), tmp_path, [8, BATCH])
    assert fits(result) == {8: {None}, BATCH: {Fit(BATCH // 2)}}
    assert set(outcomes(result)) == {Outcome.OK}
    peaks = [item.peak_memory_bytes for found in result.history.evaluations.values() for item in found]
    assert max(peaks) <= gpu.capacity


def test_a_shortage_that_comes_later_is_met_by_checkpointing_and_changes_no_number(
    gpu: FakeCuda, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    model = save_text_model(tmp_path / "bert", num_hidden_layers=4)
    task = hp.TextClassification(str(model), train=review_rows(48))
    plenty = run(task, tmp_path / "plenty", [24])
    whole = max(item.peak_memory_bytes for found in plenty.history.evaluations.values() for item in found)
    with caplog.at_level(logging.WARNING, "hpsearch"):
        then(monkeypatch, lambda: setattr(gpu, "capacity", int(0.8 * whole)))
        short = run(task, tmp_path / "short", [24])
    assert fits(short) == {24: {Fit(gradient_checkpointing=True)}}
    assert outcomes(short).count(Outcome.OUT_OF_MEMORY) == 1
    assert "trained with gradient checkpointing from now on" in caplog.text
    assert [trial.state for trial in short.history.trials.values()] == [TrialState.COMPLETE]
    assert values(short) == values(plenty)
    gpu.capacity = None  # for both of them at once
    refits = [result.refit().model.state_dict() for result in (plenty, short)]
    assert all(torch.equal(tensor, refits[1][name]) for name, tensor in refits[0].items())
