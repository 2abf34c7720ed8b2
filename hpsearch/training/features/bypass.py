"""Bypassing a model's frozen layers, whose last output is known: recorded and tried, not assumed.

That output is the *boundary*: the first tensor that the last frozen layer returns. A bypass replaces the `forward` of
each frozen module. The last one returns the boundary in the structure of its own output, the others NaN in the shape of
theirs. All else (masks, positions, trained layers, head) runs as usual. NaN survives all arithmetic, so logits without
NaN show that nothing but the boundary was read.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hpsearch.training.features import NotKeptError
from hpsearch.training.freezing import Freezing
from hpsearch.training.gradient_checkpointing import checkpointed
from hpsearch.training.learner import Learner
from hpsearch.training.memory import memory_errors
from hpsearch.training.numerics import Numerics
from hpsearch.training.random_states import current_states, isolated
from hpsearch.training.to_device import batch_to_device, to_device


@dataclass(frozen=True)
class FrozenPart:
    """What features depend on: a run's model and rows, its frozen layers as `Learner` has them, and its numerics."""

    model: nn.Module
    learner: Learner
    layers: Sequence[Sequence[nn.Module]]
    freezing: Freezing
    numerics: Numerics
    device: torch.device

    @property
    def lengths(self) -> np.ndarray:
        return np.asarray(self.learner.lengths, dtype=np.int64)

    def batch(self, rows: np.ndarray) -> dict[str, Tensor]:
        return batch_to_device(self.learner.batch(rows, self.numerics.padding_multiple), self.device)

    def outputs(self, batch: Mapping[str, Tensor]) -> Tensor:
        with self.numerics.autocast():
            return self.learner.outputs(self.model, batch)

    def _checkpointed(self) -> AbstractContextManager[None]:
        return checkpointed(self.model, wanted=self.numerics.gradient_checkpointing)

    def vectors(self, boundary: Tensor, rows: np.ndarray) -> Tensor:
        """Return a boundary with zeros for padding: of shape (rows, tokens, ...), or (rows, 1, ...) without tokens."""
        vectors, lengths = boundary if self.lengths.max() > 1 else boundary[:, None], self.lengths[rows]
        if vectors.ndim < 2 or len(vectors) != len(rows) or vectors.shape[1] < lengths.max():
            raise NotKeptError("its last frozen layer does not return a vector for each token of each row")
        padding = torch.from_numpy(np.arange(vectors.shape[1]) >= lengths[:, None]).to(vectors.device)
        return vectors.masked_fill(padding.reshape(*padding.shape, *[1] * (vectors.ndim - 2)), 0.0).contiguous()

    def try_bypass(self, head: Collection[str]) -> tuple[list[nn.Module], Tensor]:
        """Bypass the frozen layers in eight rows of many lengths; return their calls, and the batch's vectors.

        Layers above may also read what is computed before the first layer (a table of relative positions). So where
        not everything can be bypassed, the embeddings run. So do modules without weights, which trained layers may
        share, and those whose `forward` somebody has replaced.

        Raises:
            NotKeptError: A bypass changes something.
        """
        if not getattr(self.learner, "inputs_are_fixed", False):
            raise NotKeptError("its inputs are not the same whenever a row comes up")
        frozen = {id(parameter) for layer in self.layers for module in layer for parameter in module.parameters()}
        for name, parameter in self.model.named_parameters():
            if name in head and id(parameter) in frozen:
                raise NotKeptError(f"{name!r} in its frozen layers is drawn anew for every run")
        order = np.argsort(self.lengths, kind="stable")
        rows = order[np.linspace(0, len(order) - 1, min(8, self.numerics.micro_batch or 8)).round().astype(np.int64)]
        buffers = [(buffer, buffer.clone()) for buffer in self.model.buffers()]
        try:
            return self._compare(self.layers, rows)
        except NotKeptError:
            return self._compare(self.layers[1:], rows)
        finally:
            self.freezing.train(self.model)
            with torch.no_grad():
                for buffer, before in buffers:
                    buffer.copy_(before)

    def _compare(self, layers: Sequence[Sequence[nn.Module]], rows: np.ndarray) -> tuple[list[nn.Module], Tensor]:
        """Compare a batch with and without these layers, in train and in eval mode."""
        frozen = (module for layer in layers for module in layer if next(module.parameters(), None) is not None)
        modules = [module for module in frozen if "forward" not in vars(module)]
        batch, targets = self.batch(rows), to_device(self.learner.targets(rows), self.device)
        self.freezing.train(self.model)
        with torch.no_grad(), isolated(0, self.device):
            recording, boundary = record(modules, lambda: self.outputs(batch), self.device, whole=True)
        calls = [module for module, _ in recording.calls]
        if all(calls[-1] is not module for layer in self.layers[1:] for module in layer):
            raise NotKeptError("its frozen layers are not called after its embeddings")
        vectors = self.vectors(boundary, rows)

        def outcome(trained: Sequence[nn.Parameter]) -> tuple[list[Tensor], tuple[Any, ...]]:
            """Return logits and gradients, and the random states after them."""
            with isolated(1, self.device), torch.set_grad_enabled(bool(trained)), self._checkpointed():
                logits = self.outputs(batch)
                loss = self.learner.losses(logits.float(), targets, 0.0).sum()
                gradients = torch.autograd.grad(loss, trained, materialize_grads=True) if trained else ()
                return [logits.detach(), *gradients], current_states(self.device)

        for trained in ([parameter for parameter in self.model.parameters() if parameter.requires_grad], []):
            if not trained:
                self.model.eval()
            computed, states = outcome(trained)
            try:
                with memory_errors(), recording.bypass(vectors.view(boundary.shape).clone()):
                    read, states_after_reading = outcome(trained)
            except torch.OutOfMemoryError:
                raise
            except (RuntimeError, ValueError, TypeError, StopIteration) as error:  # a model may check what it is given
                raise NotKeptError(f"its forward pass fails without them ({error})") from error
            if states != states_after_reading or not all(map(torch.equal, computed, read)):
                raise NotKeptError("more than the output of its last frozen layer is read above it, padding included")
        return calls, vectors


