"""When a study decides on what was recorded: as it arrives, or in virtual time (`hpsearch.runtime.virtual_time`)."""

from collections.abc import Collection, Iterator, Sequence
from typing import Protocol

from hpsearch.policy.budget import Ending
from hpsearch.records import Run, Segment, Slot, Trial, TrialState
from hpsearch.records.store import Store
from hpsearch.runtime.scheduler import Scheduler


class Admission(Protocol):
    """Says which segment is trained next, and on which trials is to be decided when."""

    def begin(self) -> Iterator[int]:
        """Yield the trials to decide on as a run of the study begins: what an earlier one may have left undecided."""

    def admitted(self, recorded: Sequence[int] = ()) -> Iterator[int]:
        """Yield the trials to decide on, each when what was recorded may be seen; the caller decides at once.

        `recorded` are the trials that something has just been recorded of.
        """

    def next_segment(self, slot: Slot) -> Segment | None:
        """Return what an idle slot trains next, or None where there is nothing just now."""

    def ended(self, run: Run) -> None:
        """Take note that a worker no longer trains a run."""

    def asking(self) -> None:
        """Log that a trial is about to be asked for, so that a study that continues knows whether it was."""

    def paused(self, trial: int) -> None:
        """Log that a trial is about to wait for a promotion, so that it waits, too, where the study continues."""

    def over(self, ending: Ending) -> None:
        """Log that a limit ends this run of the study, where the table as it stands depends on seconds."""

    @property
    def is_busy(self) -> bool:
        """Whether a worker trains a run of the study."""

    def can_train(self) -> bool:
        """Return whether there is a segment for one more slot, or a trial to ask for."""

    def longest_left(self) -> float | None:
        """Return the seconds of the longest way to a trial's end that may begin now; None while trials may be added."""

    def is_open(self, trial: Trial) -> bool:
        """Return whether a segment of a trial has begun and not ended, as decisions see it."""

    def in_flight(self) -> Collection[str]:
        """Return the keys of the runs that are being trained, or that decisions take to be."""


class OnArrival:
    """Decides on everything as soon as it is recorded."""

    def __init__(self, store: Store, scheduler: Scheduler) -> None:
        self._store, self._scheduler = store, scheduler

    def begin(self) -> Iterator[int]:
        yield from [trial.number for trial in self._store.history.unfinished()]

    def admitted(self, recorded: Sequence[int] = ()) -> Iterator[int]:
        yield from recorded

    def next_segment(self, slot: Slot) -> Segment | None:
        segment = self._scheduler.next_segment(self._store.history, slot)
        if segment is not None:
            set_running(self._store, segment.run)
        return segment

    def ended(self, run: Run) -> None:
        self._scheduler.ended(run)

    def asking(self) -> None:
        """Nothing."""

    def paused(self, trial: int) -> None:
        """Nothing: its state says so."""

    def over(self, ending: Ending) -> None:
        """Nothing: the run keeps it."""

    @property
    def is_busy(self) -> bool:
        return self._scheduler.is_busy

    def can_train(self) -> bool:
        return self._scheduler.has_work(self._store.history)

    def longest_left(self) -> float | None:
        return self._scheduler.longest_left(self._store.history)

    def is_open(self, trial: Trial) -> bool:
        return self._scheduler.is_in_flight(trial)

    def in_flight(self) -> Collection[str]:
        return self._scheduler.in_flight()


def set_running(store: Store, run: Run) -> None:
    """Let the trials of a run that has begun run: samplers see those that wait otherwise."""
    for trial in store.history.sharing(run.key):
        if trial.state is TrialState.WAITING and run in trial.runs:
            store.set_state(trial.number, TrialState.RUNNING)
