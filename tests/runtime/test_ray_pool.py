"""What only a Ray cluster has to show, on real nodes of this machine: nodes that differ, die, join and leave."""

import logging
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest
from faulty_task import FaultyTask
from orders import ends, finish, first, measured, order_of, resumed, run_of, train, workload
from ray_nodes import OF_NODES, RayCluster, RayNode
from study_processes import StudyProcess, until
from toy_studies import count_evaluations, known_of, table, toy_study

import hpsearch as hp
from hpsearch.errors import HpsearchError, UsageError
from hpsearch.records import Outcome, Slot
from hpsearch.runtime.messages import Evaluated
from hpsearch.runtime.pools import chosen_pool
from hpsearch.runtime.pools.base import Pool
from hpsearch.runtime.pools.ray_cluster import Place
from hpsearch.runtime.pools.worker_pool import STARTS_LIMIT

pytestmark = [pytest.mark.ray, pytest.mark.slow]

SOON = 10.0
"""Seconds that a worker may outlive its coordinator."""

RACING = hp.Racing(synchronous=True)
PAIRS = {
    "random-racing and grid-none": {"a": ("random", RACING), "b": ("grid", "none")},
    "grid-racing and random-none": {"a": ("grid", RACING), "b": ("random", "none")},
}
FIRST, SECOND = PAIRS
TRIALS = 6


def compare(folder: Path, straight: Path) -> None:
    """Check that tables, and every metric, loss and predicted bit, are the same."""
    assert table(folder).equals(table(straight))
    found, expected = known_of(folder), known_of(straight)
    assert found == expected
    assert found["mismatches"] == 0


def outcomes(folder: Path) -> set[Outcome]:
    with hp.load("toy", folder=folder).store() as store:
        return {result.outcome for _, result in store.results()}


# ---------------------------------------------------------------- the same as on one machine


@pytest.mark.parametrize("pair", [FIRST, pytest.param(SECOND, marks=pytest.mark.extended)])
def test_two_nodes_give_the_same_studies_as_one_machine_and_one_process(two_nodes, tmp_path, pair):
    """To the last bit: which trials there are, how far each was trained, what it measured and predicted.

    On the cluster and on this machine the two studies share one pool.
    """
    for devices in ("inline", 2, "ray:2"):
        studies = [
            toy_study(tmp_path / str(devices) / name, sampler=sampler, pruner=pruner, cv=2, evaluations_per_epoch=4)
            for name, (sampler, pruner) in PAIRS[pair].items()
        ]
        hp.run(studies, TRIALS, devices=devices, progress=False)
        for study in studies:
            study.store().close()
    for name in PAIRS[pair]:
        for devices in ("2", "ray:2"):
            compare(tmp_path / devices / name, tmp_path / "inline" / name)


def test_a_killed_worker_is_lost_and_another_takes_its_place(two_nodes, tmp_path):
    pool = chosen_pool("ray:2")[1]()
    try:
        nodes = {slot.devices[0] for slot in pool.slots()}
        assert len(nodes) == 2
        assert all(re.fullmatch(r"\S+-[0-9a-f]{6}/cpu", name) for name in nodes)
        pool.prepare(workload(pool, tmp_path, "killed", pause=0.1))
        slot = pool.idle()[0]
        order = order_of("killed", run_of("killed"))
        pool.submit(slot, order)
        events = first(pool, Evaluated)
        before = pool.processes()[slot.index]
        os.kill(before, signal.SIGKILL)
        events += finish(pool)
        assert [end.result.outcome for end in ends(events)] == [Outcome.LOST]
        assert events[-1].result.point == len(measured(events))
        assert re.search(r"It was on \S+-[0-9a-f]{6}\.", events[-1].result.log)
        until(lambda: list(pool.completed(0.2)) or slot in pool.idle(), 120, "no new worker")
        assert pool.processes()[slot.index] not in (before, None)
        pool.submit(slot, resumed(order, events))
        assert finish(pool)[-1].result.outcome is Outcome.OK
    finally:
        pool.close()
    until(lambda: not two_nodes.workers(), SOON, "workers of a closed pool")


