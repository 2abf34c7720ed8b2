"""Which devices there are, and which worker sees which: pure functions over an inventory."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hpsearch.errors import UsageError, nearest
from hpsearch.records import Slot

KINDS = ("auto", "cpu", "cuda", "mps")
"""Kinds of device of this machine, as users name them."""

THREADS = 1
"""CPU threads per worker: two workers of one thread do more than one of two."""

WORKER_BYTES = 2 * 1024**3
"""Assumed memory of a worker on a CPU: torch and transformers, a model of some hundred million parameters with
gradients and Adam's moments, and a batch. Users who know better give a number of workers."""

KEEP_FREED_MEMORY = ":".join(
    (
        f"glibc.malloc.mmap_threshold={1024**3}",
        f"glibc.malloc.trim_threshold={64 * 1024**3}",
        f"glibc.malloc.top_pad={64 * 1024**2}",
        "glibc.malloc.hugetlb=1",
    )
)
"""GLIBC_TUNABLES that keep a worker's freed memory with it, in huge pages where the kernel gives them on request.

By default glibc returns every block of more than 32 MiB, and the end of its heap, to the system. Each training step
then takes an embedding's gradient anew: 14,000 page faults a step with 23 million parameters
(docs/decisions/throughput.md). Other C libraries ignore the variable."""

Devices = str | int | Sequence[str | int]
"""What a user may give: "auto", "cpu", "cuda", "mps", "cuda:1", a number of workers, a list of devices, or what
another pool claims, such as "inline"."""


@dataclass(frozen=True)
class Inventory:
    """The devices of this machine, as far as this process may use them.

    Attributes:
        cuda: CUDA devices visible to this process.
        mps: Whether there is an Apple GPU.
        cores: CPU cores this process may run on.
        memory: Bytes free for workers, or None where unknown.
    """

    cuda: int
    mps: bool
    cores: int
    memory: int | None = None

    @property
    def workers(self) -> int:
        """Workers on the CPU by default: one per core, as far as memory allows, at least one."""
        return self.cores if self.memory is None else max(1, min(self.cores, self.memory // WORKER_BYTES))


def inventory() -> Inventory:
    """Look at the machine without starting a CUDA context in this process."""
    import psutil
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Inventory(
        torch.cuda.device_count(), torch.backends.mps.is_available(), cores, psutil.virtual_memory().available
    )


def slots(devices: Devices, machine: Inventory) -> tuple[Slot, ...]:
    """Return a slot for each worker: one per GPU, or by default `machine.workers` on the CPU.

    Raises:
        UsageError: A device is not there, or `devices` is not understood.
    """
    named = [f"cuda:{device}" if isinstance(device, int) else device for device in _listed(devices, machine)]
    for name in named:
        _check(name, devices, machine)
    return tuple(Slot(index, (name,)) for index, name in enumerate(named))


def _listed(devices: Devices, machine: Inventory) -> Sequence[str | int]:
    best = "cuda" if machine.cuda else "mps" if machine.mps else "cpu"
    if isinstance(devices, bool) or (isinstance(devices, int) and devices < 1):
        raise UsageError(f"devices={devices!r} is not a number of workers; give 1 or more, or 'auto'.")
    if isinstance(devices, int):
        if best == "cuda" and devices > machine.cuda:
            raise UsageError(f"devices={devices} asks for {devices} GPUs, and this process sees {machine.cuda}.")
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
    kind = best if devices == "auto" else devices
    if kind == "cuda" and machine.cuda:
        return list(range(machine.cuda))
    return ["cpu"] * machine.workers if kind == "cpu" else [kind]


def _check(name: str, devices: Devices, machine: Inventory) -> None:
    kind, _, index = str(name).partition(":")
    if kind == "cpu" and not index:
        return
    if kind == "mps" and not index:
        if machine.mps:
            return
        raise UsageError(f"devices={devices!r} asks for an Apple GPU, and there is none here; try devices='auto'.")
    if kind == "cuda" and (index.isdigit() or not index):
        if index and int(index) < machine.cuda:
            return
        raise UsageError(
            f"devices={devices!r} asks for {name}, and this process sees {machine.cuda} CUDA device(s); "
            "check nvidia-smi and CUDA_VISIBLE_DEVICES, or use devices='auto'."
        )
    raise UsageError(
        f"devices={devices!r} is not understood.{nearest(str(name), KINDS)} Use {', '.join(KINDS)}, 'cuda:0', a number "
        "of workers, or a list of devices."
    )


def worker_environment(slot: Slot, inherited: Mapping[str, str], threads: int = THREADS) -> dict[str, str]:
    """Return a worker's environment, set before torch starts in it, so that it sees only its own devices.

    Device numbers count what this process sees: under CUDA_VISIBLE_DEVICES=2,5 the device cuda:1 is the machine's
    number 5. They follow the PCI bus, as nvidia-smi's do, unless the user chose another order.
    """
    variables = {
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        "TOKENIZERS_PARALLELISM": "false",
        "TRANSFORMERS_VERBOSITY": "error",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "GLIBC_TUNABLES": inherited.get("GLIBC_TUNABLES", KEEP_FREED_MEMORY),
        "CUBLAS_WORKSPACE_CONFIG": inherited.get("CUBLAS_WORKSPACE_CONFIG", ":4096:8"),
        "CUDA_DEVICE_ORDER": inherited.get("CUDA_DEVICE_ORDER", "PCI_BUS_ID"),
    }
    numbers = [int(device.partition(":")[2]) for device in slot.devices if device.startswith("cuda:")]
    visible = [name.strip() for name in inherited.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    variables["CUDA_VISIBLE_DEVICES"] = ",".join(visible[number] if visible else str(number) for number in numbers)
    return variables


def worker_device(slot: Slot) -> str:
    """Return the slot's device as its own worker names it: the first that it sees."""
    kind = slot.devices[0].partition(":")[0]
    return "cuda:0" if kind == "cuda" else kind
