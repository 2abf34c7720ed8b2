import gc
import weakref

import numpy as np
import pytest
import torch
from training_learners import CPU

from hpsearch.training.memory import free_memory, memory_errors, peak_memory_bytes, reset_peak_memory


def allocate_tensor() -> None:
    torch.empty(10**15)


def allocate_bytes() -> None:
    bytearray(10**18)


def allocate_array() -> None:
    np.empty(10**17)


@pytest.mark.parametrize("allocate", [allocate_tensor, allocate_bytes, allocate_array])
def test_every_failed_allocation_is_one_error(allocate: object) -> None:
    with pytest.raises(torch.OutOfMemoryError) as caught, memory_errors():
        allocate()  # type: ignore[operator]
    assert caught.value.__cause__ is not None


def test_a_devices_own_error_passes_as_it_is() -> None:
    error = torch.OutOfMemoryError("CUDA out of memory.")
    with pytest.raises(torch.OutOfMemoryError) as caught, memory_errors():
        raise error
    assert caught.value is error


def test_other_errors_pass_as_they_are() -> None:
    with pytest.raises(RuntimeError, match="must match the size") as caught, memory_errors():
        torch.ones(2) + torch.ones(3)
    assert not isinstance(caught.value, torch.OutOfMemoryError)


def test_the_peak_of_a_process_is_at_least_what_it_has_just_used() -> None:
    reset_peak_memory(CPU)
    torch.ones(50_000_000).sum()
    assert 200_000_000 < peak_memory_bytes(CPU) < 2**40


@pytest.mark.parametrize("kind", ["cuda", "mps"])
def test_what_torch_keeps_of_a_device_goes_back_to_it(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    emptied = []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: emptied.append("cuda"))
    monkeypatch.setattr(torch.mps, "empty_cache", lambda: emptied.append("mps"))
    free_memory(CPU)
    free_memory(torch.device(kind))
    assert emptied == [kind]


def test_what_failed_is_free_although_it_hangs_on_its_traceback_in_a_circle() -> None:
    died = []

    def fail() -> None:
        held = torch.ones(3)
        weakref.finalize(held, died.append, True)
        try:
            torch.empty(10**15)
        except RuntimeError as error:
            caught = error  # whose traceback holds this frame, which holds it
        assert caught

    gc.disable()
    try:
        fail()
        assert not died
        free_memory(CPU)
        assert died
    finally:
        gc.enable()
