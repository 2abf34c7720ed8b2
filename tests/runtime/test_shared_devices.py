"""Trials that share devices: with GPUs that are pretended (workers train on the CPU), and on this machine's cores."""

import logging
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pynvml
import pytest
import torch
from orders import finish, measured, order_of, run_of, train, workload
from study_processes import until
from test_mps import put
from toy_studies import known_of, table, toy_study

from hpsearch.errors import UsageError
from hpsearch.records import Outcome, Slot
from hpsearch.runtime.devices import Inventory
from hpsearch.runtime.pools import chosen_pool
from hpsearch.runtime.pools.local import LocalPool
from hpsearch.runtime.pools.shared_devices import filled_places, measured_places

TWO_GPUS = Inventory(cuda=2, mps=False, cores=8)


@pytest.fixture
def gpus(monkeypatch) -> None:
    """Two GPUs, whose workers train on the CPU."""
    monkeypatch.setattr("hpsearch.runtime.pools.local.inventory", lambda: TWO_GPUS)
    monkeypatch.setattr("hpsearch.runtime.pools.local.worker_device", lambda _: "cpu")
    monkeypatch.setenv("PATH", "/usr/bin:/bin")


@pytest.fixture
def driver(monkeypatch) -> SimpleNamespace:
    """NVIDIA's driver: both GPUs have 16 GiB and are a third busy."""
    found = SimpleNamespace(busy=33)
    memory = SimpleNamespace(used=1 << 30, total=16 << 30, free=15 << 30)
    monkeypatch.setattr(pynvml, "nvmlInit", lambda: None)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByIndex", int)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetMemoryInfo", lambda _: memory)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetUtilizationRates", lambda _: SimpleNamespace(gpu=found.busy))
    return found


@pytest.fixture
def opened() -> Iterator[list[LocalPool]]:
    pools: list[LocalPool] = []
    yield pools
    for pool in pools:
        pool.close()


def filled(pool: LocalPool, wanted: int) -> None:
    until(lambda: list(pool.completed(0.2)) or len(pool.idle()) == wanted, 240, f"not {wanted} workers")


# How a pool begins


def test_a_number_of_trials_fills_each_gpu(gpus, opened):
    pool = chosen_pool("cuda", 2)[1]()
    opened.append(pool)
    assert pool.slots() == [Slot(i, (f"cuda:{i // 2}",), 0.5) for i in range(4)]


@pytest.mark.parametrize(("devices", "number"), [("auto", 2), ("cpu:4", "3"), (["cuda:0", "cpu"], 2)])
def test_a_core_is_not_shared(devices, number, monkeypatch):
    machine = TWO_GPUS if isinstance(devices, list) else Inventory(0, False, 8)
    monkeypatch.setattr("hpsearch.runtime.pools.local.inventory", lambda: machine)
    with pytest.raises(UsageError, match=rf"trials_per_device={number} is for GPUs.*devices='cpu:{number}'"):
        chosen_pool(devices, number)


@pytest.mark.parametrize("number", [0, -1, "many", 1.5, True, "0", None])
def test_what_is_no_number_of_trials_is_refused(number):
    with pytest.raises(
        UsageError, match=rf"trials_per_device={0 if number == '0' else number!r} is not a number of trials"
    ):
        chosen_pool("cpu", number)


@pytest.mark.parametrize("number", [2, "auto"])
def test_a_pool_in_this_process_trains_one_trial(number):
    with pytest.raises(UsageError, match="trains one trial at a time"):
        chosen_pool("inline", number)
    assert chosen_pool("inline", 1)[0].is_in_process


def test_without_nvml_it_is_said_once_that_a_gpu_trains_one_trial(monkeypatch, caplog):
    def missing():
        raise pynvml.NVMLError_LibraryNotFound

    monkeypatch.setattr(pynvml, "nvmlInit", missing)
    slots = [Slot(0, ("cuda:0",)), Slot(1, ("cuda:1",))]
    with caplog.at_level(logging.WARNING, "hpsearch"):
        assert measured_places(slots, TWO_GPUS) == (slots, {}, None)
    assert [record.getMessage() for record in caplog.records] == [
        "trials_per_device='auto' trains one trial at a time on cuda:0, cuda:1: NVML, the NVIDIA driver's library of "
        "measurements, says: NVML Shared Library Not Found. Give a number if you know how many fit."
    ]


def test_a_measured_pool_begins_with_one_trial_a_device(driver, monkeypatch):
    slots, occupancies, _ = measured_places([Slot(0, ("cuda:0",)), Slot(1, ("cuda:1",))], TWO_GPUS)
    assert [slot.devices for slot in slots] == [("cuda:0",), ("cuda:1",)]
    assert {name: found.trials for name, found in occupancies.items()} == {"cuda:0": 1, "cuda:1": 1}
    slots, occupancies, _ = measured_places([Slot(i, ("cpu",)) for i in range(3)], Inventory(0, False, 3))
    assert slots == [Slot(0, ("cpu",))]
    occupancies["cpu"].limit(9)
    assert occupancies["cpu"].trials == 1


# How GPUs are shared


