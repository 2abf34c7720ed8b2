"""The chaos suite's long form: `make chaos`. A hundred faults over real studies, and what was lost by them: nothing.

    python tests/chaos/long_form.py --seed 0 --folder /tmp/chaos

Faults that are not done are said and counted: this machine cannot do them, or they found nothing to hit. The exit
status is 1 where anything was lost, or a segment was hit more often than it may be.
"""

import argparse
import contextlib
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS.parent), *(str(TESTS / name) for name in ("chaos", "runtime", "records", "tasks"))]

import fault_schedule as kinds  # noqa: E402
from chaos_studies import GRID, RACING, RANDOM, StudyKind, StudyPlace, make_material  # noqa: E402
from database_servers import KINDS, folder_of_servers  # noqa: E402
from disturbances import Machine, Report, disturbed, machine_of  # noqa: E402
from disturbed_study import MOST_HITS  # noqa: E402
from fault_schedule import Fault, scheduled  # noqa: E402
from node_faults import missing as no_ray  # noqa: E402


@dataclass(frozen=True)
class Part:
    """Studies of one kind and the faults that they are given, until all have been."""

    name: str
    kind: StudyKind
    faults: Mapping[str, int]
    server: str | None = None
    devices: str = "2"


TORN = {kinds.TORN_DATABASE: 1, kinds.TORN_CHECKPOINT: 1, kinds.HALF_CHECKPOINT: 1, kinds.TORN_LIST: 1}
STOPPED = {kinds.WORKER_STOPPED: 2, kinds.WORKER_HANGS: 1, kinds.COORDINATOR_STOPPED: 1, kinds.STEP_HANGS: 1}
CLOCK = {kinds.CLOCK_FORWARDS: 2, kinds.CLOCK_BACK: 2}

PARTS = (
    Part(
        "grid, SQLite",
        GRID,
        {kinds.LOSS_NAN: 2, kinds.MEMORY_REFUSED: 2, kinds.WORKER_KILLED: 5, kinds.COORDINATOR_KILLED: 3}
        | {kinds.DISK_FULL: 2, kinds.MEMORY_KILLS: 2, kinds.COORDINATOR_STOPPED_LONG: 1, **STOPPED, **TORN},
    ),
    Part(
        "random, SQLite",
        RANDOM,
        {kinds.WORKER_KILLED: 4, kinds.COORDINATOR_KILLED: 2, kinds.ALL_STOPPED_THEN_KILLED: 2, kinds.DISK_FULL: 2}
        | {kinds.MEMORY_KILLS: 1, kinds.COORDINATOR_STOPPED_LONG: 1, **STOPPED, **TORN, **CLOCK},
    ),
    Part(
        "racing, SQLite",
        RACING,
        {kinds.WORKER_KILLED: 4, kinds.COORDINATOR_KILLED: 2, kinds.DISK_FULL: 1, kinds.MEMORY_KILLS: 1}
        | {kinds.ALL_STOPPED_THEN_KILLED: 1, **CLOCK},
    ),
    Part(
        "random, PostgreSQL",
        RANDOM,
        {kinds.SERVER_STOPPED: 4, kinds.SERVER_KILLED: 3, kinds.WORKER_KILLED: 3, kinds.COORDINATOR_KILLED: 2}
        | {kinds.WORKER_HANGS: 1, kinds.COORDINATOR_STOPPED: 1, kinds.MEMORY_KILLS: 1}
        | {kinds.CLOCK_FORWARDS: 1, kinds.CLOCK_BACK: 1},
        server="postgresql",
    ),
    Part(
        "random, Ray",
        RANDOM,
        {kinds.NODE_KILLED: 3, kinds.RAYLET_KILLED: 2, kinds.NODE_LEAVES: 2, kinds.WORKER_KILLED: 4}
        | {kinds.COORDINATOR_KILLED: 2, kinds.WORKER_STOPPED: 1, kinds.WORKER_HANGS: 1, kinds.COORDINATOR_STOPPED: 1}
        | {kinds.DISK_FULL: 1, kinds.MEMORY_KILLS: 1, kinds.TORN_CHECKPOINT: 1},
        devices="ray",
    ),
)


