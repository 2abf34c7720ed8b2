"""Wall time until a score on rows never searched: hpsearch with its defaults against Optuna's TPE and Hyperband.

Both search the same space on the same rows and folds, for the same time, on all cores. The peer trains with `Trainer`
at its best settings and prunes over folds times epochs. Whenever a party's best cross-validated trial changes, its
configuration counts as what it would have handed over: afterwards, outside the time, each is trained on all training
rows and scored on the test rows, both parties' by the same code. The time is from the start of a party's first process
until its incumbent first reaches the target, which is fixed before.

    python -m benchmarks end_to_end [--target 0.66] [--seeds 3] [--minutes 4] [--rows 600] [--pruner racing]
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks import parties
from benchmarks.jobs import DATA, Job, minilm
from benchmarks.measurements import machine, write_measurements
from benchmarks.plots import Line, lines, write_plot
from benchmarks.readme_table import Row, readme_rows
from benchmarks.search_space import Complete, improvements, read_trials
from benchmarks.systems import missing

MODULES = {"hpsearch": "benchmarks.hpsearch_search", "peer": "benchmarks.peer_search"}
NAMES = {"hpsearch": "hpsearch", "peer": "Optuna TPE and Hyperband, Trainer tuned"}
REFIT_SECONDS = 12
"""About what a refit and its scores take on a quiet core, for the estimate at the beginning."""


@dataclass(frozen=True)
class Search:
    """One search of one party.

    Attributes:
        incumbents: (seconds since the start, the trial) at each improvement.
        facts: What the party told.
        tests: The incumbents' scores on the test rows.
    """

    incumbents: Sequence[tuple[float, Complete]]
    facts: Mapping[str, Any]
    tests: Sequence[float] = ()

    def seconds_to(self, target: float) -> float | None:
        """Return when the incumbent first reached a test score, or None."""
        found = (seconds for (seconds, _), test in zip(self.incumbents, self.tests, strict=True) if test >= target)
        return next(found, None)

    def test_at(self, seconds: float) -> float | None:
        """Return the test score of the incumbent at that time, or None before the first."""
        known = [test for (at, _), test in zip(self.incumbents, self.tests, strict=True) if at <= seconds]
        return known[-1] if known else None

    def summary(self, target: float) -> dict[str, Any]:
        return {
            "seconds to the target": self.seconds_to(target), **self.facts,
            "incumbents": [
                {"seconds": round(at, 1), "value": trial.value, "test": test, "epochs": trial.epochs,
                 "config": dict(trial.config)}
                for (at, trial), test in zip(self.incumbents, self.tests, strict=True)
            ],
        }  # fmt: skip


def search(job: Job, minutes: float) -> Search:
    """Let a party search for a time, in a folder of its own below the job's."""

    with tempfile.TemporaryDirectory(prefix=f"{job.party}-", dir=job.folder) as folder:
        settings = {**job.settings, "deadline": time.time() + 60.0 * minutes}
        job = replace(job, folder=folder, settings=settings)
        started, watch = parties.launch([MODULES[job.party], str(job.write())], Path(folder))
        trials, facts = read_trials(job)
    in_time = [trial for trial in trials if trial.time <= started + 60.0 * minutes]
    memory = {"peak memory, MB": round(sum(watch.peaks.values()) / 1e6)}
    return Search([(trial.time - started, trial) for trial in improvements(in_time)], {**facts, **memory})


class Judge:
    """Trains configurations on all training rows and scores them on the test rows, each once."""

    def __init__(self, job: Job, test: Path) -> None:
        import pandas

        from benchmarks.hpsearch_search import study_of
        from hpsearch.runtime.study_run import workload_of
        from hpsearch.training.numerics import detect_environment, resolve_numerics

        self._study = study_of(job, pandas.read_csv(test))
        numerics = resolve_numerics(detect_environment("cpu"), "auto", attention=self._study.plan.prepared.attention)
        self._workload = workload_of(self._study.plan, numerics)
        self._known: dict[str, float] = {}

    def test(self, trial: Complete) -> float:
        """Return the macro F1 on the test rows."""
        from hpsearch.records import digest
        from hpsearch.runtime.refit import refit, score

        config = self._study.plan.complete(trial.config)
        key = digest([config, trial.epochs])
        if key not in self._known:
            point = max(1, round(trial.epochs * self._study.plan.evaluations_per_epoch))
            trained = refit(self._workload, config, point)
            self._known[key] = float(score(self._workload, trained).metrics["f1_macro"])
        return self._known[key]


def medians(searches: Sequence[Search], target: float, minutes: float) -> dict[str, Any]:
    """Return what a party's searches come to; a target that was not reached counts as the whole time, at least."""
    reached = [each.seconds_to(target) for each in searches]
    final = [each.test_at(60.0 * minutes) for each in searches]
    known = [score for score in final if score is not None]
    return {
        "reached": sum(seconds is not None for seconds in reached),
        "searches": len(searches),
        "median seconds to the target": statistics.median(60.0 * minutes if s is None else s for s in reached),
        "seconds to the target": reached,
        "median final test score": statistics.median(known) if known else None,
        "final test scores": final,
    }


