"""How full a device is: NVIDIA's through NVML (the package nvidia-ml-py), a CPU through psutil."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import psutil

from hpsearch.errors import HpsearchError


class NotMeasuredError(HpsearchError):
    """This machine does not say how full a device is; the message is the reason."""


@dataclass(frozen=True)
class Load:
    """A look at a device.

    Attributes:
        busy: The share of the last moments in which it was busy.
        memory_used: Bytes in use, by whomever.
        memory_bytes: Bytes in all.
    """

    busy: float
    memory_used: int
    memory_bytes: int


class DeviceLoad(Protocol):
    """Looks at one device."""

    def look(self) -> Load:
        """Return how full it is now.

        Raises:
            NotMeasuredError: The device does not say.
        """


class CpuLoad:
    """The cores that this process may use, and the machine's memory."""

    def __init__(self) -> None:
        self.look()  # the next look says what was since this one

    def look(self) -> Load:
        shares = psutil.cpu_percent(percpu=True)
        cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else range(len(shares))
        ours = [shares[core] for core in cores if core < len(shares)] or shares
        memory = psutil.virtual_memory()
        return Load(sum(ours) / len(ours) / 100.0, memory.total - memory.available, memory.total)


class GpuLoad:
    """An NVIDIA GPU, through NVML.

    Args:
        name: As CUDA_VISIBLE_DEVICES names it: a number in the order of the PCI bus, or a UUID.

    Raises:
        NotMeasuredError: There is no NVML here, or it does not know the GPU.
    """

    def __init__(self, name: str) -> None:
        import pynvml

        self._nvml: Any = pynvml
        try:
            pynvml.nvmlInit()
            by_number = pynvml.nvmlDeviceGetHandleByIndex, pynvml.nvmlDeviceGetHandleByUUID
            self._handle = by_number[0](int(name)) if name.isdecimal() else by_number[1](name)
        except pynvml.NVMLError as error:
            raise NotMeasuredError(f"NVML, the NVIDIA driver's library of measurements, says: {error}") from error
        self.look()

    def look(self) -> Load:
        try:
            memory = self._nvml.nvmlDeviceGetMemoryInfo(self._handle)
            busy = self._nvml.nvmlDeviceGetUtilizationRates(self._handle).gpu  # percent of its last sampling period
        except self._nvml.NVMLError as error:
            raise NotMeasuredError(f"NVML, the NVIDIA driver's library of measurements, says: {error}") from error
        return Load(busy / 100.0, int(memory.used), int(memory.total))


def load_of(device: str, visible: str, inherited: Mapping[str, str]) -> DeviceLoad:
    """Return what looks at a device.

    Args:
        device: As `Slot.devices` has it.
        visible: Its worker's CUDA_VISIBLE_DEVICES.
        inherited: This process's environment.

    Raises:
        NotMeasuredError: This machine does not say how full it is.
    """
    if device == "cpu":
        return CpuLoad()
    if not device.startswith("cuda"):
        raise NotMeasuredError("an Apple GPU does not say how busy it is")
    if visible.isdecimal() and inherited.get("CUDA_DEVICE_ORDER", "PCI_BUS_ID") != "PCI_BUS_ID":
        raise NotMeasuredError("CUDA_DEVICE_ORDER numbers the GPUs otherwise than NVML does; unset it")
    return GpuLoad(visible)
