"""Pruning a trial whose folds are significantly worse than the best trial's, fold by fold.

Folds, seeds and data order are common to all configurations, so scores are paired by fold; a signed-rank test over the
folds trained so far (Wilcoxon 1945) asks whether this trial is worse than the best complete one.
"""

import math
import warnings
from collections.abc import Iterator

import optuna

from hpsearch.policy.axis import running_best
from hpsearch.policy.names import LEAST_FOLDS
from hpsearch.policy.projection import Projection
from hpsearch.policy.pruner import Pruner
from hpsearch.records import History, Trial
from hpsearch.space import Space

P_THRESHOLD = 0.1
"""Optuna's own default."""


class FoldWilcoxon(Pruner):
    """Optuna's WilcoxonPruner over whole folds: the score of a fold is the best that its run has shown.

    It begins to judge when four folds are trained, so it saves the folds from the fifth on.

    Args:
        space: What is searched.
        objective: Name of the objective among the metrics.
    """

    def __init__(self, space: Space, objective: str) -> None:
        self._objective = objective
        self._projection = Projection(space, objective, steps=self._folds)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            self._pruner = optuna.pruners.WilcoxonPruner(p_threshold=P_THRESHOLD)

    def reason_to_prune(self, history: History, trial: Trial) -> str | None:
        frozen = self._projection.reporting(history, trial)
        scores = list(frozen.intermediate_values.values())
        if len(scores) < LEAST_FOLDS or len(scores) == len(trial.runs):
            return None
        if not self._pruner.prune(self._projection.study(history), frozen):
            return None
        mean = sum(scores) / len(scores)
        return f"wilcoxon: mean {mean:.4g} over {len(scores)} of {len(trial.runs)} folds, worse than the best trial's"

    def _folds(self, history: History, trial: Trial, objective: str) -> Iterator[tuple[int, float]]:
        """Yield (run, score) of the runs that are whole, in the trial's order up to the first that is not."""
        if trial.stop is None:
            return
        for index, run in enumerate(trial.runs):
            evaluations = history.of(run.key)[: trial.stop]
            if len(evaluations) < trial.stop:
                return
            value = running_best(evaluations, objective)
            yield index, value if math.isfinite(value) else -math.inf
