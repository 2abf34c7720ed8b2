"""The process that workers are forked from: what they inherit of it, and how it ends."""

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
from orders import ends, finish, first, measured, order_of, run_of, train, workload
from study_processes import is_alive, is_worker, until
from tasks_samples import review_rows, save_text_model

from hpsearch.records import Outcome, Slot
from hpsearch.runtime.devices import worker_environment
from hpsearch.runtime.fork_server import Forked, ForkServer, can_fork, fork_server, prepare_to_fork
from hpsearch.runtime.forking import WORKER_NAME
from hpsearch.runtime.messages import Evaluated
from hpsearch.runtime.pools import LocalPool

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux only")

CPU = Slot(0, ("cpu",))
SECONDS = 60.0
ENVIRONMENT = {**os.environ, **worker_environment(CPU, os.environ, threads=1)}


@pytest.fixture(scope="module")
def server() -> Iterator[ForkServer]:
    made = ForkServer(ENVIRONMENT)
    yield made
    made.close()


def told(server: ForkServer, folder: Path, look: Callable[[], object], imports: tuple[str, ...] = ()) -> str:
    """Return what a worker has found, as text."""
    file = folder / f"found-{len(list(folder.iterdir()))}"

    def write() -> None:
        partial_ = Path(f"{file}.partial")
        partial_.write_text(str(look()))
        partial_.rename(file)

    worker = server.fork(write, dict(os.environ), imports)
    until(file.exists, SECONDS, "nothing was written")
    until(worker.has_ended, SECONDS, "it has not ended")
    worker.end()
    return file.read_text()


def test_a_worker_has_what_its_asker_has_now_not_what_the_server_began_with(server, tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.setenv("SAID_LATER", "yes")
    monkeypatch.syspath_prepend(str(tmp_path / "elsewhere"))
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setattr(sys, "argv", ["script.py", "--an-argument"])
    assert told(server, tmp_path, lambda: os.environ["SAID_LATER"]) == "yes"
    assert told(server, tmp_path, lambda: sys.argv[1]) == "--an-argument"
    assert told(server, tmp_path, lambda: sys.path[0]) == str(tmp_path / "elsewhere")
    assert told(server, tmp_path, os.getcwd) == str(tmp_path / "elsewhere")
    cores = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(cores)})
        assert told(server, tmp_path, lambda: os.sched_getaffinity(0)) == str({min(cores)})
    finally:
        os.sched_setaffinity(0, cores)
    monkeypatch.delenv("SAID_LATER")
    assert told(server, tmp_path, lambda: os.environ.get("SAID_LATER")) == "None"


def test_what_it_prints_goes_where_its_asker_prints(server, tmp_path, capfd):
    told(server, tmp_path, lambda: (print("a word"), print("a cry", file=sys.stderr)))
    printed = capfd.readouterr()
    assert (printed.out, printed.err) == ("a word\n", "a cry\n")


def test_what_it_raises_is_printed_and_ends_it_alone(server, tmp_path, capfd):
    def fail() -> None:
        raise RuntimeError("broken")

    worker = server.fork(fail, dict(os.environ), ())
    until(worker.has_ended, SECONDS, "it has not ended")
    worker.end()
    assert "RuntimeError: broken" in capfd.readouterr().err
    assert told(server, tmp_path, lambda: "well") == "well"


def test_random_states_differ_from_worker_to_worker(server, tmp_path):
    def drawn() -> object:
        import numpy as np

        return np.random.random()

    assert told(server, tmp_path, drawn) != told(server, tmp_path, drawn)  # Python's own does so by itself


def test_it_has_imported_what_workers_need_and_computes_alone_in_its_process(server, tmp_path):
    def look() -> object:
        return "torch" in sys.modules, "sklearn" in sys.modules

    assert told(server, tmp_path, look) == "(True, True)"
    threads = [Path(f"/proc/{server.pid}/task/{each.id}/comm").read_text() for each in threads_of(server)]
    assert len([name for name in threads if not name.startswith("jemalloc")]) == 1  # that one knows about forks
    assert told(server, tmp_path, lambda: "optuna" in sys.modules) == "False"  # workers never import it


def threads_of(server: ForkServer) -> list[Any]:
    return psutil.Process(server.pid).threads()


