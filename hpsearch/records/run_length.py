"""How long a run is: in epochs, of which there may be a fraction, or in optimizer steps; and its evaluation points."""

import math
from collections.abc import Mapping
from typing import Any

from hpsearch.records.types import Run

ROUNDING = 1e-9
"""Far more than the error of a float that counts epochs, and far less than a step."""


def whole_up(value: float) -> int:
    """Return a number rounded up to a whole one of at least 1; what rounding has added does not count."""
    return max(1, math.ceil(value - ROUNDING))


def epochs_of(config: Mapping[str, Any], steps_per_epoch: int) -> float:
    """Return the passes over the training rows that a run of a completed config makes.

    `steps_per_epoch` turns `max_steps` into epochs, where the config has that in place of epochs.
    """
    epochs = config.get("epochs", 1)
    return int(config["max_steps"]) / max(1, steps_per_epoch) if epochs is None else float(epochs)


def horizon_of(config: Mapping[str, Any], steps_per_epoch: int, evaluations_per_epoch: int) -> int:
    """Return the last evaluation point of the runs of a completed config.

    Of an epoch that is only begun the points count that lie in it, and the run's end is the last. All folds have the
    same points, so `steps_per_epoch` are those of the first fold, no batch of a single row having joined another.
    """
    return whole_up(epochs_of(config, steps_per_epoch) * evaluations_per_epoch)


def run_epochs(run: Run) -> float:
    """Return the passes over the training rows that a run makes, if it trains to its end."""
    return epochs_of(run.config, run.steps_per_epoch)


def epoch_at(run: Run, point: int, evaluations_per_epoch: int) -> float:
    """Return how many passes over the rows a run has made at an evaluation point."""
    return run_epochs(run) if point >= run.horizon else point / evaluations_per_epoch


def first_stop(epochs: float) -> float:
    """Return the epochs before which a run of so many does not stop early: one, or half of a run of less than two."""
    return min(1.0, epochs / 2)
