"""What may be set of every fine-tune: names, defaults, and the checks that a value passes before any training."""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from numbers import Integral, Real
from types import MappingProxyType
from typing import Any

from hpsearch.errors import TaskError
from hpsearch.training.schedules import canonical_schedule, warmup_steps

SCHEDULE_FREE = "schedule_free_adamw"
"""The optimizer whose average of the weights stands in for a falling learning rate."""

OPTIMIZERS = ("adamw", "sgd", "adafactor", "lion", SCHEDULE_FREE)
"""The optimizers, by name."""

OF_LAYERS = {"freeze_layers": 0, "layerwise_lr_decay": 1.0, "gradual_unfreezing": None}
"""The hyperparameters that need to know a model's layers, all of them pretrained, and where they do not."""

ALL_LAYERS = "all"
"""The value of `freeze_layers` that trains the head alone."""


@dataclass(frozen=True)
class Hyperparameter:
    """One thing that a config may set.

    Attributes:
        default: The value where neither a config names it nor the task recommends one.
        check: Returns a value in its one spelling (a float for a float, so that equal configs have equal digests),
            or raises `TaskError` with the value and what is allowed.
        description: What it does, in a sentence.
        left_out_at_default: Whether a completed config is without it where it has its default. So is what came in a
            later version: the configs of earlier studies, and the keys of their runs, stay as they are.
    """

    default: Any
    check: Callable[[Any], Any]
    description: str
    left_out_at_default: bool = False


@dataclass(frozen=True)
class RealCheck:
    """A check for finite numbers from `low` to `high`; an open end excludes the bound itself."""

    name: str
    low: float = -math.inf
    high: float = math.inf
    low_open: bool = False
    high_open: bool = False
    optional: bool = False

    @property
    def allowed(self) -> str:
        lower = "" if self.low == -math.inf else f" {'above' if self.low_open else 'from'} {self.low:g}"
        upper = "" if self.high == math.inf else f" {'below' if self.high_open else 'up to'} {self.high:g}"
        return f"a number{lower}{upper}{' or None' if self.optional else ''}"

    def __call__(self, value: Any) -> float | None:
        if value is None and self.optional:
            return None
        if not isinstance(value, Real) or isinstance(value, bool) or not math.isfinite(value):
            raise _not_allowed(self.name, value, self.allowed)
        number = float(value)
        too_low = number <= self.low if self.low_open else number < self.low
        too_high = number >= self.high if self.high_open else number > self.high
        if too_low or too_high:
            raise _not_allowed(self.name, value, self.allowed)
        return number


@dataclass(frozen=True)
class IntegerCheck:
    """A check for whole numbers from `low` upwards (a float with nothing after the point is one)."""

    name: str
    low: int
    optional: bool = False

    @property
    def allowed(self) -> str:
        return f"a whole number from {self.low}{' or None' if self.optional else ''}"

    def __call__(self, value: Any) -> int | None:
        if value is None and self.optional:
            return None
        whole = isinstance(value, Integral) or (isinstance(value, float) and value.is_integer())
        if not whole or isinstance(value, bool) or value < self.low:
            raise _not_allowed(self.name, value, self.allowed)
        return int(value)


@dataclass(frozen=True)
class ChoiceCheck:
    """A check for one of a few values."""

    name: str
    choices: tuple[Any, ...]

    def __call__(self, value: Any) -> Any:
        for choice in self.choices:
            if type(value) is type(choice) and value == choice:
                return choice
        raise _not_allowed(self.name, value, "one of " + ", ".join(repr(choice) for choice in self.choices))


def check_freeze_layers(value: Any) -> int | float | str:
    """Check for a number of layers (1 is one, 2 and 2.0 are two), a share of them (1.0 is all), or "all".

    Whether the model has so many layers is known only with the model.
    """
    if value == ALL_LAYERS:
        return ALL_LAYERS
    if isinstance(value, Real) and not isinstance(value, Integral) and 0.0 <= float(value) <= 1.0:
        return float(value)
    try:
        layers = IntegerCheck("freeze_layers", 0)(value)
    except TaskError:
        allowed = f"a number of layers (0, 1, 2, ...), a share of them (from 0.0 to 1.0), or {ALL_LAYERS!r}"
        raise _not_allowed("freeze_layers", value, allowed) from None
    assert layers is not None  # the check is not an optional one
    return layers