# ---------------------------------------------------------------- nodes that differ


def other_version(folder: Path) -> dict[str, str]:
    """Return the environment of a node that has another version of hpsearch, made in a folder."""
    package = Path(hp.__file__).parent
    shutil.copytree(package, folder / "hpsearch", ignore=shutil.ignore_patterns("__pycache__"))
    versions = folder / "hpsearch" / "provenance" / "packages.py"
    versions.write_text(versions.read_text().replace(f'__version__ = "{hp.__version__}"', '__version__ = "9.9"'))
    return {"PYTHONPATH": os.pathsep.join([str(folder), str(Path(__file__).parent)])}


@pytest.fixture
def odd_nodes(two_nodes: RayCluster, tmp_path: Path) -> Iterator[dict[str, RayNode]]:
    """Nodes that join two others.

    Of another CPU, without hpsearch, without it at first, with another version of it, with a torch that cannot be
    imported, with one that ends its process.
    """
    root, beside = str(Path(hp.__file__).parents[1]), str(Path(__file__).parent)
    for name, module, code in (
        ("none", "hpsearch", ""),
        ("late", "hpsearch", "import os\nos.remove(__file__)\n"),
        ("torn", "torch", "raise AttributeError('a torn torch')"),
        ("mute", "torch", "import os\nos._exit(1)"),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{module}.py").write_text(code)
    nodes = {
        "cpu": two_nodes.start(1, {"ATEN_CPU_CAPABILITY": "default"}),
        "none": two_nodes.start(1, {"PYTHONPATH": str(tmp_path / "none")}),
        "late": two_nodes.start(1, {"PYTHONPATH": os.pathsep.join([str(tmp_path / "late"), root, beside])}),
        "other": two_nodes.start(1, other_version(tmp_path / "other")),
        "torn": two_nodes.start(2, {"PYTHONPATH": os.pathsep.join([str(tmp_path / "torn"), root, beside])}),
        "mute": two_nodes.start(1, {"PYTHONPATH": os.pathsep.join([str(tmp_path / "mute"), root, beside])}),
    }
    yield nodes
    for node in nodes.values():
        node.kill()


def test_a_node_that_cannot_compute_or_start_as_the_others_is_left_out_and_named(
    two_nodes, odd_nodes, tmp_path, caplog, monkeypatch
):
    monkeypatch.chdir(tmp_path)  # Ray's workers look for modules there, too
    names = {kind: node.id[:6] for kind, node in odd_nodes.items()}
    late = names.pop("late")
    pool = chosen_pool("ray")[1]()
    try:
        with caplog.at_level(logging.WARNING, "hpsearch"):
            pool.prepare(workload(pool, tmp_path, "odd"))
            until(lambda: list(pool.completed(0.2)) or len(pool.slots()) == 3, 120, lambda: str(pool.slots()))
        there = {slot.devices[0] for slot in pool.slots()}
        assert not [name for name in names.values() for device in there if name in device]
        assert [device for device in there if late in device]
        assert not (tmp_path / "late" / "hpsearch.py").exists()  # its first worker could not start
        left_out = [record for record in caplog.records if "gets no work" in record.msg]
        said = {record.args[0][-6:]: record.getMessage() for record in left_out}
        assert said.keys() == set(names.values())
        assert len(left_out) == len(said)
        assert "no worker can run there (AttributeError: a torn torch)." in said[names["torn"]]
        assert "no worker can run there (its processes end before they are up, and say nothing" in said[names["mute"]]
        assert "it refuses the study 'odd'. " in said[names["cpu"]]
        assert "device_model is " in said[names["cpu"]]
        assert "no worker can run there (ModuleNotFoundError: No module named 'hpsearch." in said[names["none"]]
        assert f"it has hpsearch 9.9, and this process has {hp.__version__}" in said[names["other"]]
        assert train(pool, order_of("odd", run_of("odd")))[-1].result.outcome is Outcome.OK
    finally:
        pool.close()


@pytest.mark.extended
def test_a_node_that_has_no_room_for_what_is_sent_is_left_out_and_its_run_pauses(two_nodes, tmp_path, caplog):
    """Its object store has 100 MB, and its disk counts as full."""
    full = two_nodes.start(1, {"RAY_local_fs_capacity_threshold": "0.01"})
    pool = chosen_pool("ray")[1]()
    try:
        pool.prepare(workload(pool, tmp_path, "large"))
        until(lambda: list(pool.completed(0.2)) or on(pool, full), 120, "no worker there")
        order = order_of("large", run_of("large"), checkpoint={"weights": bytes(150_000_000)})
        pool.submit(on(pool, full)[0], order)
        assert [end.result.outcome for end in ends(finish(pool))] == [Outcome.PAUSED]
        until(lambda: list(pool.completed(0.2)) or len(pool.slots()) == 2, 30, lambda: str(pool.slots()))
        assert "no worker can run there (Ray's object store and the disk that it spills to are full)" in caplog.text
    finally:
        pool.close()
        full.kill()


def on(pool, node: RayNode) -> list[Slot]:
    return [slot for slot in pool.idle() if node.id[:6] in slot.devices[0]]


def without_torch(folder: Path) -> dict[str, str]:
    """Return the environment of a node on which torch cannot be imported."""
    (folder / "torch").mkdir(parents=True)
    (folder / "torch" / "__init__.py").write_text("raise ModuleNotFoundError(\"No module named 'torch'\")")
    return {"PYTHONPATH": os.pathsep.join([str(folder), OF_NODES["PYTHONPATH"]])}


def without_room(_: Path) -> dict[str, str]:
    """Return the environment of a node whose disk is full, by Ray's reckoning, once its object store is."""
    return {"RAY_local_fs_capacity_threshold": "0.001"}


@pytest.mark.parametrize(
    ("lacking", "study", "says"),
    [
        (other_version, "small", f"it has hpsearch 9.9, and this process has {hp.__version__}. Install the same on"),
        (without_torch, "small", "no worker can run there (ModuleNotFoundError: No module named 'torch')."),
        (
            without_room,
            "wide",
            "Ray's object store and the disk that it spills to are full). Start Ray with a larger",
        ),
        (without_room, "holding", "A message of 0.16 GB for a worker on "),
    ],
    ids=["version", "torch", "answer", "message"],
)
def test_what_only_workers_find_out_is_said_in_one_paragraph(tmp_path, monkeypatch, lacking, study, says):
    """On the command line, of a cluster's only node: where another can train, a warning names the node."""
    (tmp_path / "study.py").write_text(LARGE)
    monkeypatch.setattr("ray_nodes.OF_NODES", {**OF_NODES, **lacking(tmp_path / "node")})
    with RayCluster(1) as cluster:
        cluster.used(monkeypatch)
        ended = run_command(tmp_path, study, "ray")
    assert (ended.returncode, ended.stdout) == (1, ""), ended.stderr
    (paragraph,) = ended.stderr.splitlines()
    assert paragraph.startswith("hpsearch: ")
    assert says in paragraph
    assert study == "holding" or "No node of the Ray cluster can train. " in paragraph


def test_where_this_machine_has_no_room_for_an_answer_the_error_names_it(tmp_path, monkeypatch):
    (tmp_path / "study.py").write_text(LARGE)
    with monkeypatch.context() as patched:
        patched.setattr("ray_nodes.OF_NODES", {**OF_NODES, **without_room(tmp_path)})
        cluster = RayCluster(0)
    with cluster:
        cluster.start(1)
        ended = run_command(tmp_path, "wide", "ray", cluster.environment)
    assert (ended.returncode, ended.stdout) == (1, ""), ended.stderr
    assert "What comes from a worker on " in ended.stderr
    assert f"does not fit into Ray's object store here, on {socket.gethostname()}: OutOfDiskError. " in ended.stderr


def test_that_no_node_computes_as_a_study_began_is_said_in_one_paragraph(tmp_path, monkeypatch):
    (tmp_path / "study.py").write_text(LARGE)
    begun = run_command(tmp_path, "small", "inline")
    assert begun.returncode == 0, begun.stderr
    (tmp_path / "node" / "torch-9.9.dist-info").mkdir(parents=True)
    (tmp_path / "node" / "torch-9.9.dist-info" / "METADATA").write_text("Name: torch\nVersion: 9.9\n")
    monkeypatch.setitem(OF_NODES, "PYTHONPATH", os.pathsep.join([str(tmp_path / "node"), OF_NODES["PYTHONPATH"]]))
    with RayCluster(1) as cluster:
        monkeypatch.undo()
        ended = run_command(tmp_path, "small", "ray", cluster.environment, trials=2)
    assert (ended.returncode, ended.stdout) == (1, ""), ended.stderr
    assert len(ended.stderr.splitlines()) == 1, ended.stderr
    assert ended.stderr.startswith("hpsearch: No node of the Ray cluster computes as the study 'large' began. On ")
    assert "torch is 9.9 here and " in ended.stderr


def run_command(
    folder: Path, kind: str, devices: str, variables: Mapping[str, str] = MappingProxyType({}), trials: int = 1
) -> subprocess.CompletedProcess[str]:
    """Run the study that is large in some way on the command line."""
    path = os.pathsep.join([str(Path(hp.__file__).parents[1]), str(Path(__file__).parent)])
    command = [sys.executable, "-m", "hpsearch", "run", "study.py", f"--trials={trials}", f"--devices={devices}"]
    environment = {**os.environ, "PYTHONPATH": path, "KIND": kind, **variables}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


LARGE = """
import os
import numpy as np
import torch
import hpsearch as hp

kind = os.environ["KIND"]
width, held = 3_000_000 if kind == "wide" else 4, np.zeros(20_000_000 if kind == "holding" else 1)

def made(held=held):
    return torch.nn.Sequential(torch.nn.Linear(4, width), torch.nn.ReLU(), torch.nn.Linear(width, 2))

inputs = np.random.default_rng(1).normal(size=(60, 4)).astype("float32")
task = hp.CustomTask(made, train=(inputs, (inputs[:, 0] > 0).astype(int)))
space = hp.Space(learning_rate=hp.Float(1e-3, 1e-2), epochs=4, batch_size=8)
study = hp.Study("large", task, space, cv=2, pruner="none", evaluations_per_epoch=2, checkpoint_every=0.1)
"""


# ---------------------------------------------------------------- nodes that come and go


def test_a_study_goes_on_through_a_node_that_dies_one_that_joins_and_one_that_leaves(launcher, tmp_path):
    folder = tmp_path / "cluster"
    with RayCluster(cpus=1) as cluster:
        second = cluster.start(1)
        process = launcher.launch(
            "run", cluster.environment, folder=str(folder), devices="ray", trials=8, task={"pause": 0.2}, cv=3
        )
        until(lambda: trains_on(process, folder, second), 120, process.text)
        second.kill_raylet()
        until(lambda: "is gone. What trained there continues elsewhere" in process.text(), 60, process.text)
        third = cluster.start(1)
        until(lambda: third.workers(), 60, process.text)
        known = count_evaluations(folder)
        until(lambda: count_evaluations(folder) >= known + 6 or process.poll() is not None, 120, process.text)
        third.drain()
        until(lambda: "is about to leave the cluster" in process.text(), 60, process.text)
        until(lambda: not third.workers(), 60, process.text)
        assert process.poll() is None, process.text()
        assert process.wait() == 0, process.text()
        assert "has joined the cluster, and is used (workers: 1)" in process.text()
        assert outcomes(folder) == {Outcome.OK, Outcome.PAUSED}
        until(lambda: not cluster.workers(), SOON, "workers of a study that has ended")
    inline(tmp_path / "inline")
    compare(folder, tmp_path / "inline")


def trains_on(process: StudyProcess, folder: Path, node: RayNode) -> bool:
    """Return whether a study has measured something, and a node's worker is busy."""
    assert process.poll() is None, process.text()
    return count_evaluations(folder) > 2 and any(worker.cpu_times().user > 0 for worker in node.workers())


def inline(folder: Path) -> None:
    study = toy_study(folder)
    study.run(trials=8, devices="inline", progress=False)
    study.store().close()


def test_paused_or_killed_a_coordinator_leaves_no_worker_and_the_study_goes_on(two_nodes, launcher, tmp_path):
    folder = tmp_path / "killed"
    for number, status in ((signal.SIGINT, None), (signal.SIGKILL, -signal.SIGKILL), (None, 0)):
        known = count_evaluations(folder) if folder.exists() else 0
        pause = 0.0 if number is None else 0.2
        process = launcher.launch(
            "run", two_nodes.environment, folder=str(folder), devices="ray:2", trials=8, task={"pause": 0.2}, cv=3,
            hurry=not pause,
        )  # fmt: skip
        if number is not None:
            until(lambda known=known: folder.exists() and count_evaluations(folder) > known + 1, 120, process.text)
            process.send(number)
        ended = process.wait()
        assert ended == status or (status is None and ended != 0), process.text()
        until(lambda: not two_nodes.workers(), SOON, "workers without a coordinator")
    inline(tmp_path / "inline")
    compare(folder, tmp_path / "inline")


@pytest.mark.extended
def test_without_a_node_the_pool_waits_for_one_and_says_so(tmp_path, caplog, monkeypatch):
    with RayCluster(cpus=0) as cluster:
        only = cluster.start(1)
        cluster.used(monkeypatch)
        pool = chosen_pool("ray")[1]()
        try:
            pool.prepare(workload(pool, tmp_path, "alone", pause=0.1))
            order = order_of("alone", run_of("alone"))
            pool.submit(pool.idle()[0], order)
            events = first(pool, Evaluated)
            with caplog.at_level(logging.WARNING, "hpsearch"):
                only.kill()
                events += finish(pool)
                assert events[-1].result.outcome is Outcome.PAUSED
                until(lambda: list(pool.completed(0.2)) or "Waiting up to 10 minutes" in caplog.text, 30, caplog.text)
                assert pool.slots() == []
                cluster.start(1)
                until(lambda: list(pool.completed(0.2)) or pool.idle(), 60, lambda: caplog.text)
            pool.submit(pool.idle()[0], resumed(order, events))
            assert finish(pool)[-1].result.outcome is Outcome.OK
            monkeypatch.setattr("hpsearch.runtime.pools.ray.NODES_SECONDS", 1.0)
            cluster.nodes[-1].kill()
            with pytest.raises(HpsearchError, match=r"No node of the Ray cluster was left .* none joined within 0\.0"):
                until(lambda: list(pool.completed(0.2)), 60, "no error")
        finally:
            pool.close()


def test_without_its_only_worker_the_pool_goes_on_where_there_is_room(tmp_path, caplog):
    """Its worker is killed three times as it loads the model. Then a GPU errs twice: it stays out until the run that
    met it errs on another one, too. The GPUs are pretended."""
    with pytest.MonkeyPatch.context() as patched, RayCluster(cpus=0) as cluster:
        patched.setattr(Place, "device", "cpu")
        for _ in range(3):
            cluster.start(1, gpus=1)
        cluster.used(patched)
        pool = chosen_pool("ray:gpu:1")[1]()
        try:
            loads = {"trouble": "die loading", "flag": str(tmp_path / "loads"), "spared": STARTS_LIMIT + 1}
            pool.prepare(workload(pool, tmp_path, "loads", **loads))
            assert "ended 3 times before they were ready, as they loaded the model" in caplog.text
            assert train(pool, order_of("loads", run_of("loads")))[-1].result.outcome is Outcome.OK
            pool._workloads.clear()
            given = workload(pool, tmp_path, "errs")
            pool.prepare(replace(given, task=FaultyTask(error="CUDA error: unspecified launch failure")))
            devices = [errs_on(pool) for _ in range(3)]
            assert devices[0] == devices[1] != devices[2]
            assert f"{devices[0]} was taken out of the study" in caplog.text
            assert f"{devices[0]} is used again" in caplog.text
            assert sum(pool._given_up.values()) == 1  # the first worker's
            pool._workloads.clear()
            pool.prepare(workload(pool, tmp_path, "works"))
            assert train(pool, order_of("works", run_of("works")))[-1].result.outcome is Outcome.OK
        finally:
            pool.close()


def errs_on(pool: Pool) -> str:
    """Have a run meet an error of its device, once the pool has a worker, and return which device that was."""
    until(lambda: list(pool.completed(0.2)) or pool.idle(), 120, "no worker")
    (slot,) = pool.idle()
    assert train(pool, order_of("errs", run_of("errs")))[-1].result.outcome is Outcome.LOST
    return slot.devices[0]


@pytest.mark.extended
def test_a_worker_leaves_a_node_that_others_have_filled_where_another_has_room(monkeypatch):
    monkeypatch.setattr("hpsearch.runtime.pools.ray.ELSEWHERE_SECONDS", 12.0)
    import ray

    with RayCluster(cpus=1) as cluster:
        roomy = cluster.start(cpus=2).id
        cluster.used(monkeypatch)
        ray.init(address="auto", log_to_driver=False)
        try:
            pinned = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(cluster.head.id, soft=False)
            another = ray.remote(num_cpus=1)(type("Another", (), {"works": lambda self: True}))
            there = another.options(scheduling_strategy=pinned).remote()
            assert ray.get(there.works.remote())
            pool = chosen_pool("ray:2")[1]()
            try:
                assert {place.node.id for place in pool._places.values()} == {cluster.head.id, roomy}
                until(lambda: list(pool.completed(0.2)) or all(pool.processes().values()), 60, pool.processes)
                assert [pool._places[slot.index].node.id for slot in pool.slots()] == [roomy, roomy]
            finally:
                pool.close()
        finally:
            ray.shutdown()


@pytest.mark.extended
def test_through_rays_client_a_study_is_the_same(two_nodes, launcher, tmp_path):
    process = launcher.launch(
        "run", two_nodes.environment, folder=str(tmp_path / "client"), devices=two_nodes.client_address, trials=8, cv=3
    )
    assert process.wait() == 0, process.text()
    inline(tmp_path / "inline")
    compare(tmp_path / "client", tmp_path / "inline")
    until(lambda: not two_nodes.workers(), SOON, "workers of a study that has ended")


# ---------------------------------------------------------------- what is wrong is said


@pytest.mark.parametrize(
    ("devices", "message"),
    [
        ("ray:gpu", "asks for GPUs, and no node of the Ray cluster has one"),
        ("ray:9", r"asks for 9 workers, and the Ray cluster has room for \d, one a core"),
    ],
)
def test_what_the_cluster_lacks_is_said_before_anything_starts(two_nodes, devices, message):
    with pytest.raises(UsageError, match=message):
        chosen_pool(devices)


def test_another_version_of_ray_is_named(two_nodes, monkeypatch):
    import ray

    ray.shutdown()
    monkeypatch.setattr(ray, "__version__", "2.0.0")
    with pytest.raises(UsageError, match=r"runs other versions than this process: .*Install the cluster's"):
        chosen_pool("ray")


def test_a_cluster_that_does_not_answer_is_not_waited_for(monkeypatch):
    import ray

    ray.shutdown()
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")
    with pytest.raises(UsageError, match=r"Ray cluster at 127\.0\.0\.1:9 does not answer\. Check that its head node"):
        chosen_pool("ray")
    with pytest.raises(UsageError, match=r"Ray cluster at ray://127\.0\.0\.1:9 does not answer"):
        chosen_pool("ray://127.0.0.1:9")


def test_without_ray_it_is_said_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=r"Ray cannot be imported here .* pip install 'hpsearch\[ray\]'\."):
        chosen_pool("ray")
