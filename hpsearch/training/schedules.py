"""Learning-rate schedules as pure functions: the factor of a step, never a state that has to be kept."""

import math
from typing import Any

from hpsearch.errors import TaskError, nearest

SCHEDULES = ("linear", "cosine", "constant", "warmup_stable_decay")
"""The schedules, by transformers' names for them."""

ALIASES = {"constant_with_warmup": "constant"}
"""Other names: every schedule here has a warmup, perhaps of 0 steps."""


def canonical_schedule(value: Any) -> str:
    """Return the one name of a schedule; `TaskError` with the nearest known name for an unknown one."""
    # transformers' SchedulerType is a str whose value is the name.
    name = str(getattr(value, "value", value))
    name = ALIASES.get(name, name)
    if name not in SCHEDULES:
        names = ", ".join(repr(schedule) for schedule in (*SCHEDULES, *ALIASES))
        raise TaskError(
            f"The hyperparameter lr_scheduler_type={value!r} is not a schedule that is known here; it must be one of "
            f"{names}.{nearest(name, (*SCHEDULES, *ALIASES))}"
        )
    return name


def warmup_steps(warmup_ratio: float, steps_total: int) -> int:
    """Return the number of steps of the warmup: the ratio's share of all steps, rounded up."""
    return math.ceil(warmup_ratio * steps_total)


def decay_steps(decay_ratio: float, steps_total: int, warmup: int) -> int:
    """Return the number of steps of warmup-stable-decay's cooldown, which begins after the warmup at the earliest."""
    return max(0, min(math.ceil(decay_ratio * steps_total), steps_total - warmup))


def learning_rate_factor(schedule: str, step: int, *, steps_total: int, warmup: int, decay_ratio: float) -> float:
    """Return what the highest learning rate is multiplied by in one optimizer step.

    Args:
        schedule: One of `SCHEDULES`.
        step: Steps done before this one, 0 <= step < steps_total. As in transformers, the first step of a warmup has
            factor 0, and the last step of a decay a factor above 0.
        steps_total: Steps of the whole run.
        warmup: Steps in which the factor rises linearly from 0. A run of fewer steps ends before the factor is 1.
        decay_ratio: Share of all steps that `warmup_stable_decay` cools down in.

    Linear decay is that of Devlin et al. 2019. Cosine is one half cycle to 0 (Loshchilov and Hutter 2017, eq. 5 with
    no restart). Warmup-stable-decay is that of Hu et al. 2024 with the "1-sqrt" cooldown of Hagele et al. 2024
    (section 3), which there ends at a lower loss than a linear one.
    """
    if step < warmup:
        return step / warmup
    if schedule == "constant":
        return 1.0
    if schedule == "warmup_stable_decay":
        steps = decay_steps(decay_ratio, steps_total, warmup)
        into = step - (steps_total - steps)
        return 1.0 if into < 0 else 1.0 - math.sqrt(into / steps)
    if schedule == "cosine":
        return 0.5 * (1.0 + math.cos(math.pi * ((step - warmup) / (steps_total - warmup))))
    if schedule == "linear":
        return (steps_total - step) / (steps_total - warmup)
    raise ValueError(f"schedule {schedule!r} is not one of {SCHEDULES}")
