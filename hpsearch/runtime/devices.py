"""Which devices there are, and which worker sees which: pure functions over an inventory."""

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from hpsearch.errors import UsageError, nearest
from hpsearch.records import Slot

KINDS = ("auto", "cpu", "cuda", "gpu", "mps")
"""Kinds of device of this machine, as users name them; "gpu" is whichever there is of the other two."""

EXAMPLES = "'cuda:0,2', 'cpu:4', a number of workers, or a list of devices"
"""What else a user may write, as errors list it."""

THREADS = 1
"""CPU threads per worker: two workers of one thread do more than one of two."""

WORKER_BYTES = 2 * 1024**3
"""Assumed memory of a worker on a CPU: torch and transformers, a model of some hundred million parameters with
gradients and Adam's moments, and a batch. Users who know better give a number of workers."""

LEAST_WORKER_BYTES = 200 * 1024**2
"""What a worker takes that has only imported torch; of more than the free memory holds, not all can ever start."""

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
"""What a user may give: "auto", "gpu", "cuda", "mps", "cpu", "cuda:0,2" (two GPUs), "cpu:4" (four workers on the CPU),
a number of workers, a list of devices, or what another pool claims, such as "inline"."""

TrialsPerDevice = int | Literal["auto"]
"""How many trials share a GPU. "auto": as many as pay, by what is measured (`hpsearch.runtime.placing`)."""


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


def slots(devices: Devices, machine: Inventory, trials_per_device: int = 1) -> tuple[Slot, ...]:
    """Return a slot for each worker: so many per GPU, or by default `machine.workers` on the CPU.

    Raises:
        UsageError: A device is not there, or `devices` is not understood, or trials are to share a CPU's core.
    """
    if isinstance(devices, str) and devices.isdecimal():
        devices = int(devices)
    named = list(_listed(devices, machine))
    for name in named:
        _check(name, devices, machine)
    if trials_per_device > 1 and "cpu" in named:
        raise UsageError(
            f"trials_per_device={trials_per_device} is for GPUs: on a CPU each trial has a core of its own, and this "
            f"study would train on the CPU. Give devices='cpu:{trials_per_device}' for {trials_per_device} workers, or "
            "trials_per_device='auto'."
        )
    places = [name for name in named for _ in range(trials_per_device)]
    sharing = Counter(places)
    return tuple(
        Slot(index, (name,), 1.0 if name == "cpu" else 1.0 / sharing[name]) for index, name in enumerate(places)
    )


def checked_trials_per_device(given: TrialsPerDevice | str) -> TrialsPerDevice:
    """Return a number of trials per device, or "auto", as a user wrote it.

    Raises:
        UsageError: It is neither.
    """
    if given == "auto":
        return "auto"
    number = int(given) if isinstance(given, str) and given.isdecimal() else given
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        raise UsageError(
            f"trials_per_device={number!r} is not a number of trials. Give 1 or more, or 'auto' for as many as pay, by "
            "what is measured."
        )
    return number


def is_named(devices: Devices) -> bool:
    """Return whether a value is meant for devices of this machine, be they there or not."""
    if not isinstance(devices, str):
        return True
    first = devices.partition(",")[0].strip()
    return first.isdecimal() or first.partition(":")[0] in KINDS


def _listed(devices: Devices, machine: Inventory) -> Iterator[str]:
    """Yield the name of each worker's device, some of them perhaps not there."""
    if isinstance(devices, str):
        items = list(_spelled_out(devices))
        if len(items) == 1:
            yield from _all_of(items[0], machine)
            return
        for item in items:
            yield from _each(item, machine)
        return
    if isinstance(devices, bool) or (isinstance(devices, int) and devices < 1):
        raise UsageError(f"devices={devices!r} is not a number of workers; give 1 or more, or 'auto'.")
    if isinstance(devices, int):
        best = _best(machine)
        if best == "cuda" and devices > machine.cuda:
            raise UsageError(
                f"devices={devices} asks for {devices} GPUs, and this process sees {machine.cuda}. Several trials "
                "share a GPU with trials_per_device."
            )
        if best != "cuda":
            _check_number(devices, machine)
        yield from (f"cuda:{index}" if best == "cuda" else best for index in range(devices))
        return
    if not isinstance(devices, Sequence):
        raise UsageError(
            f"devices={devices!r} is a {type(devices).__name__}; give 'auto', a number of workers, or a list of "
            "devices."
        )
    if not devices:
        raise UsageError("devices=[] names no device; give at least one, or 'auto'.")
    for device in devices:
        yield from _each(f"cuda:{device}" if isinstance(device, int) else str(device), machine)


def _spelled_out(text: str) -> Iterator[str]:
    """Yield the devices that a text lists: a number is a GPU's, at the beginning ("0,2") or after one ("cuda:0,2")."""
    kind = "cuda"
    for item in map(str.strip, text.split(",")):
        is_number = item.isdecimal() and kind == "cuda"
        kind = kind if is_number else item.partition(":")[0]
        yield f"cuda:{item}" if is_number else item


def _all_of(word: str, machine: Inventory) -> Sequence[str]:
    """Return what a word means that stands alone: all GPUs of "cuda", a worker a core of "cpu"."""
    kind = _best(machine) if word == "auto" else word
    if kind == "gpu":
        kind = "cuda" if machine.cuda or not machine.mps else "mps"
    if kind == "cuda" and machine.cuda:
        return [f"cuda:{index}" for index in range(machine.cuda)]
    return ["cpu"] * machine.workers if kind == "cpu" else _each(kind, machine)


def _each(name: str, machine: Inventory) -> Sequence[str]:
    """Return the device of a name, once for each of the four workers of "cpu:4"."""
    kind, _, number = name.partition(":")
    if kind != "cpu" or not number.isdecimal() or not int(number):
        return [name]
    _check_number(int(number), machine)
    return ["cpu"] * int(number)


def _check_number(workers: int, machine: Inventory) -> None:
    """Refuse a number of workers on the CPU that this machine cannot even start."""
    if machine.memory is not None and workers > max(machine.cores, machine.memory // LEAST_WORKER_BYTES):
        raise UsageError(
            f"{workers:,} workers do not fit into the {machine.memory / 1024**3:.1f} GiB of memory that are free here: "
            f"each takes {LEAST_WORKER_BYTES / 1024**3:.1f} GiB before it loads a model. 'cpu' starts "
            f"{machine.workers}, one a core as far as memory allows."
        )


def _best(machine: Inventory) -> str:
    return "cuda" if machine.cuda else "mps" if machine.mps else "cpu"


def _check(name: str, devices: Devices, machine: Inventory) -> None:
    kind, _, index = name.partition(":")
    if name == "cpu":
        return
    if name == "mps":
        if machine.mps:
            return
        raise UsageError(f"devices={devices!r} asks for an Apple GPU, and there is none here; try devices='auto'.")
    if name in KINDS and (name != "cuda" or machine.cuda):
        raise UsageError(
            f"devices={devices!r} has {name!r} in a list. Give devices={name!r} alone, or name each device: "
            "'cuda:0,cpu:2'."
        )
    if kind == "cuda" and (index.isdecimal() or not index):
        if index and int(index) < machine.cuda:
            return
        raise UsageError(
            f"devices={devices!r} asks for {name}, and this process sees {machine.cuda} CUDA device(s); "
            "check nvidia-smi and CUDA_VISIBLE_DEVICES, or use devices='auto'."
        )
    raise UsageError(
        f"devices={devices!r} is not understood.{nearest(name, KINDS)} Use {', '.join(KINDS)}, {EXAMPLES}."
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
