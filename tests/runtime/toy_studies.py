"""Toy studies, run here or in a process of their own, and all that is known of one afterwards, ready to be compared."""

import hashlib
import importlib
import os
import random
import signal
import sqlite3
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from little_memory import run_out_of_memory  # noqa: F401  # which a launcher calls
from toy_task import ToyTask

import hpsearch as hp
from hpsearch.data.ragged import from_bytes, is_finite
from hpsearch.records.optuna_rows import OptunaRows
from hpsearch.records.store import Store
from hpsearch.records.tables import DESCRIBES_ITSELF
from hpsearch.study import Study

SPACE = hp.Space(
    learning_rate=hp.Float(1e-3, 1e-1, log=True, grid=[1e-3, 1e-2, 1e-1]),
    batch_size=hp.Categorical([8, 16]),
    epochs=hp.Int(1, 2),
    warmup_ratio=0.1,
)
"""Twelve points; the toy's literature default is one of them."""

SETTINGS: Mapping[str, Any] = {
    "space": SPACE,
    "sampler": "grid",
    "cv": 3,
    "metrics": ["accuracy"],
    "pruner": "none",
    "early_stopping": None,
    "seed": 3,
}


TASKS: Mapping[str, Callable[..., Any]] = {
    "toy": ToyTask,
    "text": hp.TextClassification,
    "image": hp.ImageClassification,
    "text numbers": hp.TextRegression,
}


def toy_study(folder: Path | str, task: Mapping[str, Any] | None = None, **settings: Any) -> Study:
    """Return a study of a task given by its arguments, and by its `kind` where it is another than the toy."""
    arguments = dict(task or {})
    made = TASKS[arguments.pop("kind", "toy")](**arguments)
    return Study("toy", made, folder=folder, **{**SETTINGS, **settings})


def found_or_made(folder: str, task: Mapping[str, Any], **settings: Any) -> Study:
    """Return the study of an earlier process, found by its name alone, or a new one."""
    if (Path(folder) / "toy" / "study.json").exists():
        return hp.load("toy", folder=folder)
    return toy_study(folder, task, **settings)


# What a process of its own is told to do.


def run(
    folder: str,
    devices: str | int = "inline",
    trials: int | None = None,
    task: Mapping[str, Any] | None = None,
    die: tuple[str, int] | None = None,
    stops: int = 0,
    checkpoint_every: float = 300.0,
    hurry: bool = False,
    notice_period: float = 25.0,
    **settings: Any,
) -> None:
    """Run a study to its end.

    Args:
        die: Name of a moment (see `DEATHS`, `RECORDINGS`, `BIRTHS`, `SHORTAGES`), and at which of its comings this
            process kills itself.
        stops: After so many new evaluations it pauses; 0: it does not.
        hurry: Whether to train without the task's pauses, which decide no number.
    """
    study = found_or_made(folder, task or {}, **settings)
    if hurry:
        study.plan.task = replace(study.task, pause=0.0)
    study.plan.checkpoint_every = checkpoint_every
    if die is not None:
        (DEATHS | RECORDINGS | BIRTHS | SHORTAGES)[die[0]](_Countdown(die[1]))
    if stops:
        _stop_after(stops)
    try:
        study.run(trials=trials, devices=devices, progress=False, notice_period=notice_period)
    finally:
        print("interrupted" if study.was_interrupted else "ended", flush=True)


def three_studies(folder: Path | str, pause: float = 0.0) -> list[Study]:
    """Return studies of three samplers and pruners, of one name in three folders; two of them share their runs."""
    racing = {"pruner": hp.Racing(synchronous=True), "sampler": "random"}
    settings: Mapping[str, Mapping[str, Any]] = {"a": {}, "b": racing, "c": {**racing, "sampler": "grid", "seed": 5}}
    return [toy_study(Path(folder) / name, {"pause": pause}, **given) for name, given in settings.items()]


def run_three(folder: str, devices: str | int, trials: list[int], pause: float) -> None:
    """Run three studies together."""
    studies = three_studies(folder, pause)
    try:
        hp.run(studies, trials, devices=devices, progress=False)
    finally:
        print("interrupted:", *(study.was_interrupted for study in studies), flush=True)


def run_on_core(folder: str, core: int, pause: float, trials: int) -> None:
    """Run a study whose process, and so its worker, may use one core only."""
    os.sched_setaffinity(0, {core})
    toy_study(folder, {"pause": pause}).run(trials=trials, devices=1, progress=False)


def burn(seed: int) -> None:
    """Keep a core busy now and then, at random, until whoever started this process is gone."""
    drawn, parent = random.Random(seed), os.getppid()
    while os.getppid() == parent:
        end = time.monotonic() + drawn.uniform(0.0, 0.2)
        while time.monotonic() < end:
            pass
        time.sleep(drawn.uniform(0.0, 0.4))