def test_what_cannot_be_forked_harms_nobody_else(server, tmp_path, monkeypatch, capfd):
    worker = server.fork(partial(time.sleep, 600), ENVIRONMENT, ())
    until(lambda: len(workers_of(server)) == 1, SECONDS, "no worker")
    ours, theirs = socket.socketpair()
    with ours, theirs:
        socket.send_fds(server._control, [b"+"], [theirs.fileno(), 1, 2])
        ours.sendall(struct.pack("!Q", 4) + b"junk")
        until(lambda: "UnpicklingError" in "".join(capfd.readouterr()), SECONDS, "nothing is said")
    assert told(server, tmp_path, lambda: "well") == "well"
    assert not worker.has_ended()
    worker.end()


def test_a_module_of_the_users_is_imported_anew_by_each_worker(server, tmp_path, monkeypatch):
    folder = tmp_path / "theirs"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))

    def look() -> object:
        import a_module_of_theirs

        return a_module_of_theirs.VALUE

    for value in ("before", "after the edit"):
        (folder / "a_module_of_theirs.py").write_text(f"VALUE = {value!r}")
        assert told(server, tmp_path, look, imports=("a_module_of_theirs", "no_such_module")) == value


def test_a_worker_is_ended_alone_and_reaped(server):
    two = [server.fork(partial(time.sleep, 600), ENVIRONMENT, ()) for _ in range(2)]
    until(lambda: len(workers_of(server)) == 2, SECONDS, "no workers")
    two[0].end()
    two[0].end()
    assert two[0].has_ended()
    until(lambda: len(psutil.Process(server.pid).children()) == 1, SECONDS, "it lives, or was not reaped")
    assert not two[1].has_ended()
    os.kill(workers_of(server)[0].pid, signal.SIGKILL)
    until(two[1].has_ended, SECONDS, "nobody said that it was killed")
    two[1].end()


def workers_of(server: ForkServer) -> list[psutil.Process]:
    return [each for each in psutil.Process(server.pid).children() if each.name() == WORKER_NAME and is_alive(each)]


def test_a_server_without_workers_goes_after_a_while_and_another_is_started():
    short = ForkServer(ENVIRONMENT, idle_seconds=0.5)
    until(lambda: not short.is_alive(), SECONDS, "it stays")
    with pytest.raises(BrokenPipeError):
        short.fork(print, {}, ())
    short.close()


def test_one_server_serves_all_pools_and_another_environment_has_its_own():
    server = fork_server(ENVIRONMENT)
    assert fork_server({**ENVIRONMENT, "PYTEST_CURRENT_TEST": "another", "KMP_DUPLICATE_LIB_OK": "True"}) is server
    worker = server.fork(partial(time.sleep, 600), ENVIRONMENT, ())
    other = fork_server({**ENVIRONMENT, "OMP_NUM_THREADS": "2"})
    assert other is not server
    assert server.is_alive()  # it has a worker
    other.close()
    again = fork_server({**ENVIRONMENT, "OMP_NUM_THREADS": "2"})
    assert again is not other
    assert again.is_alive()
    worker.end()
    assert fork_server(ENVIRONMENT) is server
    fork_server({**ENVIRONMENT, "OMP_NUM_THREADS": "3"}).close()
    assert not server.is_alive()
    assert not again.is_alive()


def test_other_versions_of_what_was_imported_have_a_server_of_their_own(monkeypatch):
    server = fork_server(ENVIRONMENT)
    monkeypatch.setattr("hpsearch.provenance.packages.version", lambda _: "0.0")
    other = fork_server(ENVIRONMENT)
    assert other is not server
    other.close()


def test_only_a_cpu_has_forked_workers():
    assert can_fork("cpu")
    assert not can_fork("cuda:0")
    assert not can_fork("mps")


def test_a_pool_whose_server_is_killed_goes_on_and_measures_the_same(tmp_path):
    pool = LocalPool([CPU])
    try:
        pool.prepare(workload(pool, tmp_path, "orphans", pause=0.1))
        order = order_of("orphans", run_of("orphans"))
        straight = measured(train(pool, order))
        pool.submit(pool.idle()[0], order)
        events = first(pool, Evaluated)
        worker = psutil.Process(pool.processes()[0])
        server = worker.parent()
        assert server is not None
        assert is_worker(worker)
        server.kill()
        events += finish(pool)
        assert [end.result.outcome for end in ends(events)] == [Outcome.LOST]
        until(lambda: not is_alive(worker), 5.0, "a worker without a server")
        until(lambda: list(pool.completed(0.2)) or pool.idle(), SECONDS, "no new worker")
        assert measured(train(pool, order)) == straight
    finally:
        pool.close()


