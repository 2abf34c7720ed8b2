"""The pool of a Ray cluster: one actor per slot, on the nodes that there are, as they come and go."""

import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import count
from typing import Any

from hpsearch.errors import HpsearchError, NodeError, NumericsError, UsageError
from hpsearch.provenance.packages import __version__
from hpsearch.records import Outcome, SegmentResult, Slot
from hpsearch.runtime.devices import Devices, TrialsPerDevice
from hpsearch.runtime.messages import Ended, Event, Ready, Refused, Stop, Workload
from hpsearch.runtime.occupancy import Occupancy
from hpsearch.runtime.pools.base import Pool, PoolChoice
from hpsearch.runtime.pools.places import spare
from hpsearch.runtime.pools.pool_worker import PoolWorker
from hpsearch.runtime.pools.ray_cluster import (
    RAY,
    Asked,
    Hardware,
    Node,
    Place,
    asked_of,
    free_places,
    hardware_of,
    is_rays,
    place_on,
    room_on,
)
from hpsearch.runtime.pools.ray_connection import Cluster, connected
from hpsearch.runtime.pools.ray_transport import RayProcess, RayTransport
from hpsearch.runtime.pools.worker_pool import STARTS_LIMIT, WorkerPool
from hpsearch.runtime.ray_actor import Arrived

logger = logging.getLogger("hpsearch")

LOOK_SECONDS = 3.0
"""How often nodes that join, leave or announce their end are looked for."""

ANSWERS_SECONDS = 30.0
"""How long, after the first worker is up, the others may take to say what they compute with."""

PLACES_SECONDS = 20.0
"""How long workers wait for a place, or for their process to start, before the log says so."""

ELSEWHERE_SECONDS = 300.0
"""How long one of a given number of workers waits before it is started on another node that has room: longer than any
process takes to start, which looks the same from here."""

FULL_SECONDS = 120.0
"""How long a node on which other programs leave no place gets no more workers, where another one has room."""

NODES_SECONDS = 600.0
"""How long a study waits for nodes once none is left."""


