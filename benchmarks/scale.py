"""What a study of two thousand trials costs to read and to continue, and a folder of fifty studies to list.

A real study of a small network is made, and filled through the real store with finished trials of three folds, as a
coordinator would have: every fourth on all folds, the others pruned on the first. Its rows are then copied, with other
learning rates. Then each thing is done in a process
of its own. `resume` is the time from `Study.run` until an inline pool that is ready is handed its first order, imports
apart; the others are whole commands, the start of Python included.

    python -m benchmarks scale [--trials 2000] [--studies 50]

The goals: resume 4 s, report 8 s and 400 MB, show 1 s, list 1 s.
"""

import argparse
import json
import math
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

import hpsearch as hp
from benchmarks.coordinator import Clocks
from benchmarks.measurements import FOLDER, machine, write_measurements
from benchmarks.scale_network import CLASSES, network
from hpsearch.plan.run_keys import run_keys
from hpsearch.policy.policy import Policy
from hpsearch.policy.pruner import Pruner
from hpsearch.records import Action, Decision, Evaluation, Outcome, Run, Segment, SegmentResult, digest
from hpsearch.records.store import Store
from hpsearch.runtime.new_trials import Asker

ROWS, POINTS_PER_EPOCH = 600, 2
SMALL = 20
"""Trials of the studies that are listed, of which the large one is many copies."""

GOALS = {"resume": 4.0, "report": 8.0, "report MB": 400.0, "show": 1.0, "list": 1.0}


def study(folder: Path, name: str) -> hp.Study:
    """Return a study whose code and rows can be found again."""
    random = np.random.default_rng(0)
    rows = (random.normal(size=(ROWS, 6)).astype(np.float32), np.arange(ROWS) % CLASSES)
    space = hp.Space(
        default={"learning_rate": 1e-3, "batch_size": 32, "epochs": 1, "weight_decay": 0.01, "width": 8},
        learning_rate=hp.Float(1e-5, 1e-1, log=True),
        batch_size=hp.Categorical([8, 16, 32]),
        epochs=hp.Int(1, 4),
        weight_decay=hp.Float(1e-5, 0.3, log=True),
        width=hp.Int(2, 16),
    )
    task = hp.CustomTask(network, train=rows)
    return hp.Study(
        name, task, space, cv=3, metrics=["accuracy"], evaluations_per_epoch=POINTS_PER_EPOCH, folder=folder
    )


def fill(made: hp.Study, trials: int) -> None:
    """Put finished trials into a study that has been run, as a coordinator would have."""
    store, plan = made.store(), made.plan
    policy = Policy(plan.aim, POINTS_PER_EPOCH, None, Pruner())
    plan.sampler = "random"
    keys = run_keys(plan, made.record.numerics())
    asker = Asker(store, plan.space, plan.resolved_sampler(), keys, plan.complete, None)
    store.acquire()
    while len(store.history.trials) < trials:
        trial = asker.ask()
        assert trial is not None
        if trial.number % 4:
            _record(store, trial.runs[0], plan.folds.pairs[0][1])
            value = store.history.of(trial.runs[0].key)[-1].metrics["f1_macro"]
            store.apply(Decision(trial.number, Action.PRUNE, "behind the others", value, reports=((1, value),)))
            continue
        for run in trial.runs:
            _record(store, run, plan.folds.pairs[run.fold][1])
            while (decision := policy.decide(store.history, trial.number)).stop is not None:
                store.apply(decision)
                if decision.final_state is not None:
                    break
    store.release()


def multiply(database: Path, times: int) -> None:
    """Have a study of so many times the trials, each with a learning rate and runs of its own.

    Two thousand trials written one by one, every commit on the disk, take many minutes.
    """
    with closing(sqlite3.connect(database)) as connection:
        connection.row_factory = sqlite3.Row
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        tables = {name: [dict(row) for row in connection.execute(f"SELECT * FROM {name}")] for name in names}
        trials = len(tables["trials"])
        copied = {name: rows for name, rows in tables.items() if rows and {"trial_id", "run", "trial"} & set(rows[0])}
        for copy in range(1, times):
            random = np.random.default_rng(copy)
            rates = {row["trial_id"]: float(10 ** random.uniform(-5, -1)) for row in tables["trials"]}
            for name, rows in copied.items():
                made = [_another(row, copy, copy * trials, rates) for row in rows]
                columns = ", ".join(made[0])
                places = ", ".join(f":{column}" for column in made[0])
                connection.executemany(f"INSERT INTO {name} ({columns}) VALUES ({places})", made)
        connection.commit()


def _another(row: Mapping[str, Any], copy: int, offset: int, rates: Mapping[int, float]) -> dict[str, Any]:
    """Return a row of another trial, so many later, with other runs and another learning rate."""
    generated = ("param_id", "trial_value_id", "trial_intermediate_value_id", "trial_user_attribute_id", "id")
    new = {name: value for name, value in row.items() if name not in (*generated, "trial_system_attribute_id")}
    for name in ("trial_id", "trial", "number"):
        if name in new:
            new[name] += offset
    if "run" in new:
        new["run"] = digest([new["run"], copy])
    rate = rates.get(row.get("trial_id", -1))
    if row.get("param_name") == "learning_rate":
        new["param_value"] = rate
    if row.get("key") in ("config", "hpsearch:training_config"):
        new["value_json"] = json.dumps({**json.loads(row["value_json"]), "learning_rate": rate})
    if row.get("key") == "hpsearch:runs":
        own = [[digest([key, copy]), *numbers] for key, *numbers in json.loads(row["value_json"])]
        new["value_json"] = json.dumps(own)
    return new


