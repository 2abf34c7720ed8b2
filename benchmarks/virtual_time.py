"""What deciding in virtual time costs: slots that wait for the order, and compute until the best is found.

Replays on the recorded grids, through the real coordinator (`benchmarks.policy_replay`). Three parts:

waiting: The share of the slots' time in which they train nothing, with recorded seconds times noise
    (`benchmarks.noisy_pool`), of equal slots and with one at half speed; beside it what is idle deciding on arrival.
growth: The same of 8 to 64 slots.
found: Compute, and simulated seconds with all waiting, until within 1% of the table's best, against deciding on
    arrival with as many workers.

    python -m benchmarks virtual_time [--parts waiting growth found] [--tables digits emotion xray] [--processes 2]

The results of other parts and tables, of earlier calls, stay.
"""

import argparse
import dataclasses
import itertools
import json
import statistics
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import measurements
from benchmarks.grid_table import GridTable
from benchmarks.measurements import machine, write_measurements
from benchmarks.noisy_pool import Noise, NoisyPool
from benchmarks.policy import mapped, read
from benchmarks.policy_measures import interval, mean, mean_ratio, target
from benchmarks.policy_replay import Ours, Until
from benchmarks.readme_table import Row, readme_rows

NAME = "virtual_time"
TABLES = ("digits", "emotion", "xray")
PRUNERS = ("none", "racing", "asha")
NOISE = Noise()
NO_NOISE = Noise(0.0, 0.0, 1.0)
SLOW = 0.5
GOAL = 0.05
"""Share of the slots' time that may be lost by waiting for the order, of equal slots."""

TRIALS = 30
"""Trials of a study whose waiting is measured; with many slots four a slot, where the table has as many."""

SEEDS = {"waiting": 3, "growth": 2, "found": 30}


@dataclasses.dataclass(frozen=True)
class Case:
    """A study to be replayed, but for its seed.

    Attributes:
        virtual: Virtual slots; None: it decides on arrival.
        trials: Trials in all; None: until within 1% of the best.
        slow: Slots at half speed.
    """

    table: str
    pruner: str
    workers: int
    virtual: int | None
    trials: int | None = None
    slow: int = 0

    @property
    def on_arrival(self) -> "Case":
        return dataclasses.replace(self, virtual=None)

    @property
    def speeds(self) -> list[float]:
        return [SLOW] * self.slow + [1.0] * (self.workers - self.slow)

    def done(self, seed: int) -> dict[str, float]:
        """Replay it, and return what was measured."""
        table = read(self.table)
        pool = NoisyPool(table, self.speeds, NO_NOISE if self.trials is None else NOISE, seed)
        policy = Ours("bayesian", self.pruner, in_memory=True, virtual_slots=self.virtual)
        until = Until(table.exhaustive, target(table)) if self.trials is None else Until()
        replayed, history = policy.replay_on(pool, table, seed, self.trials, until)
        found = replayed.compute_to(target(table))
        return {
            "seconds": replayed.seconds,
            "idle until the last trial": pool.idle_share_until_last,
            "idle": pool.idle_share,
            "in vain": pool.in_vain(history),
            "compute": table.exhaustive if found is None else found,
            "never": float(found is None),
        }


def waiting_cases(table: str) -> list[Case]:
    """Return the studies of the part "waiting": each number of workers with as many virtual slots as is asked for."""
    slots = [(1, 4), (2, 4), (3, 4), (4, 4), (4, 8)]
    equal = [Case(table, pruner, n, v, TRIALS) for pruner in PRUNERS for n, v in slots]
    uneven = [Case(table, pruner, n, v, TRIALS, 1) for pruner in PRUNERS for n, v in slots if n in (2, 4)]
    return equal + uneven


def growth_cases(table: GridTable) -> list[Case]:
    """Return the studies of the part "growth": as many virtual slots as workers, and twice as many."""
    return [
        Case(table.name, pruner, n, times * n, min(4 * n, len(table.params)))
        for pruner in ("none", "racing")
        for n in (8, 16, 32, 64)
        for times in (1, 2)
    ]


def found_cases(table: str) -> list[Case]:
    """Return the studies of the part "found"."""
    slots = [(1, 2), (1, 4), (2, 2), (2, 4), (4, 4), (4, 8)]
    return [Case(table, "racing", n, v) for n, v in slots]


def replays(cases: Iterable[Case], seeds: int, processes: int) -> dict[Case, list[dict[str, float]]]:
    """Replay each case, and each deciding on arrival, with some seeds."""
    listed = list(dict.fromkeys(each for case in cases for each in (case.on_arrival, case)))
    pairs = list(itertools.product(listed, range(seeds)))
    made: dict[Case, list[dict[str, float]]] = {case: [] for case in listed}
    for (case, _), measured in zip(pairs, mapped(_done, pairs, processes), strict=True):
        made[case].append(measured)
    return made


def _done(pair: tuple[Case, int]) -> dict[str, float]:
    case, seed = pair
    return case.done(seed)


