"""The peers' settings, chosen on two tables: whatever needs least compute to come within 1% of the best.

    python -m benchmarks.policy_tuning [--tables digits xray] [--peers ...] [--seeds 10] [--processes 2]

The score of a setting is the mean over seeds and tables of the logarithm of its compute, in shares of the whole grid;
where it never comes there, of the whole grid. `benchmarks.policy_list` has the settings and reads what was chosen.
"""

import argparse
import json
import math
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

from benchmarks.measurements import machine, write_measurements
from benchmarks.policy import read
from benchmarks.policy_list import CANDIDATES, TUNED
from benchmarks.policy_measures import computes, target
from benchmarks.policy_replay import Policy, Until, replay

TABLES = ("digits", "xray")


@dataclass(frozen=True)
class Try:
    """A setting on a table with some seeds."""

    peer: str
    policy: Policy
    table: str
    seeds: int

    def shares(self) -> list[float]:
        """Return the compute to the quality, in shares of the whole grid, seed by seed."""
        table = read(self.table)
        until = Until(table.exhaustive, target(table))
        made = [replay(table, self.policy, seed, until=until) for seed in range(self.seeds)]
        return [compute / table.exhaustive for compute in computes(made, table)]


def tuned(peers: Sequence[str], tables: Sequence[str], seeds: int, processes: int) -> dict[str, Any]:
    """Return of each peer its settings with their scores, the best first."""
    tries = [Try(peer, each, table, seeds) for peer in peers for each in CANDIDATES[peer] for table in tables]
    with ProcessPoolExecutor(processes) as pool:
        shares = list(pool.map(Try.shares, tries))
    rows: dict[str, dict[str, dict[str, list[float]]]] = {peer: {} for peer in peers}
    for one, found in zip(tries, shares, strict=True):
        rows[one.peer].setdefault(repr(one.policy), {})[one.table] = found
    return {peer: _ranked(settings) for peer, settings in rows.items()}


def _ranked(settings: dict[str, dict[str, list[float]]]) -> list[dict[str, Any]]:
    found = [
        {
            "setting": setting,
            "score": round(statistics.mean(math.log(share) for shares in by.values() for share in shares), 4),
            "median share of the grid": {table: round(statistics.median(shares), 4) for table, shares in by.items()},
        }
        for setting, by in settings.items()
    ]
    return sorted(found, key=lambda row: row["score"])


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.policy_tuning", description=__doc__.splitlines()[0])
    parser.add_argument("--tables", nargs="+", default=list(TABLES))
    parser.add_argument("--peers", nargs="+", default=list(CANDIDATES), choices=list(CANDIDATES), metavar="PEER")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--processes", type=int, default=2)
    given = parser.parse_args(arguments)
    began = time.monotonic()
    before = json.loads(TUNED.read_text(encoding="utf-8")) if TUNED.exists() else {"chosen": {}, "settings": {}}
    found = before["settings"] | tuned(given.peers, given.tables, given.seeds, given.processes)
    for peer in given.peers:
        for row in found[peer][:3]:
            print(f"{peer:<24}{row['score']:>8.3f}  {row['setting']}  {row['median share of the grid']}")
    written = {
        "machine": machine(),
        "tables": given.tables,
        "seeds": given.seeds,
        "seconds": round(time.monotonic() - began, 1),
        "chosen": {peer: rows[0]["setting"] for peer, rows in found.items()},
        "settings": found,
    }
    write_measurements("policy_tuning", written)


if __name__ == "__main__":
    main()
