"""Which trials wait for a promotion: a thousand of them are not asked anew for each segment."""

from collections.abc import Mapping
from typing import Protocol

from hpsearch.records import History, Trial


class LimitsOfAll(Protocol):
    """The step that each trial has to wait at, by number, or None where each is to be asked: `Policy.limits_of_all`."""

    def __call__(self, history: History, *, closing: bool) -> Mapping[int, int] | None: ...


def each_is_asked(history: History, *, closing: bool) -> Mapping[int, int] | None:  # noqa: ARG001
    """Say nothing of all trials at once."""
    return None


class Resting:
    """Trials that had nothing to train when they were last asked, and have not moved since, nor may go further."""

    def __init__(self, limits_of_all: LimitsOfAll) -> None:
        self._limits_of_all = limits_of_all
        self._history: History | None = None
        self._limits: tuple[bool, Mapping[int, int] | None] = (False, None)
        self._numbers: set[int] = set()

    def look_at(self, history: History, *, closing: bool) -> None:
        """Forget those that have moved or may go further since the last look."""
        changed = None if self._history is None else history.changed_since(self._history)
        limits = self._limits_of_all(history, closing=closing)
        was_closing, before = self._limits
        if changed is None or limits is None or before is None or closing is not was_closing:
            self._numbers = set()
        else:
            self._numbers -= changed
            if limits is not before:
                self._numbers = {number for number in self._numbers if limits.get(number) == before.get(number)}
        self._history, self._limits = history, (closing, limits)

    def add(self, trial: Trial) -> None:
        """Note that a trial has nothing to train."""
        if self._limits[1] is not None:
            self._numbers.add(trial.number)

    def __contains__(self, trial: Trial) -> bool:
        return trial.number in self._numbers
