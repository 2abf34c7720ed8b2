"""The connection to a Ray cluster: made within a bounded time, or refused in words that say what to do."""

import atexit
import contextlib
import logging
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

from hpsearch.errors import HpsearchError, UsageError
from hpsearch.policy.failures import last_words
from hpsearch.runtime.pools.ray_cluster import FORMS, Node, asked_of, nodes_of

ANSWER_SECONDS = 10.0
"""How long a cluster may take to answer before it is taken to be not there."""

HEAD_SECONDS = 40.0
"""How long a cluster's head node may not answer: some are started again. After 60 Ray ends this process."""

_SETTINGS = b"\x04"
_GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00" + _SETTINGS + b"\x00" * 5
"""What a client of HTTP/2 begins with: its preface, and a frame of settings that sets none."""

LOOK_SECONDS = 1.0
"""How long a look at the nodes may hold up who asks; then what was seen before counts."""

INSTALLING = "pip install 'hpsearch[ray]'"


_LEAVING = "hpsearch-leave"
"""Name of the thread that leaves a cluster."""

_connecting = threading.RLock()
_users: set["Cluster"] = set()
"""Who uses the connection of this process, where it was made here: studies in several threads share it."""


class Cluster:
    """A Ray cluster that this process is connected to.

    Args:
        ray: The package.
        address: Of a Ray Client server, where the user gave one.

    Attributes:
        is_up: Whether the head node answered when nodes were last looked for; else Ray's calls wait for it.
    """

    def __init__(self, ray: Any, address: str | None = None) -> None:
        self.ray, self.address, self.is_up = ray, address, True
        self._look: threading.Thread | None = None
        self._silent_since: float | None = None
        self._nodes: list[Node] = []
        self._draining: set[str] = set()

    def nodes(self) -> list[Node]:
        """Return the live nodes; while the head does not answer, those that it named last.

        Raises:
            HpsearchError: It has not answered for a while. (Some seconds later Ray itself ends this process.)
        """
        if self._silent_since is None:
            self._silent_since = time.monotonic()
        if self._look is None or not self._look.is_alive():
            self._look = threading.Thread(target=self._look_at_nodes, name="hpsearch-nodes", daemon=True)
            self._look.start()
        self._look.join(LOOK_SECONDS if self._nodes else ANSWER_SECONDS)
        since = self._silent_since
        self.is_up = since is None
        if since is not None and time.monotonic() - since > HEAD_SECONDS:
            raise lost_cluster(f"its head node has not answered for {HEAD_SECONDS:g} seconds.")
        return self._nodes

    def draining(self) -> set[str]:
        """Return the ids of nodes that had announced their end; Ray Client and other versions of Ray tell of none."""
        return self._draining

    def _look_at_nodes(self) -> None:
        """Ask the head, in a thread of its own: while that does not answer, Ray waits."""
        with contextlib.suppress(Exception):  # whatever it is, for how long is what counts
            self._nodes = nodes_of(self.ray.nodes())
            self._silent_since = None
        with contextlib.suppress(Exception):  # private, see tests/test_private_apis.py
            self._draining = set(self.ray._private.state.state.get_draining_nodes())

    def is_through_client(self) -> bool:
        """Return whether this process reaches the cluster through a Ray Client server only."""
        from ray.util import client

        return bool(client.ray.is_connected())

    def leave(self) -> None:
        """Disconnect, unless the user's script goes on with it, or another study does."""
        with _connecting:
            if self in _users:
                _users.remove(self)
                if not _users:
                    with _signals_kept():
                        _disconnect(self.ray)
                        _say_what_ray_says(self.ray, True)


def _disconnect(ray: Any) -> None:
    """Disconnect. A head that does not answer is not waited for, neither now nor when this process ends."""
    leaving = threading.Thread(target=ray.shutdown, name=_LEAVING, daemon=True)
    leaving.start()
    leaving.join(ANSWER_SECONDS)
    if leaving.is_alive():
        atexit.unregister(ray.shutdown)


def is_leaving() -> bool:
    """Return whether a cluster that does not answer is still being left: then Ray crashes as Python ends (SIGSEGV)."""
    return any(thread.name == _LEAVING for thread in threading.enumerate())


def _say_what_ray_says(ray: Any, is_said: bool) -> None:
    """Print or keep back what Ray prints of nodes that die, dozens of lines each: the pool says it in one."""
    with contextlib.suppress(AttributeError):  # private, see tests/test_private_apis.py
        ray._private.worker._worker_logs_enabled = is_said


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


def answers(address: tuple[str, int], seconds: float = ANSWER_SECONDS) -> bool:
    """Return whether something listens at an address."""
    try:
        socket.create_connection(address, timeout=seconds).close()
    except OSError:
        return False
    return True


