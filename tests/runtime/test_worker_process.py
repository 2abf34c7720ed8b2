"""A released process waits for the next pool: when it is used again, and when it must not be."""

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator

import psutil
import pytest
from orders import measured, order_of, run_of, train, workload
from study_processes import is_alive, until

from hpsearch.records import Slot
from hpsearch.runtime import worker_process
from hpsearch.runtime.pools.local import LocalPool
from hpsearch.runtime.worker_process import WorkerProcess

CPU = Slot(0, ("cpu",))
SECONDS = 120.0


@pytest.fixture(autouse=True)
def _nothing_waits() -> Iterator[None]:
    worker_process._take(())
    yield
    worker_process._take(())


def ready(slots: list[Slot]) -> tuple[LocalPool, list[psutil.Process]]:
    """Return a pool and its workers' processes, once they are up."""
    pool = LocalPool(slots)
    until(lambda: list(pool.completed(0.2)) or len(pool.idle()) == len(slots), SECONDS, "no worker")
    return pool, [psutil.Process(pid) for pid in pool.processes().values()]


def test_the_next_pool_has_the_same_processes_until_new_ones_would_begin_otherwise(monkeypatch):
    first, processes = ready([CPU, Slot(1, ("cpu",))])
    beside, others = ready([CPU])
    assert not set(others) & set(processes)
    first.close()
    first.close()
    beside.close()
    monkeypatch.setenv("KMP_DUPLICATE_LIB_OK", "True")  # as scikit-learn does
    second, again = ready([CPU, Slot(1, ("cpu",))])
    assert set(again) < {*processes, *others}
    second.close()
    first.close()  # is closed already, and ends none that another pool may use
    assert all(map(is_alive, again))
    monkeypatch.setenv("SAID_LATER", "yes")
    third, changed = ready([CPU])
    assert changed[0] not in again
    until(lambda: not any(map(is_alive, again)), SECONDS, "a process that nobody can use lives")
    third.close()


def test_code_of_a_script_leaves_nothing_behind_for_the_next_study(tmp_path):
    """It travels by value, imports no module, and may change anything in its process."""
    code = """
        import numpy as np, hpsearch as hp
        from torch import nn
        x = np.random.default_rng(0).normal(size=(60, 6)).astype("float32")
        y = np.arange(60) % 3
        x[:, 0] += y
        def clean(width=4):
            return nn.Sequential(nn.Linear(6, width), nn.ReLU(), nn.Linear(width, 3))
        def patching(width=4):
            nn.init.kaiming_uniform_ = lambda tensor, *_, **__: nn.init.constant_(tensor, 0.01)
            return clean(width)
        def folds(name, make):
            space = hp.Space(epochs=2, batch_size=8, width=4, learning_rate=0.05)
            task = hp.CustomTask(make, train=(x, y))
            study = hp.Study(name, task, space, cv=2, pruner="none", sampler="random")
            return study.run(trials=1, devices=1, progress=False).best.folds
        before, patched, after = folds("before", clean), folds("patched", patching), folds("after", clean)
        print(before != patched, before == after)
    """
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HPSEARCH_CACHE": str(tmp_path / "cache")}
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "True True", done.stderr


def test_after_an_update_of_a_package_processes_are_new(monkeypatch):
    pool, processes = ready([CPU])
    pool.close()
    monkeypatch.setattr(worker_process, "installed_versions", dict)
    pool, others = ready([CPU])
    assert others != processes
    pool.close()


def test_a_process_with_a_users_module_ends_and_another_measures_the_same(tmp_path):
    """The module of the toy task is of no installed package, so it may be edited before the next study."""
    order = order_of("toy", run_of("toy"))
    pool, processes = ready([CPU])
    pool.prepare(workload(pool, tmp_path, "toy"))
    evaluations = measured(train(pool, order))
    pool.close()
    until(lambda: not any(map(is_alive, processes)), SECONDS, "it would compute with code of the past")
    pool, others = ready([CPU])
    assert others != processes
    pool.prepare(workload(pool, tmp_path, "toy"))
    assert measured(train(pool, order)) == evaluations
    pool.close()


def test_a_process_that_was_killed_while_it_waited_is_replaced():
    pool, processes = ready([CPU])
    pool.close()
    until(lambda: worker_process._released[0].call.done(), SECONDS, "it has not left its call")
    processes[0].kill()
    pool, others = ready([CPU])
    assert others != processes
    pool.close()


# Where the call of the first takes longer than that to arrive, loky says so and starts another process.
@pytest.mark.filterwarnings("ignore:A worker stopped while some jobs were given")
def test_a_process_that_nobody_uses_ends_after_a_while(monkeypatch):
    monkeypatch.setenv("SAID_LATER", "no")
    with monkeypatch.context() as patched:  # for the first only: on a busy machine a call may take that long to arrive
        patched.setattr(worker_process, "RELEASED_SECONDS", 5.0)
        pool, processes = ready([CPU])
    pool.close()
    until(lambda: not any(map(is_alive, processes)), SECONDS, "it waits for ever")
    pool, others = ready([CPU])
    assert others != processes
    pool.close()


def test_processes_on_gpus_and_busy_ones_are_not_released(tmp_path, monkeypatch):
    released: list[WorkerProcess] = []
    monkeypatch.setattr(WorkerProcess, "release", released.append)
    monkeypatch.setattr("hpsearch.runtime.pools.local.worker_device", lambda _: "cpu")
    for device in ("cuda:0", "mps"):
        pool, processes = ready([Slot(0, (device,))])
        pool.close()
        until(lambda: not any(map(is_alive, processes)), SECONDS, "it holds the memory of a GPU")  # noqa: B023
    pool, processes = ready([CPU])
    pool.prepare(workload(pool, tmp_path, "busy", pause=0.1))
    pool.submit(CPU, order_of("busy", run_of("busy")))
    pool.close()
    until(lambda: not any(map(is_alive, processes)), SECONDS, "it goes on training")
    assert released == []


def test_a_script_ends_at_once_and_leaves_no_released_process():
    script = textwrap.dedent("""
        from hpsearch.records import Slot
        from hpsearch.runtime.pools.local import LocalPool

        pool = LocalPool([Slot(0, ("cpu",))])
        pool.environment()
        pool.close()
        print(*pool.processes().values())
    """)
    done = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True, text=True, check=True, timeout=SECONDS,
    )  # fmt: skip
    assert done.stderr == ""
    assert not psutil.pid_exists(int(done.stdout))
