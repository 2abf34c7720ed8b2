"""Memory: what is used at the peak, and one error for all the ways in which a device says that there is no more."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch

EXHAUSTED = (
    "defaultcpuallocator",
    "can't allocate memory",
    "bad_alloc",
    "out of memory",
    "alloc_failed",
    "allocation_failed",
)
"""Parts of the messages of RuntimeErrors that are failed allocations: torch on the CPU (allocated by it or by a
library), CUDA's own and MPS's, cuBLAS's and cuDNN's up to version 8, and cuDNN's from 9 on."""


@contextmanager
def memory_errors() -> Iterator[None]:
    """Turn every failed allocation in a block into `torch.OutOfMemoryError`."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except MemoryError as error:
        raise torch.OutOfMemoryError(f"CPU out of memory. {error}") from error
    except RuntimeError as error:
        if any(part in str(error).lower() for part in EXHAUSTED):
            raise torch.OutOfMemoryError(str(error)) from error
        raise


def free_memory(device: torch.device) -> None:
    """Give memory that nothing uses any more back to the device, so that another process can have it.

    What failed hangs on its traceback, and often in a circle with it: call this after the handler.
    """
    gc.collect()
    empty_cache(device)


def empty_cache(device: torch.device) -> None:
    """Give back what torch keeps of the device's memory for later tensors."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


def reset_peak_memory(device: torch.device) -> None:
    """Reset the peak where the device keeps one; that of a process cannot be reset."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_memory_bytes(device: torch.device) -> int:
    """Return the peak memory in bytes: allocated on a GPU since the reset, or else of the process in its whole life."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    if device.type == "mps":
        return int(torch.mps.driver_allocated_memory())
    if sys.platform == "win32":
        return 0
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)
