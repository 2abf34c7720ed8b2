"""A Ray cluster as a pool sees it: its nodes, and the places for workers on them. Pure functions over `ray.nodes()`."""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from hpsearch.errors import UsageError
from hpsearch.runtime.devices import Devices, Inventory

RAY = "ray"
"""The value of `devices` that trains on the Ray cluster which this machine or RAY_ADDRESS knows."""

FORMS = "'ray', 'ray:8' (at most 8 workers), 'ray:gpu', 'ray:cpu:8', or 'ray://host:10001' (a Ray Client server)"
"""What `devices` may be on a cluster, as errors list it."""

Hardware = Literal["gpu", "cpu"]


@dataclass(frozen=True)
class Asked:
    """What a user asks of a cluster.

    Attributes:
        hardware: What is trained on; None for GPUs where there are any, else CPUs.
        workers: At most so many; None for all there is room for.
        address: Of a Ray Client server; None for the cluster that Ray finds by itself.
        trials_per_device: How many trials share a GPU.
    """

    hardware: Hardware | None = None
    workers: int | None = None
    address: str | None = None
    trials_per_device: int = 1

    @property
    def devices(self) -> str:
        """The value of `devices`, where it holds no address."""
        return ":".join(str(word) for word in (RAY, self.hardware, self.workers) if word is not None)


@dataclass(frozen=True)
class Node:
    """A live node of a cluster.

    Attributes:
        id: Ray's, as hexadecimal digits.
        name: Its host's name; with some digits of the id where another node has the same.
        address: (host, port) of the process that Ray has there.
        memory: Bytes that Ray has for workers, or None where unknown.
    """

    id: str
    name: str
    address: tuple[str, int]
    cpus: float
    gpus: int
    memory: int | None


@dataclass(frozen=True)
class Place:
    """A place for a worker: what it takes of its node's cores and GPUs."""

    node: Node
    cpus: float
    gpus: float

    @property
    def device(self) -> str:
        """What is trained on, as the worker's own process names it."""
        return "cuda:0" if self.gpus else "cpu"

    def named(self, gpu: str = "") -> str:
        """Return the device as users know it, in the cluster; `gpu` is its number on its node, once that is known."""
        return f"{self.node.name}/cuda{gpu and ':'}{gpu}" if self.gpus else f"{self.node.name}/cpu"


def is_rays(devices: Devices) -> bool:
    """Return whether a value is meant for a Ray cluster, be it there or not."""
    return isinstance(devices, str) and (devices == RAY or devices.startswith("ray:"))


def asked_of(devices: Devices, trials_per_device: int = 1) -> Asked:
    """Read a value of `devices`.

    Raises:
        UsageError: It is not understood.
    """
    text = str(devices)
    if text.startswith("ray://"):
        if not re.fullmatch(r"ray://[^\s:/]+:\d+", text):
            raise UsageError(f"devices={text!r} is no address of a Ray Client server. Use {FORMS}.")
        return Asked(address=text, trials_per_device=trials_per_device)
    match = re.fullmatch(r"ray(?::(?P<hardware>gpu|cpu))?(?::(?P<workers>\d+))?", text)
    if match is None or match["workers"] == "0":
        raise UsageError(f"devices={text!r} is not understood. Use {FORMS}.")
    workers = None if match["workers"] is None else int(match["workers"])
    return Asked(match["hardware"], workers, None, trials_per_device)  # type: ignore[arg-type]  # one of two words


def nodes_of(table: Iterable[Mapping[str, Any]]) -> list[Node]:
    """Return the live nodes of what `ray.nodes()` returns."""
    live = [row for row in table if row["Alive"]]
    hosts = Counter(row["NodeManagerHostname"] for row in live)
    return [_node(row, hosts) for row in live]


def _node(row: Mapping[str, Any], hosts: Mapping[str, int]) -> Node:
    host, resources = row["NodeManagerHostname"], row["Resources"]
    memory = resources.get("memory")
    return Node(
        id=row["NodeID"],
        name=host if hosts[host] == 1 else f"{host}-{row['NodeID'][:6]}",
        address=(row["NodeManagerAddress"], row["NodeManagerPort"]),
        cpus=float(resources.get("CPU", 0.0)),
        gpus=int(resources.get("GPU", 0.0)),
        memory=None if memory is None else int(memory),
    )


