"""A study in virtual time, by hand: what was recorded, and entries that say what of it was decided on."""

from typing import Any

from records_samples import evaluation_of, outputs_of

from hpsearch.records import Outcome, Segment, SegmentResult, Trial
from hpsearch.records.order_log import Entry, Happening
from hpsearch.records.store import Store

SLOTS = Entry(0, Happening.SLOTS, number=2)


def entry(trial: Trial, happening: Happening, point: int, fold: int = 0, **more: Any) -> Entry:
    """Return an entry of a trial's run, at a time that tells its point."""
    run = trial.runs[fold]
    return Entry(100 + point, happening, trial.number, run.key, run.horizon, point, **more)


def begun(trial: Trial, start: int, stop: int, fold: int = 0) -> Entry:
    return entry(trial, Happening.BEGUN, start, fold, number=stop, cost=7)


def segment(trial: Trial, start: int, stop: int, fold: int = 0) -> Segment:
    return Segment(trial.runs[fold], start, stop)


def record(store: Store, trial: Trial, points: int, fold: int = 0) -> None:
    """Record a run's evaluations up to a point, as a worker that is fast would."""
    run = trial.runs[fold]
    for point in range(store.recorded.point(run) + 1, points + 1):
        store.record_evaluation(evaluation_of(run.key, point), outputs_of(run.key, point))


def end(trial: Trial, outcome: Outcome, point: int, log: str = "", start: int = 0, stop: int = 6) -> SegmentResult:
    return SegmentResult(segment(trial, start, stop), outcome, point, log)
