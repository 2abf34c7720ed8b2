"""Small records that are all different, and a study full of them, for these tests and the processes they start."""

import json
import math
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

from hpsearch.records import (
    Action,
    Decision,
    Evaluation,
    Fit,
    Origin,
    Outcome,
    Run,
    Segment,
    SegmentResult,
    Trial,
    digest,
)
from hpsearch.records.store import Store
from hpsearch.records.urls import sqlite_url

FOLDS = 3
POINTS = 6
DISTRIBUTIONS: Mapping[str, BaseDistribution] = {
    "learning_rate": FloatDistribution(1e-6, 1e-1, log=True),
    "epochs": IntDistribution(1, 4),
}


def url_of(folder: Path) -> str:
    return sqlite_url(folder / "study.db")


def new_store(url: str, name: str = "emotion") -> Store:
    """Return a new study, its lease held."""
    store = Store.create(url, name, {"metric": "f1_macro"})
    store.acquire()
    return store


def config_of(index: int) -> dict[str, Any]:
    return {"learning_rate": 1e-5 * (1 + index % 5000), "epochs": 3, "scheduler": "linear"}


def add_trial(store: Store, index: int, origin: Origin = Origin.SAMPLER, folds: int = FOLDS) -> Trial:
    config = config_of(index)
    training_config = {**config, "batch_size": 16, "dropout": None}
    runs = [(digest(["run", index, fold]), fold, 0, POINTS) for fold in range(folds)]
    params = {"learning_rate": config["learning_rate"], "epochs": 3}
    return store.add_trial(config, params, DISTRIBUTIONS, training_config, runs, origin)


def evaluation_of(run: str, point: int, **changes: Any) -> Evaluation:
    base = int(run[:6], 16) / 16**6
    values: dict[str, Any] = {
        "run": run,
        "point": point,
        "epoch": point / 2,
        "train_loss": 1.0 / (point + base),
        "metrics": {"loss": base / point, "f1_macro": 1 - base / point},
        "learning_rate": 1e-4 / point,
        "rows_seen": 300 * point,
        "seconds": 0.25,
        "peak_memory_bytes": 3 << 30,
    }
    return Evaluation(**{**values, **changes})


def outputs_of(run: str, point: int, rows: int = 50) -> np.ndarray:
    return np.random.default_rng([int(run[:8], 16), point]).normal(size=(rows, 4)).astype(np.float32)


def refitted(trial: Trial, first: int, fit: Fit = Fit(4)) -> list[Run]:  # noqa: B008 (it is frozen)
    """Return a trial's runs, those from `first` on as they are trained in a fit."""
    return [
        run if index < first else replace(run, key=digest(["refitted", run.key, fit.to_dict()]), fit=fit)
        for index, run in enumerate(trial.runs)
    ]


def train(store: Store, trial: Trial, points: int = POINTS, rows: int = 50, folds: int = FOLDS) -> None:
    """Record everything that training the first `folds` of a trial up to `points` yields."""
    for run in trial.runs[:folds]:
        for point in range(store.history.point(run) + 1, points + 1):
            store.record_evaluation(evaluation_of(run.key, point), outputs_of(run.key, point, rows))
        store.record_result(SegmentResult(Segment(run, 0, points), Outcome.OK, points))


def complete(store: Store, trial: Trial, point: int = 4) -> Decision:
    return Decision(
        trial.number,
        Action.COMPLETE,
        "trained to the end",
        value=mean(store, trial, point),
        point=point,
        stop=POINTS,
        reports=((1, 0.5), (2, mean(store, trial, point))),
        attributes={"epoch": point / 2, "folds": [0.25, 0.5, 0.75]},
    )


def prune(store: Store, trial: Trial, point: int = 2) -> Decision:
    return Decision(
        trial.number, Action.PRUNE, "behind the others", value=0.25, point=point, reports=((1, 0.25), (2, math.nan))
    )


def mean(store: Store, trial: Trial, point: int) -> float:
    return math.fsum(store.history.of(run.key)[point - 1].metrics["f1_macro"] for run in trial.runs) / len(trial.runs)


def everything(store: Store) -> str:
    """Return all of a history as text: two are equal when all their numbers are, NaN included."""
    history = store.history
    parts = (history.trials, history.evaluations, history.results)
    return json.dumps([[repr(item) for item in sorted(part.items())] for part in parts], indent=1)


def die() -> None:
    """End this process as a power cut would: nothing is flushed, no handler runs."""
    os.kill(os.getpid(), signal.SIGKILL)


def _fork() -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 on forking beside threads; the child has none
        return os.fork()


def _work_and_exit(work: Callable[[], object]) -> None:
    status = 1
    try:
        work()
        status = 0
    finally:
        os._exit(status)


def _was_killed(child: int) -> bool:
    _, status = os.waitpid(child, 0)
    assert status == 0 or (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL), status
    return status != 0


def killed_in_child(work: Callable[[], object]) -> bool:
    """Run `work`, which may kill its process, in a forked child; True when it did."""
    child = _fork()
    if child == 0:
        _work_and_exit(work)
    return _was_killed(child)


def killed_after(seconds: float, work: Callable[[Callable[[], object]], object]) -> bool:
    """Run `work` in a forked child and kill it `seconds` after it calls what it is given; True if it was not done."""
    reading, writing = os.pipe()
    child = _fork()
    if child == 0:
        _work_and_exit(lambda: work(lambda: os.write(writing, b"!")))
    os.close(writing)
    os.read(reading, 1)
    os.close(reading)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    return _was_killed(child)


@contextmanager
def optuna_tool(url: str, name: str = "emotion") -> Iterator[optuna.Study]:
    """Open a study as any Optuna tool does that knows nothing of us."""
    storage = optuna.storages.RDBStorage(url)
    try:
        yield optuna.load_study(study_name=name, storage=storage)
    finally:
        storage.remove_session()
        storage.engine.dispose()


def die_at_call(owner: Any, name: str, call: int, after: bool = False) -> None:
    """Make call number `call` (from 1) of `owner.name` kill this process, before or after doing its work."""
    calls = iter(range(1, 1_000_000))
    original = getattr(owner, name)

    def fatal(*arguments: Any, **named: Any) -> Any:
        now = next(calls) == call
        if now and not after:
            die()
        try:
            return original(*arguments, **named)
        finally:
            if now:
                die()

    setattr(owner, name, fatal)


@contextmanager
def python_process(code: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run `code` in a new Python process that may import hpsearch and this module, and kill it at the end."""
    here = Path(__file__).resolve().parent
    path = os.pathsep.join([str(here), str(here.parents[1]), os.environ.get("PYTHONPATH", "")])
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", code, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()