class RayPool(WorkerPool):
    """Worker processes on a Ray cluster.

    Args:
        cluster: It is left when the pool closes.
        asked: How many workers, on what.
        hardware: What they train on.
    """

    def __init__(self, cluster: Cluster, asked: Asked, hardware: Hardware) -> None:
        self._cluster, self._asked, self._hardware = cluster, asked, hardware
        self._places: dict[int, Place] = {}
        self._shared: dict[str, Occupancy] = {}
        self._seen: set[str] = set()
        self._leaving: set[str] = set()
        self._left_out: dict[str, tuple[str, str]] = {}
        self._given_up: Counter[str] = Counter()
        self._full: dict[str, float] = {}
        self._reserving: dict[str, list[tuple[Node, PoolWorker]]] = {}
        self._environments: dict[int, Mapping[str, Any]] = {}
        self._common: Mapping[str, Any] | None = None
        self._refusals: dict[str, dict[int, Refused]] = {}
        self._said: set[str] = set()
        self._next_look = 0.0
        self._waiting_since: float | None = None
        self._alone_since: float | None = None
        super().__init__(RayTransport(cluster, self._places), [], self._shared)
        try:
            self._look_at_nodes()
        except BaseException:
            self.close()
            raise

    def environment(self) -> Mapping[str, Any]:
        """Return the environment of the most workers; those that compute otherwise will refuse."""
        if self._common is None:
            super().environment()
            until = time.monotonic() + ANSWERS_SECONDS
            while not self._environments or (self._awaits_answers() and time.monotonic() < until):
                self._wait()
            answers = list(self._environments.values())
            self._common = max(answers, key=answers.count)
        return self._common

    def _awaits_answers(self) -> bool:
        """Return whether a worker has a place and has not said what it computes with."""
        return any(worker.pid is None and worker.remote.started is not None for worker in self._workers.values())

    def prepare(self, workload: Workload) -> None:
        super().prepare(workload)
        while workload.study in self._refusals:
            self._wait(workload.study)

    def idle(self) -> Sequence[Slot]:
        undecided = {number for refusals in self._refusals.values() for number in refusals}
        out = self._leaving | self._left_out.keys()
        workers = {worker.slot.index: worker for worker in self._workers.values()}
        return [
            slot
            for slot in super().idle()
            if workers[slot.index].generation not in undecided and self._places[slot.index].node.id not in out
        ]

    # ---------------------------------------------------------------- workers

    def _drain(self, timeout: float) -> None:
        super()._drain(timeout)
        self._held_back += self._judged()

    def _read(self, worker: PoolWorker, message: Any) -> Event | None:
        match message:
            case Arrived():
                self._arrived(worker, message)
                return None
            case Ready(_, environment) if worker.pid is None:
                self._environments[worker.generation] = environment
        return super()._read(worker, message)

    def _arrived(self, worker: PoolWorker, arrived: Arrived) -> None:
        place, trials = self._places[worker.slot.index], self._asked.trials_per_device
        device = place.named(arrived.gpu)
        worker.slot = replace(worker.slot, devices=(device,))
        if trials > 1:
            self._shared.setdefault(device, Occupancy(device, trials))
        if arrived.version != __version__:
            self._leave_out(
                place.node,
                f"it has hpsearch {arrived.version}, and this process has {__version__}. Install the same on both.",
            )

    def _refused(self, worker: PoolWorker, refused: Refused) -> Event | None:
        """Wait for what the other nodes say, where it is a worker's node that cannot train for a study."""
        if isinstance(refused.error, NumericsError | NodeError) and refused.study in self._workloads:
            self._refusals.setdefault(refused.study, {})[worker.generation] = refused
            return None
        return super()._refused(worker, refused)

    def _judged(self) -> Iterator[Event]:
        """Leave out nodes that refuse a study which another one accepts; where all refuse, that is the study's end."""
        for study, refusals in list(self._refusals.items()):
            refusing = [worker for worker in self._workers.values() if worker.generation in refusals]
            others = [worker for worker in self._workers.values() if worker.generation not in refusals]
            if not others and refusing:
                del self._workloads[study]
                yield Refused(study, self._refused_by_all(study, refusing[0], refusals))
            elif any(worker.is_ready for worker in others):
                for worker in refusing:
                    self._leave_out(
                        self._node(worker), f"it refuses the study {study!r}. {refusals[worker.generation].error}"
                    )
            elif refusing:
                self._say_once(
                    f"Workers on {self._node(refusing[0]).name} refuse the study {study!r}, and no other has answered "
                    f"yet: {next(iter(refusals.values())).error}"
                )
                continue
            del self._refusals[study]

    def _refused_by_all(self, study: str, worker: PoolWorker, refusals: Mapping[int, Refused]) -> HpsearchError:
        error = refusals[worker.generation].error
        if not isinstance(error, NumericsError):
            return error
        name = self._node(worker).name
        return NumericsError(f"No node of the Ray cluster computes as the study {study!r} began. On {name}: {error}")

    def _say_once(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            logger.warning("%s", text)

    def _lose(self, worker: PoolWorker, outcome: Outcome, log: str, ending: str = "") -> Iterator[Event]:
        """Replace a worker that died by itself; one that went with its node is no fault of what it trained."""
        node, order, remote = self._node(worker), worker.order, worker.remote
        if node.id not in {live.id for live in self._cluster.nodes()}:
            self._is_gone(node)
        elif isinstance(remote, RayProcess) and (reason := self._unfitness(worker, remote)):
            self._leave_out(node, reason)
        if node.id not in self._leaving | self._left_out.keys():
            yield from super()._lose(worker, outcome, f"{log} It was on {node.name}.", ending)
            self._given_up[node.id] += worker.slot.index not in self._workers
            self._environments.pop(worker.generation, None)
            return
        self._withdraw(worker)
        if order is not None:
            yield Ended(order.study, SegmentResult(order.segment, Outcome.PAUSED, worker.point))

    def _unfitness(self, worker: PoolWorker, remote: RayProcess) -> str:
        """Return why the node of a worker that has ended can run none; "" where it may."""
        if worker.pid is None and self._failed_starts.get(worker.slot.index, 0) + 1 < STARTS_LIMIT:
            return ""
        up = {self._node(other) for other in self._workers.values() if other.pid is not None}
        return remote.unfit or ("" if self._node(worker) in up else remote.start_failure())  # or one GPU is at fault

    def _go_on_with_fewer(self, reason: str) -> None:
        """Say why workers were given up. Other devices and nodes may have room: they are looked at, and waited for."""
        self._next_look = 0.0
        if self._workers:
            super()._go_on_with_fewer(reason)
        else:
            logger.warning("%s", reason)

    def _let_go(self, worker: PoolWorker) -> None:
        """Leave a GPU that was taken out to the actor that has it: else Ray would give it to the next one."""
        worker.send(Stop(checkpoint=False))
        self._given_up[self._node(worker).id] += 1
        self._reserving.setdefault(worker.slot.devices[0], []).append((self._node(worker), worker))

    def _bring_back(self, device: str) -> None:
        self._out[device], self._next_look = [], 0.0  # its node has room again, which is looked for
        self._shared.pop(device, None)
        super()._bring_back(device)
        for node, worker in self._reserving.pop(device):
            worker.remote.end()
            self._given_up[node.id] -= 1

    def close(self) -> None:
        for worker in [worker for reserving in self._reserving.values() for _, worker in reserving]:
            worker.remote.end()
        super().close()

    def _withdraw(self, worker: PoolWorker) -> None:
        """Do without a worker, and with its slot."""
        worker.remote.end()
        if (occupancy := self._occupancy(worker.slot)) is not None:
            occupancy.lost(worker.slot.index)
        del self._workers[worker.slot.index]
        self._failed_starts.pop(worker.slot.index, None)
        self._environments.pop(worker.generation, None)

    # ---------------------------------------------------------------- nodes

    def _node(self, worker: PoolWorker) -> Node:
        return self._places[worker.slot.index].node

    def _fit(self) -> None:
        """Look at the nodes from time to time; where trials share GPUs, do without those that do not fit."""
        for occupancy in self._shared.values():
            occupancy.look()
        for slot in spare(self.slots(), self._busy(), self._trials()):
            worker = self._workers[slot.index]
            self._given_up[self._node(worker).id] += 1
            self._withdraw(worker)
        if time.monotonic() >= self._next_look:
            self._look_at_nodes()

    def _look_at_nodes(self) -> None:
        self._next_look = time.monotonic() + LOOK_SECONDS
        nodes = self._cluster.nodes()
        if not self._cluster.is_up:
            return
        draining = self._cluster.draining()
        for node in nodes:
            if node.id in draining - self._leaving:
                self._leaving.add(node.id)
                logger.warning("The node %s is about to leave the cluster: what trains there pauses.", node.name)
        for worker in list(self._workers.values()):
            if self._node(worker).id in self._leaving | self._left_out.keys():
                self._take_back(worker)
        usable = [node for node in nodes if node.id not in self._leaving | self._left_out.keys()]
        self._leave_full_nodes(usable)
        begun = Counter(free_places(usable, self._taken(), self._asked.workers, self._room))
        for node, workers in begun.items():
            if self._seen and node.id not in self._seen:
                logger.warning("The node %s has joined the cluster, and is used (workers: %d).", node.name, workers)
            for _ in range(workers):
                self._begin_on(node)
        self._seen |= {node.id for node in nodes}
        self._say_who_is_left_out(nodes)
        self._say_what_is_waited_for()

    def _taken(self) -> Counter[str]:
        """Return how many workers each node has, those that wait for a place there included."""
        return Counter(self._node(worker).id for worker in self._workers.values())

    def _room(self, node: Node) -> int:
        if self._full.get(node.id, 0.0) > time.monotonic():
            return self._taken()[node.id]
        return room_on(node, self._hardware, self._asked.trials_per_device) - self._given_up[node.id]

    def _leave_full_nodes(self, usable: Sequence[Node]) -> None:
        """Take workers back that wait for a place, where fewer are wanted than the cluster has room for."""
        now = time.monotonic()
        for worker in list(self._workers.values()):
            taken, here = self._taken(), self._node(worker).id
            has_waited = worker.remote.started is None and now - worker.progressed > ELSEWHERE_SECONDS
            if has_waited and any(self._room(node) > taken[node.id] for node in usable if node.id != here):
                self._withdraw(worker)
                self._full[here] = now + FULL_SECONDS

    def _begin_on(self, node: Node) -> None:
        index = next(number for number in count() if number not in self._workers)
        trials = self._asked.trials_per_device
        place = self._places[index] = place_on(node, self._hardware, trials)
        self._workers[index] = self._start(Slot(index, (place.named(),), 1.0 / trials))

    def _take_back(self, worker: PoolWorker) -> None:
        """Have a worker leave: at once if it trains nothing, else with a checkpoint."""
        if worker.order is None:
            self._withdraw(worker)
        elif not worker.is_stopping:
            worker.is_stopping = True
            worker.send(Stop(checkpoint=True))

    def _is_gone(self, node: Node) -> None:
        if node.id not in self._leaving:
            self._leaving.add(node.id)
            logger.warning(
                "The node %s is gone. What trained there continues elsewhere from its last checkpoint.", node.name
            )

    def _leave_out(self, node: Node, reason: str) -> None:
        """Give a node no work any more; why is said once all nodes are looked at."""
        if node.id not in self._left_out:
            self._left_out[node.id] = node.name, reason
            self._next_look = 0.0

    def _say_who_is_left_out(self, nodes: Sequence[Node]) -> None:
        """Name the nodes that get no work; end the study where no other is there."""
        out = self._left_out.keys() & {node.id for node in nodes}
        if out and not self._workers and all(node.id in out | self._leaving for node in nodes):
            reasons = [f"{name}: {reason}" for name, reason in (self._left_out[id_] for id_ in sorted(out))]
            raise HpsearchError(
                f"No node of the Ray cluster can train. {' '.join(reasons)} Mend that there, then run the study again "
                "to continue it."
            )
        for id_ in self._left_out.keys() - self._said:
            self._said.add(id_)
            logger.warning("The node %s gets no work: %s", *self._left_out[id_])

    def _say_what_is_waited_for(self) -> None:
        """Say that workers wait for places, or the study for nodes; end it where none comes."""
        now = time.monotonic()
        waiting = sum(worker.remote.started is None for worker in self._workers.values())
        self._waiting_since = None if not waiting else self._waiting_since or now
        if self._waiting_since is not None and now - self._waiting_since > PLACES_SECONDS:
            self._waiting_since = math.inf  # said once
            logger.warning(
                "%d of %d workers have not started yet: Ray still starts them, or other programs have reserved the "
                "cluster's CPUs or GPUs (`ray status` shows how many).", waiting, len(self._workers),
            )  # fmt: skip
        if self._workers:
            self._alone_since = None
            return
        if self._alone_since is None:
            self._alone_since = now
            logger.warning(
                "No node of the Ray cluster is left to train on. Waiting up to %d minutes for one to join; Ctrl-C "
                "pauses the study.", NODES_SECONDS // 60,
            )  # fmt: skip
        elif now - self._alone_since > NODES_SECONDS:
            raise HpsearchError(
                f"No node of the Ray cluster was left to train on, and none joined within {NODES_SECONDS / 60:.3g} "
                "minutes. Nothing that was recorded is lost: start nodes (`ray start --address=...`), then run the "
                "study again to continue it."
            )


def _opening(devices: Devices) -> Callable[[], Pool]:
    return _sharing(devices, 1)


def _sharing(devices: Devices, trials_per_device: TrialsPerDevice) -> Callable[[], Pool]:
    if trials_per_device == "auto":
        raise UsageError(
            "trials_per_device='auto' measures GPUs of this machine, not those of a Ray cluster: give a number, such "
            "as trials_per_device=2."
        )
    asked = asked_of(devices, trials_per_device)
    cluster = connected(asked.address)
    try:
        return partial(RayPool, cluster, asked, hardware_of(asked, cluster.nodes()))
    except BaseException:
        cluster.leave()
        raise


ray_pool = PoolChoice(values=(RAY,), claims=is_rays, opening=_opening, sharing=_sharing)
