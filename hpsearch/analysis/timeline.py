"""When each run trained, from the ends of segments and the seconds of their evaluations, and what it all took."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from hpsearch.records import Action, Decision, History, Outcome, SegmentResult, TrialState

End = tuple[float, SegmentResult]
"""(seconds since 1970, end of a segment), as the store returns them."""


@dataclass(frozen=True)
class Span:
    """One segment in time.

    Attributes:
        trial: Number of the first trial that the run belongs to.
        begin, end: Seconds since 1970. The end is recorded; the beginning is the end minus the measured seconds, so
            loading and waiting for a worker come before it.
        start, stop: The evaluation points it went from and to.
    """

    trial: int
    fold: int
    repeat: int
    begin: float
    end: float
    start: int
    stop: int
    outcome: Outcome


@dataclass(frozen=True)
class Compute:
    """What a study's training took; a run that several trials share counts once.

    Attributes:
        epochs: Passes over the training rows of one fold.
        seconds: Training and evaluation, added up over workers.
        elapsed: Wall-clock seconds in which something was trained; None where no times are known.
    """

    epochs: float
    seconds: float
    elapsed: float | None


def spans(ends: Sequence[End], history: History) -> tuple[Span, ...]:
    """Return the segments of a history in time, by their beginning.

    A segment never begins before the run's previous one has ended: after a crash, a repeated segment adds no seconds
    for evaluations that were recorded before.
    """
    trials = reversed(list(history.trials.values()))
    owners = {run.key: (trial.number, run) for trial in trials for run in trial.all_runs}
    last: dict[str, float] = {}
    segments = []
    for time, result in ends:
        if result.segment.run.key not in owners:
            continue
        number, run = owners[result.segment.run.key]
        start = result.segment.start
        measured = math.fsum(evaluation.seconds for evaluation in history.of(run.key)[start : result.point])
        begin = max(time - measured, last.get(run.key, -math.inf))
        segments.append(Span(number, run.fold, run.repeat, min(begin, time), time, start, result.point, result.outcome))
        last[run.key] = time
    return tuple(sorted(segments, key=lambda span: (span.begin, span.trial, span.fold)))


@dataclass(frozen=True)
class Pause:
    """A time in which nothing was trained: from `begin`, for `seconds`."""

    begin: float
    seconds: float


def pauses(segments: Sequence[Span], share: float = 0.2, least: float = 60.0) -> tuple[Pause, ...]:
    """Return the times without training that are too long to draw to scale.

    Gaps up to `least` seconds, or up to this share of the time with training, stay.
    """
    gaps, reached = [], None
    for span in sorted(segments, key=lambda span: span.begin):
        if reached is not None and span.begin > reached:
            gaps.append(Pause(reached, span.begin - reached))
        reached = span.end if reached is None else max(reached, span.end)
    limit = max(least, share * _busy(segments))
    return tuple(gap for gap in gaps if gap.seconds > limit)


def without_pauses(time: float, pauses: Sequence[Pause]) -> float:
    """Return a time, in seconds since 1970, minus the pauses before it."""
    return time - math.fsum(min(pause.seconds, time - pause.begin) for pause in pauses if pause.begin < time)


def _busy(segments: Sequence[Span]) -> float:
    """Return the wall-clock seconds in which at least one segment was trained."""
    total, reached = 0.0, -math.inf
    for span in sorted(segments, key=lambda span: span.begin):
        total += max(0.0, span.end - max(span.begin, reached))
        reached = max(reached, span.end)
    return total


def compute(history: History, ends: Sequence[End] = ()) -> Compute:
    """Return what the training of a history took."""
    runs = {run.key for trial in history.trials.values() for run in trial.all_runs}
    evaluations = [history.of(key) for key in runs if history.of(key)]
    segments = spans(ends, history)
    return Compute(
        epochs=math.fsum(points[-1].epoch for points in evaluations),
        seconds=math.fsum(evaluation.seconds for points in evaluations for evaluation in points),
        elapsed=_busy(segments) if segments else None,
    )


def best_by_compute(
    history: History, ends: Sequence[End], decisions: Sequence[tuple[float, Decision]]
) -> tuple[tuple[float, float], ...]:
    """Return (epochs of one fold trained so far, best value of a complete trial so far), one step per new best.

    Events are ordered by the clock; where the store's `ends` or `decisions` are empty, trials count one after another.
    """
    steps = _timed(history, ends, decisions) if ends and decisions else _one_by_one(history)
    score = history.direction.score
    best: list[tuple[float, float]] = []
    total = 0.0
    for epochs, value in steps:
        total += epochs
        if value is not None and (not best or score(value) > score(best[-1][1])):
            best.append((total, value))
    return tuple(best)


def _timed(
    history: History, ends: Sequence[End], decisions: Sequence[tuple[float, Decision]]
) -> list[tuple[float, float | None]]:
    """Return (further epochs, value of a newly complete trial) in the order of the clock."""
    events: list[tuple[float, int, float, float | None]] = []
    reached: dict[str, int] = {}
    for time, result in ends:
        key, points = result.segment.run.key, history.of(result.segment.run.key)
        before, after = reached.get(key, 0), min(result.point, len(points))
        if after > before:
            epochs = points[after - 1].epoch - (points[before - 1].epoch if before else 0.0)
            events.append((time, 0, epochs, None))
            reached[key] = after
    complete = {trial.number: trial.value for trial in history.finished(TrialState.COMPLETE)}
    for time, decision in decisions:
        if decision.action is Action.COMPLETE and decision.trial in complete:
            events.append((time, 1, 0.0, complete[decision.trial]))
    return [(epochs, value) for _, _, epochs, value in sorted(events, key=lambda event: event[:2])]


def _one_by_one(history: History) -> list[tuple[float, float | None]]:
    seen: set[str] = set()
    steps: list[tuple[float, float | None]] = []
    for trial in sorted(history.trials.values(), key=lambda trial: trial.number):
        new = {run.key for run in trial.runs if history.of(run.key)} - seen
        seen |= new
        value = trial.value if trial.state is TrialState.COMPLETE else None
        steps.append((math.fsum(history.of(key)[-1].epoch for key in new), value))
    return steps