def hardware_of(asked: Asked, nodes: Sequence[Node]) -> Hardware:
    """Return what a cluster's workers train on.

    Raises:
        UsageError: The cluster lacks it, or trials are to share a CPU's core.
    """
    there = _text(nodes)
    has_gpus = any(node.gpus for node in nodes)
    hardware: Hardware = asked.hardware or ("gpu" if has_gpus else "cpu")
    if hardware == "gpu" and not has_gpus:
        raise UsageError(
            f"devices={asked.devices!r} asks for GPUs, and no node of the Ray cluster has one ({there}). `ray status` "
            "shows what Ray has found; `ray start --num-gpus` says it where Ray finds none. Or use devices='ray:cpu'."
        )
    if hardware == "cpu" and asked.trials_per_device > 1:
        raise UsageError(
            f"trials_per_device={asked.trials_per_device} is for GPUs: on a CPU each trial has a core of its own, and "
            f"this study would train on CPUs ({there}). Leave trials_per_device out."
        )
    room = sum(room_on(node, hardware, asked.trials_per_device) for node in nodes)
    if asked.workers is not None and asked.workers > room:
        raise UsageError(
            f"devices={asked.devices!r} asks for {asked.workers} workers, and the Ray cluster has room for {room}, one "
            f"{_unit(hardware, asked)} ({there}). Give devices={replace(asked, workers=None).devices!r} for all there "
            "are; nodes that join later are then used too."
        )
    if not room:
        raise UsageError(
            f"The Ray cluster has no CPU to train on ({there}). Start a node with `ray start --address=...` on a "
            "machine with CPUs or GPUs, then run the study again."
        )
    return hardware


def _unit(hardware: Hardware, asked: Asked) -> str:
    if hardware == "cpu":
        return "a core as far as memory allows"
    return "a GPU" if asked.trials_per_device == 1 else f"for each of {asked.trials_per_device} trials on a GPU"


def _text(nodes: Sequence[Node]) -> str:
    count = "1 node" if len(nodes) == 1 else f"{len(nodes)} nodes"
    return f"{count}, {sum(node.cpus for node in nodes):g} CPU cores, {sum(node.gpus for node in nodes)} GPUs"


def room_on(node: Node, hardware: Hardware, trials_per_device: int = 1) -> int:
    """Return how many workers a node has room for: so many per GPU, or one a core as far as memory allows."""
    if hardware == "gpu":
        return node.gpus * trials_per_device
    return Inventory(cuda=0, mps=False, cores=int(node.cpus), memory=node.memory).workers if node.cpus >= 1 else 0


def place_on(node: Node, hardware: Hardware, trials_per_device: int = 1) -> Place:
    """Return what a worker takes of a node; a GPU's takes less than a core where there are fewer cores than workers."""
    if hardware == "cpu":
        return Place(node, 1.0, 0.0)
    share = node.cpus / (node.gpus * trials_per_device)
    return Place(
        node, min(1.0, math.floor(1e4 * share) / 1e4), 1.0 / trials_per_device
    )  # Ray counts 1/10,000 of a core


def free_places(
    nodes: Sequence[Node], taken: Mapping[str, int], most: int | None, room: Callable[[Node], int]
) -> list[Node]:
    """Return the nodes for new workers, one for each: the emptiest node first, so that all have about as many.

    Args:
        taken: Node's id to how many workers it has.
        most: How many workers there may be in all; None for as many as there is room for.
    """
    workers = {node.id: taken.get(node.id, 0) for node in nodes}
    chosen: list[Node] = []
    while most is None or sum(workers.values()) < most:
        free = [node for node in nodes if workers[node.id] < room(node)]
        if not free:
            break
        node = min(free, key=lambda each: workers[each.id])
        workers[node.id] += 1
        chosen.append(node)
    return chosen
