"""A study's two histories: what was recorded, and what of it was decided on, in the order that the log keeps.

In a study that decides on arrival they are one, and the log is empty.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

from sqlalchemy import Connection, insert

from hpsearch.records import reading, tables
from hpsearch.records.history import History
from hpsearch.records.leased_study import LeasedStudy
from hpsearch.records.order_log import Entry, Happening, admitted, ends_of
from hpsearch.records.studies import OpenStudy
from hpsearch.records.types import Evaluation, Segment, SegmentResult, Trial

T = TypeVar("T")


class OrderedStudy(LeasedStudy):
    """Keeps both histories in memory, and writes the log.

    Entries go into the next transaction of ours, whatever it writes: a decision is durable together with all that it
    rests on. What a kill loses of them was decided on by nobody, and is decided on again in the same order.
    """

    def __init__(self, study: OpenStudy, name: str) -> None:
        super().__init__(study, name)
        self._history: History | None = None
        self._recorded: History | None = None  # None where it is what decisions see
        self._entries: list[Entry] = []
        self._flushed = 0

    @property
    def history(self) -> History:
        """All that was decided on; read once, then updated by what happens here."""
        return self._history if self._history is not None else self.reload()

    @property
    def recorded(self) -> History:
        """All that was recorded, decided on or not."""
        history = self.history
        return history if self._recorded is None else self._recorded

    @property
    def entries(self) -> Sequence[Entry]:
        """The order that was decided in so far; empty where that is the order of arrival."""
        _ = self.history
        return self._entries

    @property
    def is_ordered(self) -> bool:
        """Whether the study decides in virtual time."""
        return bool(self.entries)

    def reload(self) -> History:
        """Read everything again that happened."""
        raise NotImplementedError

    def _read(self) -> History:
        """Read both histories and the log; entries first, for what they speak of was written before them."""
        entries = reading.read_entries(self._engine, self.name, self._study.layout)
        self._entries, self._flushed, self._recorded = entries, len(entries), None
        self._history = reading.read_history(self._engine, self.name, self._optuna)
        if entries:
            self._recorded, self._history = self._history, admitted(self._history, entries)
        return self._history

    # ------------------------------------------------------------------ what happens

    def _with_trial(self, trial: Trial) -> History:
        if self._recorded is not None:
            self._recorded = self._recorded.with_trial(trial)
        self._history = self.history.with_trial(trial)
        return self._history

    def _with_evaluation(self, evaluation: Evaluation) -> History:
        if self._recorded is not None:
            self._recorded = self._recorded.with_evaluation(evaluation)
            return self.history
        self._history = self.history.with_evaluation(evaluation)
        return self._history

    def _with_result(self, result: SegmentResult) -> History:
        if self._recorded is not None:
            self._recorded = self._recorded.with_result(result)
            return self.history
        self._history = self.history.with_result(result)
        return self._history

    # ------------------------------------------------------------------ the log

    def note(self, entry: Entry, segment: Segment | None = None) -> History:
        """Enter what happens in virtual time, and show it to decisions.

        The first entry makes the study one that decides in this order. `segment` is the one that an entry is of.
        """
        history = self.history
        if self._recorded is None:
            if history.evaluations:
                raise ValueError(f"the study {self.name!r} has decided on arrival so far")
            self._recorded = history
        self._entries.append(entry)
        if entry.happening is Happening.EVALUATED:
            for evaluation in self._recorded.of(entry.run)[len(history.of(entry.run)) : entry.point]:
                history = history.with_evaluation(evaluation)
        elif entry.happening in (Happening.ENDED, Happening.FAILED) and segment is not None:
            for end in ends_of(self._recorded, segment, entry):
                history = history.with_result(end)
        self._history = history
        return history

    def flush(self) -> None:
        """Make the log durable before something is written that no transaction of ours covers."""
        if self._flushed < len(self._entries):
            self._write("keeping the order of decisions", lambda _: None)

    def _write(self, doing: str, work: Callable[[Connection], T]) -> T:
        """Do `work` in a transaction that commits under our lease once, or not at all, and the log with it."""
        entries, upto = self._entries[self._flushed :], len(self._entries)
        if not entries:
            return super()._write(doing, work)
        rows = [{"study": self.name, **tables.entry_row(entry)} for entry in entries]

        def with_log(connection: Connection) -> T:
            connection.execute(insert(tables.order), rows)
            return work(connection)

        result = super()._write(doing, with_log)
        self._flushed = upto
        return result
