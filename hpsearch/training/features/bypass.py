"""Bypassing the frozen layers of a model whose last output is known.

The *boundary* is that output: the first tensor that the last frozen layer returns. During a bypass the `forward` of
each frozen module is replaced. The last one returns the boundary in the structure of its own output, the others return
NaN in the shape of theirs. Everything else (masks, positions, trained layers, head) runs as usual. NaN survives all
arithmetic, so logits without NaN show that nothing but the boundary was read.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from hpsearch.training.features import NotKeptError
from hpsearch.training.random_states import current_states


class _BoundaryReached(BaseException):
    """Ends a forward pass at the boundary; no `except Exception` of a model catches it."""


@dataclass(frozen=True)
class Recording:
    """What frozen modules return for batches of one shape.

    Attributes:
        calls: Each call's module and output, in order, with NaN for every number.
        shape: Shape of the boundary.
        stride: How the boundary lies in memory.
    """

    calls: Sequence[tuple[nn.Module, Any]]
    shape: torch.Size
    stride: tuple[int, ...]

    @contextmanager
    def bypass(self, boundary: Tensor) -> Iterator[None]:
        """Bypass the frozen modules for one forward pass."""
        if boundary.stride() != self.stride:
            boundary = boundary.new_empty_strided(self.shape, self.stride).copy_(boundary)
        outputs: dict[nn.Module, list[Any]] = {}
        for module, output in self.calls:
            outputs.setdefault(module, []).append(output)
        known, last = [boundary], outputs[self.calls[-1][0]]
        last[-1] = _mapped(last[-1], lambda unknown: known.pop() if known else unknown)
        replaced = {module: vars(module)["forward"] for module in outputs if "forward" in vars(module)}
        try:
            for module, returned in outputs.items():
                vars(module)["forward"] = lambda *_, remaining=iter(returned), **__: next(remaining)
            yield
        finally:
            for module in outputs:
                vars(module).pop("forward", None)
            for module, forward in replaced.items():
                vars(module)["forward"] = forward


def find_calls(modules: Collection[nn.Module], forward: Callable[[], object]) -> list[nn.Module]:
    """Return the calls of frozen modules in a forward pass, in order.

    Modules without weights that are called more than once are left out: trained layers may share an activation.
    """
    calls: list[nn.Module] = []
    with _hooked(modules, lambda module, _inputs, _output: calls.append(module)):
        forward()
    times = Counter(calls)
    return [module for module in calls if times[module] == 1 or next(module.parameters(), None) is not None]


def record(
    calls: Sequence[nn.Module], forward: Callable[[], object], device: torch.device
) -> tuple[Recording, Tensor]:
    """Run a forward pass up to the last of the calls of frozen modules; return what they returned, and the boundary.

    Raises:
        NotKeptError: The calls are others, random numbers are drawn below, or something returned cannot be replaced.
    """
    recorded: list[tuple[nn.Module, Any]] = []
    boundary: list[Tensor] = []

    def remember(module: nn.Module, _inputs: object, output: object) -> None:
        recorded.append((module, _mapped(output, _unknown)))
        if len(recorded) == len(calls):
            _mapped(output, boundary.append)
            raise _BoundaryReached

    before = current_states(device)
    try:
        with _hooked(set(calls), remember):
            forward()
    except _BoundaryReached:
        pass
    if not boundary or [module for module, _ in recorded] != list(calls):
        raise NotKeptError("which of its frozen layers are called, and return a tensor, depends on the batch")
    if current_states(device) != before:
        raise NotKeptError("random numbers are drawn below its last frozen layer")
    return Recording(recorded, boundary[0].shape, boundary[0].stride()), boundary[0].detach()


@contextmanager
def _hooked(modules: Collection[nn.Module], hook: Callable[..., None]) -> Iterator[None]:
    handles = [module.register_forward_hook(hook) for module in modules]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _unknown(tensor: Tensor) -> Tensor:
    """Return NaN in the shape of a tensor, in the memory of one number."""
    if not tensor.is_floating_point():
        raise NotKeptError(f"a frozen layer returns a tensor of {tensor.dtype}")
    return torch.full((), torch.nan, dtype=tensor.dtype, device=tensor.device).expand(tensor.shape)


def _mapped(output: Any, change: Callable[[Tensor], Any]) -> Any:
    """Return a module's output, a structure of tuples, lists and dicts, with its tensors changed."""
    if isinstance(output, Tensor):
        return change(output)
    if output is None or isinstance(output, bool | int | float | str):
        return output
    try:
        if isinstance(output, dict):
            return type(output)(**{name: _mapped(item, change) for name, item in output.items()})
        if isinstance(output, tuple | list):
            items = [_mapped(item, change) for item in output]
            return type(output)(*items) if hasattr(output, "_fields") else type(output)(items)
    except TypeError:  # it is not made of its items alone
        pass
    raise NotKeptError(f"a frozen layer returns a {type(output).__name__}")
