import statistics

import hpsearch as hp
from hpsearch.policy.pruning_steps import reports
from hpsearch.records import History, Trial

FIRST_FOLD = 4
"""The step at the end of a trial's first fold."""


class Floor(hp.Pruner):
    """Ends trials whose first fold is worse than a floor; the better half of the rest trains the second fold."""

    def __init__(self, objective: str, floor: float) -> None:
        self.objective, self.floor = objective, floor

    def reason_to_prune(self, history: History, trial: Trial) -> str | None:
        score = history.direction.score  # of a measured value: higher is better, for errors too
        values = [evaluation.metrics[self.objective] for evaluation in history.of(trial.runs[0].key)]
        best = max(values, key=score, default=self.floor)
        return f"{self.objective} {best:.3f} is worse than {self.floor}" if score(best) < score(self.floor) else None

    def limit(self, history: History, trial: Trial, *, closing: bool) -> int | None:
        shown = [self._after_first_fold(history, other) for other in history.trials.values()]
        own = self._after_first_fold(history, trial)
        is_low = own is None or own < statistics.median(value for value in shown if value is not None)
        return FIRST_FOLD if is_low else None

    def _after_first_fold(self, history: History, trial: Trial) -> float | None:
        value = dict(reports(history, trial, self.objective)).get(FIRST_FOLD)
        return None if value is None else history.direction.score(value)
