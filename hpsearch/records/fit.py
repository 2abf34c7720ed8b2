"""How a configuration is trained so that it fits into a device's memory, and which configurations need the same."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

Shape = tuple[tuple[str, str], ...]
"""What decides how much memory and time a step of a configuration takes."""


SAME_STEP = frozenset(
    {
        "learning_rate", "epochs", "weight_decay", "warmup_ratio", "warmup_steps", "lr_scheduler_type", "decay_ratio",
        "max_grad_norm", "label_smoothing_factor", "adam_beta1", "adam_beta2", "adam_epsilon", "dropout",
        "max_steps", "sgd_momentum", "layerwise_lr_decay",
    }
)  # fmt: skip
"""Hyperparameters on which neither a step's memory nor its time depends."""


def shape_of(config: Mapping[str, Any]) -> Shape:
    """Return the shape of model and batch: every value of a training config that a step's size may depend on.

    Of hyperparameters that only a task knows, fractions are taken for rates.
    """
    kept = ((name, value) for name, value in config.items() if name not in SAME_STEP and not isinstance(value, float))
    return tuple(sorted((name, repr(value)) for name, value in kept))


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

    @property
    def words(self) -> str:
        """How it saves memory, in words; empty where it does not."""
        parts = [] if self.micro_batch is None else [f"in parts of at most {self.micro_batch} rows"]
        return " and ".join(parts + ["with gradient checkpointing"] * self.gradient_checkpointing)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        return cls(**values)

    def of(self, numerics: Mapping[str, Any]) -> dict[str, Any]:
        """Return a study's numerics with this fit in them."""
        checkpointing = {"gradient_checkpointing": True} if self.gradient_checkpointing else {}
        return {**numerics, "micro_batch": self.micro_batch, **checkpointing}


def thriftiest(*fits: Fit | None) -> Fit | None:
    """Return the fit that saves most; None, which is as the study's numerics say, saves least."""
    given = [fit for fit in fits if fit is not None]
    return max(given, key=lambda fit: (fit.gradient_checkpointing, -(fit.micro_batch or 2**62)), default=None)


@dataclass(frozen=True)
class Savings:
    """In which ways a model may be trained in less memory, as a worker has found.

    Attributes:
        micro_batches: Whether a batch may be trained in parts: with batch norm its statistics would be others.
        gradient_checkpointing: Whether the model can do that.
    """

    micro_batches: bool = True
    gradient_checkpointing: bool = False

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if type(value) is not bool:
                raise ValueError(f"{name}={value!r} must be true or false")


@dataclass(frozen=True)
class ModelMemory:
    """What is known of one of a study's models.

    Attributes:
        savings: How it may be trained in less memory.
        rows: How many rows of the largest configuration fit at once; None where no device's memory was looked at.
        largest: The shape of that configuration: of those with this model it freezes fewest layers, and where the
            memory was looked at, it has the largest batch.
    """

    savings: Savings
    rows: int | None = None
    largest: Shape = ()

    def __post_init__(self) -> None:
        if self.rows is not None and type(self.rows) is not int:
            raise ValueError(f"rows={self.rows!r} must be a whole number, or None")

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self.savings), "rows": self.rows, "largest": dict(self.largest)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        savings = Savings(values["micro_batches"], values["gradient_checkpointing"])
        return cls(savings, values["rows"], tuple(sorted(values["largest"].items())))


@dataclass(frozen=True)
class Fits:
    """How a study's configurations fit into memory, as far as that is known.

    Attributes:
        models: By the key of the base model (`Task.base_key`).
        shapes: By shape; one that is not there is trained as the study's numerics say.
    """

    models: Mapping[str, ModelMemory] = field(default_factory=dict)
    shapes: Mapping[Shape, Fit] = field(default_factory=dict)

    @property
    def remarks(self) -> tuple[str, ...]:
        """What is to be said of it: which shapes are trained in less memory than they would take."""
        values: dict[str, set[str]] = {}
        for shape in self.shapes:
            for name, value in shape:
                values.setdefault(name, set()).add(value)
        told = [name for name, known in values.items() if name == "batch_size" or len(known) > 1]
        said = [
            f"{', '.join(f'{name}={value}' for name, value in shape if name in told)} {fit.words}"
            for shape, fit in self.shapes.items()
            if fit.words
        ]
        begin = "Trained in less memory, each optimizer step still over the whole batch: "
        return (f"{begin}{'; '.join(said)}.",) if said else ()

    def with_shape(self, shape: Shape, fit: Fit) -> "Fits":
        return replace(self, shapes={**self.shapes, shape: fit})

    def to_dict(self) -> dict[str, Any]:
        return {
            "models": {name: model.to_dict() for name, model in self.models.items()},
            "shapes": [{"shape": dict(shape), **fit.to_dict()} for shape, fit in self.shapes.items()],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        shapes = {}
        for stored in values["shapes"]:
            fit = Fit(stored["micro_batch"], stored["gradient_checkpointing"])
            shapes[tuple(sorted(stored["shape"].items()))] = fit
        return cls({name: ModelMemory.from_dict(model) for name, model in values["models"].items()}, shapes)
