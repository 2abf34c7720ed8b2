"""What a connection to a Ray cluster leaves to the process that it is made in."""

import os
import signal
import socket
import threading
import time
from pathlib import Path

import pytest
from ray_nodes import RayCluster
from study_processes import until

from hpsearch.errors import HpsearchError, UsageError
from hpsearch.runtime.pools import chosen_pool, ray_connection
from hpsearch.runtime.pools.ray_cluster import Node
from hpsearch.runtime.pools.ray_connection import Cluster, connected
from hpsearch.runtime.pools.ray_transport import is_up

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.ray


def is_caught(number: signal.Signals) -> bool:
    """Return whether the system calls a handler of this process at a signal, whatever Python believes."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("SigCgt"))
    return bool(int(line.split()[1], 16) >> (number - 1) & 1)


def test_sigterm_is_the_processs_own_while_it_is_connected_and_afterwards(two_nodes: RayCluster):
    heard = []
    before = signal.signal(signal.SIGTERM, lambda *_: heard.append("SIGTERM"))
    try:
        cluster = connected(None)
        os.kill(os.getpid(), signal.SIGTERM)
        cluster.leave()
        assert is_caught(signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert heard == ["SIGTERM", "SIGTERM"]


def test_threads_share_a_connection_and_the_last_one_ends_it(two_nodes: RayCluster):
    clusters: list[Cluster] = []
    threads = [threading.Thread(target=lambda: clusters.append(connected(None))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(clusters) == 3
    with pytest.raises(UsageError, match=r"ray://head:10001.* another study of this process is connected"):
        connected("ray://head:10001")
    for cluster in clusters:
        assert not cluster.is_through_client()
        assert len(cluster.nodes()) == 2
        cluster.leave()
        cluster.leave()
    assert not ray.is_initialized()


def test_a_connection_of_the_users_script_goes_on(two_nodes: RayCluster):
    ray.init(address=two_nodes.address, namespace="the user's", log_to_driver=False)
    try:
        connected(None).leave()
        assert ray.is_initialized()
    finally:
        ray.shutdown()


def test_no_connection_is_left_where_a_cluster_lacks_what_is_asked_for(two_nodes: RayCluster):
    with pytest.raises(UsageError, match="no node of the Ray cluster has one"):
        chosen_pool("ray:gpu")
    assert not ray.is_initialized()


def test_a_head_that_is_silent_is_left_without_its_answer(two_nodes: RayCluster, monkeypatch):
    (head,) = (process for process in two_nodes.head.processes() if process.name() == "gcs_server")
    cluster = connected(None)
    head.suspend()
    try:
        monkeypatch.setattr(ray_connection, "ANSWER_SECONDS", 1.0)
        leaving = threading.Thread(target=cluster.leave, daemon=True)
        leaving.start()
        leaving.join(10.0)
        assert not leaving.is_alive()
        assert ray_connection.is_leaving()
    finally:
        head.resume()
    until(lambda: not ray_connection.is_leaving(), 60, "it is still being left")
    assert not ray.is_initialized()


def test_a_head_that_is_silent_holds_nobody_up_until_it_is_given_up(two_nodes: RayCluster, monkeypatch):
    (head,) = (process for process in two_nodes.head.processes() if process.name() == "gcs_server")
    cluster = connected(None)
    try:
        nodes = cluster.nodes()
        head.suspend()
        began = time.monotonic()
        assert [cluster.nodes(), cluster.nodes()] == [nodes, nodes]
        assert time.monotonic() - began < 10
        with monkeypatch.context() as patched:
            patched.setattr(ray_connection, "HEAD_SECONDS", 0.5)
            with pytest.raises(HpsearchError, match="has not answered for"):
                cluster.nodes()
        head.resume()
        assert cluster.nodes() == nodes
    finally:
        head.resume()
        cluster.leave()


def test_a_node_that_answers_nothing_at_all_holds_nobody_up():
    """As one does whose power has failed: it does not refuse connections either."""
    with socket.socket() as silent, socket.socket() as first, socket.socket() as second:
        silent.bind(("127.0.0.1", 0))
        silent.listen(0)
        for waiting in (first, second):
            waiting.setblocking(False)
            waiting.connect_ex(silent.getsockname())
        began = time.monotonic()
        assert not is_up(Node("id", "name", silent.getsockname(), 1.0, 0, None))
        assert time.monotonic() - began < 5


@pytest.mark.parametrize("address", ["ray://head", "ray://"])
def test_an_address_in_the_environment_that_is_none_is_refused(address, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(UsageError, match=f"RAY_ADDRESS='{address}' is no address"):
        connected(None)


def test_the_environment_may_name_a_client_server(monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "ray://127.0.0.1:1")
    with pytest.raises(UsageError, match=r"The Ray cluster at ray://127\.0\.0\.1:1 does not answer"):
        connected(None)


def test_of_a_servers_traceback_its_exception_is_said():
    traceback = (
        "Initialization failure from server:\nTraceback (most recent call last):\n"
        '  File "proxier.py", line 7, in start\n'
        "    raise RuntimeError(\nRuntimeError: Starting Ray client server failed. See its log.\n\n"
    )
    said = ray_connection._refusal("ray://head:10001", ConnectionAbortedError(traceback))
    assert said == (
        "The Ray cluster at ray://head:10001 refuses this process: RuntimeError: Starting Ray client server failed. "
        "See its log."
    )
