"""Adapters: small trained weights inside a model of which all else is kept as pretrained."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import nn

from hpsearch.training.learner import Learner
from hpsearch.training.numerics import Numerics

COMPUTED_IN = {"bf16": torch.bfloat16, "fp16": torch.float16}
"""What the weights of a study in this precision are held in where no run trains them."""


class Adapters(Protocol):
    """What puts adapters into a base model for a run and takes them out for the next.

    The model's own parameters and modules stay the same objects throughout, and none of their bits change.
    """

    def wanted(self, config: Mapping[str, Any]) -> bool:
        """Whether the runs of a completed config train adapters."""

    def put_in(self, model: nn.Module, config: Mapping[str, Any], frozen: Sequence[nn.Module]) -> None:
        """Put a config's adapters into a model, drawn from torch's global random state on the CPU, in float32.

        Afterwards they alone, and what is not pretrained, ask for a gradient. `frozen` modules get none.

        Raises:
            TaskError: The model has no such places, or the package that makes adapters is not installed.
        """

    def take_out(self, model: nn.Module) -> None:
        """Take out what `put_in` has put in, if anything."""


def adapters_of(learner: Learner) -> Adapters | None:
    """Return what makes a learner's adapters; None where its models have none."""
    return getattr(learner, "adapters", None)


def held_in(learner: Learner, config: Mapping[str, Any], numerics: Numerics) -> torch.dtype | None:
    """Return what the weight matrices of a base model are held in; None for float32.

    It is what the study computes in where adapters are trained: autocast would round the matrices so for every batch.
    """
    adapters = adapters_of(learner)
    return COMPUTED_IN.get(numerics.precision) if adapters is not None and adapters.wanted(config) else None


def held_parameters(model: nn.Module, head: Collection[str]) -> tuple[str, ...]:
    """Return the names of the pretrained weight matrices: biases and norms are small, and kernels want them whole."""
    return tuple(
        name
        for name, parameter in model.named_parameters()
        if name not in head and parameter.ndim > 1 and parameter.dtype == torch.float32
    )


@contextmanager
def taken_out_on_failure(adapters: Adapters, model: nn.Module) -> Iterator[None]:
    """Take adapters out should the block fail, so that no half of them stays in a model."""
    try:
        yield
    except BaseException:
        adapters.take_out(model)
        raise
