"""Which devices there are, and which worker sees which: pure functions over an inventory."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hpsearch.errors import UsageError, nearest
from hpsearch.records import Slot

INLINE = "inline"
"""Value of `devices` that trains in the calling process, for debugging."""

WORKER_BYTES = 2 * 1024**3
"""Memory that a worker on a CPU is taken to need: torch and transformers, a model of some hundred million parameters
with gradients and Adam's moments, and a batch. Who knows better says how many workers there shall be."""

MEMORY_KEPT = ":".join(
    (
        f"glibc.malloc.mmap_threshold={1024**3}",
        f"glibc.malloc.trim_threshold={64 * 1024**3}",
        f"glibc.malloc.top_pad={64 * 1024**2}",
        "glibc.malloc.hugetlb=1",
    )
)
"""What has glibc's allocator keep a worker's freed memory, in huge pages where the kernel has them on request.

By default it gives every block of more than 32 MiB, and the end of its heap, back to the system, and a step of training
takes and returns the gradient of an embedding each time: 14,000 page faults a step of a model of 23 million parameters
(docs/decisions/throughput.md). Other C libraries read no such variable."""

GPU_DRIVERS = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")
"""Files that Linux has beside a driver for NVIDIA's GPUs or AMD's, or, under WSL, for any that Windows has."""

Devices = str | int | Sequence[str | int]
"""What a user may say: "auto", "inline", "cpu", "cuda", "mps", "cuda:1", a number of workers, or a list of devices."""


@dataclass(frozen=True)
class Inventory:
    """What this machine has, as this process may use it.

    Attributes:
        cuda: CUDA devices visible to this process.
        mps: Whether there is an Apple GPU.
        cores: CPU cores this process may run on.
        memory: Bytes of memory that are free for workers, or None where that is not known.
    """

    cuda: int
    mps: bool
    cores: int
    memory: int | None = None

    @property
    def workers(self) -> int:
        """Workers on the CPU where nobody says how many: one a core, as many as memory has room for, at least one."""
        return self.cores if self.memory is None else max(1, min(self.cores, self.memory // WORKER_BYTES))


def inventory() -> Inventory:
    """Look at the machine, without starting a CUDA context in this process."""
    import psutil
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Inventory(
        torch.cuda.device_count(), torch.backends.mps.is_available(), cores, psutil.virtual_memory().available
    )


def are_surely_cpus(devices: Devices) -> bool:
    """Return whether workers will be on CPUs, as far as that can be told without torch, which takes a second to import.

    False where that is open, where they are on no worker ("inline"), and of what is no device.
    """
    if isinstance(devices, str | int) and not isinstance(devices, bool):
        may_be_cpus = devices == "auto" or (isinstance(devices, int) and devices > 0)
        return devices == "cpu" or (may_be_cpus and not any(map(os.path.exists, GPU_DRIVERS)))
    return isinstance(devices, list | tuple) and bool(devices) and all(each == "cpu" for each in devices)


def slots(devices: Devices, found: Inventory) -> tuple[Slot, ...]:
    """Return a slot for each worker.

    A GPU gets one worker; on a CPU each core gets one, since two one-thread workers do more than one of two threads,
    but where nobody says how many, no more than the memory has room for.

    Raises:
        UsageError: A device is not there, or the words are not understood.
    """
    named = [f"cuda:{device}" if isinstance(device, int) else device for device in _listed(devices, found)]
    for name in named:
        _check(name, devices, found)
    return tuple(Slot(index, (name,)) for index, name in enumerate(named))


def _listed(devices: Devices, found: Inventory) -> Sequence[str | int]:
    best = "cuda" if found.cuda else "mps" if found.mps else "cpu"
    if isinstance(devices, bool) or (isinstance(devices, int) and devices < 1):
        raise UsageError(f"devices={devices!r} is not a number of workers; give 1 or more, or 'auto'.")
    if isinstance(devices, int):
        if best == "cuda" and devices > found.cuda:
            raise UsageError(f"devices={devices} asks for {devices} GPUs, and this process sees {found.cuda}.")
        return [best if best != "cuda" else index for index in range(devices)]
    if not isinstance(devices, str):
        if not isinstance(devices, Sequence):
            raise UsageError(
                f"devices={devices!r} is a {type(devices).__name__}; give 'auto', a number of workers, or a list of "
                "devices."
            )
        if not devices:
            raise UsageError("devices=[] names no device; give at least one, or 'auto'.")
        return devices
    if devices == INLINE:
        return [0 if best == "cuda" else best]
    kind = best if devices == "auto" else devices
    if kind == "cuda" and found.cuda:
        return list(range(found.cuda))
    return ["cpu"] * found.workers if kind == "cpu" else [kind]


def _check(name: str, devices: Devices, found: Inventory) -> None:
    kind, _, index = str(name).partition(":")
    if kind == "cpu" and not index:
        return
    if kind == "mps" and not index:
        if found.mps:
            return
        raise UsageError(f"devices={devices!r} asks for an Apple GPU, and there is none here; try devices='auto'.")
    if kind == "cuda" and (index.isdigit() or not index):
        if index and int(index) < found.cuda:
            return
        raise UsageError(
            f"devices={devices!r} asks for {name}, and this process sees {found.cuda} CUDA device(s); "
            "check nvidia-smi and CUDA_VISIBLE_DEVICES, or use devices='auto'."
        )
    known = ["auto", INLINE, "cpu", "cuda", "mps"]
    raise UsageError(
        f"devices={devices!r} is not understood.{nearest(str(name), known)} Say {', '.join(known)}, "
        "'cuda:0', a number of workers, or a list of devices."
    )


def worker_environment(slot: Slot, inherited: Mapping[str, str], threads: int) -> dict[str, str]:
    """Return the environment variables that make a worker see its own devices only, before torch starts in it.

    A device's number counts within what this process itself was given: under CUDA_VISIBLE_DEVICES=2,5 the device
    cuda:1 is the machine's number 5. Numbers follow the PCI bus, as nvidia-smi's do, unless the user chose.
    """
    variables = {
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        "TOKENIZERS_PARALLELISM": "false",
        "TRANSFORMERS_VERBOSITY": "error",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "GLIBC_TUNABLES": inherited.get("GLIBC_TUNABLES", MEMORY_KEPT),
        "CUBLAS_WORKSPACE_CONFIG": inherited.get("CUBLAS_WORKSPACE_CONFIG", ":4096:8"),
        "CUDA_DEVICE_ORDER": inherited.get("CUDA_DEVICE_ORDER", "PCI_BUS_ID"),
    }
    numbers = [int(device.partition(":")[2]) for device in slot.devices if device.startswith("cuda:")]
    visible = [name.strip() for name in inherited.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    variables["CUDA_VISIBLE_DEVICES"] = ",".join(visible[number] if visible else str(number) for number in numbers)
    return variables


def worker_device(slot: Slot) -> str:
    """Return the slot's device as its own worker process names it: the first of those it sees."""
    kind = slot.devices[0].partition(":")[0]
    return "cuda:0" if kind == "cuda" else kind
