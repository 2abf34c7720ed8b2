import numpy as np
import pytest
import torch
from training_learners import CPU

from hpsearch.training.memory import memory_errors, peak_memory_bytes, reset_peak_memory


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
