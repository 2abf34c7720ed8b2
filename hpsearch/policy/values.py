"""The value of a trial, whole and partial."""

import math
from collections.abc import Sequence

from hpsearch.records import Evaluation, History, Trial
from hpsearch.records.values import best_common_point, objective_curve


def running_best(evaluations: Sequence[Evaluation], objective: str) -> float:
    """Return the best objective among the evaluations, minus infinity where none is a number."""
    values = (evaluation.metrics[objective] for evaluation in evaluations)
    return max((value for value in values if math.isfinite(value)), default=-math.inf)


def complete_value(history: History, trial: Trial, objective: str, stop: int) -> tuple[int, float]:
    """Return (point, value) of a trial whose runs have all reached `stop`.

    The best over points up to the stop of the mean over runs, ties to the earliest: the epoch is chosen once for
    all folds, so no fold is scored at an epoch that was picked by looking at that fold alone.
    """
    return best_common_point([objective_curve(history, run, objective) for run in trial.runs], stop)
