"""Trunks: the steps that runs of different lengths have in common, as pure functions of their configs."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from hpsearch.training.hyperparameters import TrainingSettings
from hpsearch.training.schedules import trunk_steps

HORIZON = ("epochs", "lr_scheduler_type", "decay_ratio", "warmup_ratio", "warmup_steps")
"""Hyperparameters that say when the learning rate falls, and nothing about the steps before."""


@dataclass(frozen=True)
class Trunk:
    """The first steps of a run, as far as they do not depend on its length (Hagele et al. 2024).

    Attributes:
        config: All that they do depend on: the config without `HORIZON`, and the warmup in optimizer steps.
        steps: How many there are. Of two runs with one config of the trunk, on the same rows and with the same seed,
            the first `min` of both are the same.
        steps_total: Optimizer steps of the whole run.
    """

    config: Mapping[str, Any]
    steps: int
    steps_total: int


def trunk_of(config: Mapping[str, Any], steps_per_epoch: int) -> Trunk | None:
    """Return the trunk of a run, or None where its schedule has none: linear and cosine.

    Raises:
        TaskError: A training hyperparameter of the config is out of range.
    """
    settings = TrainingSettings.of(config)
    steps_total = settings.epochs * steps_per_epoch
    warmup = settings.warmup(steps_total)
    steps = trunk_steps(
        settings.lr_scheduler_type, steps_total=steps_total, warmup=warmup, decay_ratio=settings.decay_ratio
    )
    if not steps:
        return None
    whole = {**config, **asdict(settings)}
    return Trunk(
        {name: value for name, value in whole.items() if name not in HORIZON} | {"warmup": warmup}, steps, steps_total
    )
