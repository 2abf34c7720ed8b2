"""Policies replayed on full grids of real fine-tunes: how much compute each takes to the same quality.

Three tables of 216 configurations on three folds, every evaluation point of each (`benchmarks.policy_tables`). A replay
is a study with two simulated workers: ours passes through the real coordinator, scheduler, policy and asker, a peer
through its own code, and training is looking up (`benchmarks.policy_replay`, `benchmarks.policy_peers`,
`benchmarks.policy_syne_tune`). The peers' settings were chosen on digits, and of the best third there on xray, too;
emotion is what is reported. "tpe" is Optuna's as it is.

    python -m benchmarks policy [--table emotion] [--policies tpe racing ...] [--seeds 30] [--processes 2]

Compute is counted in epochs of a fold, begun ones in part. Nobody stops early (the tables have every point), and
everybody begins with the literature default. A policy that never comes within 1% of the best is counted as if it had
trained the whole grid on every fold. Of `--policies`, replayed with the two that all are compared with, the results are
put among those of earlier calls.
"""

import argparse
import dataclasses
import json
import multiprocessing
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from benchmarks import measurements
from benchmarks.grid_table import GridTable
from benchmarks.measurements import machine, write_measurements
from benchmarks.plots import write_plot
from benchmarks.policy_list import policies
from benchmarks.policy_measures import BUDGETS, TOP, against, at_end, bands, figures, limit, until
from benchmarks.policy_plot import BASELINE, OURS, plot, rows
from benchmarks.policy_replay import WORKERS, Ours, Policy, Replayed, replay

REPORTED = "emotion"
Given = TypeVar("Given")
Found = TypeVar("Found")

TRIALS = 50
"""Trials of the studies whose end is looked at."""


@dataclasses.dataclass(frozen=True)
class Job:
    """A replay to be made: of a policy on a table with a seed, to its quality or to a number of trials."""

    table: str
    name: str
    policy: Policy
    seed: int
    trials: int | None = None

    def done(self) -> Replayed:
        table = read(self.table)
        return replay(table, self.policy, self.seed, trials=self.trials, until=None if self.trials else until(table))


@lru_cache(maxsize=8)
def read(name: str) -> GridTable:
    return GridTable.read(name)


def replays(jobs: Iterable[Job], processes: int) -> dict[tuple[str, int | None], list[Replayed]]:
    """Make all replays and return them by (policy, trials), in the order of the seeds."""
    found: dict[tuple[str, int | None], list[Replayed]] = {}
    listed = list(jobs)
    for job, made in zip(listed, mapped(Job.done, listed, processes), strict=True):
        found.setdefault((job.name, job.trials), []).append(made)
    return found


def mapped(function: Callable[[Given], Found], items: Sequence[Given], processes: int) -> Iterator[Found]:
    """Yield what a function makes of each item, in order; with one process in this one."""
    if processes == 1:
        yield from map(function, items)
        return
    # Spawned, not forked: torch has threads by now, whose locks a forked process would find taken for ever.
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(function, items)


def jobs(table: str, chosen: Mapping[str, Policy], seeds: int, trials: int, *, on_disk: bool = False) -> list[Job]:
    """Return the jobs of some policies, seed by seed: to the quality, and to a number of trials."""
    found = []
    for seed in range(seeds):
        for name, policy in chosen.items():
            kept = dataclasses.replace(policy, in_memory=not on_disk) if isinstance(policy, Ours) else policy
            found += [Job(table, name, kept, seed), Job(table, name, kept, seed, trials)]
    return found


def compare(table: str, chosen: Mapping[str, Policy], seeds: int = 30, processes: int = 2) -> dict[str, Any]:
    """Replay some policies on a table, print a line a policy, and return the figures: for trying things out."""
    found = results(read(table), replays(jobs(table, chosen, seeds, TRIALS), processes))
    show(found, TRIALS)
    return found


def results(table: GridTable, made: Mapping[tuple[str, int | None], Sequence[Replayed]]) -> dict[str, Any]:
    """Return the figures of every policy on a table."""
    found: dict[str, Any] = {}
    for (name, trials), each in made.items():
        row = found.setdefault(name, {})
        if trials is None:
            row |= figures(each, table)
            row["regret over compute"] = bands(each, table)
            for one, key in ((BASELINE, "compute of tpe over its own"), (OURS, "compute over that of racing")):
                others = made.get((one, None))
                if name != one and others is not None:
                    pair = (each, others) if one == BASELINE else (others, each)
                    row[key] = against(*pair, table)
        else:
            row[f"after {trials} trials"] = at_end(each, table)
    whole = made.get((BASELINE, None))
    return {
        "table": table.name,
        "objective": table.objective,
        "best": table.best,
        "exhaustive": table.exhaustive,
        "configurations": len(table.values),
        "within 1% of the best": sum(value >= 0.99 * table.best for value in table.values),
        **({"tpe with a clairvoyant pruner": limit(whole, table)} if whole else {}),
        "policies": found,
    }


