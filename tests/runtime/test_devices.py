import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpsearch.errors import UsageError
from hpsearch.records import Slot
from hpsearch.runtime.devices import Inventory, inventory, slots, worker_device, worker_environment

CPU = Slot(0, ("cpu",))
NOTHING = Inventory(cuda=0, mps=False, cores=3)
GPUS = Inventory(cuda=4, mps=False, cores=8)
APPLE = Inventory(cuda=0, mps=True, cores=10)


def named(devices, found) -> list[str]:
    made = slots(devices, found)
    assert [slot.index for slot in made] == list(range(len(made)))
    assert all(len(slot.devices) == 1 and slot.share == 1.0 for slot in made)
    return [slot.devices[0] for slot in made]


@pytest.mark.parametrize(
    ("devices", "found", "expected"),
    [
        ("auto", NOTHING, ["cpu"] * 3),
        ("auto", GPUS, ["cuda:0", "cuda:1", "cuda:2", "cuda:3"]),
        ("auto", APPLE, ["mps"]),
        ("cpu", GPUS, ["cpu"] * 8),
        ("cuda", GPUS, ["cuda:0", "cuda:1", "cuda:2", "cuda:3"]),
        ("cuda:2", GPUS, ["cuda:2"]),
        ("mps", APPLE, ["mps"]),
        (2, NOTHING, ["cpu", "cpu"]),
        (5, NOTHING, ["cpu"] * 5),
        (2, GPUS, ["cuda:0", "cuda:1"]),
        ([1, 3], GPUS, ["cuda:1", "cuda:3"]),
        (["cuda:1", "cpu"], GPUS, ["cuda:1", "cpu"]),
        (("cpu", "cpu"), NOTHING, ["cpu", "cpu"]),
        ("cuda:0,2", GPUS, ["cuda:0", "cuda:2"]),
        ("cuda:3, cuda:1", GPUS, ["cuda:3", "cuda:1"]),
        ("0,2", GPUS, ["cuda:0", "cuda:2"]),
        ("2", GPUS, ["cuda:0", "cuda:1"]),
        ("2", NOTHING, ["cpu", "cpu"]),
        ("cpu:4", GPUS, ["cpu"] * 4),
        ("cpu:1", NOTHING, ["cpu"]),
        ("cuda:1,cpu:2", GPUS, ["cuda:1", "cpu", "cpu"]),
        (["cuda:1", "cpu:2"], GPUS, ["cuda:1", "cpu", "cpu"]),
        ("gpu", GPUS, ["cuda:0", "cuda:1", "cuda:2", "cuda:3"]),
        ("gpu", APPLE, ["mps"]),
    ],
)
def test_a_slot_for_each_worker(devices, found, expected):
    assert named(devices, found) == expected


@pytest.mark.parametrize(
    ("devices", "found", "message"),
    [
        (0, NOTHING, "0 is not a number of workers"),
        (-1, NOTHING, "-1 is not a number of workers"),
        (True, NOTHING, "True is not a number of workers"),
        (5, GPUS, "asks for 5 GPUs, and this process sees 4"),
        ([], NOTHING, "names no device"),
        ("cuda", NOTHING, "sees 0 CUDA"),
        ("cuda:4", GPUS, "cuda:4, and this process sees 4"),
        ([0, 7], GPUS, "cuda:7, and this process sees 4"),
        ([0], NOTHING, "cuda:0, and this process sees 0"),
        ("mps", GPUS, "there is none here"),
        ("gpu", NOTHING, "devices='gpu' asks for cuda, and this process sees 0 CUDA"),
        ("gpu:0", GPUS, "'gpu:0' is not understood"),
        ("cuda:0,4", GPUS, "cuda:4, and this process sees 4"),
        ("cpu:2,3", GPUS, "'cpu:2,3' is not understood"),
        ("cuda:0,", GPUS, "not understood"),
        ("0", NOTHING, "devices=0 is not a number of workers"),
        ("cudas", GPUS, "Did you mean 'cuda'"),
        ("cuda:one", GPUS, "not understood"),
        ("cpu:0", NOTHING, "not understood"),
        ("cpu:two", NOTHING, "not understood"),
        (["cuda:-1"], GPUS, "not understood"),
        ("auto,cpu", GPUS, "has 'auto' in a list. Give devices='auto' alone"),
        ("cpu:2,cuda", GPUS, "has 'cuda' in a list. Give devices='cuda' alone"),
        ("cuda,cpu:2", NOTHING, "sees 0 CUDA"),
        (["gpu"], GPUS, "has 'gpu' in a list. .* or name each device: 'cuda:0,cpu:2'"),
    ],
)
def test_what_is_not_there_is_refused_by_name(devices, found, message):
    with pytest.raises(UsageError, match=message):
        slots(devices, found)


@pytest.mark.parametrize("devices", ["cpu:100000", "cpu:2,cpu:100000", ["cpu:100000"], 100_000, "100000"])
def test_more_workers_than_memory_can_hold_are_refused(devices):
    found = Inventory(cuda=0, mps=False, cores=3, memory=1024**3)
    with pytest.raises(UsageError, match=r"100,000 workers do not fit into the 1\.0 GiB of memory that are"):
        slots(devices, found)
    assert named("cpu:5", found) == ["cpu"] * 5
    with pytest.raises(UsageError, match="6 workers do not fit"):
        slots("cpu:6", found)
    assert named("cpu:1", Inventory(cuda=0, mps=False, cores=1, memory=1024)) == ["cpu"]


