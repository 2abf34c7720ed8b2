"""One script, one table: whatever the workers, the load beside them, the pauses and the kills.

Real studies whose sampler learns, whose pruner races or promotes. Each is compared bit by bit with itself run inline,
alone, without a pause: its table, all that it decided on, in which order, and its Optuna trials.
"""

import contextlib
import random
import signal
import sqlite3
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest
from study_processes import Launcher, StudyProcess, until
from toy_studies import count_evaluations, known_of, table, toy_study

import hpsearch as hp
from hpsearch.records.retention import needed_points
from hpsearch.study import Study

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning"),
]

SEARCHES: Mapping[str, Mapping[str, Any]] = {
    "tpe": {"sampler": "bayesian"},
    "gp": {"sampler": "gp"},
    "racing": {"sampler": "bayesian", "pruner": "racing", "early_stopping": 1.0},
    "asha": {"sampler": "bayesian", "pruner": "asha"},
}

TRIALS = 14
"""Of the first ten, TPE and the Gaussian process learn."""

FULL_TRIALS, TIMES = 30, 5

LIVES: Mapping[str, tuple[str, ...]] = {
    "inline": ("inline",),
    "one worker": ("cpu:1",),
    "two workers": ("cpu:2",),
    "three workers": ("cpu:3",),
    "killed": ("cpu:2", "cpu:3", "cpu:2", "inline"),
}
"""Where each process trains that a study has in turn: all but the last one are killed."""

MOMENTS = ("inside a recording", "after a recording", "inside a decision", "after tell", "before ask", "inside ask")


def known(folder: Path, name: str = "toy") -> dict[str, Any]:
    """Return all that a study decided on, in its order, and its table.

    Of predictions, those that a trial rests on: what was trained ahead and is not needed may have some too.
    """
    found = known_of(folder, name)
    with hp.load(name, folder=folder).store() as store:
        history = store.reload()
        assert [entry.words for entry in store.entries if entry.is_disturbance] == []
        needed = {
            (run.key, point)
            for trial in history.finished()
            for run in trial.runs
            for point in needed_points(history, run.key) or ()
        }
        found["predictions"] = {place: kept for place, kept in found["predictions"].items() if place in needed}
        assert found["predictions"].keys() == {(run, point) for run, point in needed if point > 0}
        return {
            **found,
            "order": list(store.entries),
            "decisions": [decision for _, decision in store.decisions()],
            "results": {key: [(end.segment, end.outcome, end.point) for end in ends] for key, ends in
                        history.results.items()},
        }  # fmt: skip


def compare(folder: Path, alone: Path) -> None:
    assert table(folder).equals(table(alone))
    found, expected = known(folder), known(alone)
    for what, value in expected.items():
        assert found[what] == value, what
    assert expected["order"]


def search(folder: Path, name: str, **settings: Any) -> Study:
    return toy_study(folder, evaluations_per_epoch=2, **{**SEARCHES[name], **settings})


def arrived(folder: Path) -> list[tuple[str, int]]:
    """Return what was measured, in the order in which it was recorded."""
    with contextlib.closing(sqlite3.connect(folder / "toy" / "study.db")) as connection:
        return connection.execute("select run, point from hpsearch_evaluations order by rowid").fetchall()


@pytest.fixture(scope="module", params=SEARCHES)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


# ---------------------------------------------------------------- processes that are killed