def perform(code: str, folder: str, environment: Mapping[str, str]) -> None:
    """Do what some code says, in a folder, as a person at a terminal would have Python do it."""
    for name in ("CI", "COLUMNS", "FORCE_COLOR", "LINES", "NO_COLOR", "TTY_COMPATIBLE"):
        os.environ.pop(name, None)
    os.environ.update(environment)
    os.chdir(folder)
    sys.stdout, sys.stderr = (open(number, "w", encoding="utf-8", buffering=1, closefd=False) for number in (1, 2))  # noqa: SIM115
    exec(code, {"__name__": "__main__"})


def command(words: list[str], folder: str) -> None:
    """Do what the command line does, in a folder."""
    os.chdir(folder)
    sys.path[:0] = os.environ["PYTHONPATH"].split(os.pathsep)
    sys.argv = ["hpsearch", *words]
    importlib.import_module("hpsearch.cli.commands").app()


class _Countdown:
    def __init__(self, count: int) -> None:
        self._left = count

    def __call__(self) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def _around(owner: Any, name: str, before: Callable[..., None] | None, after: Callable[..., None] | None) -> None:
    real = getattr(owner, name)

    def wrapped(*arguments: Any, **named: Any) -> Any:
        if before is not None:
            before(*arguments)
        found = real(*arguments, **named)
        if after is not None:
            after(*arguments)
        return found

    setattr(owner, name, wrapped)


def _in_commit(owner: Any, method: str, countdown: _Countdown) -> None:
    """Count the commits inside a method: at the last one the transaction is written and not yet committed."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    inside: list[bool] = []
    _around(owner, method, lambda *_: inside.append(True), lambda *_: inside.pop())
    event.listen(Engine, "commit", lambda _: countdown() if inside else None)


def _renaming(countdown: _Countdown, moment: str) -> None:
    def of_a_checkpoint(_: Any, target: Any) -> None:
        if not str(target).endswith(".partial"):
            countdown()

    _around(os, "rename", *((of_a_checkpoint, None) if moment == "before" else (None, of_a_checkpoint)))


DEATHS: dict[str, Callable[[_Countdown], None]] = {
    "before ask": lambda count: _around(Store, "add_trial", lambda *_: count(), None),
    "inside ask": lambda count: _in_commit(OptunaRows, "add", count),
    "after ask": lambda count: _around(Store, "add_trial", None, lambda *_: count()),
    "before tell": lambda count: _around(OptunaRows, "tell", lambda *_: count(), None),
    "inside tell": lambda count: _in_commit(OptunaRows, "tell", count),
    "after tell": lambda count: _around(OptunaRows, "tell", None, lambda *_: count()),
    "inside a decision": lambda count: _in_commit(Store, "apply", count),
    "before a rename": lambda count: _renaming(count, "before"),
    "after a rename": lambda count: _renaming(count, "after"),
}

"""Moments that come again and again."""


RECORDINGS: dict[str, Callable[[_Countdown], None]] = {
    "inside a recording": lambda count: _in_commit(Store, "record_evaluation", count),
    "after a recording": lambda count: _around(Store, "record_evaluation", None, lambda *_: count()),
}
"""Moments that come with each evaluation."""


def _made(owner: str, name: str, count: _Countdown, moment: str) -> None:
    module = importlib.import_module(owner)
    _around(module, name, *((lambda *_: count(), None) if moment == "before" else (None, lambda *_: count())))


BIRTHS: dict[str, Callable[[_Countdown], None]] = {
    "before its rows are renamed": lambda count: _around(Path, "rename", lambda *_: count(), None),
    "before its folds are renamed": lambda count: _around(Path, "replace", lambda *_: count(), None),
    "before it is made": lambda count: _made("hpsearch.records.store", "make_study", count, "before"),
    "half made": lambda count: _made("hpsearch.records.studies", "_make_optuna_study", count, "after"),
    "after it is made": lambda count: _made("hpsearch.records.store", "make_study", count, "after"),
    "before it is described": lambda count: _around(Store, "replace_description", None, lambda *_: count()),
}
"""Moments that come once, while a study is made."""


SHORTAGES: dict[str, Callable[[_Countdown], None]] = {
    "before its runs are replaced": lambda count: _around(Store, "replace_runs", lambda *_: count(), None),
    "as its runs are replaced": lambda count: _in_commit(Store, "replace_runs", count),
    "after its runs are replaced": lambda count: _around(Store, "replace_runs", None, lambda *_: count()),
}
"""Moments that come when a run has had too little memory."""


def _stop_after(evaluations: int) -> None:
    from hpsearch.runtime.coordinator import Coordinator

    known: list[int] = []

    def observe(coordinator: Coordinator, trial: Any) -> None:
        count = sum(map(len, coordinator.store.history.evaluations.values()))
        known.append(count)
        if count >= known[0] + evaluations:
            coordinator.stop()

    _around(Coordinator, "begin", None, lambda coordinator: observe(coordinator, None))
    _around(Coordinator, "_notify", observe, None)


# What is known of a study.


def known_of(folder: Path, name: str = "toy") -> dict[str, Any]:
    """Return everything recorded of a study but seconds, memory, times of day and the ways that segments ended."""
    study = hp.load(name, folder=folder)
    store = study.store()
    history = store.reload()
    optuna_trials = store.optuna_study().get_trials(deepcopy=False)
    found = {
        "trials": {number: asdict(trial) for number, trial in history.trials.items()},
        "evaluations": {
            key: [
                {name: each for name, each in asdict(evaluation).items() if name not in MEASURED} for evaluation in all_
            ]
            for key, all_ in history.evaluations.items()
        },
        "predictions": predictions(folder, name),
        "optuna": {
            t.number: (t.state.name, t.values, t.params, t.distributions, t.intermediate_values, t.user_attrs)
            for t in optuna_trials
        },
        "mismatches": store.mismatches,
    }
    store.close()
    return found


MEASURED = ("seconds", "peak_memory_bytes")


def table(folder: Path, name: str = "toy") -> Any:
    """Return the result's table without its measurements."""
    result = hp.load(name, folder=folder).result
    frame = result.table().drop(columns=["seconds"])
    result.record.store.close()
    return frame


