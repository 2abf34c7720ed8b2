"""The table of benchmarks in benchmarks/README.md: one row a figure, read from the result files of all benchmarks.

    python -m benchmarks.readme_table [--write benchmarks/README.md]

A benchmark has rows in it by writing them into its JSON under the key "readme": a list of `Row`s as dicts. The table
stands between the two marker comments, and nothing else of the page is touched.
"""

import argparse
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks import measurements

BEGIN, END = "<!-- benchmarks: begin -->", "<!-- benchmarks: end -->"

ORDER = ("systems", "policy", "end_to_end", "limit", "startup", "coordinator")
"""Benchmarks in the order of their rows; others follow by name."""


@dataclass(frozen=True)
class Row:
    """One row of the table.

    Attributes:
        what: What was measured, in a few words.
        measured: The figure, with its spread where it has one.
        goal: What it should be; empty where nothing was promised.
        met: Whether it is; None where there is no goal.
    """

    what: str
    measured: str
    goal: str = ""
    met: bool | None = None


def readme_rows(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """Return what a benchmark writes into its JSON under "readme"."""
    return [asdict(row) for row in rows]


def readme_table(folder: Path | None = None) -> str:
    """Return the Markdown table of all result files in `folder` (benchmarks/results by default)."""
    folder = folder or measurements.FOLDER
    found = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))}
    names = [*(name for name in ORDER if name in found), *(name for name in found if name not in ORDER)]
    lines = ["| benchmark | what | measured | goal | |", "|---|---|---|---|---|"]
    for name in names:
        for row in _rows_of(name, found[name]):
            verdict = "" if row.met is None else "met" if row.met else "**missed**"
            cells = (f"`{name}`", row.what, row.measured, row.goal, verdict)
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)


def write_readme_table(readme: Path) -> None:
    """Put the table between the README's marker comments.

    Raises:
        ValueError: The markers are not there, once each and in order.
    """
    text = readme.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end or BEGIN in after or END in after:
        raise ValueError(f"{readme} has no place for the table: write {BEGIN} and, below it, {END}, once each.")
    readme.write_text(f"{before}{begin}\n{readme_table()}\n{end}{after}", encoding="utf-8")


def _rows_of(name: str, found: Mapping[str, Any]) -> list[Row]:
    if "readme" in found:
        return [Row(**row) for row in found["readme"]]
    if name == "startup":
        return [
            Row(f"`{what}`", f"{each['median']:.2f} s", f"{each['goal']:g} s", each["median"] < each["goal"])
            for what, each in found["seconds"].items()
        ]
    if name == "coordinator":
        return [*_segments(found), *_slots(found)]
    return []


def _segments(found: Mapping[str, Any]) -> list[Row]:
    return [
        Row(
            f"coordinator a segment at {found['trials']:,} trials, {what}",
            f"{each['every segment']['median']:.0f} ms",
            f"{each['goal']:g} ms",
            each["every segment"]["median"] < each["goal"],
        )
        for what, each in found["milliseconds a segment"].items()
    ]


def _slots(found: Mapping[str, Any]) -> list[Row]:
    rows = []
    for each in found.get("simulated slots", ()):
        what = f"{each['slots']} simulated slots, {each['seconds a segment']:g} s a segment, {each['sampler']}"
        goal = each.get("goal")
        busy = f"{each['busy']:.1%} busy, {each['milliseconds a segment']:.0f} ms a segment"
        has_goal = goal is not None
        rows.append(
            Row(
                f"{what}, pruner {each['pruner']}",
                busy,
                f"{goal:.0%}" if has_goal else "",
                each["busy"] >= goal if has_goal else None,
            )
        )
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.readme_table", description="Print the README's table of benchmarks, or write it."
    )
    parser.add_argument("--write", type=Path, default=None, help="the README to write it into, between its markers")
    given = parser.parse_args(arguments)
    if given.write is None:
        print(readme_table())
    else:
        write_readme_table(given.write)


if __name__ == "__main__":
    main()