def rows_of(found: Mapping[str, Any]) -> list[Row]:
    rows = []
    for party, each in found["parties"].items():
        seconds = each["median seconds to the target"]
        at_least = "" if 2 * each["reached"] > each["searches"] else "more than "
        final = each["median final test score"]
        rows.append(
            Row(
                f"time to {found['options']['target']} test macro F1, {NAMES[party]}",
                f"{at_least}{seconds:.0f} s (reached in {each['reached']} of {each['searches']} searches"
                f"{'' if final is None else f'; {final:.3f} at the end'})",
            )
        )
    return rows


def plot(searches: Mapping[str, Sequence[Search]], target: float, minutes: float) -> str:
    """Draw the median test score of the incumbents over time, with the range of the searches."""
    marks = [2.0 * index for index in range(1, int(30 * minutes) + 1)]
    shown = []
    for party, each in searches.items():
        points = []
        for at in marks:
            scores = [score for search_ in each if (score := search_.test_at(at)) is not None]
            if len(scores) == len(each):
                points.append((at, statistics.median(scores), min(scores), max(scores)))
        if points:
            x, y, low, high = zip(*points, strict=True)
            shown.append(Line(NAMES[party], x, y, low, high, step=True))
    if not shown:
        return ""
    shown.append(Line("target", [marks[0], marks[-1]], [target, target], dashed=True))
    title = "Test score of what a search would hand over, by time"
    return lines(title, "wall time in seconds, start-up included", "macro F1 on the test rows: median, range", shown)


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m benchmarks end_to_end", description=__doc__.splitlines()[0])
    made.add_argument("--data", type=Path, default=DATA, help="folder with train.csv and test.csv")
    made.add_argument("--model", default=None, help="folder of a BERT (default: the packaged MiniLM)")
    made.add_argument("--rows", type=int, default=600)
    made.add_argument("--target", type=float, default=0.66, help="test macro F1 to be reached (default: 0.66)")
    made.add_argument("--seeds", type=int, default=3, help="searches of each party")
    made.add_argument("--minutes", type=float, default=4.0, help="of each search")
    made.add_argument("--pruner", default="racing", help="hpsearch's; 'default' for the one of Study")
    made.add_argument("--parties", nargs="+", choices=tuple(NAMES), default=list(NAMES))
    return made


def main(arguments: Sequence[str] | None = None) -> dict[str, Any] | None:
    given = parser().parse_args(arguments)
    model = given.model or (str(folder) if (folder := minilm()) else None)
    lacking = missing(given.data, model)
    if lacking is not None or model is None:
        print(f"end_to_end: skipped, for want of {lacking}")
        return None
    runs = given.seeds * len(given.parties)
    seconds = runs * (60 * given.minutes + 15 + 4 * REFIT_SECONDS * given.rows / 600)
    print(f"{runs} searches of {given.minutes:g} min, about {seconds / 60:.0f} min with the refits", flush=True)
    told = {name: value for name, value in vars(given).items() if name not in ("data", "model")}
    found: dict[str, Any] = {"machine": machine(), "options": told, "parties": {}}
    searches: dict[str, list[Search]] = {party: [] for party in given.parties}
    with tempfile.TemporaryDirectory(prefix="hpsearch-end-to-end-") as temporary:
        settings = {"seed": 0, "pruner": given.pruner, "processes": machine()["cores"]}
        os.environ["HPSEARCH_CACHE"] = str(Path(temporary) / "cache")  # of the refits
        job = Job("hpsearch", [], str(given.data), model, given.rows, temporary, settings)
        judge = Judge(job, given.data / "test.csv")
        for seed in range(given.seeds):
            for party in given.parties if seed % 2 == 0 else given.parties[::-1]:
                done = search(replace(job, party=party, settings={**settings, "seed": seed}), given.minutes)
                done = replace(done, tests=[judge.test(trial) for _, trial in done.incumbents])
                searches[party].append(done)
                reached = done.seconds_to(given.target)
                print(
                    f"seed {seed}  {party:<10}target {'not reached' if reached is None else f'after {reached:.0f} s'}, "
                    f"test {[round(score, 3) for score in done.tests]}, {done.facts}",
                    flush=True,
                )
                keep(found, searches, given)
    for row in rows_of(found):
        print(f"{row.what}: {row.measured}")
    return found


def keep(found: dict[str, Any], searches: Mapping[str, Sequence[Search]], given: argparse.Namespace) -> None:
    """Write the results as far as they have come."""
    for party, each in searches.items():
        if each:
            summaries = [one.summary(given.target) for one in each]
            found["parties"][party] = {**medians(each, given.target, given.minutes), "each": summaries}
    found["readme"] = readme_rows(rows_of(found))
    write_measurements("end_to_end", found)
    if svg := plot({party: each for party, each in searches.items() if each}, given.target, given.minutes):
        write_plot("end_to_end", svg)


if __name__ == "__main__":
    main()
