"""A budget put to use: may another trial be tried, may this segment start, is the study over, and why.

Every answer is a pure function of History, the time, and what is being trained.
"""

import functools
import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, fields, replace

from hpsearch.metrics.direction import Objective
from hpsearch.policy.budget import Budget, Ending
from hpsearch.policy.costs import Costs, epochs_of, wall_seconds, whole
from hpsearch.policy.pruning_steps import reports
from hpsearch.records import History, Segment, Trial, TrialState

ROUNDING = 1e-6
"""Of sums of epochs: three thirds of an epoch are one."""

SPARE = 1.1
"""What is kept back for a whole trial, against what it should take: measured seconds vary by a tenth."""


@dataclass(frozen=True)
class _Left:
    """What is left of each limit on compute, infinite where there is none."""

    epochs: float = math.inf
    device_seconds: float = math.inf
    wall: float = math.inf

    def short_of(self, needed: "_Left") -> str | None:
        """Return the name of a limit that does not leave enough, or None."""
        if needed.epochs > self.epochs + ROUNDING:
            return "epochs"
        if needed.device_seconds > self.device_seconds:
            return "device_seconds"
        return "timeout" if needed.wall > self.wall else None

    def __add__(self, other: "_Left") -> "_Left":
        return _Left(self.epochs + other.epochs, self.device_seconds + other.device_seconds, self.wall + other.wall)

    def with_spare(self) -> "_Left":
        return _Left(self.epochs, SPARE * self.device_seconds, SPARE * self.wall)


NOTHING = _Left(0.0, 0.0, 0.0)