def predictions(folder: Path, name: str) -> dict[tuple[str, int], tuple[tuple[int, int], str]]:
    """Return shape and digest of all kept predictions, by run and point."""
    connection = sqlite3.connect(folder / name / "study.db")
    rows = connection.execute("select run, point, rows, outputs, float32 from hpsearch_predictions").fetchall()
    connection.close()
    found = {}
    for run_key, point, count, outputs, content in rows:
        if outputs == DESCRIBES_ITSELF:
            kept = from_bytes(content)
            assert len(kept) == count and is_finite(kept)
        else:
            assert len(content) == 4 * count * outputs
            assert np.isfinite(np.frombuffer(content, dtype="<f4")).all()
        found[run_key, point] = ((count, outputs), hashlib.sha256(content).hexdigest())
    return found


def count_evaluations(folder: Path, name: str = "toy") -> int:
    """Return how many evaluations are recorded by now, also while another process writes; 0 before the first."""
    path = folder / name / "study.db"
    if not path.exists():
        return 0
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=20)
    try:
        return int(connection.execute("select count(*) from hpsearch_evaluations").fetchone()[0])
    except sqlite3.OperationalError:  # the table is not there yet
        return 0
    finally:
        connection.close()


def files_of(folder: Path, name: str = "toy") -> set[str]:
    """Return the files of a study that nobody has open, relative to its folder; SQLite's own are folded away first."""
    connection = sqlite3.connect(folder / name / "study.db")
    connection.execute("pragma wal_checkpoint(truncate)")
    connection.close()
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


# Pools without a study, in a process of their own.


def hold_pool(released: bool) -> None:
    """Make a pool of one worker, close it if its process is to be released, and wait for ever."""
    from hpsearch.records import Slot
    from hpsearch.runtime.pools.local import LocalPool

    pool = LocalPool([Slot(0, ("cpu",))])
    pool.environment()
    if released:
        pool.close()
    print("ready", flush=True)
    time.sleep(600)


def interrupted_pool() -> None:
    """Make a pool of one worker, be deaf to signals, train, and say whether the worker was one and the same."""
    import tempfile

    from orders import order_of, run_of, train, workload

    from hpsearch.records import Outcome, Slot
    from hpsearch.runtime.pools.local import LocalPool

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, lambda *_: None)
    pool = LocalPool([Slot(0, ("cpu",))])
    generation = pool._generation
    print("started", flush=True)
    with tempfile.TemporaryDirectory() as cache:
        pool.prepare(workload(pool, Path(cache), "deaf", pause=0.1))
        print("ready", flush=True)
        events = train(pool, order_of("deaf", run_of("deaf")))
    assert events[-1].result.outcome is Outcome.OK  # type: ignore[union-attr]
    if pool._generation == generation:
        print("the same worker", flush=True)
    pool.close()


def measure_memory(folder: str, devices: str | int, trials: int, **settings: Any) -> None:
    """Run a study, and print the resident bytes of this process and of its workers after each trial."""
    import json

    import psutil
    from study_processes import is_worker

    def measure(_: Study, trial: Any) -> None:
        here = psutil.Process()
        workers = [child for child in here.children(recursive=True) if is_worker(child)]
        sizes = {str(worker.pid): worker.memory_info().rss for worker in workers}
        print("memory", json.dumps({"trial": trial.number, "here": here.memory_info().rss, "workers": sizes}))

    study = toy_study(folder, callbacks=[measure], **settings)
    study.run(trials=trials, devices=devices, progress=False)
