"""What is measured of a model: its mean loss and metrics on some rows, and what a fine-tune reports of a point."""

import functools
import logging
import math
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from hpsearch.data.ragged import Rows
from hpsearch.errors import MetricError
from hpsearch.metrics.metric import Metric
from hpsearch.records.types import LOSS

logger = logging.getLogger("hpsearch")


@dataclass(frozen=True, eq=False)
class Measurement:
    """A run's losses and outputs at one evaluation point.

    Attributes:
        point: The evaluation point, from 1.
        epoch: Passes over the training rows done, a fraction.
        train_loss: Weighted mean training loss a row since the previous point, label smoothing included. A point that
            falls on the step of the previous one repeats it.
        validation_loss: Weighted mean loss a held-out row, without label smoothing; NaN on a refit.
        outputs: What is kept of those for the held-out rows, in the order given and in the user's units; None on a
            refit.
        learning_rate: That of the last step.
        rows_seen: Training rows seen by the run, repetitions counted.
        seconds: Time in training and evaluation since the previous point; not what the caller did meanwhile.
        peak_memory_bytes: See `hpsearch.training.memory.peak_memory_bytes`.
        metrics: What a run measured that measures itself, name to number; None where the task's judge measures.
    """

    point: int
    epoch: float
    train_loss: float
    validation_loss: float
    outputs: Rows | None
    learning_rate: float
    rows_seen: int
    seconds: float
    peak_memory_bytes: int
    metrics: Mapping[str, float] | None = None


def weighted_mean(losses: Tensor, weights: Tensor | None) -> float:
    """Return the mean of the losses of rows that weigh this, or all the same; 0 where all rows weigh nothing."""
    losses = losses.double()
    if weights is None:
        return losses.mean().item()
    total = weights.double().sum().item()
    return (losses * weights).sum().item() / total if total else 0.0


def all_metrics(
    metrics: Sequence[Metric],
    predictions: Any,
    targets: Any,
    weights: np.ndarray | None,
    loss: float,
    *,
    undefined: Container[str] = (),
    progressed: Callable[[], None] = lambda: None,
) -> dict[str, float]:
    """Return every metric of rows by name, from what the task's judge predicts of them, and their mean loss as "loss".

    A metric that cannot be computed is NaN, and the log says why: a model that predicts the same for every row may do
    better at the next point.

    Args:
        metrics: What is measured.
        predictions: Of the rows, first axis the rows.
        targets: Encoded.
        weights: Sample weights, or None.
        loss: The rows' mean loss.
        undefined: Names of metrics that cannot judge these rows, whatever is predicted: they are NaN.
        progressed: Called before each metric and after the last: a slow one is no standstill.
    """
    values: dict[str, float] = {}
    for metric in metrics:
        progressed()
        try:
            known = metric.name in undefined
            values[metric.name] = math.nan if known else metric(targets, predictions, weights)
        except MetricError as error:
            values[metric.name] = math.nan
            _say_once(f"{error} It is recorded as not a number.")
    progressed()
    return {**values, LOSS: loss}


@functools.cache
def _say_once(text: str) -> None:
    logger.warning("%s", text)
