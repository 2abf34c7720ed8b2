"""A study's two histories: what was recorded, and what of it was decided on, in the order that a log keeps.

In a study that decides on arrival they are one, and the log is empty.
"""

from collections.abc import Iterable, Sequence

from hpsearch.records.history import History
from hpsearch.records.order_log import Entry, Happening, admitted, ends_of
from hpsearch.records.types import Evaluation, Run, Segment, SegmentResult, Trial


class Histories:
    """Both histories and the log, in memory.

    Attributes:
        history: All that was decided on: what decisions, tables and reports see.
        recorded: All that was recorded, decided on or not.
        entries: The log; empty where the order of decisions is that of arrival.
    """

    def __init__(self, recorded: History, entries: Sequence[Entry] = ()) -> None:
        self.recorded = recorded
        self.entries = list(entries)
        self.history = admitted(recorded, entries) if entries else recorded

    def with_trial(self, trial: Trial) -> None:
        """Show a new trial, or one that has moved on, to both."""
        is_one = self.history is self.recorded
        self.recorded = self.recorded.with_trial(trial)
        self.history = self.recorded if is_one else self.history.with_trial(trial)

    def with_evaluation(self, evaluation: Evaluation) -> None:
        self.recorded = self.recorded.with_evaluation(evaluation)
        if not self.entries:
            self.history = self.recorded

    def with_result(self, result: SegmentResult) -> None:
        self.recorded = self.recorded.with_result(result)
        if not self.entries:
            self.history = self.recorded

    def forget(self, runs: Iterable[Run]) -> None:
        """Forget what was recorded of runs and never decided on."""
        for run in runs:
            self.recorded = self.recorded.up_to(run.key, self.history.point(run))

    def note(self, entry: Entry, segment: Segment | None = None) -> None:
        """Enter what happens in virtual time, and show it to decisions. `segment` is the one that an entry is of.

        The first entry makes the study one that decides in this order.
        """
        if not self.entries and self.recorded.evaluations:
            raise ValueError("the study has decided on arrival so far")
        self.entries.append(entry)
        if entry.happening is Happening.EVALUATED:
            for evaluation in self.recorded.of(entry.run)[len(self.history.of(entry.run)) : entry.point]:
                self.history = self.history.with_evaluation(evaluation)
        elif entry.happening in (Happening.ENDED, Happening.FAILED) and segment is not None:
            for end in ends_of(self.recorded, segment, entry):
                self.history = self.history.with_result(end)