def without_defaults(
    values: Mapping[str, Any], settings: Mapping[str, Hyperparameter], unnamed: Mapping[str, Any]
) -> dict[str, Any]:
    """Return checked values without those that are left out at their defaults.

    What `unnamed` sets to something else, for this task, stays: completed again, the config would come to that.
    """
    return {
        name: value
        for name, value in values.items()
        if not (
            name in settings
            and settings[name].left_out_at_default
            and value == settings[name].default == unnamed.get(name, settings[name].default)
        )
    }


def check_epochs(value: Any) -> int | float | None:
    """Check for a number of epochs above 0: a whole one stays whole. None leaves the length to `max_steps`."""
    epochs = RealCheck("epochs", low=0.0, low_open=True, optional=True)(value)
    return int(epochs) if epochs is not None and epochs.is_integer() else epochs


def _not_allowed(name: str, value: Any, allowed: str) -> TaskError:
    return TaskError(f"The hyperparameter {name}={value!r} cannot be trained with; it must be {allowed}.")


TRAINING_HYPERPARAMETERS: Mapping[str, Hyperparameter] = MappingProxyType(
    {
        "learning_rate": Hyperparameter(
            5e-5, RealCheck("learning_rate", low=0.0, low_open=True), "Highest learning rate of the schedule."
        ),
        "batch_size": Hyperparameter(
            32, IntegerCheck("batch_size", 1), "Rows per optimizer step (effective batch, whatever the micro-batch)."
        ),
        "epochs": Hyperparameter(3, check_epochs, "Passes over the training rows; may be a fraction, 0.25 or 1.5."),
        "max_steps": Hyperparameter(
            None,
            IntegerCheck("max_steps", 1, optional=True),
            "Optimizer steps of a run, in place of epochs; None leaves its length to epochs.",
            left_out_at_default=True,
        ),
        "weight_decay": Hyperparameter(
            0.01, RealCheck("weight_decay", low=0.0), "Decoupled weight decay of AdamW; none on biases and norms."
        ),
        "warmup_ratio": Hyperparameter(
            0.1, RealCheck("warmup_ratio", low=0.0, high=1.0), "Share of the steps in which the learning rate rises."
        ),
        "warmup_steps": Hyperparameter(
            None,
            IntegerCheck("warmup_steps", 1, optional=True),
            "Steps in which the learning rate rises, however long the run is; None leaves that to warmup_ratio.",
        ),
        "lr_scheduler_type": Hyperparameter(
            "linear", canonical_schedule, "Shape of the learning rate after the warmup, as transformers names it."
        ),
        "decay_ratio": Hyperparameter(
            0.2,
            RealCheck("decay_ratio", low=0.0, high=1.0),
            "Share of the steps that warmup_stable_decay cools down in.",
        ),
        "max_grad_norm": Hyperparameter(
            1.0,
            RealCheck("max_grad_norm", low=0.0, optional=True),
            "Norm that gradients are clipped to; 0 or None leaves them as they are.",
        ),
        "label_smoothing_factor": Hyperparameter(
            0.0,
            RealCheck("label_smoothing_factor", low=0.0, high=1.0, high_open=True),
            "Share of the target spread over all classes, in the training loss only.",
        ),
        "adam_beta1": Hyperparameter(
            0.9, RealCheck("adam_beta1", low=0.0, high=1.0, high_open=True), "Decay of AdamW's first moment."
        ),
        "adam_beta2": Hyperparameter(
            0.999, RealCheck("adam_beta2", low=0.0, high=1.0, high_open=True), "Decay of AdamW's second moment."
        ),
        "adam_epsilon": Hyperparameter(
            1e-8, RealCheck("adam_epsilon", low=0.0, low_open=True), "Added to AdamW's denominator."
        ),
        "optimizer": Hyperparameter(
            "adamw",
            ChoiceCheck("optimizer", OPTIMIZERS),
            "What turns gradients into steps; weight_decay, learning_rate and adam_... mean what they mean for it.",
            left_out_at_default=True,
        ),
        "sgd_momentum": Hyperparameter(
            0.9,
            RealCheck("sgd_momentum", low=0.0, high=1.0, high_open=True),
            'Momentum of the optimizer "sgd"; 0 for none.',
            left_out_at_default=True,
        ),
        "freeze_layers": Hyperparameter(
            0,
            check_freeze_layers,
            "Layers kept as pretrained, with the embeddings: 0 none, n the first n, 0.5 the first half (rounded down), "
            '1.0 all layers, "all" everything but the new head.',
        ),
        "layerwise_lr_decay": Hyperparameter(
            1.0,
            RealCheck("layerwise_lr_decay", low=0.0, high=1.0, low_open=True),
            "What the learning rate of each layer is multiplied by, compared with the one above it; the head has all.",
            left_out_at_default=True,
        ),
        "gradual_unfreezing": Hyperparameter(
            None,
            RealCheck("gradual_unfreezing", low=0.0, low_open=True, optional=True),
            "Epochs after which one more layer trains, from the head down, all but the head frozen at first; None "
            "trains all layers from the beginning. What freeze_layers keeps is never unfrozen.",
            left_out_at_default=True,
        ),
        "dropout": Hyperparameter(
            None,
            RealCheck("dropout", low=0.0, high=1.0, high_open=True, optional=True),
            "Dropout probability of the whole model; None keeps the model's own.",
        ),
    }
)
"""Hyperparameters of every task. The defaults are those of BERT's fine-tuning (Devlin et al. 2019, appendix A.3, and
the published code: decay 0.01, warmup over a tenth, norm 1), Adam's constants those of transformers, and the share of
the cooldown that of Hagele et al. 2024, section 3. A decay of the learning rate from layer to layer is as ELECTRA
(Clark et al. 2020, appendix B: 0.8 for its base model) and BEiT (Bao et al. 2022, appendix H) fine-tune; unfreezing is
that of Howard and Ruder 2018, section 3.3."""