def _record(store: Store, run: Run, held_out: np.ndarray) -> None:
    for point in range(1, run.horizon + 1):
        random = np.random.default_rng([int(digest([dict(run.config), run.fold])[:8], 16), point])
        distance = abs(math.log10(float(run.config["learning_rate"])) + 3.0)
        value = float(np.clip(0.8 - 0.1 * distance - 0.3 * 0.5**point + random.normal(scale=0.01), 0.0, 1.0))
        measured = {"f1_macro": value, "accuracy": value, "loss": 1.1 - value}
        outputs = random.normal(size=(len(held_out), CLASSES)).astype(np.float32)
        store.record_evaluation(
            Evaluation(run.key, point, point / POINTS_PER_EPOCH, 1.0 - value, measured, 1e-3, 400 * point, seconds=1.0),
            outputs,
        )
    store.record_result(SegmentResult(Segment(run, 0, run.horizon), Outcome.OK, run.horizon))


def first_order(folder: str, trials: int) -> None:
    """Continue the study at a folder until a pool is handed an order, and print how long that took."""
    from hpsearch.runtime.pools.inline import InlinePool
    from hpsearch.runtime.study_run import StudyRun  # noqa: F401  (imported before the clock starts)

    loaded, waited = hp.load(folder), Clocks()
    prepare, orders = InlinePool.prepare, []

    def timed(pool: InlinePool, workload: Any) -> None:
        nonlocal waited
        began = Clocks.now()
        prepare(pool, workload)
        waited += Clocks.now() - began

    def submitted(*_: Any) -> None:
        orders.append(Clocks.now())
        raise KeyboardInterrupt

    InlinePool.prepare, InlinePool.submit = timed, submitted  # type: ignore[method-assign]
    began = Clocks.now()
    try:
        loaded.run(trials=trials, devices="inline", progress=False)
    except KeyboardInterrupt:
        taken = orders[0] - began - waited
        print(json.dumps({"seconds": taken.wall, "processor": taken.processor}))


def of_process(*arguments: str) -> dict[str, float]:
    """Run Python and return its wall time, its processor time in seconds, and its greatest memory in MB."""
    began = time.perf_counter()
    code = (
        "import resource, runpy, sys\n"
        "with open('/proc/self/clear_refs', 'w') as peak:\n    peak.write('5')  # else it begins with this process's\n"
        "try:\n    runpy.run_module('hpsearch', run_name='__main__', alter_sys=True)\n"
        "finally:\n    used = resource.getrusage(resource.RUSAGE_SELF)\n"
        "    with open('/proc/self/status') as status:\n"
        "        peak = next(int(line.split()[1]) for line in status if line.startswith('VmHWM'))\n"
        "    sys.stderr.write(f'\\n{peak / 1024} {used.ru_utime + used.ru_stime}')"
    )
    ran = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    megabytes, processor = map(float, ran.stderr.splitlines()[-1].split())
    return {"seconds": time.perf_counter() - began, "processor": processor, "MB": megabytes}


def measured(folder: Path, trials: int) -> dict[str, dict[str, float]]:
    """Return what each thing takes."""
    large = str(folder / "large")
    copy = str(folder.parent / "continued")
    shutil.copytree(large, copy)
    script = f"from benchmarks.scale import first_order; first_order({copy!r}, {trials + 1})"
    resumed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return {
        "resume": json.loads(resumed.stdout.splitlines()[-1]),
        "show": of_process("show", large),
        "list": of_process("list", "--folder", str(folder)),
        "report": of_process("report", large, "--output", str(folder.parent / "report.html")),
    }


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(prog="python -m benchmarks scale", description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=2000, help="trials of the large study (default: 2000)")
    parser.add_argument("--studies", type=int, default=50, help="studies to list (default: 50)")
    parser.add_argument("--kept", type=Path, help="where filled studies are, or are to be kept for the next time")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="hpsearch-scale-") as temporary:
        folder = Path(temporary) / "runs"
        if given.kept is not None and given.kept.is_dir():
            shutil.copytree(given.kept, folder)
        else:
            _make(folder, given.trials, given.studies)
            if given.kept is not None:
                shutil.copytree(folder, given.kept)
        found = measured(folder, given.trials)
    for name, figures in found.items():
        goals = ", ".join(f"{goal:g}{unit}" for unit, goal in ((" s", GOALS[name]), *_memory(name)))
        print(f"{name:<8}{'  '.join(f'{key} {value:.2f}' for key, value in figures.items())}   goal {goals}")
    result = {
        "machine": {**machine(), "load": os.getloadavg()[0]},
        "trials": given.trials,
        "studies": given.studies,
        "goals": GOALS,
        "found": found,
        "before": _before(),
    }
    write_measurements("scale", result)
    return result


def _before() -> Any:
    """Return what was found before reading was made faster, on the same study: it is measured no more."""
    path = FOLDER / "scale.json"
    return json.loads(path.read_text(encoding="utf-8")).get("before") if path.exists() else None


def _memory(name: str) -> list[tuple[str, float]]:
    return [(" MB", GOALS[f"{name} MB"])] if f"{name} MB" in GOALS else []


def _make(folder: Path, trials: int, studies: int) -> None:
    """Make the large study and the small ones."""
    made = study(folder, "small")
    made.run(trials=1, devices="inline", progress=False)
    fill(made, SMALL)
    for index in range(1, studies):
        shutil.copytree(folder / "small", folder / f"small-{index}")
    multiply(folder / "small" / "study.db", -(-trials // SMALL))
    (folder / "small").rename(folder / "large")


if __name__ == "__main__":
    main()
