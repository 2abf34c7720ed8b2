"""The checkpoints' byte budget, never exceeded: the most promising runs keep theirs."""

import logging
import math
from collections.abc import Mapping

from hpsearch.errors import StoreError
from hpsearch.metrics.direction import Objective
from hpsearch.policy.pruning_steps import reports
from hpsearch.records import Trial, TrialState
from hpsearch.records.checkpoint_folder import CheckpointFolder
from hpsearch.records.store import Store

logger = logging.getLogger("hpsearch")


class CheckpointBudget:
    """Writes checkpoints, and drops others to make room for them; needs a store whose lease is held."""

    def __init__(self, store: Store, checkpoints: CheckpointFolder, objective: Objective) -> None:
        self._store, self._checkpoints, self._objective = store, checkpoints, objective
        self._dropped = 0

    def write(self, run: str, point: int, step: int, files: Mapping[str, bytes]) -> None:
        """Write a run's checkpoint, where it fits, after making room for it.

        The run's older one is dropped first only where both do not fit: a kill in between costs the run its training.
        """
        needed = self._checkpoints.bytes_needed(run, point, step, files)
        if needed <= self._checkpoints.budget_bytes:
            self.drop_until_fits(needed - self._checkpoints.bytes_of(run), besides=run)
            if self._checkpoints.over_budget(needed):
                self._checkpoints.remove(run)
        if self._checkpoints.over_budget(needed):
            self._say_dropped(run)
            return
        try:
            self._checkpoints.write(run, point, step, files)
        except StoreError as error:
            if not isinstance(error.__cause__, FileNotFoundError):
                raise
            self._store.renew()  # whoever took the study over deletes what we write
            self._checkpoints.write(run, point, step, files)

    def drop_until_fits(self, more: int, besides: str = "") -> None:
        """Drop checkpoints until `more` bytes fit, the least promising trials' first, but not that of run `besides`.

        Waiting trials go first: those that came least far, then those of the worst value. Then the others, the
        youngest first. A run without a checkpoint starts again if it ever continues, and measures the same.
        """
        if not self._checkpoints.over_budget(more):
            return
        trials = sorted(self._store.history.unfinished(), key=self._promise)
        for run in [run.key for trial in trials for run in trial.runs]:
            if not self._checkpoints.over_budget(more):
                return
            if run != besides and self._checkpoints.remove(run):
                self._say_dropped(run)

    def _say_dropped(self, run: str) -> None:
        self._dropped += 1
        logger.log(
            logging.WARNING if self._dropped == 1 else logging.DEBUG,
            "The checkpoint of run %s was dropped to stay within the byte budget (checkpoint_bytes), and others may "
            "follow. A run that continues without one starts again from its beginning: that changes no number.",
            run,
        )

    def _promise(self, trial: Trial) -> tuple[bool, int, float, int]:
        """Return a trial's sort key; the smallest is dropped first."""
        if trial.state is not TrialState.WAITING:
            return True, 0, 0.0, -trial.number
        reached = reports(self._store.history, trial, self._objective)
        if not reached:
            return False, 0, -math.inf, -trial.number
        step, value = reached[-1]
        return False, step, self._objective.direction.score(value), -trial.number
