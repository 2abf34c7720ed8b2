"""Scoreboards of the systems benchmark: what the runs come to, as JSON, as rows of the README's table, as a plot."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks import parties
from benchmarks.jobs import FOLDS, SCHEDULES
from benchmarks.plots import Bar, bars
from benchmarks.readme_table import Row

GOALS = {"linear": {"tuned": 3.0, "written": 7.0}, "other": {"tuned": 5.0, "written": 12.0}}
"""How many times faster hpsearch is to be, by schedule and peer, on the list of nine."""


@dataclass
class Board:
    """All runs so far, and what the JSON says besides."""

    options: Mapping[str, Any]
    runs: dict[tuple[str, str, str], list[parties.Run]] = field(default_factory=dict)
    checks: list[Mapping[str, Any]] = field(default_factory=list)
    probe: Mapping[str, float] = field(default_factory=dict)
    tried: dict[str, Any] = field(default_factory=dict)
    failed: list[Mapping[str, Any]] = field(default_factory=list)

    def of(self, schedule: str, name: str, party: str) -> tuple[list[parties.Run], str]:
        """Return a party's runs on a list, and the schedule they were run with: another where it did not run."""
        for known in (schedule, *SCHEDULES):
            if found := self.runs.get((known, name, party)):
                return found, known
        return [], schedule

    def boards(self) -> list[tuple[str, str]]:
        """Return (schedule, list) of every scoreboard: hpsearch has run it."""
        return [(schedule, name) for schedule, name, party in self.runs if party == "hpsearch"]


def ratio(peers: Sequence[float], ours: Sequence[float]) -> dict[str, float]:
    """Return how many times our seconds go into the peer's: of the medians, and the least and most of any two runs."""
    return {
        "median": statistics.median(peers) / statistics.median(ours),
        "low": min(peers) / max(ours),
        "high": max(peers) / min(ours),
    }


def scores_by_config(runs: Sequence[parties.Run]) -> list[dict[str, Any]]:
    """Return each configuration's mean over the folds, and their standard deviation, in the first run of a party."""
    found = []
    for index in sorted({index for index, _ in runs[0].scores}):
        folds = [score for (at, _), score in sorted(runs[0].scores.items()) if at == index]
        found.append({"config": index, "mean": statistics.mean(folds), "deviation": statistics.stdev(folds)})
    return found


def agreement(ours: Sequence[Mapping[str, Any]], theirs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return whether two parties' scores agree within the noise of folds.

    Seeds, dropout and the order of rows differ. The mean difference over the configurations is to lie within two
    standard errors of one party's mean of folds, and the best configuration's too. That is a wide bound: the standard
    error of the mean difference itself, over the configurations, is given beside it (they share folds and the seeds of
    their heads, so it is somewhat too small). Of several runs of a party the first is looked at; the others repeat it.
    """
    pairs = list(zip(ours, theirs, strict=True))
    differences = [one["mean"] - other["mean"] for one, other in pairs]
    noise = statistics.mean(max(one["deviation"], other["deviation"]) for one, other in pairs) / FOLDS**0.5
    best = max(one["mean"] for one in ours) - max(other["mean"] for other in theirs)
    return {
        "mean difference": statistics.mean(differences),
        "its own standard error": statistics.stdev(differences) / len(differences) ** 0.5,
        "difference of the best": best,
        "standard error of a mean over folds": noise,
        "holds": abs(statistics.mean(differences)) <= 2 * noise and abs(best) <= 2 * noise,
    }  # fmt: skip


def scoreboard(board: Board, schedule: str, name: str) -> dict[str, Any]:
    """Return one scoreboard as the JSON has it."""
    found: dict[str, Any] = {"schedule": schedule, "list": name, "parties": {}}
    ours = board.runs[(schedule, name, "hpsearch")]
    for party in parties.NAMES:
        runs, known = board.of(schedule, name, party)
        if not runs:
            continue
        seconds = [run.seconds for run in runs]
        entry: dict[str, Any] = {"seconds": [round(each, 2) for each in seconds], "median": statistics.median(seconds)}
        if known != schedule:
            entry["measured with the schedule"] = known
        entry["scores"] = scores_by_config(runs)
        entry["runs"] = [run.summary() for run in runs]
        if party != "hpsearch":
            entry["times hpsearch"] = ratio(seconds, [run.seconds for run in ours])
            if known == schedule:
                entry["scores agree"] = agreement(scores_by_config(ours), entry["scores"])
        found["parties"][party] = entry
    if board.probe:
        best = max(each["mean"] for each in scores_by_config(ours))
        found["best above the probe"] = {
            "best": best,
            "probe": board.probe["mean"],
            "holds": best > board.probe["mean"],
        }
    return found


def goal_of(schedule: str, name: str, party: str) -> float | None:
    return GOALS["linear" if schedule == "linear" else "other"][party] if name == "nine" else None


def rows_of(boards: Sequence[Mapping[str, Any]]) -> Iterator[Row]:
    """Yield the rows of the README's table."""
    titles = {"nine": "nine fine-tunes (freeze 0, 3, 6; epochs 1, 2, 3)", "full": "the three that freeze nothing"}
    for found in boards:
        for party, entry in found["parties"].items():
            if party == "hpsearch":
                continue
            times, goal = entry["times hpsearch"], goal_of(found["schedule"], found["list"], party)
            ours = found["parties"]["hpsearch"]["median"]
            other = entry.get("measured with the schedule")
            counted = f"{len(found['parties']['hpsearch']['runs'])} and {len(entry['runs'])} runs"
            counted += f", the peer's under {other}" if other else ""
            yield Row(
                f"{titles[found['list']]}, {found['schedule']}: against {parties.NAMES[party]} ({counted})",
                f"{times['median']:.1f}x ({times['low']:.1f} to {times['high']:.1f}): {ours:.0f} s and "
                f"{entry['median']:.0f} s",
                "" if goal is None else f"{goal:g}x",
                None if goal is None else times["median"] >= goal,
            )


def plot(boards: Sequence[Mapping[str, Any]]) -> str:
    shown = []
    for found in boards:
        group = f"{found['list']}, {found['schedule']} schedule"
        for party, entry in found["parties"].items():
            times = entry.get("times hpsearch")
            note = f"{entry['median']:.0f} s" + ("" if times is None else f", {times['median']:.1f} times hpsearch")
            seconds = entry["seconds"]
            interval = (min(seconds), max(seconds)) if len(seconds) > 1 else (None, None)
            shown.append(Bar(group, parties.NAMES[party], entry["median"], *interval, note))
    title = "Fixed lists of fine-tunes on three folds: time to the last score"
    return bars(title, "wall time in seconds, start-up included: median, least and most", shown)
