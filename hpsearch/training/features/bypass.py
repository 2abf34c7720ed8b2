"""Bypassing the frozen layers of a model whose last output is known.

The *boundary* is that output: the first tensor that the last frozen layer returns. During a bypass the `forward` of
each frozen module is replaced. The last one returns the boundary in the structure of its own output, the others return
NaN in the shape of theirs. Everything else (masks, positions, trained layers, head) runs as usual. NaN survives all
arithmetic, so logits without NaN show that nothing but the boundary was read.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
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
        modules: The module of each call, in order.
        outputs: What it returned, with NaN for every number.
        shape: Shape of the boundary.
        stride: How the boundary lies in memory.
    """

    modules: list[nn.Module]
    outputs: list[Any]
    shape: torch.Size
    stride: tuple[int, ...]

    @contextmanager
    def bypass(self, boundary: Tensor) -> Iterator[None]:
        """Bypass the frozen modules for one forward pass."""
        if boundary.stride() != self.stride:
            boundary = boundary.new_empty_strided(self.shape, self.stride).copy_(boundary)
        known = [boundary]
        last = _mapped(self.outputs[-1], lambda unknown: known.pop() if known else unknown)
        outputs: dict[nn.Module, list[Any]] = {module: [] for module in self.modules}
        for module, output in zip(self.modules, [*self.outputs[:-1], last], strict=True):
            outputs[module].append(output)
        try:
            for module, returned in outputs.items():
                vars(module)["forward"] = partial(_next, iter(returned))
            yield
        finally:
            for module in outputs:
                vars(module).pop("forward", None)


def record(
    modules: Sequence[nn.Module], forward: Callable[[], object], device: torch.device, *, whole: bool = False
) -> tuple[Recording, Tensor]:
    """Run a forward pass and return what frozen modules returned, and the boundary.

    The pass ends after the calls of these modules, which it makes in this order; a `whole` one goes on to its end, and
    may call the modules in any order, and several times.

    Raises:
        NotKeptError: It makes other calls, draws random numbers below the boundary, or returns what cannot be replaced.
    """
    called: list[nn.Module] = []
    outputs: list[Any] = []
    tensors: list[Tensor] = []
    states = before = current_states(device)

    def remember(module: nn.Module, _inputs: object, output: object) -> None:
        nonlocal states
        states = current_states(device)
        called.append(module)
        outputs.append(_mapped(output, _unknown))
        tensors.clear()
        _mapped(output, lambda tensor: tensors.append(tensor.detach().clone()))  # layers above may compute in place
        if len(called) == len(modules) and not whole:
            raise _BoundaryReached

    handles = [module.register_forward_hook(remember) for module in set(modules)]
    try:
        with suppress(_BoundaryReached):
            forward()
    finally:
        for handle in handles:
            handle.remove()
    if not tensors or not (whole or called == modules):
        raise NotKeptError("which of its frozen layers are called, and return a tensor, depends on the batch")
    if states != before:
        raise NotKeptError("random numbers are drawn below its last frozen layer")
    return Recording(called, outputs, tensors[0].shape, tensors[0].stride()), tensors[0]


def _next(outputs: Iterator[Any], *_inputs: object, **_named: object) -> Any:
    return next(outputs)


def _unknown(tensor: Tensor) -> Tensor:
    """Return NaN in the shape of a tensor, in the memory of one number."""
    if not tensor.is_floating_point():
        raise NotKeptError(f"a frozen layer returns a tensor of {tensor.dtype}")
    return torch.full((), torch.nan, dtype=tensor.dtype, device=tensor.device).expand(tensor.shape)


def _mapped(output: Any, change: Callable[[Tensor], Any]) -> Any:
    """Return a module's output with its tensors changed."""
    if isinstance(output, Tensor):
        return change(output)
    if type(output) in (tuple, list):
        return type(output)([_mapped(item, change) for item in output])
    if output is None or isinstance(output, bool | int | float | str):
        return output
    raise NotKeptError(f"a frozen layer returns a {type(output).__name__}")
