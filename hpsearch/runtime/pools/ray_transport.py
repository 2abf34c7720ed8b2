"""What carries messages between a pool and its workers on a Ray cluster: calls of actors, one actor a worker.

Ray's object store carries what is large. Nothing of ours listens on a network.
"""

import contextlib
import os
import pickle
import re
import socket
import time
from collections.abc import Mapping
from typing import Any

from hpsearch.errors import HpsearchError
from hpsearch.records import Slot
from hpsearch.runtime.devices import worker_environment
from hpsearch.runtime.pools.ray_cluster import Node, Place
from hpsearch.runtime.pools.ray_connection import Cluster, answers, lost_cluster
from hpsearch.runtime.pools.transport import Lost
from hpsearch.runtime.ray_actor import Arrived, WorkerActor

NODE_SECONDS = 60.0
"""How long a node may not answer before Ray says that it is dead; after that it was the worker that died."""

NODE_LOOK_SECONDS = 0.5
"""How often that is looked for."""

STORED_BYTES = 100_000
"""Longer messages go through Ray's object store, and may find no room on the worker's node: that answer is waited for.
"""

ROOM = (
    "Start Ray with a larger one (`ray start --object-store-memory`), or make room on the disk that it uses when it is "
    "full (not beyond 95 % of that)."
)
"""What to do where an object store is full: Ray reserves the last 5 % of a disk."""

CALLS = 4
"""How many calls of an actor run at once: one waits for news meanwhile."""


class RayProcess:
    """A worker's process on a cluster: an actor, and its answers that are waited for.

    Attributes:
        started: When the actor was given its place; None while it waits for one.
        calls: Calls that have not been answered.
        deliveries: Those of them that take a message there.
        unfit: Why its node can run no worker any more; "" where nothing is known against it.
        lost_at: When it was found dead, while it is not known whether its node is.
    """

    is_elsewhere = True

    def __init__(self, ray: Any, actor: Any, place: Place) -> None:
        self._ray, self._actor, self.place = ray, actor, place
        self.started: float | None = None
        self.calls: list[Any] = [actor.arrived.remote()]
        self.deliveries: set[Any] = set()
        self.lost_at: float | None = None
        self.is_left = False
        self.unfit, self._ending, self._sent = "", "", 0
        self._where: Any = None
        self.ask()

    def ask(self) -> None:
        """Ask for the worker's next messages."""
        self.calls.append(self._actor.outbox.remote())

    def send(self, content: bytes) -> None:
        if self.is_left or self.lost_at is not None:
            return
        try:
            delivery = self._actor.deliver.remote(self._sent, content)
            self._sent += 1
        except self._full() as error:
            raise self._no_room_here(f"A message of {len(content) / 1e9:.2f} GB for", error) from error
        if len(content) > STORED_BYTES:
            self.calls.append(delivery)
            self.deliveries.add(delivery)

    def _no_room_here(self, message: str, error: Exception) -> HpsearchError:
        return HpsearchError(
            f"{message} a worker on {self.place.node.name} does not fit into Ray's object store here, on "
            f"{socket.gethostname()}: {type(error).__name__}. {ROOM} On a folder that all nodes see, rows and models "
            "are not sent at all."
        )

    def _full(self) -> tuple[type[Exception], ...]:
        return self._ray.exceptions.ObjectStoreFullError, self._ray.exceptions.OutOfDiskError

    def rouse(self) -> None:
        self._where = self._actor.where.remote()

    def stack(self) -> str:
        try:
            return "" if self._where is None else str(self._ray.get(self._where, timeout=0))
        except self._ray.exceptions.RayError:  # no answer: native code holds the interpreter's lock, or it is dead
            return ""

    def end(self) -> None:
        if not self.is_left:
            self.is_left = True
            with contextlib.suppress(Exception):  # what is dead already, or a cluster that is
                self._ray.kill(self._actor, no_restart=True)

    def release(self) -> None:
        self.end()

    def ending(self) -> str:
        return self._ending

    def start_failure(self) -> str:
        """Return why its node can run no worker, after several that ended before they were up."""
        silent = "its processes end before they are up, and say nothing; look into Ray's logs on that node"
        return f"no worker can run there ({self._ending or silent})."

    def died(self, error: Exception, call: Any) -> None:
        """Take note of the error that a call has ended with.

        Raises:
            HpsearchError: It is this machine that has no room for the answer.
        """
        self.calls = []
        self.lost_at = time.monotonic()
        its_own = isinstance(error, self._ray.exceptions.RayTaskError)
        if isinstance(error, self._full()) and not its_own and call not in self.deliveries:
            raise self._no_room_here("What comes from", error) from error
        failed_to_begin = isinstance(error, self._ray.exceptions.RuntimeEnvSetupError)
        if isinstance(error, self._full()):
            full = "Ray's object store and the disk that it spills to are full"
            self.unfit = f"no worker can run there ({full}). {ROOM}"
        elif its_own or failed_to_begin or getattr(error, "actor_init_failed", False):
            lines = [line.strip() for line in re.sub(r"\x1b\[\d+m", "", str(error)).splitlines() if line.strip()]
            self._ending = lines[-1]


