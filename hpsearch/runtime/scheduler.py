"""Which segment is trained next."""

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Protocol

from hpsearch.policy.budget import Ending
from hpsearch.policy.limits import Limits
from hpsearch.records import History, Run, Segment, Slot, Trial
from hpsearch.runtime.job_lengths import longest_way, seconds_per_point
from hpsearch.runtime.last_trials import ALONE, LastTrials
from hpsearch.runtime.resting import LimitsOfAll, Resting, each_is_asked

NOTHING_LEFT = Ending("sampler", "the sampler has nothing left to try")


class Target(Protocol):
    """The evaluation point that a trial's run `index` may be trained to, 0 where it has to wait: `Policy.target`."""

    def __call__(self, history: History, trial: Trial, index: int, *, closing: bool) -> int: ...


class Ask(Protocol):
    """Adds and settles a new trial, and returns the History with it; None when the sampler has nothing left.

    `is_ahead` says that it may have to wait for a worker.
    """

    def __call__(self, *, is_ahead: bool = False) -> History | None: ...


class Scheduler:
    """Hands out segments: those of the oldest unfinished trial first, and a new trial only when none can continue.

    So few trials are open at a time, and the sampler sees as many results as possible. Among several workers, one that
    trained a run last goes on with it. Once no trial is left to ask for, what takes longest goes first. Neither changes
    what a run measures; one worker alone has one order.

    Args:
        ask: Adds a new trial.
        limits: What the study may take.
        target: How far a trial's runs may be trained for now.
        clock: Tells the time that the limits' deadline is in.
        last: How several workers share the last trials.
        limits_of_all: Where every trial has to wait, if that is known of all at once.
    """

    def __init__(
        self,
        ask: Ask,
        limits: Limits,
        target: Target,
        clock: Callable[[], float] = time.monotonic,
        last: LastTrials = ALONE,
        limits_of_all: LimitsOfAll = each_is_asked,
    ) -> None:
        self._ask = ask
        self._limits = limits
        self._target = target
        self._clock = clock
        self._last = last
        self._resting = Resting(limits_of_all)
        self._in_flight: dict[str, Segment] = {}
        self._trained_last: dict[int, str] = {}
        self._spent = False
        self._refusal: Ending | None = None
        self.is_closed = False

    @property
    def is_busy(self) -> bool:
        """Whether a segment is in flight."""
        return bool(self._in_flight)

    def has_work(self, history: History) -> bool:
        """Return whether there is a segment to train or a trial to ask for."""
        return not self.is_closed and (self._waiting(history) is not None or self._may_ask(history))

    def next_segment(self, history: History, slot: Slot) -> Segment | None:
        """Return the next segment for `slot`, or None when everything is in flight or done.

        A new trial may have none to train: an equal trial's runs, which it shares, may be in flight or measured.
        """
        if self.is_closed:
            return None
        while self._last.are_left(len(history.trials)) and self._may_ask(history):
            asked = self._ask(is_ahead=True)
            self._spent = asked is None
            history = asked or history
        segment = self._preferred(history, slot)
        while segment is None and self._may_ask(history):
            asked = self._ask()
            if asked is None:
                self._spent = True
                return None
            history = asked
            segment = self._waiting(history)
        if segment is not None:
            self._in_flight[segment.run.key] = segment
            self._trained_last[slot.index] = segment.run.key
        return segment

    def _preferred(self, history: History, slot: Slot) -> Segment | None:
        """Return the segment that a worker had best train of those that may start."""
        if self._last.workers() < 2:
            return self._waiting(history)
        last, elsewhere = self._trained_last.get(slot.index), set(self._trained_last.values())
        startable = list(self._startable(history))
        if not startable or startable[0][0] is self.first_of_all(history):
            return startable[0][1] if startable else None

        def warmth(place: int) -> tuple[int, int]:
            key = startable[place][1].run.key
            return 0 if key == last else 2 if key in elsewhere else 1, place

        if not self.is_closing(history):
            return startable[min(range(len(startable)), key=warmth)][1]
        ways = _ways(history, startable)
        return startable[min(range(len(startable)), key=lambda place: (-ways[place], *warmth(place)))][1]

    def longest_left(self, history: History) -> float | None:
        """Return the seconds of the longest way to a trial's end that may begin now; None while trials may be added."""
        if not self.is_closing(history):
            return None
        return max(_ways(history, list(self._startable(history))), default=0.0)

    def began(self, segment: Segment) -> None:
        """Take note of a segment that was handed out before."""
        self._in_flight[segment.run.key] = segment

    def ended(self, run: Run) -> None:
        self._in_flight.pop(run.key, None)

    def spend(self) -> None:
        """Ask for no more trials: the sampler had nothing left when an earlier run of the study asked."""
        self._spent = True

    def close(self) -> None:
        self.is_closed = True

    def is_watched(self, history: History, run: Run) -> bool:
        """Return whether early stopping watches the run: the first one of a trial that has no stop point yet."""
        sharing = [trial for trial in history.sharing(run.key) if not trial.state.is_finished]
        return any(trial.runs[0].key == run.key and trial.stop is None for trial in sharing)

    def is_closing(self, history: History) -> bool:
        """Return whether no more trials will be added."""
        return not self._may_ask(history)

    def is_in_flight(self, trial: Trial) -> bool:
        """Return whether a run of a trial is being trained."""
        return any(run.key in self._in_flight for run in trial.runs)

    def in_flight(self) -> Collection[str]:
        """Return the keys of the runs that are being trained."""
        return self._in_flight.keys()

    def ending(self, history: History) -> Ending:
        """Return why there is nothing more to train, once that is so."""
        return self._refusal or self._against_asking(history) or NOTHING_LEFT

    def _against_asking(self, history: History) -> Ending | None:
        return self._limits.against_asking(history, self._clock(), self._in_flight.values())

    def _may_ask(self, history: History) -> bool:
        return not self._spent and self._refusal is None and self._against_asking(history) is None

    def first_of_all(self, history: History) -> Trial | None:
        """Return the trial that is to be finished before others go on, where no further one fits; else None."""
        return self._limits.first_of_all(history, self._clock(), self._in_flight.values())

    def _waiting(self, history: History) -> Segment | None:
        return next((segment for _, segment in self._startable(history)), None)

    def _startable(self, history: History) -> Iterator[tuple[Trial, Segment]]:
        """Yield the segments that may start, each with its trial, in their order.

        While the first does not fit into what is left of the budget, no further trial is asked for.
        """
        self._refusal, is_first = None, True
        now, in_flight = self._clock(), self._in_flight.values()
        first = self.first_of_all(history)
        closing = self.is_closing(history)
        self._resting.look_at(history, closing=closing)
        trials = [trial for trial in history.unfinished() if trial not in self._resting]
        for trial in sorted(trials, key=lambda trial: trial is not first):
            segments = list(self._segments_of(history, trial, closing))
            if not segments and not self.is_in_flight(trial):
                self._resting.add(trial)
            for segment in segments:
                startable = self._limits.startable(history, trial, segment, now, in_flight)
                if not isinstance(startable, Segment):
                    self._refusal = (self._refusal or startable) if is_first else self._refusal
                    break
                is_first = False
                yield trial, startable

    def _segments_of(self, history: History, trial: Trial, closing: bool) -> Iterator[Segment]:
        """Yield a trial's next segments that are not in flight; later folds wait for the stop point."""
        runs = trial.runs if trial.stop is not None else trial.runs[:1]
        for index, run in enumerate(runs):
            if run.key in self._in_flight:
                continue
            target = self._target(history, trial, index, closing=closing)
            if history.point(run) < target:
                yield Segment(run, history.point(run), target)


def _ways(history: History, startable: Sequence[tuple[Trial, Segment]]) -> list[float]:
    """Return the seconds from each segment to its trial's end."""
    per_point = seconds_per_point(history)
    return [longest_way(history, trial, trial.runs.index(segment.run), per_point) for trial, segment in startable]