@dataclass(frozen=True)
class TrainingSettings:
    """The hyperparameters that the loop itself reads, checked and typed."""

    learning_rate: float
    batch_size: int
    epochs: int | float | None
    max_steps: int | None
    weight_decay: float
    warmup_ratio: float
    warmup_steps: int | None
    lr_scheduler_type: str
    decay_ratio: float
    max_grad_norm: float | None
    label_smoothing_factor: float
    adam_beta1: float
    adam_beta2: float
    adam_epsilon: float
    optimizer: str
    sgd_momentum: float
    freeze_layers: int | str
    layerwise_lr_decay: float
    gradual_unfreezing: float | None
    dropout: float | None

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> "TrainingSettings":
        """Read the training hyperparameters out of `config`, defaults filled in.

        Raises:
            TaskError: One is out of range, there is no length, or `freeze_layers` is still a share: training counts
                layers.
        """
        values = {
            name: hyperparameter.check(config.get(name, hyperparameter.default))
            for name, hyperparameter in TRAINING_HYPERPARAMETERS.items()
        }
        if isinstance(values["freeze_layers"], float):
            raise _not_allowed("freeze_layers", values["freeze_layers"], "a number of layers here, not a share")
        if values["epochs"] is None and values["max_steps"] is None:
            raise _not_allowed("epochs", None, "a number above 0 where max_steps is None")
        return cls(**values)

    @property
    def needs_layers(self) -> bool:
        """Whether training depends on what the layers of the model are."""
        return bool(self.freeze_layers) or self.layerwise_lr_decay != 1.0 or self.gradual_unfreezing is not None

    def named(self) -> dict[str, Any]:
        """Return the settings by name, without those that are left out at their defaults."""
        return without_defaults(asdict(self), TRAINING_HYPERPARAMETERS, {})

    def warmup(self, steps_total: int) -> int:
        """Return the number of steps of the warmup in a run of `steps_total`: `warmup_steps`, where that is given."""
        return warmup_steps(self.warmup_ratio, steps_total) if self.warmup_steps is None else self.warmup_steps
