"""What runs took over from others with the same first steps: measured once, and so counted once."""

import math

from hpsearch.records import History, Outcome


def adopted_points(history: History, run: str) -> set[int]:
    """Return the evaluation points that a run, by its key, took over."""
    ends = [end for end in history.results.get(run, ()) if end.outcome is Outcome.ADOPTED]
    return {point for end in ends for point in range(end.segment.start + 1, end.point + 1)}


def adopted_epochs(history: History, run: str) -> float:
    """Return the passes over the rows that a run, by its key, took over, counted from evaluation point to point."""
    adopted = adopted_points(history, run)
    if not adopted:
        return 0.0
    epochs = [0.0, *(evaluation.epoch for evaluation in history.of(run))]
    return math.fsum(epochs[point] - epochs[point - 1] for point in adopted if point < len(epochs))


def trained_epochs(history: History, run: str) -> float:
    """Return the passes over the rows that a run, by its key, was trained for itself, by its evaluation points.

    A run that goes on from between two points counts all that lies between them.
    """
    points = history.of(run)
    return points[-1].epoch - adopted_epochs(history, run) if points else 0.0
