import os
from types import SimpleNamespace

import pynvml
import pytest

from hpsearch.runtime.device_load import CpuLoad, GpuLoad, Load, NotMeasuredError, load_of


@pytest.fixture
def driver(monkeypatch):
    """A driver that knows two GPUs, by number and by UUID; a word in `broken` is what it raises from then on."""
    found = SimpleNamespace(asked=[], broken=None)

    def of(name):
        found.asked.append(name)
        if name not in (0, 1, "GPU-1"):
            raise pynvml.NVMLError_InvalidArgument
        return name

    def utilization(_):
        if found.broken is not None:
            raise found.broken
        return SimpleNamespace(gpu=37, memory=12)

    monkeypatch.setattr(pynvml, "nvmlInit", lambda: None)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByIndex", of)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByUUID", of)
    monkeypatch.setattr(
        pynvml, "nvmlDeviceGetMemoryInfo", lambda _: SimpleNamespace(used=3 << 30, total=16 << 30, free=0)
    )
    monkeypatch.setattr(pynvml, "nvmlDeviceGetUtilizationRates", utilization)
    return found


def test_a_gpu_is_looked_at_by_number_or_uuid(driver):
    assert GpuLoad("1").look() == Load(0.37, 3 << 30, 16 << 30)
    assert GpuLoad("GPU-1").look().busy == 0.37
    assert driver.asked == [1, "GPU-1"]


def test_a_gpu_that_the_driver_does_not_know_or_that_says_nothing_is_not_measured(driver):
    with pytest.raises(NotMeasuredError, match=r"NVML.*Invalid Argument"):
        GpuLoad("7")
    load = GpuLoad("0")
    driver.broken = pynvml.NVMLError_GpuIsLost()
    with pytest.raises(NotMeasuredError, match="GPU is lost"):
        load.look()
    driver.broken = pynvml.NVMLError_NotSupported()  # a part of a GPU (MIG) does not say how busy it is
    with pytest.raises(NotMeasuredError, match="Not Supported"):
        GpuLoad("0")


def test_without_a_driver_a_gpu_is_not_measured(monkeypatch):
    def missing():
        raise pynvml.NVMLError_LibraryNotFound

    monkeypatch.setattr(pynvml, "nvmlInit", missing)
    with pytest.raises(NotMeasuredError, match="NVML Shared Library Not Found"):
        load_of("cuda:0", "0", {})


def test_a_gpu_is_found_as_its_worker_finds_it(driver):
    load_of("cuda:0", "1", {})
    load_of("cuda:1", "GPU-1", {"CUDA_DEVICE_ORDER": "FASTEST_FIRST"})
    assert driver.asked == [1, "GPU-1"]
    with pytest.raises(NotMeasuredError, match="CUDA_DEVICE_ORDER"):
        load_of("cuda:0", "1", {"CUDA_DEVICE_ORDER": "FASTEST_FIRST"})


def test_an_apple_gpu_is_not_measured():
    with pytest.raises(NotMeasuredError, match="an Apple GPU"):
        load_of("mps", "", {})


def test_a_cpu_says_how_busy_the_cores_of_this_process_are(monkeypatch):
    monkeypatch.setattr("psutil.cpu_percent", lambda percpu: [100.0, 20.0, 60.0, 0.0])
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {1, 2}, raising=False)
    assert CpuLoad().look().busy == pytest.approx(0.4)


def test_this_machine_is_measured():
    load = load_of("cpu", "", os.environ).look()
    assert 0.0 <= load.busy <= 1.0
    assert 0 < load.memory_used < load.memory_bytes < 2**50