def _speaks_grpc(address: tuple[str, int]) -> bool:
    """Return whether a server as Ray's answers: it greets whoever greets it as HTTP/2 has it (RFC 9113, 3.4).

    Ray itself waits for minutes for one that accepts a connection and says nothing, or something else.
    """
    if os.environ.get("RAY_USE_TLS", "0").lower() in ("1", "true"):
        return answers(address)
    try:
        with socket.create_connection(address, timeout=ANSWER_SECONDS) as line:
            line.sendall(_GREETING)
            return line.recv(9)[3:4] == _SETTINGS
    except OSError:
        return False


def connected(address: str | None) -> Cluster:
    """Connect to a cluster: that of the user's script, that at the address, or the one that Ray finds by itself.

    Raises:
        UsageError: Ray is not installed, or there is no such cluster, or none that this process fits to.
    """
    try:
        import ray
    except ImportError as error:
        raise UsageError(
            f"devices='ray' trains on a Ray cluster, and Ray cannot be imported here ({error}). Install it: "
            f"{INSTALLING}. It must be the cluster's own version."
        ) from error
    cluster = Cluster(ray, address)
    with _connecting:
        if not ray.is_initialized():
            _connect(ray, address)
            _users.clear()  # the user's script has disconnected meanwhile
            _users.add(cluster)
        elif _users:
            if address not in (None, next(iter(_users)).address):
                raise UsageError(
                    f"devices={address!r}: another study of this process is connected to a Ray cluster already, and a "
                    "process has one connection. Run this study in another process, or give devices='ray' to share it."
                )
            _users.add(cluster)
    return cluster


def _connect(ray: Any, address: str | None) -> None:
    place = address or _found(ray)
    if not _speaks_grpc(_address(place.removeprefix("ray://"))):
        raise UsageError(
            f"The Ray cluster at {place} does not answer. Check that its head node runs (`ray start --head` there, "
            "`ray status` here) and that this machine may connect to it; RAY_ADDRESS says which cluster is meant."
        )
    with _signals_kept():
        try:
            ray.init(address=place, log_to_driver=False, logging_level=logging.ERROR)
        except Exception as error:
            _disconnect(ray)  # what it has begun would look for this cluster for ever
            raise UsageError(_refusal(place, error)) from error
    _say_what_ray_says(ray, False)


def _found(ray: Any) -> str:
    """Return the address of the cluster that Ray finds by itself."""
    given = os.environ.get("RAY_ADDRESS", "")
    if given.startswith("ray://"):
        try:
            return str(asked_of(given).address)
        except UsageError as error:
            raise UsageError(f"RAY_ADDRESS={given!r} is no address: give host:port, or ray://host:10001.") from error
    try:
        place: str | None = ray._private.services.canonicalize_bootstrap_address("auto")
    except (ConnectionError, ValueError) as error:
        raise UsageError(f"devices='ray' finds no Ray cluster: {error} Use {FORMS}.") from error
    if place is None:
        raise UsageError(
            "devices='ray' finds no Ray cluster: none runs on this machine, and RAY_ADDRESS is not set. Start one "
            f"(`ray start --head`), or set RAY_ADDRESS to its host:port. Use {FORMS}."
        )
    return place


def _refusal(place: str, error: Exception) -> str:
    reason = " ".join(str(error).split())
    if isinstance(error, ImportError) or "ray[client]" in reason:
        return (
            f"devices={place!r} needs Ray's client, which is not installed here. Install it: {INSTALLING}; or run the "
            "study on a node of the cluster with devices='ray'."
        )
    if "ersion mismatch" in reason:
        versions = re.findall(r"\b(?:Ray|Python): \S+", reason)
        if len(versions) == 4:
            there, here = (" and ".join(versions[at : at + 2]).replace(":", "") for at in (0, 2))
            reason = f"it was started with {there}, and here are {here}."
        return (
            f"The Ray cluster at {place} runs other versions than this process: {reason} Install the cluster's "
            "versions of Python and Ray here, or these there."
        )
    said = last_words(str(error)) if "Traceback" in reason else f"{type(error).__name__}: {reason}"
    return f"The Ray cluster at {place} refuses this process: {said}"


@contextlib.contextmanager
def _signals_kept() -> Iterator[None]:
    """Keep this process's answer to SIGTERM: a notice, which pauses the study.

    Ray has it end the process as it connects, and the system do so once it disconnects.
    """
    is_main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if is_main and before is not None:
            signal.signal(signal.SIGTERM, before)


def lost_cluster(reason: str) -> HpsearchError:
    """Return what to raise where Ray itself fails."""
    return HpsearchError(
        f"The Ray cluster cannot be used any more: {' '.join(reason.split())[:500]} Nothing that was recorded is lost: "
        "run the study again to continue it, once the cluster runs (`ray status`)."
    )