class RayTransport:
    """Starts actors and brings what they say.

    Args:
        places: Slot's index to where its worker is, or will be.
    """

    def __init__(self, cluster: Cluster, places: Mapping[int, Place]) -> None:
        self._cluster, self._ray, self._places = cluster, cluster.ray, places
        self._actor = self._ray.remote(WorkerActor)
        self._processes: dict[int, RayProcess] = {}
        self._unread: list[tuple[int, Any]] = []  # what an error came between

    def start(self, slot: Slot, generation: int) -> RayProcess:
        place = self._places[slot.index]
        variables = worker_environment(Slot(0, ("cpu",)), os.environ)
        if place.gpus:
            del variables["CUDA_VISIBLE_DEVICES"]  # Ray says which GPU a worker sees
        strategy = self._ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(place.node.id, soft=False)
        actor = self._actor.options(
            num_cpus=place.cpus, num_gpus=place.gpus, max_restarts=0, max_concurrency=CALLS,
            scheduling_strategy=strategy, runtime_env={"env_vars": variables},
        ).remote(place.device)  # fmt: skip
        process = self._processes[generation] = RayProcess(self._ray, actor, place)
        return process

    def received(self, timeout: float) -> list[tuple[int, Any]]:
        self._processes = {number: process for number, process in self._processes.items() if not process.is_left}
        dead = any(process.lost_at is not None for process in self._processes.values())
        messages = self._answers(min(timeout, NODE_LOOK_SECONDS) if dead else timeout)
        silent = self._silent_nodes()
        for number, process in self._processes.items():
            if process.lost_at is not None and not _may_be_its_nodes(process, silent):
                process.lost_at = None
                messages.append((number, Lost.GONE))
        return messages

    def failed_to_start(self) -> None:
        """Nothing is to be done otherwise."""

    def close(self) -> None:
        self._cluster.leave()

    def _answers(self, timeout: float) -> list[tuple[int, Any]]:
        """Wait for the answer to any call; return the messages in all that have come."""
        calls = {call: number for number, process in self._processes.items() for call in process.calls}
        if not calls:
            time.sleep(timeout)
            return []
        try:
            ready, rest = self._ray.wait(list(calls), num_returns=1, timeout=timeout)
            if ready and rest:
                ready += self._ray.wait(rest, num_returns=len(rest), timeout=0)[0]
        except (self._ray.exceptions.RayError, ConnectionError) as error:
            raise lost_cluster(f"{type(error).__name__}: {error}") from error
        for call in ready:
            process = self._processes[calls[call]]
            self._unread += [(calls[call], message) for message in self._answer(process, call)]
        unread, self._unread = self._unread, []
        return unread

    def _answer(self, process: RayProcess, call: Any) -> list[Any]:
        if call not in process.calls:
            return []  # another call has said that it is dead
        process.calls.remove(call)
        try:
            answer = self._ray.get(call)
        except self._ray.exceptions.RayError as error:
            process.died(error, call)
            return []
        except ConnectionError as error:  # Ray Client's
            raise lost_cluster(f"{type(error).__name__}: {error}") from error
        if isinstance(answer, Arrived):
            process.started = time.monotonic()
            return [answer]
        if answer is None:
            process.deliveries.discard(call)
            return []
        process.ask()
        return [pickle.loads(content) for content in answer]

    def _silent_nodes(self) -> set[Node]:
        """Return the nodes of dead processes that do not answer, and of which Ray does not say that they are dead.

        None through Ray's client: the nodes themselves may be out of this machine's reach.
        """
        if self._cluster.is_through_client():
            return set()
        asked = {process.place.node for process in self._processes.values() if process.lost_at is not None}
        alive = {node.id for node in self._cluster.nodes()} if asked else set()
        return {node for node in asked if node.id in alive and not is_up(node)}


def _may_be_its_nodes(process: RayProcess, silent: set[Node]) -> bool:
    """Return whether a process may have died with its node, of which Ray says so some seconds later."""
    if process.place.node not in silent or process.lost_at is None or process.unfit or process.ending():
        return False
    return time.monotonic() - process.lost_at < NODE_SECONDS


def is_up(node: Node) -> bool:
    """Return whether Ray's own process on a node takes connections; one without power does not even refuse them."""
    return answers(node.address, NODE_LOOK_SECONDS)