def test_it_is_said_whether_trials_share_a_gpu_through_mps_or_in_time_slices(tmp_path, monkeypatch, caplog):
    slots = [Slot(0, ("cuda:0",)), Slot(1, ("cuda:0",))]
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr("hpsearch.runtime.mps.DEFAULT_PIPES", tmp_path / "pipes")
    with caplog.at_level(logging.WARNING, "hpsearch"):
        assert filled_places(slots)[2] is None
        put(tmp_path, "echo 'no permission'; exit 1")
        assert filled_places(slots)[2] is None
        put(tmp_path)
        service = filled_places(slots)[2]
        assert service is not None
        service.close()
        (tmp_path / "pipes").mkdir()
        (tmp_path / "pipes" / "control").touch()
        assert filled_places(slots)[2] is None
        assert filled_places([Slot(0, ("mps",)), Slot(1, ("mps",))])[2] is None
    assert [record.getMessage() for record in caplog.records] == [
        "Trials share GPUs in time slices, without NVIDIA's MPS: there is no nvidia-cuda-mps-control here, which comes "
        "with NVIDIA's driver.",
        "Trials share GPUs in time slices, without NVIDIA's MPS: nvidia-cuda-mps-control says: no permission.",
        "Trials share GPUs through NVIDIA's MPS, which was started for this study.",
        f"Trials share GPUs through the NVIDIA MPS daemon that is running here ({tmp_path / 'pipes'}).",
    ]


@pytest.mark.slow
def test_workers_find_the_service_and_it_ends_after_them(gpus, tmp_path, monkeypatch, opened):
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    put(tmp_path)
    pool = chosen_pool("cuda:0", 2)[1]()
    opened.append(pool)
    pool.prepare(workload(pool, tmp_path, "served"))
    filled(pool, 2)
    pipes = pool._transport._mps.variables["CUDA_MPS_PIPE_DIRECTORY"]
    for process in pool.processes().values():
        environment = Path(f"/proc/{process}/environ").read_text(encoding="utf-8").split("\0")
        assert f"CUDA_MPS_PIPE_DIRECTORY={pipes}" in environment
    pool.close()
    assert (tmp_path / "told").read_text().endswith("quit -t 5\n")


# What they train


@pytest.mark.slow
def test_a_pool_grows_while_trials_pay_and_gives_slots_back(gpus, driver, tmp_path, opened):
    pool = chosen_pool("cuda:0", "auto")[1]()
    opened.append(pool)
    pool.prepare(workload(pool, tmp_path, "grows", pause=0.05))
    filled(pool, 1)
    alone = measured(train(pool, order_of("grows", run_of("alone", epochs=4))))
    pool.submit(pool.idle()[0], order_of("grows", run_of("first", epochs=8)))
    until(lambda: list(pool.completed(0.2)) and len(pool.slots()) == 2, 240, "no second slot")
    assert [slot.share for slot in pool.slots()] == [0.5, 0.5]
    finish(pool)
    filled(pool, 2)
    for index, slot in enumerate(pool.idle()):
        pool.submit(slot, order_of("grows", run_of(f"beside {index}", epochs=4)))
    events = finish(pool)
    beside = [
        [evaluation.metrics for evaluation, _ in measured(events) if evaluation.run == f"beside {i}"] for i in (0, 1)
    ]
    assert beside[0] == beside[1] == [evaluation.metrics for evaluation, _ in alone]
    pool._occupancies["cuda:0"].limit(1)
    list(pool.completed(0.1))
    assert len(pool.slots()) == len(pool.idle()) == 1
    assert pool.slots()[0].share == 1.0


@pytest.mark.slow
def test_out_of_memory_beside_another_is_tried_again_alone_and_changes_no_number(gpus, tmp_path, monkeypatch, caplog):
    """A trial that runs out of memory whenever another one trains beside it, with torch's own exception."""
    task = {"trouble": "crowded", "flag": str(tmp_path / "crowd"), "pause": 0.01}
    (tmp_path / "crowd").mkdir()
    alone = toy_study(tmp_path / "alone", task)
    alone.run(trials=4, devices="inline", progress=False)
    together = toy_study(tmp_path / "together", task)
    with caplog.at_level(logging.WARNING, "hpsearch"):
        together.run(trials=4, devices="cuda:0", trials_per_device=2, progress=False)
    assert "ran out of memory on cuda:0, which trained 2 at once" in caplog.text
    outcomes = [result.outcome for results in together.store().history.results.values() for result in results]
    assert Outcome.PAUSED in outcomes
    assert Outcome.OUT_OF_MEMORY not in outcomes
    assert table(tmp_path / "together").equals(table(tmp_path / "alone"))
    assert known_of(tmp_path / "together") == known_of(tmp_path / "alone")


@pytest.mark.slow
@pytest.mark.parametrize("number", [3, "auto"])
def test_trials_on_shared_devices_are_those_of_trials_alone(number, gpus, driver, tmp_path):
    toy_study(tmp_path / "alone").run(trials=6, devices="inline", progress=False)
    toy_study(tmp_path / "together").run(trials=6, devices="cuda", trials_per_device=number, progress=False)
    assert table(tmp_path / "together").equals(table(tmp_path / "alone"))
    assert known_of(tmp_path / "together") == known_of(tmp_path / "alone")


def test_torch_says_out_of_memory_as_the_toy_does():
    assert issubclass(torch.cuda.OutOfMemoryError, RuntimeError)
    assert torch.cuda.OutOfMemoryError is torch.OutOfMemoryError
