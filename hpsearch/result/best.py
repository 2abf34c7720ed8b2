"""The best trial of a study, in numbers."""

from dataclasses import dataclass

from hpsearch.analysis.aggregates import TrialSummary
from hpsearch.records import History, Trial


@dataclass(frozen=True)
class Best(TrialSummary):
    """The complete trial with the best cross-validated objective; of equal ones, the first.

    Attributes:
        curve: (epoch, mean objective over folds) at each evaluation point. The others are those of every trial.
    """

    value: float
    point: int
    epoch: float
    curve: tuple[tuple[float, float], ...]


def best_of(summary: TrialSummary, trial: Trial, history: History, objective: str) -> Best:
    """Return a complete trial in numbers, with its curve over the folds."""
    runs = [history.of(run.key)[: trial.stop] for run in trial.runs]
    curve = tuple(
        (evaluations[0].epoch, sum(each.metrics[objective] for each in evaluations) / len(evaluations))
        for evaluations in zip(*runs, strict=False)
    )
    return Best(**vars(summary), curve=curve)