def show(found: Mapping[str, Any], trials: int) -> None:
    """Print a line a policy."""
    print(
        f"best {found['best']:.4f}, {found['within 1% of the best']} configurations within 1%; the whole grid takes "
        f"{found['exhaustive']:.0f} epochs of a fold"
    )
    heads = "".join(f"{f'regret {share:.0%}':>12}" for share in BUDGETS) + "".join(
        f"{f'top {TOP} {share:.0%}':>12}" for share in BUDGETS[1:]
    )
    if least := found.get("tpe with a clairvoyant pruner"):
        ratio = _interval(least["geometric mean of the ratios"], 2)
        print(f"a clairvoyant pruner of TPE's proposals: {_interval(least['compute'], 0)}, tpe / it {ratio}")
    print(
        f"{'':<28}{'compute to 1% [95%]':>24}{'never':>6}{'tpe / it':>22}{heads}"
        f"{f'{trials} trials: compute, regret, top':>34}"
    )
    for name, row in found["policies"].items():
        spent, ratio = (
            row["compute"]["median"],
            row.get("compute of tpe over its own", {}).get("geometric mean of the ratios"),
        )
        end = row.get(f"after {trials} trials")
        line = f"{name:<28}{_interval(spent, 0):>24}{row['never reached']:>6}"
        line += f"{'' if ratio is None else _interval(ratio, 2):>22}"
        line += "".join(f"{row['at'][f'{share:g}']['regret']['value']:>12.4f}" for share in BUDGETS)
        line += "".join(f"{row['at'][f'{share:g}']['in the top']['value']:>12.2f}" for share in BUDGETS[1:])
        if end is not None:
            compute, regret, top = (end[each]["value"] for each in ("compute", "regret", "in the top"))
            line += f"{compute:>14.0f}{regret:>12.4f}{top:>8.2f}"
        print(line)


def _with_others(found: dict[str, Any], path: Path) -> dict[str, Any]:
    """Return the results of some policies, with those of others that were replayed earlier."""
    if not path.exists():
        return found
    before = json.loads(path.read_text(encoding="utf-8"))
    return {
        **before,
        **found,
        "seconds": round(before["seconds"] + found["seconds"], 1),
        "policies": before["policies"] | found["policies"],
        "settings": before["settings"] | found["settings"],
    }


def _interval(found: Mapping[str, float], digits: int) -> str:
    return f"{found['value']:.{digits}f} [{found['from']:.{digits}f}, {found['to']:.{digits}f}]"


def main(arguments: Sequence[str] | None = None) -> dict[str, Any] | None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks policy", description=__doc__.splitlines()[0])
    known = policies()
    parser.add_argument("--table", default=REPORTED, help="digits, xray or emotion")
    parser.add_argument("--policies", nargs="+", metavar="NAME", help=f"of {', '.join(known)}")
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--trials", type=int, default=TRIALS, help="trials of the studies whose end is looked at")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--on-disk", action="store_true", help="ours with the real store on SQLite: the same, slower")
    given = parser.parse_args(arguments)
    began = time.monotonic()
    unknown = set(given.policies or ()) - known.keys()
    if unknown:
        parser.error(f"there is no policy {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    wanted = {*given.policies, BASELINE, OURS} if given.policies else known.keys()
    chosen = {name: policy for name, policy in known.items() if name in wanted}
    try:
        table = read(given.table)
    except FileNotFoundError:
        print(f"policy: skipped, for want of the table {given.table!r} (python -m benchmarks.policy_tables)")
        return None
    made = replays(jobs(given.table, chosen, given.seeds, given.trials, on_disk=given.on_disk), given.processes)
    found = results(table, made)
    show(found, given.trials)
    written = {
        "machine": machine(),
        "workers": WORKERS,
        "seconds": round(time.monotonic() - began, 1),
        **found,
        "settings": {name: repr(policy) for name, policy in chosen.items()},
    }
    name = "policy" if given.table == REPORTED else f"policy-{given.table}"
    if given.policies:
        written = _with_others(written, measurements.FOLDER / f"{name}.json")
    if given.table == REPORTED:
        written["readme"] = rows(written)
    write_measurements(name, written)
    write_plot(name, plot(written))
    return written


if __name__ == "__main__":
    main()
