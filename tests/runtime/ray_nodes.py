"""A Ray cluster of real nodes on this machine, each started by `ray start`, for tests.

    with RayCluster() as cluster:            # the head node, 2 cores; everything listens on 127.0.0.1 only
        second = cluster.start(cpus=2)       # joins it (3 seconds)
        launcher.launch("run", cluster.environment, devices="ray", ...)   # a process that uses the cluster
        second.kill()                        # SIGKILL to all that the node consists of, as when its power fails
        second.kill_raylet()                 # SIGKILL to Ray's own process there only; its workers follow it
        third.drain()                        # it announces its end, as a spot machine does
        cluster.workers()                    # the processes of live actors, all nodes

A process that uses the cluster needs `cluster.environment`; the tests' own gets it from `cluster.used(monkeypatch)`.
Leaving the block ends every process of every node and removes their folders, whatever has happened.

`ray start` insists that several nodes use an address which other machines reach. `START` has it use 127.0.0.1.
"""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from study_processes import is_alive, until

START = """
from ray._private import ray_constants, services
ray_constants.ENABLE_RAY_CLUSTER = True
services.get_node_ip_address = lambda address=None: "127.0.0.1"
from ray.scripts.scripts import main
main()
"""

ON_LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
"""Has Ray take 127.0.0.1 for this machine's address; it reads it when it is imported."""

OF_NODES = {
    **ON_LOOPBACK,
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_enable_worker_prestart": "0",
    "RAY_memory_monitor_refresh_ms": "0",  # what else runs here takes memory
    "RAY_health_check_initial_delay_ms": "1000",  # a dead node is known to be dead in 3 seconds, else in 15
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_failure_threshold": "4",
    "OMP_NUM_THREADS": "1",
    "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), str(Path(__file__).parent)]),
}

STORE_BYTES = 100_000_000
MEMORY_BYTES = 20_000_000_000
"""What Ray is told; it looks at no memory here."""


@dataclass(frozen=True)
class RayNode:
    """A node.

    Attributes:
        session: The session of its processes; its workers have it too.
    """

    address: str
    session: int
    folder: Path

    def processes(self) -> list[psutil.Process]:
        """Return all live processes of the node: Ray's own, and its workers."""
        return [process for process in psutil.process_iter() if _session(process) == self.session and is_alive(process)]

    def raylet(self) -> psutil.Process:
        """Return Ray's own process on the node, which starts its workers and ends with none of them."""
        return next(process for process in self.processes() if process.name() == "raylet")

    def workers(self) -> list[psutil.Process]:
        """Return the processes of live actors of hpsearch."""
        return [process for process in self.processes() if _title(process).startswith("ray::WorkerActor")]

    @property
    def id(self) -> str:
        """Ray's name for the node."""
        (word,) = (word for word in self.raylet().cmdline() if word.startswith("--node_id="))
        return word.partition("=")[2]

    def kill_raylet(self) -> None:
        self.raylet().kill()

    def kill(self) -> None:
        """End all of the node at once."""
        for process in self.processes():
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        until(lambda: not self.processes(), 30, lambda: f"still there: {self.processes()}")

    def drain(self) -> None:
        """Announce the node's end."""
        _ray(
            "drain-node", f"--address={self.address}", f"--node-id={self.id}", "--reason-message=a test",
            "--reason=DRAIN_NODE_REASON_PREEMPTION", "--deadline-remaining-seconds=600",
        )  # fmt: skip


class RayCluster:
    """A head node, and those that have joined it."""

    def __init__(self, cpus: int = 2) -> None:
        self._root = Path(tempfile.mkdtemp(prefix="hp-ray-", dir="/tmp"))  # a socket's path has 107 letters at most
        self.nodes: list[RayNode] = []
        port, client_port = _free_ports()
        self.address = f"127.0.0.1:{port}"
        self.client_address = f"ray://127.0.0.1:{client_port}"
        self.environment = {**ON_LOOPBACK, "RAY_ADDRESS": self.address}
        try:
            self.head = self._start(
                cpus, {}, "--head", f"--port={port}", f"--ray-client-server-port={client_port}",
                "--include-dashboard=false",
            )  # fmt: skip
        except BaseException:
            self.close()
            raise

    def start(self, cpus: int = 2, environment: Mapping[str, str] | None = None, gpus: int = 0) -> RayNode:
        """Start a node that joins; its workers have the environment's variables. Its GPUs need not be there."""
        return self._start(cpus, environment or {}, f"--address={self.address}", f"--num-gpus={gpus}")

    def workers(self) -> list[psutil.Process]:
        return [worker for node in self.nodes for worker in node.workers()]

    def used(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Have this process find the cluster."""
        for name, value in self.environment.items():
            monkeypatch.setenv(name, value)

    def close(self) -> None:
        for node in self.nodes:
            node.kill()
        shutil.rmtree(self._root, ignore_errors=True)

    def __enter__(self) -> "RayCluster":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self, cpus: int, environment: Mapping[str, str], *arguments: str) -> RayNode:
        folder = self._root / str(len(self.nodes))
        log = self._root / f"{len(self.nodes)}.log"
        words = [
            sys.executable, "-c", START, "start", "--node-ip-address=127.0.0.1", f"--num-cpus={cpus}",
            "--disable-usage-stats", "--include-log-monitor=false", f"--temp-dir={folder}",
            f"--object-store-memory={STORE_BYTES}", f"--memory={MEMORY_BYTES}", "--min-worker-port=0",
            "--max-worker-port=0", *arguments,
        ]  # fmt: skip
        variables = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
        variables |= {**OF_NODES, **environment}
        with log.open("w") as output:
            starting = subprocess.Popen(
                words, env=variables, stdout=output, stderr=output, stdin=subprocess.DEVNULL, start_new_session=True
            )
        self.nodes.append(RayNode(self.address, starting.pid, folder))
        try:
            status = starting.wait(120)
        except subprocess.TimeoutExpired:
            starting.kill()
            starting.wait()
            raise
        assert status == 0, log.read_text()
        return self.nodes[-1]


@pytest.fixture(scope="module")
def two_nodes() -> Iterator[RayCluster]:
    """A cluster of two nodes with a core each."""
    with pytest.MonkeyPatch.context() as patched, RayCluster(cpus=1) as cluster:
        cluster.start(cpus=1)
        cluster.used(patched)
        yield cluster


def _free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]


def _ray(*words: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", START, *words], env={**os.environ, **ON_LOOPBACK}, capture_output=True, text=True,
        check=False, timeout=60,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr


def _session(process: psutil.Process) -> int:
    try:
        return os.getsid(process.pid)
    except ProcessLookupError:
        return -1


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""
