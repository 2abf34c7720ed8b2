"""How a configuration is trained so that it fits into a device's memory, and which configurations need the same."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

Shape = tuple[tuple[str, str], ...]
"""What decides how much memory and time a step of a configuration takes."""


def shape_of(config: Mapping[str, Any]) -> Shape:
    """Return the shape of model and batch: every value but fractions (rates, decays) and the number of epochs."""
    return tuple(
        sorted(
            (name, repr(value)) for name, value in config.items() if not isinstance(value, float) and name != "epochs"
        )
    )


@dataclass(frozen=True)
class Fit:
    """How a run is trained so that it fits into memory: a part of its numerics, so of its key.

    Attributes:
        micro_batch: Rows that pass through the model at once, at most; None for the whole batch.
        gradient_checkpointing: Whether activations are computed again on the way back, instead of being kept.
    """

    micro_batch: int | None = None
    gradient_checkpointing: bool = False

    def __post_init__(self) -> None:
        if self.micro_batch is not None and (type(self.micro_batch) is not int or self.micro_batch < 1):
            raise ValueError(f"micro_batch={self.micro_batch!r} must be a whole number from 1, or None")
        if type(self.gradient_checkpointing) is not bool:
            raise ValueError(f"gradient_checkpointing={self.gradient_checkpointing!r} must be true or false")

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        return cls(**values)


@dataclass(frozen=True)
class Savings:
    """In which ways a model may be trained in less memory, as a worker has found.

    Attributes:
        micro_batches: Whether a batch may be trained in parts: with batch norm its statistics would be others.
        gradient_checkpointing: Whether the model can do that.
    """

    micro_batches: bool = True
    gradient_checkpointing: bool = False
