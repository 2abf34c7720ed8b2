"""Gradient checkpointing: layers are computed again in the backward pass, so that less is kept of the forward pass.

The numbers are the same (`docs/decisions/memory.md`): torch repeats its own random numbers and the autocast, and
`Recomputation` all else that a layer may draw from or change.
"""

import random
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any

from numpy.random import mtrand
from torch import Tensor, nn

from hpsearch.errors import TaskError


def can_checkpoint(model: nn.Module) -> bool:
    """Return whether checkpointing changes what a model keeps, in its present modes: what is frozen keeps nothing."""
    return any(
        layer.training and any(parameter.requires_grad for parameter in layer.parameters())
        for part in _parts(model)
        for layer in _layers(part)
        if len(_layers(layer)) == 1  # what holds others has their flag, and is not checkpointed itself
    )


@contextmanager
def checkpointed(model: nn.Module, *, wanted: bool) -> Iterator[None]:
    """Checkpoint the gradients of the forward passes of a block, if wanted; a model that does so by itself goes on.

    Raises:
        TaskError: The model offers none: only models of transformers do, and modules that hold one.
    """
    parts: list[Any] = _parts(model) if wanted else []
    if wanted and not parts and not any(getattr(layer, _FLAG, False) for layer in model.modules()):
        raise TaskError(
            f"{type(model).__name__} offers no gradient checkpointing: only models of transformers do, and modules "
            "that hold one. Train it without, with a smaller batch_size."
        )
    with ExitStack() as undone:
        for part in parts:
            undone.callback(_disable, part, getattr(part.config, _CACHE, None))
            _enable(part)
        yield


def batch_statistics(model: nn.Module) -> list[nn.Module]:
    """Return the modules of a model that average over a batch in their present mode: each row's outputs depend on
    the rows beside it, and training changes buffers.
    """
    return [module for module in model.modules() if isinstance(module, _BATCH_NORM) and module.training]


class Recomputation:
    """What is to be the same when a layer is computed again, besides torch's random numbers: those of numpy and
    Python, and the running statistics of normalization, which count a batch once.
    """

    def __init__(self, statistics: Sequence[nn.Module]) -> None:
        self._statistics = statistics
        self._drawn = _global_states()
        self._left: list[tuple[nn.Module, str, Tensor]] = []
        self._callers: tuple[Any, Any] | None = None

    def __enter__(self) -> None:
        self._callers = _global_states()
        _set_global_states(self._drawn)
        self._left = [(module, name, buffer) for module in self._statistics for name, buffer in module.named_buffers()]
        for module, name, buffer in self._left:
            setattr(module, name, buffer.clone())

    def __exit__(self, *_: object) -> None:
        for module, name, buffer in self._left:
            setattr(module, name, buffer)
        assert self._callers is not None
        _set_global_states(self._callers)


_RUNNING = "track_running_stats"
"""What batch and instance normalization have; whether training changes their buffers."""

_FLAG = "gradient_checkpointing"
"""What transformers' layers have that can be checkpointed; whether they are."""

_CACHE = "use_cache"
"""A config's, whether keys and values are kept for the next token."""

_BATCH_NORM = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


def _parts(model: nn.Module) -> list[nn.Module]:
    """Return the topmost models of transformers in a module, itself among them, that can be switched on."""
    if getattr(model, "supports_gradient_checkpointing", False):
        layers = _layers(model)
        return [model] if layers and not any(getattr(layer, _FLAG) for layer in layers) else []
    return [part for child in model.children() for part in _parts(child)]


def _layers(model: nn.Module) -> list[nn.Module]:
    return [module for module in model.modules() if hasattr(module, _FLAG)]


def _enable(part: Any) -> None:
    statistics = [module for module in part.modules() if module.training and getattr(module, _RUNNING, False)]

    def contexts() -> tuple[AbstractContextManager[None], Recomputation]:
        return nullcontext(), Recomputation(statistics)

    if getattr(part.config, _CACHE, False):
        setattr(part.config, _CACHE, False)  # else transformers does so itself, and warns of it
    # Its name from transformers 5.23 on, and before.
    enable = getattr(part, "activation_checkpointing_enable", None) or part.gradient_checkpointing_enable
    enable({"use_reentrant": False, "context_fn": contexts})
    # Frozen embeddings need no gradient where checkpointing is not reentrant; with one, autograd keeps frozen layers.
    part.disable_input_require_grads()


def _disable(part: Any, cached: bool | None) -> None:
    if cached is not None:
        setattr(part.config, _CACHE, cached)
    disable = getattr(part, "activation_checkpointing_disable", None) or part.gradient_checkpointing_disable
    disable()


def _global_states() -> tuple[Any, Any]:
    return mtrand.get_state(legacy=False), random.getstate()


def _set_global_states(states: tuple[Any, Any]) -> None:
    mtrand.set_state(states[0])
    random.setstate(states[1])