def test_workers_whose_server_dies_as_it_imports_start_without_one(monkeypatch):
    monkeypatch.setenv("HF_HUB_USER_AGENT_ORIGIN", "another environment, so another server")
    before = set(psutil.Process().children())
    pool = LocalPool([Slot(index, ("cpu",)) for index in range(3)])
    try:
        (server,) = set(psutil.Process().children()) - before
        server.kill()
        until(lambda: list(pool.completed(0.2)) or all(pool.processes().values()), SECONDS, "no workers")
        assert all("popen_loky" in " ".join(psutil.Process(pid).cmdline()) for pid in pool.processes().values())
    finally:
        pool.close()


def test_a_pool_that_is_closed_while_the_server_imports_leaves_no_worker(monkeypatch):
    monkeypatch.setenv("HF_HUB_USER_AGENT_ORIGIN", "yet another environment")
    LocalPool([CPU]).close()
    server = fork_server({**os.environ, **worker_environment(CPU, os.environ, threads=1)})
    last = server.fork(partial(time.sleep, 600), ENVIRONMENT, ())
    until(lambda: len(workers_of(server)) == 1, SECONDS, "no worker, or two")
    assert not last.has_ended()
    last.end()
    server.close()


def test_a_server_that_cannot_be_started_is_done_without(monkeypatch, tmp_path):
    def refuse(*_: object, **__: object) -> Forked:
        raise OSError("no process left")

    for module in ("fork_server", "pools.worker_process"):
        monkeypatch.setattr(f"hpsearch.runtime.{module}.fork_server", refuse)
    prepare_to_fork(CPU)
    pool = LocalPool([CPU])
    try:
        pool.prepare(workload(pool, tmp_path, "alone"))
        assert len(measured(train(pool, order_of("alone", run_of("alone"))))) == 4
        assert "popen_loky" in " ".join(psutil.Process(pool.processes()[0]).cmdline())
    finally:
        pool.close()


@pytest.mark.parametrize(
    ("devices", "has_gpu", "begun"),
    [
        ("auto", False, True),
        (2, False, True),
        ("auto", True, False),
        (2, True, False),
        ("cpu", True, True),
        (["cpu", "cpu"], True, True),
        (["cuda:0"], True, False),
        ("inline", False, False),
        ("nonsense", False, False),
        ([], False, False),
        (True, False, False),
        (0, False, False),
    ],
)
def test_the_server_begins_before_torch_is_imported_where_no_gpu_is_in_sight(devices, has_gpu, begun, tmp_path):
    script = textwrap.dedent("""
        import json, psutil, sys
        from hpsearch.runtime import devices, fork_server

        devices.GPU_DRIVERS = (sys.argv[1],)
        fork_server.begin_imports(json.loads(sys.argv[2]))
        print("torch" in sys.modules, len(psutil.Process().children()))
    """)
    driver = sys.executable if has_gpu else str(tmp_path / "no driver")
    done = subprocess.run(
        [sys.executable, "-c", script, driver, json.dumps(devices)], capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == (f"False {int(begun)}\n", "")


def test_a_script_that_ends_leaves_no_server_behind(tmp_path):
    script = textwrap.dedent("""
        import os
        from hpsearch.runtime.fork_server import fork_server
        print(fork_server(dict(os.environ)).pid)
    """)
    done = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    assert not psutil.pid_exists(int(done.stdout))


@pytest.mark.slow
def test_a_study_has_one_server_from_its_first_look_at_its_rows_to_its_next_run(tmp_path):
    """In a process that has imported nothing yet: libraries and training set variables in its environment later."""
    save_text_model(tmp_path / "model")
    review_rows(40).to_csv(tmp_path / "rows.csv", index=False)
    script = textwrap.dedent("""
        import hpsearch as hp, psutil, sys

        seen = []

        def look(study, trial):
            here = psutil.Process()
            seen.append([child.pid for child in here.children() if "forking" in " ".join(child.cmdline())])

        study = hp.Study(
            "one", hp.TextClassification("model", train="rows.csv", text="text", label="label"),
            hp.Space(learning_rate=hp.Float(1e-4, 1e-2), batch_size=8, epochs=1), cv=2, callbacks=[look],
        )
        assert "sklearn" not in sys.modules and "torch" not in sys.modules
        result = study.run(trials=1, devices=2, progress=False)
        result.refit()
        study.run(trials=2, devices=2, progress=False)
        print(len(seen), len(set(map(tuple, seen))), len(seen[0]))
    """)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout == "2 1 1\n", done.stderr
