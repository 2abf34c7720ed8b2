"""The budget of checkpoints in bytes: the most promising runs keep theirs, and it is never exceeded."""

import logging
import math
from collections.abc import Mapping

from hpsearch.policy.pruning_steps import reports
from hpsearch.records import Trial, TrialState
from hpsearch.records.checkpoint_folder import CheckpointFolder
from hpsearch.records.store import Store

logger = logging.getLogger("hpsearch")


class CheckpointBudget:
    """Writes checkpoints, and drops others to make room for them.

    Args:
        store: The study's store, its lease held.
        checkpoints: The runs' last checkpoints.
        objective: Name of the objective among the metrics.
    """

    def __init__(self, store: Store, checkpoints: CheckpointFolder, objective: str) -> None:
        self._store, self._checkpoints, self._objective = store, checkpoints, objective
        self._dropped = 0

    def write(self, run: str, point: int, step: int, files: Mapping[str, bytes]) -> None:
        """Write a run's checkpoint, where it fits, after making room for it.

        The run's older one goes last, and only where both at once would be too many bytes: a kill before the new one
        is written then costs the run what it has trained.
        """
        needed = self._checkpoints.bytes_needed(run, point, step, files)
        if needed <= self._checkpoints.budget_bytes:
            self.drop_until_fits(needed - self._checkpoints.bytes_of(run), besides=run)
            if self._checkpoints.over_budget(needed):
                self._checkpoints.remove(run)
        if self._checkpoints.over_budget(needed):
            self._say_dropped(run)
        else:
            self._checkpoints.write(run, point, step, files)

    def drop_until_fits(self, more: int, besides: str = "") -> None:
        """Drop checkpoints until `more` bytes fit, of the least promising trials first, but not that of run `besides`.

        Trials that wait for a promotion go first: who has come least far, then whose value is lowest. Then the others,
        the youngest first. A run without its checkpoint starts again if it ever continues, and measures the same.
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
        """Return how promising a trial is, for sorting: the smallest is dropped first."""
        if trial.state is not TrialState.WAITING:
            return True, 0, 0.0, -trial.number
        reached = reports(self._store.history, trial, self._objective)
        step, value = reached[-1] if reached else (0, -math.inf)
        return False, step, value, -trial.number
