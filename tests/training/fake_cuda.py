"""A GPU that is pretended: tensors lie on the CPU, and their memory is counted and refused as CUDA's is.

What is counted are the storages that operations return, until nothing refers to them: what is really freed is free.
An allocation that does not fit raises torch's own exception, in its own words.
"""

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

CUDA = torch.device("cuda")
CPU = torch.device("cpu")

OUT_OF_MEMORY = (
    "CUDA out of memory. Tried to allocate {size:.2f} MiB. GPU 0 has a total capacity of {total:.2f} MiB of which "
    "{free:.2f} MiB is free. Of the allocated memory {used:.2f} MiB is allocated by PyTorch."
)


class FakeCuda:
    """The memory of a pretended GPU.

    Attributes:
        capacity: Its bytes; None for no limit.
        held: Bytes of the tensors that there are.
        peak: The most of it since the last reset.
        emptied: What was held each time that the cache was emptied.
        lost: What emptying the cache raises, if anything.
        fails: Asked before each operation; the exception that it returns is raised, None lets the operation run.
    """

    def __init__(self) -> None:
        self.capacity: int | None = None
        self.held = 0
        self.peak = 0
        self.emptied: list[int] = []
        self.lost: BaseException | None = None
        self.fails: Callable[[Any], BaseException | None] = lambda operation: None
        self._storages: dict[int, int] = {}

    def count(self, tensor: Tensor) -> None:
        """Count a tensor that an operation has returned, or refuse it."""
        storage = tensor.untyped_storage()
        size, key = storage.nbytes(), storage._cdata
        if not size or key in self._storages:
            return
        if self.capacity is not None and self.held + size > self.capacity:
            facts = {"size": size, "total": self.capacity, "free": self.capacity - self.held, "used": self.held}
            raise torch.OutOfMemoryError(OUT_OF_MEMORY.format(**{name: n / 2**20 for name, n in facts.items()}))
        self._storages[key] = size
        self.held += size
        self.peak = max(self.peak, self.held)
        weakref.finalize(storage, self._freed, key)

    def _freed(self, key: int) -> None:
        self.held -= self._storages.pop(key)

    def empty_cache(self) -> None:
        if self.lost is not None:
            raise self.lost
        self.emptied.append(self.held)

    def reset_peak(self, *_: Any) -> None:
        self.peak = self.held


class _OnTheCpu(TorchFunctionMode):
    """Has every function of torch that is asked for a tensor on the GPU make it on the CPU."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function is Tensor.pin_memory:
            return args[0]
        if function is torch.device:
            return function(*args, **(kwargs or {}))
        args, kwargs = tree_map(_moved, (args, kwargs or {}))
        return function(*args, **kwargs)


def _moved(value: Any) -> Any:
    return CPU if isinstance(value, torch.device) and value.type == "cuda" else value


class _Generator:
    """Makes generators on the CPU; a class, for there are modules that name it as a type."""

    made = torch.Generator

    def __new__(cls, device: Any = CPU) -> Any:
        return cls.made(_moved(torch.device(device)))


class _Counted(TorchDispatchMode):
    def __init__(self, memory: FakeCuda) -> None:
        super().__init__()
        self._memory = memory

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        error = self._memory.fails(operation)
        if error is not None:
            raise error
        result = operation(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self._memory.count(leaf)
        return result


@contextmanager
def fake_cuda(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCuda]:
    """Pretend a GPU in this process while the block runs."""
    memory = FakeCuda()
    replaced: dict[str, Any] = {
        "empty_cache": memory.empty_cache,
        "reset_peak_memory_stats": memory.reset_peak,
        "max_memory_allocated": lambda _: memory.peak,
        "synchronize": lambda _: None,
        "get_rng_state": lambda _: torch.zeros(5056, dtype=torch.uint8),
        "set_rng_state": lambda *_: None,
        "get_device_name": lambda _: "Pretended GPU",
        "get_device_capability": lambda _: (7, 5),
        "is_initialized": lambda: True,
    }
    for name, stand_in in replaced.items():
        monkeypatch.setattr(torch.cuda, name, stand_in)
    monkeypatch.setattr(torch, "Generator", _Generator)
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    with _OnTheCpu(), _Counted(memory):
        yield memory
