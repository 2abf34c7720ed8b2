"""What is kept on the disk for runs that may go on: checkpoints within their budget, and predictions that are lent."""

import logging
import math
from collections.abc import Sequence

from hpsearch.policy.axis import reports
from hpsearch.records import History, Run, Trial, TrialState
from hpsearch.records.checkpoints import CheckpointFolder
from hpsearch.records.store import Store
from hpsearch.runtime.prefixes import Prefixes
from hpsearch.runtime.scheduler import Scheduler

logger = logging.getLogger("hpsearch")


class Kept:
    """Drops what nobody needs any more, and what there is no room for.

    Args:
        store: The study's store, its lease held.
        checkpoints: The runs' last checkpoints, and those left for others.
        prefixes: Which runs begin with the same steps.
        scheduler: Knows whether further trials are coming.
        objective: Name of the objective among the metrics.
    """

    def __init__(
        self, store: Store, checkpoints: CheckpointFolder, prefixes: Prefixes, scheduler: Scheduler, objective: str
    ) -> None:
        self._store, self._checkpoints, self._prefixes = store, checkpoints, prefixes
        self._scheduler, self._objective = scheduler, objective
        self._dropped = 0

    def needed(self) -> set[str]:
        """Return the names of the checkpoints that a run may go on from, its own or another's."""
        return _under_way(self._store.history) | self._wanted().keys()

    def lent(self, run: Run) -> int:
        """Return up to which evaluation point the predictions of a run are kept for others."""
        history = self._store.history
        return self._prefixes.lent(history, run, closing=self._scheduler.is_closing(history))

    def drop(self, run: str) -> None:
        """Remove the checkpoint of a run that is over, unless another goes on from it."""
        if run in self._checkpoints.runs() and run not in self._wanted():
            self._checkpoints.remove(run)

    def tidy(self, runs: Sequence[Run] | None = None) -> None:
        """Drop what was kept for others and will not be asked for: by all runs, or by those that begin as `runs` do."""
        history = self._store.history
        for key in self._checkpoints.runs() - self.needed():
            self._checkpoints.remove(key)
        under_way = _under_way(history)
        over = [run for run in self._prefixes.families(history, runs) if run.key not in under_way]
        if over and not self._scheduler.is_closed:
            self._store.trim(over, self.lent)

    def make_room(self, run: str, needed: int, *, lent: bool) -> bool:
        """Return whether a new checkpoint can be written, having made room for it: never are there more bytes.

        A run's older one goes last, and only where both at once would be too many: a kill before the new one is there
        then costs the run what it has trained. One that is left for others takes the room of its like only.

        Args:
            run: The name of the checkpoint.
            needed: Its bytes.
            lent: Whether it is left for other runs.
        """
        older = self._checkpoints.bytes_of(run)
        if needed <= self._checkpoints.budget_bytes:
            self.drop_until_fits(needed - older, besides=run, lent_only=lent)
            if self._checkpoints.over_budget(needed):
                self._checkpoints.remove(run)
        if not self._checkpoints.over_budget(needed):
            return True
        self._say_dropped(run)
        return False

    def drop_until_fits(self, more: int, besides: str = "", *, lent_only: bool = False) -> None:
        """Drop checkpoints until `more` bytes fit, of the trials that are least likely to need them first.

        Those that nobody wants any more are no loss, and go before all. Of the others, those left for runs with the
        same first steps go first. Then those that wait for a promotion, by their rank: who has come least far, then
        whose value is lowest. Then the others, the youngest first. A run without its checkpoint starts anew if it is
        ever gone on with, and measures the same.
        """
        if not self._checkpoints.over_budget(more):
            return
        for key in self._checkpoints.runs() - self.needed() - {besides}:
            self._checkpoints.remove(key)
        trials = sorted(self._store.history.unfinished(), key=self._worth)
        own = [run.key for trial in trials for run in trial.runs]
        lent = [key for key in self._wanted() if key not in own]
        for key in lent if lent_only else [*lent, *own]:
            if not self._checkpoints.over_budget(more):
                return
            if key != besides and self._checkpoints.remove(key):
                self._say_dropped(key)

    def _say_dropped(self, run: str) -> None:
        self._dropped += 1
        logger.log(
            logging.WARNING if self._dropped == 1 else logging.DEBUG,
            "The checkpoint of run %s was dropped to stay within the byte budget (checkpoint_bytes); more may "
            "be: a run that goes on without its own starts anew, which takes time and changes no number.",
            run,
        )

    def _wanted(self) -> dict[str, bool]:
        history = self._store.history
        return self._prefixes.wanted(history, closing=self._scheduler.is_closing(history))

    def _worth(self, trial: Trial) -> tuple[bool, int, float, int]:
        """Return by what checkpoints are kept: the smallest is dropped first."""
        if trial.state is not TrialState.WAITING:
            return True, 0, 0.0, -trial.number
        reached = reports(self._store.history, trial, self._objective)
        step, value = reached[-1] if reached else (0, -math.inf)
        return False, step, value, -trial.number


def _under_way(history: History) -> set[str]:
    return {run.key for trial in history.unfinished() for run in trial.runs}
