"""A study whose order of decisions is kept: both histories (histories.py), and their log in the database."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from sqlalchemy import Connection, insert, select

from hpsearch.records import reading, tables
from hpsearch.records.histories import Histories
from hpsearch.records.history import History
from hpsearch.records.leased_study import LeasedStudy
from hpsearch.records.order_log import Entry
from hpsearch.records.studies import OpenStudy, described
from hpsearch.records.types import Segment

T = TypeVar("T")


class OrderedStudy(LeasedStudy):
    """Reads and writes the log.

    Entries go into the next transaction of ours, whatever it writes: a decision is durable together with all that it
    rests on. What a kill loses of them was decided on by nobody, and is decided on again in the same order.
    """

    def __init__(self, study: OpenStudy, name: str) -> None:
        super().__init__(study, name)
        self._loaded: Histories | None = None
        self._flushed = 0

    @property
    def _histories(self) -> Histories:
        if self._loaded is None:
            self.reload()
        assert self._loaded is not None
        return self._loaded

    @property
    def history(self) -> History:
        """All that was decided on; read once, then updated by what happens here."""
        return self._histories.history

    @property
    def recorded(self) -> History:
        """All that was recorded, decided on or not."""
        return self._histories.recorded

    @property
    def entries(self) -> Sequence[Entry]:
        """The order that was decided in so far; empty where that is the order of arrival."""
        return self._histories.entries

    def reload(self) -> History:
        """Read everything again that happened, and the description."""
        if self.held:
            self.flush()
        if self._study.source is not None and self._study.source.is_outdated:
            self._reopen(for_reading=True)
        self._loaded = self._persist("reading the study", self._read_all)
        self._flushed = len(self._loaded.entries)
        return self._loaded.history

    def _read_all(self, again: bool) -> Histories:
        """Read the description, then the log, then what that speaks of, which was written before it."""
        if again:
            self._optuna.forget()
        table = tables.studies
        with self._engine.connect() as connection:
            text = connection.execute(select(table.c.description).where(table.c.study == self.name)).scalar_one()
        self._description = described(text, self.url, self.name)
        entries = reading.read_entries(self._engine, self.name, self._study.layout)
        return Histories(reading.read_history(self._engine, self.name, self._optuna), entries)

    def note(self, entry: Entry, segment: Segment | None = None) -> None:
        """Enter what happens in virtual time, and show it to decisions. `segment` is the one that an entry is of."""
        self._histories.note(entry, segment)

    def flush(self) -> None:
        """Make the log durable before something is written that no transaction of ours covers."""
        if self._loaded is not None and self._flushed < len(self._loaded.entries):
            self._write("keeping the order of decisions", lambda _: None)

    def _write(self, doing: str, work: Callable[[Connection], T]) -> T:
        """Do `work` in a transaction that commits under our lease once, or not at all, and the log with it."""
        entries = [] if self._loaded is None else self._loaded.entries[self._flushed :]
        if not entries:
            return super()._write(doing, work)
        rows = [{"study": self.name, **tables.entry_row(entry)} for entry in entries]

        def with_log(connection: Connection) -> T:
            connection.execute(insert(tables.order), rows)
            return work(connection)

        result = super()._write(doing, with_log)
        self._flushed += len(entries)
        return result
