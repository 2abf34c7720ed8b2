"""What a Ray cluster has room for, over tables of nodes as `ray.nodes()` returns them."""

from collections import Counter
from typing import Any

import pytest

from hpsearch.errors import UsageError
from hpsearch.runtime.pools import chosen_pool
from hpsearch.runtime.pools.ray_cluster import (
    Asked,
    Node,
    asked_of,
    free_places,
    hardware_of,
    is_rays,
    nodes_of,
    place_on,
    room_on,
)

GIB = 1024**3


def row(identity: str, host: str, alive: bool = True, **resources: float) -> dict[str, Any]:
    return {
        "NodeID": identity, "Alive": alive, "NodeManagerHostname": host, "NodeManagerAddress": "10.0.0.1",
        "NodeManagerPort": 7, "Resources": {"node:10.0.0.1": 1.0, **resources},
    }  # fmt: skip


def node(name: str, cpus: float = 4.0, gpus: int = 0, memory: int | None = None) -> Node:
    return Node(name, name, ("10.0.0.1", 7), cpus, gpus, memory)


@pytest.mark.parametrize(
    ("devices", "expected"),
    [
        ("ray", Asked()),
        ("ray:8", Asked(workers=8)),
        ("ray:gpu", Asked(hardware="gpu")),
        ("ray:cpu:16", Asked(hardware="cpu", workers=16)),
        ("ray://head.cluster:10001", Asked(address="ray://head.cluster:10001")),
    ],
)
def test_what_a_user_may_write(devices, expected):
    assert is_rays(devices)
    assert asked_of(devices) == expected
    assert "://" in devices or asked_of(devices).devices == devices


@pytest.mark.parametrize("devices", ["ray:", "ray:0", "ray:tpu", "ray:gpu:", "ray://head", "ray:cpu,gpu", "ray:-1"])
def test_what_is_not_understood_is_refused_at_once_with_what_is(devices):
    assert is_rays(devices)
    with pytest.raises(UsageError, match=r"Use 'ray', 'ray:8' \(at most 8 workers\), 'ray:gpu', "):
        chosen_pool(devices)


@pytest.mark.parametrize("devices", ["rays", "array", 8, ["ray"], "cpu"])
def test_other_values_are_for_other_pools(devices):
    assert not is_rays(devices)


def test_the_number_of_trials_that_pay_is_not_measured_on_a_cluster():
    with pytest.raises(UsageError, match=r"trials_per_device='auto' measures GPUs of this machine, .*give a number"):
        chosen_pool("ray", "auto")


def test_live_nodes_are_read_and_named_so_that_they_can_be_told_apart():
    table = [
        row("aaaaaa11", "one", CPU=8.0, GPU=2.0, memory=4.0 * GIB),
        row("bbbbbb22", "two", CPU=0.5),
        row("cccccc33", "two", CPU=2.0),
        row("dddddd44", "gone", alive=False, CPU=8.0),
    ]
    found = nodes_of(table)
    assert [each.name for each in found] == ["one", "two-bbbbbb", "two-cccccc"]
    assert found[0] == Node("aaaaaa11", "one", ("10.0.0.1", 7), 8.0, 2, 4 * GIB)
    assert (found[1].cpus, found[1].gpus, found[1].memory) == (0.5, 0, None)


def test_gpus_are_taken_where_there_are_any():
    assert hardware_of(Asked(), [node("a"), node("b", gpus=1)]) == "gpu"
    assert hardware_of(Asked(), [node("a")]) == "cpu"
    assert hardware_of(Asked(hardware="cpu"), [node("b", gpus=1)]) == "cpu"
    assert hardware_of(Asked(workers=4, trials_per_device=2), [node("b", gpus=2)]) == "gpu"


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (
            Asked(hardware="gpu"),
            r"asks for GPUs, and no node of the Ray cluster has one \(2 nodes, 6 CPU .*, 0 GPUs\)",
        ),
        (Asked(trials_per_device=2), r"trials_per_device=2 is for GPUs.* would train on CPUs \(2 nodes"),
        (Asked(workers=7), r"'ray:7' asks for 7 workers, and the Ray cluster has room for 6, one a core as far as mem"),
        (Asked("cpu", 7), r"'ray:cpu:7' asks for 7 workers, .* Give devices='ray:cpu' for all there are"),
        (Asked("gpu", 7), r"devices='ray:gpu:7' asks for GPUs, and no node"),
    ],
)
def test_what_a_cluster_lacks_is_said(asked, message):
    with pytest.raises(UsageError, match=message):
        hardware_of(asked, [node("a"), node("b", cpus=2.0)])


def test_a_cluster_of_no_cores_is_none_to_train_on():
    with pytest.raises(UsageError, match=r"no CPU to train on \(1 node, 0 CPU cores, 0 GPUs\)"):
        hardware_of(Asked(), [node("head", cpus=0.0)])


def test_a_node_has_room_for_a_worker_a_gpu_or_a_core_as_far_as_memory_allows():
    assert room_on(node("a", cpus=2.0, gpus=4), "gpu") == 4
    assert room_on(node("a", gpus=4), "gpu", 3) == 12
    assert room_on(node("a", cpus=8.0), "cpu") == 8
    assert room_on(node("a", cpus=8.0, memory=6 * GIB), "cpu") == 3
    assert room_on(node("a", cpus=0.5), "cpu") == 0


def test_a_worker_takes_its_share_of_a_gpu_and_of_the_cores():
    assert (place_on(node("a"), "cpu").cpus, place_on(node("a"), "cpu").gpus) == (1.0, 0.0)
    few = place_on(node("a", cpus=2.0, gpus=3), "gpu", 2)
    assert (few.cpus, few.gpus, few.device) == (0.3333, 0.5, "cuda:0")
    assert 6 * few.cpus <= 2.0
    assert place_on(node("a", cpus=64.0, gpus=8), "gpu").cpus == 1.0
    assert [few.named(), few.named("5"), place_on(node("a"), "cpu").named()] == ["a/cuda", "a/cuda:5", "a/cpu"]


def test_workers_are_spread_over_the_nodes_up_to_the_number_asked_for():
    nodes = [node("a", cpus=4.0), node("b", cpus=2.0), node("c", cpus=1.0)]

    def chosen(taken: dict[str, int], most: int | None) -> dict[str, int]:
        return Counter(each.name for each in free_places(nodes, taken, most, lambda each: room_on(each, "cpu")))

    assert chosen({}, None) == {"a": 4, "b": 2, "c": 1}
    assert chosen({}, 4) == {"a": 2, "b": 1, "c": 1}
    assert chosen({"a": 3}, 5) == {"b": 1, "c": 1}
    assert chosen({"a": 4, "b": 2, "c": 1}, None) == {}
    assert chosen({"a": 4}, 3) == {}
    assert chosen({"gone": 5}, 2) == {"a": 1, "b": 1}
