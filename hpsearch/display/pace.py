"""How long a study will still take, from the trials that it has got through so far."""

import time
from collections.abc import Callable

ENDED_TRIALS = 2
"""From so many trials ended in this call on, and not before as many have as are under way, the time left is said: one
alone may have been any, and of several begun together the cheapest end first."""


class Pace:
    """Estimates the time to a study's last trial by counting trials, those under way as half done.

    What earlier calls did says nothing about the pace of this one. docs/decisions/live-display.md compares this to
    estimates from the compute that trials took.

    Args:
        clock: Seconds that only grow; the study is gone on with now.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._started = clock()
        self._before: tuple[int, int] | None = None

    def elapsed(self) -> float:
        """Return the seconds since the study was gone on with."""
        return self._clock() - self._started

    def begin(self, ended: int, under_way: int) -> None:
        """Take note of what earlier calls have done; later calls of this change nothing."""
        if self._before is None:
            self._before = (ended, under_way)

    def left(self, ended: int, under_way: int, trials: int | None) -> float | None:
        """Return the seconds to the last of `trials`, or None while that would be a guess.

        Args:
            ended: How many trials have ended, in all calls.
            under_way: How many have been begun and not ended.
            trials: How many there shall be, or None.
        """
        self.begin(ended, under_way)
        assert self._before is not None
        if trials is None or ended >= trials:
            return None
        here = ended - self._before[0]
        if here < max(ENDED_TRIALS, under_way):
            return None
        done = here + (under_way - self._before[1]) / 2
        return self.elapsed() * max(0.0, trials - ended - under_way / 2) / done