def waited(made: Mapping[Case, Sequence[Mapping[str, float]]], case: Case) -> dict[str, Any]:
    """Return the waiting of a case over its seeds, beside the same studies deciding on arrival."""
    ordered, arrival = made[case], made[case.on_arrival]
    shares = {
        name: interval(mean, [each[name] for each in ordered])
        for name in ("idle until the last trial", "idle", "in vain")
    }
    return {
        **_about(case, len(ordered)),
        **shares,
        "idle on arrival": interval(mean, [each["idle"] for each in arrival]),
        "seconds over those on arrival": _ratio(ordered, arrival, "seconds"),
    }


def reached(made: Mapping[Case, Sequence[Mapping[str, float]]], case: Case) -> dict[str, Any]:
    """Return what a case took until within 1% of the best, against the same studies deciding on arrival."""
    ordered, arrival = made[case], made[case.on_arrival]
    return {
        **_about(case, len(ordered)),
        "compute": statistics.geometric_mean(each["compute"] for each in ordered),
        "compute on arrival": statistics.geometric_mean(each["compute"] for each in arrival),
        "compute over that on arrival": _ratio(ordered, arrival, "compute"),
        "seconds over those on arrival": _ratio(ordered, arrival, "seconds"),
        "never reached": sum(each["never"] > 0.0 for each in ordered),
    }


def _about(case: Case, seeds: int) -> dict[str, Any]:
    about = {"pruner": case.pruner, "workers": case.workers, "virtual slots": case.virtual, "seeds": seeds}
    return {**about, **({"slots at half speed": case.slow} if case.slow else {})}


def _ratio(
    ordered: Sequence[Mapping[str, float]], arrival: Sequence[Mapping[str, float]], name: str
) -> dict[str, float]:
    return interval(mean_ratio, [each[name] for each in ordered], [each[name] for each in arrival])


def part(name: str, table: GridTable, seeds: int, processes: int) -> list[dict[str, Any]]:
    """Measure one part on a table, and return a row a case."""
    cases = {
        "waiting": lambda: waiting_cases(table.name),
        "growth": lambda: growth_cases(table),
        "found": lambda: found_cases(table.name),
    }[name]()
    made = replays(cases, seeds, processes)
    return [(reached if name == "found" else waited)(made, case) for case in cases]


def rows(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of the README's table."""
    told = []
    for pruner, (workers, virtual) in itertools.product(("none", "racing"), ((2, 4), (4, 4), (4, 8))):
        shares = _of(found, "waiting", "idle until the last trial", pruner, workers, virtual)
        if shares:
            what = f"time that {workers} equal workers wait for the order, {virtual} virtual slots, pruner {pruner}"
            told.append(Row(what, _per_table(shares, "{:.0%}"), f"{GOAL:.0%}", max(shares.values()) <= GOAL))
    for workers, virtual in ((1, 4), (2, 4), (4, 4), (4, 8)):
        ratios = _of(found, "found", "compute over that on arrival", "racing", workers, virtual)
        if ratios:
            what = f"compute to within 1% of the best, {virtual} virtual slots over on arrival, workers: {workers}"
            told.append(Row(what, _per_table(ratios, "{:.2f}"), "1", max(ratios.values()) <= 1.0))
    return readme_rows(told)


def _of(found: Mapping[str, Any], part: str, name: str, pruner: str, workers: int, virtual: int) -> dict[str, float]:
    """Return a figure of equal slots by table."""
    wanted = {"pruner": pruner, "workers": workers, "virtual slots": virtual}
    return {
        table: row[name]["value"]
        for table, listed in found.get(part, {}).items()
        for row in listed
        if wanted.items() <= row.items() and "slots at half speed" not in row
    }


def _per_table(values: Mapping[str, float], written: str) -> str:
    return ", ".join(f"{written.format(value)} ({table})" for table, value in values.items())


def show(name: str, table: str, listed: Sequence[Mapping[str, Any]]) -> None:
    """Print a line a case."""
    for row in listed:
        about = f"{name} {table} {row['pruner']}, workers {row['workers']}, virtual slots {row['virtual slots']}"
        about += ", one at half speed" if "slots at half speed" in row else ""
        figures = "; ".join(
            f"{key} {value['value']:.3f} [{value['from']:.3f}, {value['to']:.3f}]"
            for key, value in row.items()
            if isinstance(value, Mapping)
        )
        print(f"{about}: {figures}", flush=True)


def _before(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks {NAME}", description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="+", choices=list(SEEDS), default=list(SEEDS))
    parser.add_argument("--tables", nargs="+", default=list(TABLES))
    parser.add_argument("--seeds", type=int, default=None, help=f"of each part; by default {SEEDS}")
    parser.add_argument("--processes", type=int, default=2)
    given = parser.parse_args(arguments)
    written = _before(measurements.FOLDER / f"{NAME}.json")
    written |= {"machine": machine(), "noise": dataclasses.asdict(NOISE), "trials": TRIALS}
    for name, table in itertools.product(given.parts, given.tables):
        began = time.monotonic()
        try:
            grid = read(table)
        except FileNotFoundError:
            print(f"{NAME}: skipped, for want of the table {table!r} (python -m benchmarks.policy_tables)")
            continue
        listed = part(name, grid, given.seeds or SEEDS[name], given.processes)
        show(name, table, listed)
        print(f"{name} {table}: {time.monotonic() - began:.0f} s", flush=True)
        written[name] = {**written.get(name, {}), table: listed}
        written["readme"] = rows(written)
        write_measurements(NAME, written)
    return written


if __name__ == "__main__":
    main()