@dataclass
class Limits:
    """The limits of one run of a study.

    Attributes:
        budget: What the user said.
        objective: What is searched.
        deadline: When the timeout is up, in seconds of the clock that `now` comes from.
        workers: How many segments train at a time.
        is_compute_limited: Whether a limit on time, device-seconds or epochs is set.
        waits: Says whether a trial waits for a promotion: all of its runs are as far as the pruner allows for now.
    """

    budget: Budget
    objective: Objective
    deadline: float | None = None
    workers: int = 1
    waits: Callable[[History, Trial], bool] = lambda _history, _trial: False

    def __post_init__(self) -> None:
        self._costs = Costs()
        self._device_seconds = self.budget.seconds("device_seconds")
        self._timeout = self.budget.seconds("timeout")
        self.is_compute_limited = any(
            limit is not None for limit in (self.deadline, self._device_seconds, self.budget.epochs)
        )
        self._counted: tuple[History, Ending | None] | None = None
        self._best_of: tuple[History, Trial | None] | None = None
        self._contender: tuple[History, Trial | None] | None = None
        self._kinds: tuple[History, tuple[_Left, _Left]] | None = None
        self._scores: dict[int, tuple[tuple[int | None, int], float]] = {}

    # ------------------------------------------------------------------ the study

    def over(self, history: History, now: float) -> Ending | None:
        """Return why everything stops now, or None."""
        reached = self.reached_target(history)
        if reached is not None:
            return reached
        if self._device_seconds is not None:
            self._costs.look_at(history)
            if self._costs.seconds >= self._device_seconds:
                return Ending("device_seconds", self._used("device_seconds"))
        if self.deadline is not None and now >= self.deadline:
            return Ending("timeout", "its time is up")
        return None

    def against_asking(
        self, history: History, now: float = -math.inf, in_flight: Collection[Segment] = ()
    ) -> Ending | None:
        """Return why no further trial is tried, or None where one may be.

        None is begun that could not be cross-validated, as far as the shortest so far tells. Where a call is too short
        for a trial, trials go on from call to call.
        """
        if self._counted is None or self._counted[0] is not history:
            self._counted = (history, self._out_of_trials(history))
        if self._counted[1] is not None or not self.is_compute_limited:
            return self._counted[1]
        self._costs.look_at(history)
        if not self._costs.kinds:
            return None
        least = self._over_kinds(history)[0]
        return self._refusal(history, least, None, now, in_flight, spare=self._best(history) is not None)

    def startable(
        self, history: History, trial: Trial, segment: Segment, now: float, in_flight: Collection[Segment]
    ) -> Segment | Ending:
        """Return the segment of a trial that may start, or why none may.

        It has to fit into what is left, and to leave enough for what looks best to be cross-validated; once a trial is
        complete, the first segment of another starts only where all of it fits. Before a deadline a long one ends at
        the last evaluation point that fits: from there a later call goes on. What a segment of an unknown shape takes
        in seconds is known only once one has been trained, so it may start.
        """
        if not self.is_compute_limited:
            return segment
        self._costs.look_at(history)
        if self._is_untrained(history, trial, in_flight) and self._best(history) is not None:
            needed = self._needs_of_a_trial(whole(trial))
            refusal = self._refusal(history, needed, trial, now, in_flight, spare=True)
            if refusal is not None:
                return refusal
        refusal = self._refusal(history, self._needs(segment), trial, now, in_flight)
        if refusal is None or refusal.limit != "timeout":
            return refusal or segment
        for stop in range(segment.stop - 1, segment.start, -1):
            shorter = replace(segment, stop=stop)
            if self._refusal(history, self._needs(shorter), trial, now, in_flight) is None:
                return shorter
        return refusal

    def _is_untrained(self, history: History, trial: Trial, in_flight: Collection[Segment]) -> bool:
        keys = {segment.run.key for segment in in_flight}
        return not any(run.key in keys or history.of(run.key) for run in trial.runs)

    @property
    def is_measured(self) -> bool:
        """Whether a limit is set that differs in effect from run to run: on time or device-seconds."""
        return self.deadline is not None or self._device_seconds is not None

    def first_of_all(self, history: History, now: float, in_flight: Collection[Segment]) -> Trial | None:
        """Return the trial that is to be finished before others go on, where no further trial fits; else None."""
        if not self.is_compute_limited or self.against_asking(history, now, in_flight) is None:
            return None
        return self._contender_of(history)

    # ------------------------------------------------------------------ counts

    def reached_target(self, history: History) -> Ending | None:
        """Return that the target is reached, or None."""
        target, score = self.budget.target, self.objective.direction.score
        if target is None:
            return None
        for trial in history.finished(TrialState.COMPLETE):
            if trial.value is not None and score(trial.value) >= score(target):
                reason = (
                    f"trial {trial.number} has {self.objective.name} {trial.value:.6g}, and the target was {target:g}"
                )
                return Ending("target", reason)
        return None

    def _out_of_trials(self, history: History) -> Ending | None:
        budget, count = self.budget, len(history.trials)
        if budget.trials is not None and count >= budget.trials:
            return Ending("trials", f"it has its {budget.trials} trials")
        if budget.distinct_trials is not None and count - history.repeats() >= budget.distinct_trials:
            return Ending("distinct_trials", f"it has tried {budget.distinct_trials} different configurations")
        if budget.patience is not None:
            best, worse = self._best(history), self.worse_in_a_row(history)
            if worse >= budget.patience:
                than = "none is complete" if best is None else f"none was better than trial {best.number}"
                return Ending("patience", f"of the last {worse} trials {than}")
        return None

    def worse_in_a_row(self, history: History) -> int:
        """Return how many of the last trials were no better than the best complete one, or than any where none is."""
        best = self._best(history)
        later = [trial for trial in history.trials.values() if best is None or trial.number > best.number]
        return sum(trial.state.is_finished or self.waits(history, trial) for trial in later)

    def _best(self, history: History) -> Trial | None:
        if self._best_of is None or self._best_of[0] is not history:
            complete = [trial for trial in history.finished(TrialState.COMPLETE) if trial.value is not None]
            best = max(complete, key=lambda trial: (self._score(trial.value), -trial.number), default=None)
            self._best_of = (history, best)
        return self._best_of[1]

    def _score(self, value: float | None) -> float:
        return -math.inf if value is None or math.isnan(value) else self.objective.direction.score(value)

    # ------------------------------------------------------------------ compute

    def _refusal(
        self,
        history: History,
        needed: _Left,
        trial: Trial | None,
        now: float,
        in_flight: Collection[Segment],
        *,
        spare: bool = False,
    ) -> Ending | None:
        asked = needed.with_spare() if spare else needed
        left = self._left(history, now, in_flight)
        most = self._over_kinds(history)[1]
        at_most = functools.reduce(_Left.__add__, [most.with_spare()] * (1 + len(in_flight)), asked)
        if left.short_of(at_most) is None:
            return None
        reserve, begun = self._reserve(history, trial, in_flight), self._begun(history, trial, in_flight)
        if left.short_of(reserve + begun) is not None:
            begun = NOTHING
        if left.short_of(reserve) is not None:  # it cannot be finished any more: nothing is kept back for it
            reserve = NOTHING
        limit = left.short_of(asked + (reserve + begun).with_spare())
        return None if limit is None else Ending(limit, self._reason(limit, needed))

    def _begun(self, history: History, trial: Trial | None, in_flight: Collection[Segment]) -> _Left:
        """Return what it takes to cross-validate other trials that are in training, but the one that looks best.

        Each may look best once it has shown more. They are trained beside what asks, so no time is kept back for them.
        """
        if self._best(history) is None:
            return NOTHING
        keys = {segment.run.key for segment in in_flight}
        for besides in (trial, self._contender_of(history)):
            keys.update(run.key for run in (() if besides is None else besides.runs))
        needed = NOTHING
        for other in (sharing for segment in in_flight for sharing in history.sharing(segment.run.key)):
            rest = [] if other.state.is_finished else self._rest(history, other, keys)
            needed += self._sum(rest)
            keys.update(segment.run.key for segment in rest)  # equal trials share their runs
        return replace(needed, wall=0.0)

    def _rest(self, history: History, trial: Trial, in_flight: Collection[str]) -> list[Segment]:
        """Return what a trial has left to train beside its runs that are in training."""
        end = trial.stop if trial.stop is not None else trial.runs[0].horizon
        runs = [run for run in trial.runs if run.key not in in_flight and history.point(run) < end]
        return [Segment(run, history.point(run), end) for run in runs]

    def _over_kinds(self, history: History) -> tuple[_Left, _Left]:
        """Return the least and the most of each that a trial takes, of those that there were so far."""
        if self._kinds is None or self._kinds[0] is not history:
            needs = [self._needs_of_a_trial(segments) for segments in self._costs.kinds.values()] or [NOTHING]
            least, most = (
                _Left(*(choose(getattr(need, each.name) for need in needs) for each in fields(_Left)))
                for choose in (min, max)
            )
            self._kinds = (history, (least, most))
        return self._kinds[1]

    def _left(self, history: History, now: float, in_flight: Collection[Segment]) -> _Left:
        """Return what is left beside what is in training."""
        promised = [
            Segment(segment.run, point, segment.stop)
            for segment in in_flight
            if (point := max(segment.start, history.point(segment.run))) < segment.stop
        ]
        needed = self._sum(promised)
        epochs, seconds = self.budget.epochs, self._device_seconds
        return _Left(
            math.inf if epochs is None else epochs - self._costs.epochs - needed.epochs,
            math.inf if seconds is None else seconds - self._costs.seconds - needed.device_seconds,
            math.inf if self.deadline is None else self.deadline - now - self._backlog(promised),
        )

    def _backlog(self, promised: Sequence[Segment]) -> float:
        """Return the seconds until workers have caught up where more segments are promised than they can train."""
        seconds = sorted(self._needs(segment).wall for segment in promised)
        return math.fsum(seconds[: -self.workers]) / self.workers if len(seconds) > self.workers else 0.0

    def _needs(self, segment: Segment) -> _Left:
        seconds = self._costs.seconds_of(segment) or 0.0
        return _Left(epochs_of(segment), seconds, seconds)

    def _needs_of_a_trial(self, segments: Sequence[Segment]) -> _Left:
        first, *later = segments
        needed = self._sum([first]) + self._sum(later)  # later folds wait for the first one's stop
        if self._timeout is None or needed.wall <= self._timeout / 2:
            return needed
        return replace(needed, wall=self._needs(replace(first, stop=1)).wall)

    def _sum(self, segments: Sequence[Segment]) -> _Left:
        """Return what segments take that are trained side by side."""
        needs = [self._needs(segment) for segment in segments]
        seconds = [need.device_seconds for need in needs]
        return _Left(math.fsum(need.epochs for need in needs), math.fsum(seconds), wall_seconds(seconds, self.workers))

    def _reserve(self, history: History, trial: Trial | None, in_flight: Collection[Segment]) -> _Left:
        """Return what it takes to cross-validate the trial that looks best, unless it is the one that asks."""
        best = self._contender_of(history)
        if best is None or (trial is not None and trial.number == best.number):
            return NOTHING
        rest = self._rest(history, best, {segment.run.key for segment in in_flight})
        # Later folds wait for the first one's stop.
        waits = best.stop is None and bool(rest) and rest[0].run is best.runs[0]
        return self._sum(rest[:1]) + self._sum(rest[1:]) if waits else self._sum(rest)

    def _contender_of(self, history: History) -> Trial | None:
        """Return the unfinished trial that looks best, where it looks better than the best complete one."""
        if self._contender is None or self._contender[0] is not history:
            self._contender = (history, self._found_contender(history))
        return self._contender[1]

    def _found_contender(self, history: History) -> Trial | None:
        best = self._best(history)
        to_beat = -math.inf if best is None else self._score(best.value)
        shown = [(self._shown(history, trial), -trial.number, trial) for trial in history.unfinished()]
        better = [each for each in shown if each[0] > to_beat]
        return max(better, key=lambda each: each[:2])[2] if better else None

    def _shown(self, history: History, trial: Trial) -> float:
        """Return the score of what an unfinished trial has shown so far; read anew only once it has shown more."""
        measured = (trial.stop, sum([len(history.of(run.key)) for run in trial.runs]))
        if trial.number not in self._scores or self._scores[trial.number][0] != measured:
            steps = reports(history, trial, self.objective)
            self._scores[trial.number] = (measured, self._score(steps[-1][1]) if steps else -math.inf)
        return self._scores[trial.number][1]

    def _reason(self, limit: str, needed: _Left) -> str:
        """Return in words why a segment does not fit."""
        if limit == "epochs":
            return f"{self._used(limit)}, and the next takes {needed.epochs:.3g}"
        if limit == "device_seconds":
            return f"{self._used(limit)}, and the next takes about {needed.device_seconds:.3g}"
        seconds = f"{needed.wall:.2g}" if needed.wall < 10 else f"{needed.wall:.0f}"
        return f"what comes next takes about {seconds} s, more than is left"

    def _used(self, limit: str) -> str:
        if limit == "epochs":
            return f"it has trained {self._costs.epochs:.4g} of {self.budget.epochs:g} epochs"
        return f"it has trained for {self._costs.seconds:.4g} of {self._device_seconds:g} device-seconds"