@contextlib.contextmanager
def server_of(kind: str | None) -> Iterator[Any]:
    """A database server of this kind, or None where none is asked for."""
    if kind is None:
        yield None
        return
    with folder_of_servers() as folder:
        server = KINDS[kind](folder)
        try:
            server.make()
            yield server
        finally:
            server.stop()


def run_part(part: Part, place: Path, twin: StudyPlace, seed: int) -> Iterator[Report]:
    """Disturb one study after the other, until all faults of a part have been given."""
    faults: Sequence[Fault] = scheduled(part.faults, f"{part.name} {seed}")
    lacking = KINDS[part.server].missing() if part.server else no_ray() if part.devices == "ray" else None
    if lacking is not None:
        say(f"NOT DONE: {lacking}")
        yield Report(not_done=list(faults))
        return
    number = 0
    with server_of(part.server) as server, machine_of(place, server) as machine:
        while faults:
            number += 1
            report = run_study(part, machine, place / f"study-{number}", twin, faults, f"{part.name} {seed} {number}")
            yield report
            assert len(report.left) < len(faults), "no fault came before the study's end"
            faults = report.left


def run_study(
    part: Part, machine: Machine, folder: Path, twin: StudyPlace, faults: Sequence[Fault], seed: str
) -> Report:
    storage = None if machine.server is None else machine.server.empty()
    place = StudyPlace(folder, part.kind, twin.material, part.devices, storage)
    try:
        return disturbed(machine, place, twin, faults, seed, say)
    except AssertionError as error:  # the others are told all the same
        return Report(wrong=[f"{folder}: {error}"])


def say(line: str) -> None:
    print(line, flush=True)


def print_table(reports: Sequence[Report]) -> None:
    seconds: dict[str, list[float]] = {}
    for report in reports:
        for kind, values in report.seconds.items():
            seconds.setdefault(kind, []).extend(values)
    say(f"\n{'fault':45} {'count':>5} {'median s':>9} {'most s':>7}   (until something new was recorded)")
    for kind in sorted(seconds):
        say(f"{kind:45} {len(seconds[kind]):5} {statistics.median(seconds[kind]):9.1f} {max(seconds[kind]):7.1f}")
    say(f"{'all':45} {sum(map(len, seconds.values())):5}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seed", type=int, default=0, help="decides which fault comes when, and whom it hits")
    parser.add_argument("--folder", type=Path, help="where the studies are kept; by default they are removed")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # file systems and processes are removed
    began, reports = time.monotonic(), []
    with tempfile.TemporaryDirectory(prefix="hpsearch-chaos-") as temporary:
        place = Path(given.folder or temporary) / f"seed-{given.seed}"
        material = make_material(place / "material")
        twins: dict[StudyKind, StudyPlace] = {}
        for part in PARTS:
            say(f"\n{part.name}: {sum(part.faults.values())} faults")
            if part.kind not in twins:
                twins[part.kind] = StudyPlace(place / f"undisturbed-{len(twins)}", part.kind, material, "inline")
                twins[part.kind].run_undisturbed()
            folder = place / part.name.replace(", ", "-")
            folder.mkdir()
            for report in run_part(part, folder, twins[part.kind], given.seed):
                for wrong in report.wrong:
                    say(f"WRONG: {wrong[:1000]}")
                reports.append(report)
    print_table(reports)
    wrong, not_done = sum(len(report.wrong) for report in reports), sum(len(report.not_done) for report in reports)
    hits = max(report.hits for report in reports)
    planned = sum(sum(part.faults.values()) for part in PARTS)
    done = sum(len(seconds) for report in reports for seconds in report.seconds.values())
    too_many = f" MORE THAN {MOST_HITS}" if hits > MOST_HITS else ""
    say(f"Studies: {len(reports)}. Most hits of a segment without progress: {hits}{too_many}. Not done: {not_done}.")
    say(f"{time.monotonic() - began:.0f} s with seed {given.seed}.")
    outcome = f"{wrong} THINGS ARE WRONG" if wrong else "nothing was lost"
    say(f"Of {planned} faults {done} were done: {outcome}.")
    return 1 if wrong or hits > MOST_HITS else 0


if __name__ == "__main__":
    sys.exit(main())
