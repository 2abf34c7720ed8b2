"""How long a study will still take, judged by the trials that have ended so far."""

import time
from collections.abc import Callable

ENDED_TRIALS = 2
"""The time left is stated once this many trials have ended in this call, and no fewer than are unfinished. One trial
says little, and of several begun together the cheapest end first."""


class Pace:
    """Estimates the time to a study's last trial by counting trials; an unfinished one counts as half done.

    Trials of earlier calls say nothing about the pace of this one, which begins now. docs/decisions/live-display.md
    compares this to estimates from the compute that trials took.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._started = clock()
        self._before: tuple[int, int] | None = None

    def elapsed(self) -> float:
        return self._clock() - self._started

    def begin(self, ended: int, unfinished: int) -> None:
        """Take note of what earlier calls have done; only the first time counts."""
        if self._before is None:
            self._before = (ended, unfinished)

    def left(self, ended: int, unfinished: int, trials: int | None) -> float | None:
        """Return the seconds to the last of `trials`, or None while that would be a guess; `ended` are of all calls."""
        self.begin(ended, unfinished)
        assert self._before is not None
        if trials is None or ended >= trials:
            return None
        here = ended - self._before[0]
        if here < max(ENDED_TRIALS, unfinished):
            return None
        done = here + (unfinished - self._before[1]) / 2
        return self.elapsed() * max(0.0, trials - ended - unfinished / 2) / done
