"""How long a study will still take, from what its trials have cost so far."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hpsearch.records import History, Trial

ENDED_TRIALS = 2
"""From so many ended trials on, and not before as many have ended as are under way, the time left is said: one alone
may have been any, and of several begun together the cheapest end first."""


class Pace:
    """Estimates the time to a study's last trial.

    Compute is counted, not trials: what a trial to come will cost is the mean of those so far, over all calls of the
    study. Those under way count as what they are, trials that cost more than they have by now (Kaplan and Meier 1958,
    Nonparametric Estimation from Incomplete Observations): with several workers the mean of the ended ones alone is too
    small, for the cheap end first. How much compute a second of waiting buys is what it has bought since the study was
    gone on with. Where no compute has been measured, trials are counted.

    Args:
        clock: Seconds that only grow; the study is gone on with now.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._started = clock()
        self._before: tuple[int, float] | None = None
        self._ended: dict[int, float] = {}

    def elapsed(self) -> float:
        """Return the seconds since the study was gone on with."""
        return self._clock() - self._started

    def begin(self, ended: int, history: History) -> None:
        """Take note of what earlier calls have done; later calls of this change nothing."""
        if self._before is None:
            self._before = (ended, math.fsum([*self._costs(history), *_spent(history)]))

    def left(self, history: History, ended: int, trials: int | None) -> float | None:
        """Return the seconds to the last of `trials`, or None while that would be a guess.

        Args:
            history: Everything so far.
            ended: How many of its trials have ended.
            trials: How many there shall be, or None.
        """
        self.begin(ended, history)
        assert self._before is not None
        if trials is None or ended >= trials:
            return None
        costs, spent = self._costs(history), _spent(history)
        here, compute = ended - self._before[0], math.fsum([*costs, *spent])
        bought = compute - self._before[1]
        if compute == 0:
            return self.elapsed() / here * (trials - ended) if here >= ENDED_TRIALS else None
        if ended < max(ENDED_TRIALS, sum(each > 0 for each in spent)):
            return None
        survival = Survival.of(costs, spent)
        if bought < survival.to_come(0.0):  # less than a trial's worth says little about the workers
            return None
        asked = math.fsum(survival.to_come(each) for each in spent)
        to_do = asked + survival.to_come(0.0) * max(0, trials - ended - len(spent))
        return to_do * self.elapsed() / bought

    def _costs(self, history: History) -> Sequence[float]:
        """Return what the ended trials have cost, each worked out once."""
        for trial in history.finished():
            if trial.number not in self._ended:
                self._ended[trial.number] = _cost(history, trial)
        return list(self._ended.values())


def _spent(history: History) -> Sequence[float]:
    """Return what the trials that have not ended have cost so far."""
    return [_cost(history, trial) for trial in history.unfinished()]


def _cost(history: History, trial: Trial) -> float:
    """Return the seconds of training and evaluation that a trial has taken so far."""
    return math.fsum(evaluation.seconds for run in trial.runs for evaluation in history.of(run.key))


@dataclass(frozen=True)
class Survival:
    """Which share of trials costs more than so much: one from 0 on, and less from each of `steps` on, up to `last`."""

    steps: tuple[tuple[float, float], ...]
    last: float

    @classmethod
    def of(cls, ended: Sequence[float], under_way: Sequence[float]) -> "Survival":
        """Estimate it from what ended trials have cost, and from what those under way have cost so far."""
        at_risk, share = len(ended) + len(under_way), 1.0
        steps = [(0.0, 1.0)]
        costs = sorted([(cost, 0) for cost in ended] + [(cost, 1) for cost in under_way])
        for cost, is_under_way in costs:
            if not is_under_way:
                share *= 1 - 1 / at_risk
                steps.append((cost, share))
            at_risk -= 1
        return cls(tuple(steps), costs[-1][0] if costs else 0.0)

    def to_come(self, spent: float) -> float:
        """Return what a trial that has cost `spent` so far will still cost on average, as far as is known."""
        area, share = 0.0, 1.0
        ends = [*(cost for cost, _ in self.steps[1:]), self.last]
        for (start, here), end in zip(self.steps, ends, strict=True):
            if start <= spent:
                share = here
            area += here * max(0.0, end - max(start, spent))
        return area / share if share > 1e-9 else 0.0
