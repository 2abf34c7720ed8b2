"""The peers' settings, chosen on two tables: whatever needs least compute to come within 1% of the best.

    python -m benchmarks.policy_tuning [--tables digits xray] [--peers ...] [--seeds 10] [--processes 2]

The score of a setting is the mean over seeds and tables of the logarithm of its compute, in shares of the whole grid;
where it never comes there, of the whole grid. `benchmarks.policy_list` has the settings and reads what was chosen.
A later call adds to the file what it tries.
"""

import argparse
import json
import math
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks import measurements
from benchmarks.policy import mapped, read
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


Shares = dict[str, dict[str, dict[str, list[float]]]]
"""Peer to setting to table to the compute of each seed."""


def tried(peer: str, settings: Sequence[Policy], tables: Sequence[str], seeds: int, processes: int) -> Shares:
    """Return what settings of a peer need on the tables."""
    tries = [Try(peer, each, table, seeds) for each in settings for table in tables]
    found: Shares = {}
    for one, shares in zip(tries, mapped(Try.shares, tries, processes), strict=True):
        rounded = [round(share, 5) for share in shares]
        found.setdefault(one.peer, {}).setdefault(repr(one.policy), {})[one.table] = rounded
    return found


def ranked(settings: Mapping[str, Mapping[str, Sequence[float]]]) -> list[dict[str, Any]]:
    """Return the settings of a peer that were tried on all tables, with their scores, the best first."""
    most = max(map(len, settings.values()), default=0)
    found = [
        {
            "setting": setting,
            "score": round(statistics.mean(math.log(share) for shares in by.values() for share in shares), 4),
            "median share of the grid": {table: round(statistics.median(shares), 4) for table, shares in by.items()},
        }
        for setting, by in settings.items()
        if len(by) == most
    ]
    return sorted(found, key=lambda row: row["score"])


def _with(before: Shares, after: Shares) -> Shares:
    """Return both, the later where a table was tried twice."""
    return {
        peer: {
            setting: before.get(peer, {}).get(setting, {}) | after.get(peer, {}).get(setting, {})
            for setting in map(repr, CANDIDATES[peer])
        }
        for peer in sorted(before.keys() | after.keys())
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.policy_tuning", description=__doc__.splitlines()[0])
    parser.add_argument("--tables", nargs="+", default=list(TABLES), help="kept are the results on the others, too")
    parser.add_argument("--peers", nargs="+", default=list(CANDIDATES), choices=list(CANDIDATES), metavar="PEER")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument(
        "--leaders", type=int, default=None, help="only the settings that lead on what was tried so far"
    )
    given = parser.parse_args(arguments)
    path = measurements.FOLDER / TUNED
    shares: Shares = json.loads(path.read_text(encoding="utf-8"))["shares"] if path.exists() else {}
    for peer in given.peers:
        began = time.monotonic()
        settings = list(CANDIDATES[peer])
        if given.leaders is not None:
            leaders = [row["setting"] for row in ranked(shares[peer])][: given.leaders]
            settings = [each for each in settings if repr(each) in leaders]
        shares = _with(shares, tried(peer, settings, given.tables, given.seeds, given.processes))
        print(f"{peer}, {time.monotonic() - began:.0f} s", flush=True)
        for row in ranked(shares[peer])[:3]:
            print(f"  {row['score']:>8.3f}  {row['setting']}  {row['median share of the grid']}", flush=True)
        chosen = {each: ranked(shares[each])[0] for each in CANDIDATES if each in shares}
        written = {
            "machine": measurements.machine(),
            "seeds": given.seeds,
            "chosen": {each: row["setting"] for each, row in chosen.items()},
            "scores": {each: ranked(shares[each]) for each in chosen},
            "shares": shares,
        }
        measurements.write_measurements(TUNED.removesuffix(".json"), written)


if __name__ == "__main__":
    main()
