"""Random states: a run's own, kept apart from those of its surroundings, and written down exactly."""

import hashlib
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.random import mtrand
from torch import Tensor

from hpsearch.training.run_checkpoint import fact, unusable

CPU = torch.device("cpu")


def stream_seed(seed: int, *purpose: str | int) -> int:
    """Return the seed, 0 <= seed < 2**32, of one purpose of a run, so that no two purposes draw the same numbers."""
    text = "/".join(str(part) for part in (seed, *purpose))
    return int.from_bytes(hashlib.sha256(text.encode("utf-8")).digest()[:4], "big")


def _device_state(device: torch.device) -> Tensor | None:
    """Return the state of the device's generator; it lives on the host, so that reading it waits for nothing."""
    if device.type == "cuda":
        return torch.cuda.get_rng_state(device)
    if device.type == "mps":
        return torch.mps.get_rng_state()
    return None


def _set_device_state(device: torch.device, state: Tensor | None) -> None:
    if state is None:
        return
    if device.type == "cuda":
        torch.cuda.set_rng_state(state, device)
    elif device.type == "mps":
        torch.mps.set_rng_state(state)


class RandomStates:
    """The random states of one run: torch's on the CPU and on one device, numpy's global one and Python's.

    They are in force inside `installed()` only. numpy's generator is exchanged, not copied (1 against 40 microseconds
    each way), which drops the cached second half of a legacy normal pair. So a run starts each block without one. It
    stays a function of its seed, as its blocks are the same however it is paused. The caller's half is put back.
    """

    def __init__(self, seed: int, device: torch.device = CPU) -> None:
        self._device = device
        self._torch: Tensor = torch.Generator().manual_seed(seed).get_state()
        self._on_device: Tensor | None = None
        if device.type in ("cuda", "mps"):
            self._on_device = torch.Generator(device).manual_seed(seed).get_state()
        self._numpy: Any = np.random.MT19937(seed)
        self._python: tuple[Any, ...] = random.Random(seed).getstate()  # noqa: S311  # no secret

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Make these the process's random states for a block, and put the caller's back after it."""
        generator = torch.default_generator
        caller_torch, caller_on_device = generator.get_state(), _device_state(self._device)
        caller_numpy, caller_numpy_state = mtrand.get_bit_generator(), mtrand.get_state(legacy=False)
        caller_python = random.getstate()
        generator.set_state(self._torch)
        _set_device_state(self._device, self._on_device)
        mtrand.set_bit_generator(self._numpy)
        random.setstate(self._python)
        try:
            yield
        finally:
            self._torch, self._on_device = generator.get_state(), _device_state(self._device)
            self._numpy, self._python = mtrand.get_bit_generator(), random.getstate()
            generator.set_state(caller_torch)
            _set_device_state(self._device, caller_on_device)
            mtrand.set_bit_generator(caller_numpy)
            if caller_numpy_state["has_gauss"]:
                mtrand.set_state(caller_numpy_state)
            random.setstate(caller_python)

    def tensors(self) -> dict[str, Tensor]:
        """Return the arrays of the states, by name."""
        on_device = {} if self._on_device is None else {"device": self._on_device}
        return {
            "torch": self._torch,
            **on_device,
            "numpy": torch.from_numpy(self._numpy.state["state"]["key"].astype(np.int64)),
            "python": torch.tensor(self._python[1], dtype=torch.int64),
        }

    def facts(self) -> dict[str, Any]:
        """Return the rest of the states, as JSON takes it."""
        return {
            "numpy_position": int(self._numpy.state["state"]["pos"]),
            "python_version": self._python[0],
            "python_normal": self._python[2],
        }

    @staticmethod
    def check_facts(facts: Mapping[str, Any]) -> None:
        """Check what `facts` wrote; `CheckpointError` where `load` cannot take it."""
        position = fact(facts, "numpy_position", int)
        if not 0 <= position <= 624:
            raise unusable(f"numpy's generator is at {position} of 624")
        if fact(facts, "python_version", int) != random.getstate()[0]:
            raise unusable(f"Python's random state is of version {facts['python_version']}")
        fact(facts, "python_normal", float, type(None))

    def load(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Take over states written by `tensors` and `facts`; their names and shapes have been checked."""
        self._torch = tensors["torch"].clone()
        self._on_device = tensors["device"].clone() if "device" in tensors else None
        self._numpy = np.random.MT19937()
        key = tensors["numpy"].numpy().astype(np.uint32)
        self._numpy.state = {
            "bit_generator": "MT19937",
            "state": {"key": key, "pos": facts["numpy_position"]},
        }
        self._python = (facts["python_version"], tuple(map(int, tensors["python"])), facts["python_normal"])


def current_states(device: torch.device = CPU) -> tuple[Any, ...]:
    """Return the process's random states, to be compared."""
    on_device, numpy_state = _device_state(device), mtrand.get_state(legacy=False)["state"]
    return (
        torch.get_rng_state().numpy().tobytes(),
        None if on_device is None else on_device.numpy().tobytes(),
        (numpy_state["key"].tobytes(), numpy_state["pos"]),
        random.getstate(),
    )


@contextmanager
def isolated(seed: int, device: torch.device = CPU) -> Iterator[None]:
    """Run a block on random numbers from `seed`, and leave the caller's random states untouched."""
    with RandomStates(seed, device).installed():
        yield