def deaths(drawn: random.Random, count: int, trials: int, evaluations: int) -> list[tuple[str, int]]:
    """Draw moments of which each comes while much is left of a study, even after all the others."""
    moments = [drawn.choice(MOMENTS) for _ in range(count)]
    return [
        (moment, drawn.randint(1, (evaluations if "recording" in moment else trials) // (2 * count + 1)))
        for moment in moments
    ]


def live(
    launcher: Launcher, folder: Path, name: str, lives: tuple[str, ...], trials: int, evaluations: int, seed: int = 0
) -> None:
    """Run a study in processes of its own, one after another, each but the last one killed."""
    drawn = random.Random(f"{name} {seed}")
    ends = deaths(drawn, len(lives) - 1, trials, evaluations) if len(lives) > 1 else []
    for devices, die in zip(lives, [*ends, None], strict=True):
        process = launcher.launch(
            "run", folder=str(folder), devices=devices, trials=trials, die=die, evaluations_per_epoch=2,
            checkpoint_every=0.05, **SEARCHES[name],
        )  # fmt: skip
        stall(process, drawn)
        assert process.wait() == (0 if die is None else -signal.SIGKILL), f"{die}: {process.text()}"


def stall(process: StudyProcess, drawn: random.Random) -> None:
    """Have one of a study's workers stand still now and then, until its process has ended."""
    while process.poll() is None:
        workers = process.workers()
        if workers:
            with contextlib.suppress(psutil.NoSuchProcess):
                worker = drawn.choice(workers)
                worker.suspend()
                time.sleep(drawn.uniform(0.0, 0.2))
                worker.resume()
        time.sleep(drawn.uniform(0.0, 0.2))


@contextlib.contextmanager
def load(launcher: Launcher, seed: int) -> Iterator[None]:
    """Keep this machine busy beside a study, at random."""
    process = launcher.launch("burn", seed=seed)
    try:
        yield
    finally:
        process.kill()


def run_alone(folder: Path, name: str, trials: int) -> int:
    """Run a study inline, without a pause; return how many evaluations it has."""
    search(folder, name).run(trials=trials, devices="inline", progress=False)
    return count_evaluations(folder)


@pytest.fixture(scope="module")
def cached(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("HPSEARCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def alone(name: str, cached: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """The folder of a study that was left alone, and how many evaluations it has."""
    folder = tmp_path_factory.mktemp("alone")
    return folder, run_alone(folder, name, TRIALS)


@pytest.mark.parametrize(
    "name",
    [*(pytest.param(name, marks=pytest.mark.long) for name in ("tpe", "gp", "asha")), "racing"],
    indirect=True,
)
def test_on_three_workers_and_killed_a_study_is_what_it_is_inline(
    name: str, launcher: Launcher, tmp_path: Path, alone: tuple[Path, int]
) -> None:
    folder, evaluations = alone
    with load(launcher, 0):
        live(launcher, tmp_path, name, ("cpu:3", "cpu:2"), TRIALS, evaluations)
    compare(tmp_path, folder)


@pytest.fixture(scope="module")
def full(name: str, cached: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    folder = tmp_path_factory.mktemp("full")
    return folder, run_alone(folder, name, FULL_TRIALS)


@pytest.mark.extended
@pytest.mark.parametrize("way", LIVES)
def test_thirty_trials_run_five_times_in_each_way_give_one_table(
    name: str, way: str, launcher: Launcher, tmp_path: Path, full: tuple[Path, int]
) -> None:
    folder, evaluations = full
    orders = [arrived(folder)]
    for time_ in range(TIMES):
        with load(launcher, time_):
            live(launcher, tmp_path / str(time_), name, LIVES[way], FULL_TRIALS, evaluations, time_)
        compare(tmp_path / str(time_), folder)
        orders.append(arrived(tmp_path / str(time_)))
    if way in ("two workers", "three workers"):  # else the comparison would say little
        assert any(order != orders[0] for order in orders)


# ---------------------------------------------------------------- pauses, other workers, company


@pytest.mark.parametrize(
    "name",
    [*(pytest.param(name, marks=pytest.mark.long) for name in ("tpe", "gp")), "racing", "asha"],
    indirect=True,
)
def test_stopped_after_every_few_evaluations_a_study_is_what_it_is_without_a_pause(
    name: str, launcher: Launcher, tmp_path: Path, alone: tuple[Path, int]
) -> None:
    """Each process stops the study, as `study.stop()` does, and the next one continues it."""
    few, pauses = 12, 0
    while count_evaluations(tmp_path) < alone[1]:
        process = launcher.launch(
            "run", folder=str(tmp_path), trials=TRIALS, stops=few, evaluations_per_epoch=2, **SEARCHES[name]
        )
        assert process.wait() == 0, process.text()
        pauses += 1
    assert pauses >= 3
    search(tmp_path, name).run(trials=TRIALS, devices="inline", progress=False)
    compare(tmp_path, alone[0])


@pytest.mark.long
def test_paused_by_ctrl_c_and_continued_on_another_number_of_workers(
    name: str, launcher: Launcher, tmp_path: Path, alone: tuple[Path, int]
) -> None:
    given = {"folder": str(tmp_path), "trials": TRIALS, "evaluations_per_epoch": 2, **SEARCHES[name]}
    for number, devices in enumerate(("cpu:1", "cpu:3", "cpu:2")):
        before = count_evaluations(tmp_path)
        process = launcher.launch("run", devices=devices, task={"pause": 0.1}, **given)
        until(lambda least=before + 5 * number + 1: count_evaluations(tmp_path) >= least, 240, process.text)
        process.send(signal.SIGINT)
        process.wait()
        assert "interrupted" in process.text()
    search(tmp_path, name, task={"pause": 0.0}).run(trials=TRIALS, devices="cpu:2", progress=False)
    compare(tmp_path, alone[0])


@pytest.mark.parametrize("devices", ["inline", pytest.param("cpu:3", marks=pytest.mark.long)])
def test_two_studies_together_are_what_each_is_alone(devices: str, cached: None, tmp_path: Path) -> None:
    pair, trials = ("racing", "asha"), (8, 10)
    hp.run([search(tmp_path / name, name) for name in pair], trials, devices=devices, progress=False)
    for name, number in zip(pair, trials, strict=True):
        run_alone(tmp_path / "alone" / name, name, number)
        compare(tmp_path / name, tmp_path / "alone" / name)


@pytest.mark.ray
def test_on_a_ray_cluster_a_study_is_what_it_is_inline(
    two_nodes: Any, cached: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run_alone(tmp_path / "alone", "racing", TRIALS)
    search(tmp_path / "ray", "racing").run(trials=TRIALS, devices="ray:2", progress=False)
    compare(tmp_path / "ray", tmp_path / "alone")