class _BoundaryReached(BaseException):
    """Ends a forward pass at the boundary; no `except Exception` of a model catches it."""


@dataclass(frozen=True)
class Recording:
    """What frozen modules return for batches of one shape.

    Attributes:
        calls: The module of each call, in order, and what it returned, with NaN for every number.
        shape: Shape of the boundary.
        stride: How the boundary lies in memory.
    """

    calls: list[tuple[nn.Module, Any]]
    shape: torch.Size
    stride: tuple[int, ...]

    @contextmanager
    def bypass(self, boundary: Tensor) -> Iterator[None]:
        """Bypass the frozen modules for one forward pass."""
        if boundary.stride() != self.stride:
            boundary = boundary.new_empty_strided(self.shape, self.stride).copy_(boundary)
        last, output = self.calls[-1]
        unused = [boundary]
        calls = [*self.calls[:-1], (last, _mapped(output, lambda unknown: unused.pop() if unused else unknown))]
        modules = {module for module, _ in calls}
        try:
            for module in modules:
                vars(module)["forward"] = _returning([output for other, output in calls if other is module])
            yield
        finally:
            for module in modules:
                vars(module).pop("forward", None)


def record(
    modules: Sequence[nn.Module], forward: Callable[[], object], device: torch.device, *, whole: bool = False
) -> tuple[Recording, Tensor]:
    """Run a forward pass and return what frozen modules returned, and the boundary.

    The pass ends after the calls of these modules, which it makes in this order; a `whole` one runs to its end, and may
    call the modules in any order, and several times.

    Raises:
        NotKeptError: It makes other calls, draws random numbers below the boundary, or returns what cannot be replaced.
    """
    calls: list[tuple[nn.Module, Any]] = []
    tensors: list[Tensor] = []
    states = before = current_states(device)

    def remember(module: nn.Module, _inputs: object, output: object) -> None:
        nonlocal states
        states = current_states(device)
        calls.append((module, _mapped(output, _unknown)))
        tensors.clear()
        _mapped(output, lambda tensor: tensors.append(tensor.detach().clone()))  # layers above may compute in place
        if len(calls) == len(modules) and not whole:
            raise _BoundaryReached

    handles = [module.register_forward_hook(remember) for module in set(modules)]
    try:
        with suppress(_BoundaryReached):
            forward()
    finally:
        for handle in handles:
            handle.remove()
    if not tensors or not (whole or [module for module, _ in calls] == list(modules)):
        raise NotKeptError("which of its frozen layers are called, and return a tensor, depends on the batch")
    if states != before:
        raise NotKeptError("random numbers are drawn below its last frozen layer")
    return Recording(calls, tensors[0].shape, tensors[0].stride()), tensors[0]


def _returning(outputs: list[Any]) -> Callable[..., Any]:
    remaining = iter(outputs)
    return lambda *_, **__: next(remaining)


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
