"""What one trial may take before it is ended."""

import math
from dataclasses import dataclass

from hpsearch.records import History, Trial
from hpsearch.records.run_length import run_epochs

ROUNDING = 1e-9


@dataclass(frozen=True)
class TrialLimit:
    """A limit in epochs counts a trial's runs in their order, so that it ends trials alike on any number of workers.

    Attributes:
        epochs: Passes over the training rows of a fold, of all runs of a trial; None for no limit.
        device_seconds: Seconds of training and evaluation; None for no limit.
    """

    epochs: float | None = None
    device_seconds: float | None = None

    def furthest_point(self, trial: Trial, index: int, end: int) -> int:
        """Return the evaluation point, up to `end`, that a trial's run `index` may be trained to within the limit."""
        return end if self.epochs is None else min(end, max(0, self._points(trial) - index * end))

    def reason_to_end(self, history: History, trial: Trial) -> str | None:
        """Return why an incomplete trial has had what it may take, in words, or None."""
        end = trial.stop if trial.stop is not None else trial.runs[0].horizon
        if self.epochs is not None and self._points(trial) < len(trial.runs) * end:
            runs = trial.runs if trial.stop is not None else trial.runs[:1]
            allowed = [self.furthest_point(trial, index, end) for index in range(len(runs))]
            is_spent = all(history.point(run) >= point for run, point in zip(runs, allowed, strict=True))
            if is_spent and (trial.stop is not None or allowed[0] < end):
                return f"over its limit: {self.epochs:g} epochs a trial"
        if self.device_seconds is None:
            return None
        seconds = math.fsum(evaluation.seconds for run in trial.all_runs for evaluation in history.of(run.key))
        is_over = seconds > self.device_seconds
        return f"over its limit: {seconds:.3g} of {self.device_seconds:g} device-seconds" if is_over else None

    def _points(self, trial: Trial) -> int:
        """Return the evaluation points that a trial may have, over all of its runs."""
        run = trial.runs[0]
        assert self.epochs is not None
        return math.floor(self.epochs * run.horizon / run_epochs(run) + ROUNDING)


NO_LIMIT = TrialLimit()
