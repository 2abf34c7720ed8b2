"""Whole studies on one GPU: several together against each alone, and the memory of a worker that makes room.

A part of `python -m benchmarks gpu_check`.
"""

import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.gpu_check import Bench, Check
from benchmarks.gpu_sharing import STUDY, order, pool_of, trained
from hpsearch.records import Segment
from hpsearch.runtime.messages import Train

TRIALS = 2
PRECISIONS = {"cuda": ("fp32", "auto"), "cpu": ("fp32", "fp32")}
MOMENTS_BYTES = 8
"""AdamW's two moments of a parameter in float32."""

MEASURED = ("seconds", "peak_memory_bytes")


def together(bench: Bench) -> Check:
    """Run two studies each alone, then both through `hp.run`, two trials at once; compare all that was measured."""
    import hpsearch as hp

    place, kind = Path(bench.prepared.folder).parents[1] / "studies", bench.device.type
    device = str(bench.device) if kind == "cuda" else "cpu:1"
    alone = [_study(bench, place / "alone", number) for number in (0, 1)]
    for study in alone:
        study.run(trials=TRIALS, devices=device, progress=False)
    both = [_study(bench, place / "together", number) for number in (0, 1)]
    shared: Mapping[str, Any] = {"devices": "cpu:2"} if kind == "cpu" else {"devices": device, "trials_per_device": 2}
    hp.run(both, trials=TRIALS, progress=False, **shared)
    expected, found = ([known(study) for study in studies] for studies in (alone, both))
    points = sum(map(len, expected[0].values())) + sum(map(len, expected[1].values()))
    different = [key for one, other in zip(expected, found, strict=True) for key in one if one[key] != other.get(key)]
    text = f"{len(different)} runs differ" if different else f"{points} evaluations of two studies equal, bit by bit"
    return Check("hp.run, and each study alone", text, not different and points > 0)


def _study(bench: Bench, folder: Path, number: int) -> Any:
    import hpsearch as hp

    space = hp.Space(learning_rate=hp.Float(1e-4, 1e-2, log=True), batch_size=16, epochs=2)
    return hp.Study(
        f"study {number}", bench.task, space, sampler="random", cv=2, pruner="none", seed=number, folder=folder,
        precision=PRECISIONS[bench.device.type][number], deterministic=True,
    )  # fmt: skip


def known(study: Any) -> dict[str, list[dict[str, Any]]]:
    """Return the evaluations of each run, without what differs from time to time."""
    history = study.result.history
    return {
        key: [{name: value for name, value in asdict(item).items() if name not in MEASURED} for item in items]
        for key, items in history.evaluations.items()
    }


def freed(bench: Bench) -> Check:
    """See the memory that a worker gives back while another process has its turn: a paused run's optimizer at least."""
    import torch

    name = "memory of a worker at rest"
    if bench.device.type != "cuda":
        return Check(name, "a CPU's worker keeps freed memory for its next segment", None)
    run = order(bench, 0, 2).segment.run
    with pool_of(bench, 1) as pool:
        trained(pool, [Train(STUDY, Segment(run, 0, run.horizon - 1), leaves_checkpoint=True)])
        before = torch.cuda.mem_get_info(bench.device)[0]
        pool.rest(pool.slots()[0])
        until, gained = time.monotonic() + 10.0, 0
        moments = MOMENTS_BYTES * sum(parameter.numel() for parameter in bench.base.model.parameters())
        while gained < moments and time.monotonic() < until:
            time.sleep(0.2)
            gained = torch.cuda.mem_get_info(bench.device)[0] - before
    text = f"{gained / 2**20:,.0f} MiB given back, of which AdamW's moments {moments / 2**20:,.0f} MiB"
    return Check(name, text, gained >= moments)
