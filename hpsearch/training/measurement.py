"""What a fine-tune reports at an evaluation point."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Measurement:
    """What a run was found to be at one evaluation point.

    Attributes:
        point: The evaluation point, from 1.
        epoch: Passes over the training rows done, a fraction.
        train_loss: Weighted mean training loss a row since the previous point, label smoothing included. A point that
            falls on the step of the previous one repeats it.
        validation_loss: Weighted mean loss a held-out row, without label smoothing; NaN on a refit.
        logits: Outputs for the held-out rows in the order given, float32, shape (rows, outputs); None on a refit.
        learning_rate: That of the last step.
        rows_seen: Training rows seen by the run, repetitions counted.
        seconds: Time in training and evaluation since the previous point; not what the caller did meanwhile.
        peak_memory_bytes: See `hpsearch.training.memory.peak_memory_bytes`.
    """

    point: int
    epoch: float
    train_loss: float
    validation_loss: float
    logits: np.ndarray | None
    learning_rate: float
    rows_seen: int
    seconds: float
    peak_memory_bytes: int
