"""Memory on one GPU: what a probe says of it against what runs take, and a study that survives a real lack of it.

A part of `python -m benchmarks gpu_check`.
"""

import gc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.gpu_check import CONFIG, ROWS, Bench, Check
from hpsearch.records import Outcome
from hpsearch.training.batches import EVALUATION_ROWS
from hpsearch.training.fine_tune import FineTune
from hpsearch.training.memory import peak_memory_bytes
from hpsearch.training.memory_probe import memory_trial
from hpsearch.training.numerics import Numerics, honour

WITHIN = 0.15
BATCH = 64
FITS, LARGE = 8, 128
"""Batches of the study: the smaller one fits under its limit, the larger one does not."""

MEDIUM = {"hidden_size": 192, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 768}
"""A model of which `LARGE` images take some hundred megabytes, and `FITS` some ten."""

CPU_ROOM = 224 * 2**20
"""Bytes that a study on a CPU may take beside what the process has: half of what `LARGE` images need."""


def forecasts(bench: Bench) -> Check:
    """Compare the probe's peak with that of a run, for a whole batch, a part of it, checkpointed and frozen."""
    name = "the probe's peak, and a run's"
    whole = bench.numerics
    cases: Mapping[str, tuple[Numerics, dict[str, Any]]] = {
        "whole batch": (whole, {}),
        "micro-batches of 8": (replace(whole, micro_batch=8), {}),
        "checkpointed": (replace(whole, gradient_checkpointing=True), {}),
        "half frozen": (whole, {"freeze_layers": len(bench.base.layers()) // 2}),
    }
    ratios, shown = [], []
    for case, (numerics, more) in cases.items():
        config = {**CONFIG, "epochs": 1, "batch_size": BATCH, **more}
        honour(numerics, bench.device)
        memory_trial(bench.base, numerics, bench.task.complete(config))(numerics.micro_batch or BATCH)
        forecast = peak_memory_bytes(bench.device)
        peak = _peak(bench, numerics, config)
        ratios.append(forecast / peak)
        shown.append(f"{case} {forecast / 2**20:,.0f} and {peak / 2**20:,.0f} MiB")
    if bench.device.type != "cuda":
        return Check(name, "a CPU's process keeps one peak for its whole life; all four were tried and trained", None)
    return Check(name, "; ".join(shown), all(abs(ratio - 1.0) <= WITHIN for ratio in ratios))


def _peak(bench: Bench, numerics: Numerics, config: Mapping[str, Any]) -> int:
    """Return the peak of a run that evaluates as many rows as an evaluation batch may have."""
    rows = np.arange(ROWS)
    run = FineTune(
        bench.learner, bench.task.complete(config), train_rows=rows[: 2 * BATCH], held_out_rows=rows[-EVALUATION_ROWS:],
        seed=0, evaluations_per_epoch=1, numerics=numerics, device=bench.device, base=bench.base,
    )  # fmt: skip
    return max(item.peak_memory_bytes for item in run.advance(run.horizon) if item is not None)


def survived(bench: Bench) -> Check:
    """Run a study of two batches, one of which does not fit into what memory there is: torch raises its own error."""
    import hpsearch as hp

    folder = Path(bench.prepared.folder).parents[1] / "scarce"
    medium = Bench(folder / "model", str(bench.device), **MEDIUM)
    space = hp.Space(learning_rate=3e-4, batch_size=hp.Categorical([FITS, LARGE]), epochs=1)
    study = hp.Study(
        "scarce", medium.task, space, sampler="grid", cv=hp.Holdout(1 - LARGE / ROWS), pruner="none", seed=0,
        folder=folder, precision="fp32",
    )  # fmt: skip
    with scarce(medium):
        result = study.run(trials=2, devices="inline", progress=False)
    history = result.history
    outcomes = [ended.outcome for found in history.results.values() for ended in found]
    fits = sorted({str(run.fit.to_dict()) for trial in history.trials.values() for run in trial.runs if run.fit})
    refused = outcomes.count(Outcome.OUT_OF_MEMORY)
    states = ", ".join(trial.state.name.lower() for trial in history.trials.values())
    text = f"{refused} runs out of memory; trials {states}; trained as {'; '.join(fits) or 'the study says'}"
    return Check("a study short of memory", text, (refused > 0 or bool(fits)) and bool(np.isfinite(result.best.value)))


@contextmanager
def scarce(bench: Bench) -> Iterator[None]:
    """Leave room for less than `LARGE` images: on a GPU by torch's own limit, on a CPU by the system's."""
    if bench.device.type == "cuda":
        peaks = []
        for rows in (FITS, LARGE):
            memory_trial(bench.base, bench.numerics, bench.task.complete(CONFIG))(rows)
            peaks.append(peak_memory_bytes(bench.device))
        gc.collect()
        torch.cuda.empty_cache()
        total = torch.cuda.get_device_properties(bench.device).total_memory
        torch.cuda.set_per_process_memory_fraction(sum(peaks) / 2 / total, bench.device)
        try:
            yield
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0, bench.device)
        return
    import resource

    import psutil

    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (psutil.Process().memory_info().vms + CPU_ROOM, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
