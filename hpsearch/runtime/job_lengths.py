"""How long what is left of a run or trial takes, by what its shape took before: pure functions of History."""

from collections import defaultdict
from collections.abc import Callable
from statistics import fmean

from hpsearch.records import History, Run, Shape, Trial, shape_of

RECENT_TRIALS = 50
"""How many trials tell how fast a shape is; a study of a thousand has no need to read them all for each segment."""


def seconds_per_point(history: History) -> Callable[[Run], float]:
    """Return a function that says how many seconds one evaluation point of a run takes.

    It is the mean of its shape in the latest trials; of a shape that is not among them that of all, which is 1 before
    anything is measured.
    """
    found: dict[Shape, list[float]] = defaultdict(list)
    for trial in list(history.trials.values())[-RECENT_TRIALS:]:
        for run in trial.runs:
            seconds = [evaluation.seconds for evaluation in history.of(run.key) if evaluation.seconds > 0]
            if seconds:
                found[shape_of(run.config)] += seconds
    means = {shape: fmean(seconds) for shape, seconds in found.items()}
    overall = fmean(means.values()) if means else 1.0
    return lambda run: means.get(shape_of(run.config), overall)


def longest_way(history: History, trial: Trial, index: int, per_point: Callable[[Run], float]) -> float:
    """Return the least seconds in which a trial can end from its run `index` on, with workers for all of its folds.

    A first run that has not stopped yet is followed by the others, all at once.
    """
    run = trial.runs[index]
    end = trial.stop if trial.stop is not None else run.horizon
    followed = trial.stop is None and len(trial.runs) > 1
    points = end - history.point(run) + (run.horizon if followed else 0)
    return points * per_point(run)
