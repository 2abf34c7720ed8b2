"""How far a study gets within limits on its compute: pure functions of what was measured on a few steps."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from hpsearch.runtime.forecast import Forecast, Interval, Tried, Work, forecast

MOST = 2**20
"""Trials that a limit on compute lets a study have, at most."""

ENDS = ("low", "value", "high")
"""The ends of an interval, in the order in which a trial's shares have them."""


@dataclass(frozen=True)
class ComputeLimits:
    """What is left of the limits on compute, infinite where there is none.

    Attributes:
        seconds: Wall time.
        device_seconds: Training and evaluation, added up over workers.
        epochs: Passes over a fold's training rows, added up over folds and trials.
        least_trials: The trials after which a target or patience may end the study, at the earliest.
    """

    seconds: float = math.inf
    device_seconds: float = math.inf
    epochs: float = math.inf
    least_trials: float = math.inf


def limited_forecast(tried: Sequence[Tried], work: Work, limits: ComputeLimits) -> Forecast:
    """Return what the work will take until it is done or a limit ends it, whichever is first.

    Each end of the intervals is a study of its own: where all takes as long as it may, the fewest trials fit.
    `work.total` is the most trials there may be.
    """
    if limits == ComputeLimits():
        return forecast(tried, work)
    ends = {}
    for end in ENDS:
        fits = _most(partial(_fits, tried, work, limits, end), work.total)
        ends[end] = fits, forecast(tried, first_of(work, min(fits + 1, work.total)))
    fewest = int(min(ends["high"][0], limits.least_trials))
    earliest = forecast(tried, first_of(work, fewest)) if fewest < ends["high"][0] else None

    def within(name: str, most: float = math.inf) -> Interval:
        found = [min(most, getattr(getattr(seen, name), end)) for end, (_, seen) in ends.items()]
        found += [] if earliest is None else [getattr(earliest, name).low]
        return Interval(min(found), found[1], max(found))

    trials = ends["value"][0]
    return replace(
        ends["value"][1],
        trials=trials,
        fewest=min(fewest, trials),
        most=max(trials, ends["low"][0]),
        seconds=within("seconds", limits.seconds),
        device_seconds=within("device_seconds", limits.device_seconds),
        worker_bytes=within("worker_bytes"),
        memory_bytes=within("memory_bytes"),
        disk_bytes=within("disk_bytes"),
    )


def first_of(work: Work, count: int) -> Work:
    """Return the work of the first trials alone."""
    return replace(work, trials=work.trials[:count], total=count)


def _fits(tried: Sequence[Tried], work: Work, limits: ComputeLimits, end: str, count: int) -> bool:
    """Return whether so many trials fit, by one end of the intervals."""
    part = first_of(work, count)
    seen = forecast(tried, part)
    shares = [part.shares_of(trial)[ENDS.index(end)] for trial in part.trials]
    epochs = math.fsum(share * math.fsum(trial.epochs) for trial, share in zip(part.trials, shares, strict=True))
    return (
        getattr(seen.seconds, end) <= limits.seconds
        and getattr(seen.device_seconds, end) <= limits.device_seconds
        and epochs * count / max(1, len(part.trials)) <= limits.epochs + 1e-6
    )


def _most(fits: Callable[[int], bool], total: int) -> int:
    """Return the greatest number of trials, up to `total`, that fits, as more trials take longer."""
    least, beyond = 0, 1
    while beyond <= total and fits(beyond):
        least, beyond = beyond, 2 * beyond
    beyond = min(beyond, total + 1)
    while beyond - least > 1:
        middle = (least + beyond) // 2
        least, beyond = (middle, beyond) if fits(middle) else (least, middle)
    return least