def test_trials_share_gpus_and_cores_are_not_shared():
    assert slots("cuda:1,3", GPUS, 2) == tuple(
        Slot(index, (name,), 0.5) for index, name in enumerate(["cuda:1", "cuda:1", "cuda:3", "cuda:3"])
    )
    assert slots("mps", APPLE, 3)[2] == Slot(2, ("mps",), 1 / 3)
    assert [slot.share for slot in slots(4, NOTHING)] == [1.0] * 4
    with pytest.raises(UsageError, match="trials_per_device=2 is for GPUs"):
        slots("cuda:0,cpu", GPUS, 2)


def seen(slot: Slot, inherited: dict[str, str], threads: int = 1) -> str:
    return worker_environment(slot, inherited, threads)["CUDA_VISIBLE_DEVICES"]


def test_a_number_counts_within_what_this_process_was_given():
    assert seen(Slot(0, ("cuda:1",)), {}) == "1"
    assert seen(Slot(0, ("cuda:0",)), {"CUDA_VISIBLE_DEVICES": "2,5"}) == "2"
    assert seen(Slot(0, ("cuda:1",)), {"CUDA_VISIBLE_DEVICES": "2,5"}) == "5"
    assert seen(Slot(0, ("cuda:1",)), {"CUDA_VISIBLE_DEVICES": " 2 , 5 "}) == "5"


def test_devices_named_by_uuid_keep_their_names():
    given_names = "GPU-8932f937-d72c-4106-c12f-20bd9faed9f6,MIG-1c5fd8f0-0e5e-5d2b-9d6a-3f4b6f1f7b2a"
    assert seen(Slot(0, ("cuda:1",)), {"CUDA_VISIBLE_DEVICES": given_names}) == given_names.split(",")[1]


def test_a_worker_on_the_cpu_sees_no_gpu():
    assert seen(Slot(0, ("cpu",)), {"CUDA_VISIBLE_DEVICES": "2,5"}) == ""


def test_numbers_follow_the_bus_unless_the_user_chose():
    slot = Slot(0, ("cuda:0",))
    assert worker_environment(slot, {}, 1)["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
    assert worker_environment(slot, {"CUDA_DEVICE_ORDER": "FASTEST_FIRST"}, 1)["CUDA_DEVICE_ORDER"] == "FASTEST_FIRST"


def test_threads_and_what_determinism_needs_are_set_before_torch_starts():
    found = worker_environment(Slot(0, ("cpu",)), {"OMP_NUM_THREADS": "16"}, 2)
    assert (found["OMP_NUM_THREADS"], found["MKL_NUM_THREADS"]) == ("2", "2")
    assert found["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    inherited = {"CUBLAS_WORKSPACE_CONFIG": ":16:8"}
    assert worker_environment(Slot(0, ("cpu",)), inherited, 2)["CUBLAS_WORKSPACE_CONFIG"] == ":16:8"


@given(st.lists(st.integers(0, 63), unique=True, min_size=1, max_size=8))
def test_no_two_workers_share_a_gpu(visible):
    inherited = {"CUDA_VISIBLE_DEVICES": ",".join(map(str, visible))}
    made = slots("auto", Inventory(len(visible), False, 1))
    assert [int(seen(slot, inherited)) for slot in made] == visible


def test_a_worker_names_its_device_as_the_first_that_it_sees():
    assert worker_device(Slot(0, ("cuda:3",))) == "cuda:0"
    assert worker_device(Slot(1, ("cpu",))) == "cpu"
    assert worker_device(Slot(0, ("mps",))) == "mps"


GIB = 1024**3


@pytest.mark.parametrize(
    ("devices", "memory", "expected"),
    [("auto", 4 * GIB, 2), ("cpu", 7 * GIB, 3), ("auto", 64 * GIB, 8), ("auto", GIB, 1), ("auto", 0, 1), (8, GIB, 8)],
)
def test_unless_a_number_is_given_no_more_workers_than_memory_has_room_for(devices, memory, expected):
    assert named(devices, Inventory(cuda=0, mps=False, cores=8, memory=memory)) == ["cpu"] * expected


def test_this_machine_has_a_core_and_memory():
    found = inventory()
    assert found.memory is not None
    assert 0 < found.memory < 2**50
    assert 1 <= found.cores <= (os.cpu_count() or 1)


def test_freed_memory_stays_with_a_worker_unless_the_user_chose():
    assert "glibc.malloc.trim_threshold" in worker_environment(CPU, {}, 1)["GLIBC_TUNABLES"]
    chosen = {"GLIBC_TUNABLES": "glibc.malloc.arena_max=2"}
    assert worker_environment(CPU, chosen, 1)["GLIBC_TUNABLES"] == chosen["GLIBC_TUNABLES"]


@pytest.mark.skipif(sys.platform != "linux", reason="the allocator is glibc's")
def test_a_worker_asks_the_system_for_no_memory_that_it_had_before():
    faults = (
        "import resource, torch\n"
        "def faults(): return resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "for _ in range(3): torch.zeros(40 * 2**20)\n"
        "before = faults()\n"
        "for _ in range(5): torch.zeros(40 * 2**20)\n"
        "print(faults() - before)"
    )
    environment = worker_environment(CPU, os.environ, 1)
    found = subprocess.run(
        [sys.executable, "-c", faults], env=os.environ | environment, capture_output=True, text=True, check=True
    )
    assert int(found.stdout) < 1000  # of 160 MiB, each time: 40,960 pages of 4 KiB
