"""What a study will take: pure functions of what was measured on a few steps, and of what is to be trained."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hpsearch.policy.costs import wall_seconds
from hpsearch.records.fit import SAME_STEP

GOING = 0.7
"""The share of trials that go on at each rung of racing and successive halving: on the recorded tables 11 of 50 passed
four rungs, which makes 0.68. At least it is what their rule says; where a rung cannot
tell trials apart, racing lets all of them go on."""

SAVED = 0.59
"""What other pruners save of the compute of every trial but the default, at most: as racing did, 159 against 380
epochs of a fold at 50 trials."""


@dataclass(frozen=True)
class Interval:
    """A forecast quantity, and between what it will most likely lie."""

    low: float
    value: float
    high: float

    def times(self, low: float, value: float, high: float) -> "Interval":
        return Interval(self.low * low, self.value * value, self.high * high)


ERROR, MOST_ERROR = 0.15, 0.9
"""What a forecast from a few steps is off by, either way: at least (other programs, the clock) and at most."""

COORDINATION = Interval(0.003, 0.006, 0.03)
"""Seconds of an evaluation point or of a run's end in which the coordinator records and decides: a pool in the same
process waits for it. (4 ms of CPU time each, in 30 short runs of 102 and 84 points.)"""

STARTING = Interval(0.5, 1.8, 3.0)
"""Seconds in which a run makes its database, and ends (1.7 to 2.0 in five studies beside two busy cores)."""

CHECKPOINTS = 1.5
"""Checkpoints of a run under a pruner that lets trials wait; each is written, and some are read again."""

BATCH = 0.2
"""How far apart the smallest and the largest batch are, against the first and the last layer frozen: a row's time
depends little on its batch, and with kept outputs of frozen layers it falls to a thirtieth."""

GPU_GROWTH, PROCESS_GROWTH = Interval(0.95, 1.0, 1.15), Interval(0.95, 1.03, 1.15)
"""A worker's peak over a study against that of its first steps, where both have met batches of the same shapes."""

SHAPE_BYTES = Interval(0.0, 5 * 2**20, 10 * 2**20)
"""What the memory of a process grows by with each further shape of batch: on a CPU oneDNN keeps compiled products by
shape. A four-layer BERT that had met 28 shapes of 72 in its first steps took 248 to 426 MiB more at the end; without
oneDNN's cache (ONEDNN_PRIMITIVE_CACHE_CAPACITY=0) the growth of its first trial was gone."""

RESTORED = Interval(0.0, 2.0, 3.0)
"""What a process has of a checkpoint that it goes on from: its file and its tensors, in place of a model's."""

MOST_SHAPES = 60
"""Further shapes that count, at most: oneDNN keeps 1,024 products, and some 18 are of one shape."""


Shape = tuple[int, int]
"""Rows and padded tokens of a batch."""


@dataclass(frozen=True)
class Tried:
    """What a few steps of one configuration took.

    Attributes:
        config: The training config.
        step: Seconds of an optimizer step of a whole batch.
        step_error: The standard error of that.
        step_fixed: What of it does not depend on how many rows are in the batch.
        evaluation: Seconds of an evaluation of all held-out rows of a fold.
        evaluation_error: The standard error of that.
        between: Seconds of an evaluation point beside training and evaluation: metrics and messages.
        begin: Seconds from an order to its first step.
        end: Seconds of a checkpoint.
        filling: Seconds in which the outputs of frozen layers were computed, once for the data.
        peak_bytes: The most memory that a worker had.
        checkpoint_bytes: What a checkpoint takes on the disk.
        shapes: The shapes of the batches of these steps.
    """

    config: Mapping[str, Any]
    step: float
    step_error: float
    step_fixed: float
    evaluation: float
    evaluation_error: float
    between: float
    begin: float
    end: float
    filling: float
    peak_bytes: int
    checkpoint_bytes: int
    shapes: frozenset[Shape] = frozenset()

    @property
    def batch(self) -> int:
        return int(self.config["batch_size"])

    def step_of(self, rows: int) -> float:
        """Return the seconds of a step of another batch."""
        return self.step_fixed + (self.step - self.step_fixed) * rows / self.batch


@dataclass(frozen=True)
class Planned:
    """What of one trial is left to train.

    Attributes:
        config: Its training config.
        epochs: Passes over a fold's training rows, for each of its runs that has not ended.
        shares: What of that the pruner lets it train, at least and most likely; at most it is all of it.
    """

    config: Mapping[str, Any]
    epochs: tuple[float, ...]
    shares: tuple[float, float] = (1.0, 1.0)


@dataclass(frozen=True)
class Work:
    """All that is to be trained.

    Attributes:
        trials: The trials, as they would be proposed now.
        total: How many trials there will be; `trials` may be the first of them only.
        training_rows: Training rows of a fold.
        evaluations_per_epoch: Evaluation points an epoch.
        workers: How many train at a time.
        prunes: Whether a pruner may end or hold back trials, so that their checkpoints are kept.
        shortest_share: The share of its epochs after which a trial may stop early, at the earliest; 1.0 for never.
        loading: Seconds until the first trial begins.
        kept_bytes: What is kept of each trial's outputs.
        checkpoint_limit: What all checkpoints may take.
        process_bytes: What the coordinator's own process takes, 0 where it is the worker.
        is_process: Whether a worker's memory is that of its process, and not that of a GPU.
        new_shapes: Shapes of batches that will be trained on and were not tried.
        most_seconds: What one trial may take of device-seconds.
    """

    trials: Sequence[Planned]
    total: int
    training_rows: int
    evaluations_per_epoch: int
    workers: int
    prunes: bool
    shortest_share: float
    loading: float
    kept_bytes: int
    checkpoint_limit: int
    process_bytes: int
    is_process: bool = True
    new_shapes: int = 0
    most_seconds: float = math.inf

    def shares_of(self, trial: Planned) -> tuple[float, float, float]:
        """Return what of a trial is trained, at least, most likely and at most: pruner and early stopping end it."""
        least, likely = trial.shares
        return least * self.shortest_share, likely * math.sqrt(self.shortest_share), 1.0


@dataclass(frozen=True)
class Forecast:
    """What a study will take on some devices; each quantity with the interval that it will most likely lie in.

    Attributes:
        trials: How many trials are left, or how many of them there will be before a limit ends the study.
        seconds: Wall time of the call.
        device_seconds: Training and evaluation, added up over workers.
        worker_bytes: The most memory of a worker: of its GPU, or else of its process.
        memory_bytes: The memory of all of them together, with the coordinator.
        disk_bytes: Checkpoints and database.
        tried: What was measured.
        workers: How many train at a time.
        fewest, most: Between how many trials a limit will most likely end the study: `trials`, both, where none does;
            None where no limit is given.
    """

    trials: int
    seconds: Interval
    device_seconds: Interval
    worker_bytes: Interval
    memory_bytes: Interval
    disk_bytes: Interval
    tried: Sequence[Tried]
    workers: int
    fewest: int | None = None
    most: int | None = None

    def __str__(self) -> str:
        count = f"{self.trials} trial{'' if self.trials == 1 else 's'}"
        if self.fewest != self.most:
            count += f" ({self.fewest} to {self.most})"
        trials = f"{count} on {self.workers} worker(s)"
        lines = [f"forecast for {trials}, from {len(self.tried)} configurations tried for a few steps:"]
        rows = (
            ("time", self.seconds, _time),
            ("device time", self.device_seconds, _time),
            ("memory a worker", self.worker_bytes, _size),
            ("memory in all", self.memory_bytes, _size),
            ("disk", self.disk_bytes, _size),
        )
        lines += [f"  {name:<16} {say(it.value):>9}  ({say(it.low)} to {say(it.high)})" for name, it, say in rows]
        return "\n".join(lines)


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _size(count: float) -> str:
    return f"{count / 2**20:.0f} MiB" if count < 2**30 else f"{count / 2**30:.1f} GiB"


def forecast(tried: Sequence[Tried], work: Work) -> Forecast:
    """Return what the work will take, from what was tried.

    A configuration that was not tried takes a mean of those that were, weighted by how near they are. Of each trial the
    pruner lets at least its least share be trained and at most all; it stops early between never and at once.
    """
    runs = [[_run(tried, work, trial.config, epochs) for epochs in trial.epochs] for trial in work.trials]
    whole = math.fsum(each.seconds for trial in runs for each in trial)
    measured = math.fsum(each.error for trial in runs for each in trial) / whole if whole else 0.0
    error = min(MOST_ERROR, math.hypot(ERROR, 2 * measured))
    shares = [work.shares_of(trial) for trial in work.trials]
    scale = work.total / max(1, len(work.trials))
    device, wall = [], []
    for kind, factor in enumerate((1 - error, 1.0, 1 + error)):
        trained = [
            _at_most(work.most_seconds, [factor * share[kind] * each.seconds for each in trial])
            for trial, share in zip(runs, shares, strict=True)
        ]
        device.append(scale * math.fsum(map(math.fsum, trained)))
        passed = [
            [seconds + factor * each.around for seconds, each in zip(of_trial, trial, strict=True)]
            for of_trial, trial in zip(trained, runs, strict=True)
        ]
        wall.append(scale * _wall(passed, work.workers))
    fixed = work.loading + max((each.filling for each in tried), default=0.0)
    left = [epochs for trial in work.trials for epochs in trial.epochs if epochs]
    recorded = 0.0 if work.process_bytes else scale * sum(1 + epochs * work.evaluations_per_epoch for epochs in left)
    waiting = COORDINATION.times(recorded, recorded, recorded)
    in_time = Interval(
        *(
            factor * fixed + start + in_training + waits
            for factor, start, in_training, waits in zip(
                (1 - error, 1, 1 + error), _values(STARTING), wall, _values(waiting), strict=True
            )
        )
    )
    peak = _worker_bytes(tried, work)
    others = work.process_bytes
    memory = Interval(*(work.workers * each + others for each in _values(peak)))
    return Forecast(work.total, in_time, Interval(*device), peak, memory, _disk(tried, work), tried, work.workers)


def _at_most(most: float, seconds: list[float]) -> list[float]:
    """Return what of each run of a trial is trained where all of them may take so long."""
    whole = math.fsum(seconds)
    return seconds if whole <= most else [each * most / whole for each in seconds]


def _worker_bytes(tried: Sequence[Tried], work: Work) -> Interval:
    peak = float(max((each.peak_bytes for each in tried), default=0))
    if not work.is_process:
        return Interval(peak, peak, peak).times(*_values(GPU_GROWTH))
    shapes = min(MOST_SHAPES, work.new_shapes)
    restored = max((each.checkpoint_bytes for each in tried), default=0) if work.prunes else 0
    grown = zip(_values(PROCESS_GROWTH), _values(SHAPE_BYTES), _values(RESTORED), strict=True)
    return Interval(*(factor * peak + shapes * each + restored * times for factor, each, times in grown))


def _values(interval: Interval) -> tuple[float, float, float]:
    return interval.low, interval.value, interval.high


def _wall(seconds: Sequence[Sequence[float]], workers: int) -> float:
    """Return the wall time of trials: they follow each other on all workers, and the last one's first fold is alone."""
    if workers == 1 or not seconds:
        return math.fsum(map(math.fsum, seconds))
    runs = [each for trial in seconds for each in trial]
    alone = [trial[0] + wall_seconds(trial[1:], workers) for trial in seconds]
    return max(wall_seconds(runs, workers), *alone)


@dataclass(frozen=True)
class _Cost:
    """What a run takes: seconds of training and evaluation with their standard error, and seconds around them."""

    seconds: float
    error: float
    around: float


def _run(tried: Sequence[Tried], work: Work, config: Mapping[str, Any], epochs: float) -> _Cost:
    """Return what a run takes; its error is of what was measured, and of taking one config for another."""
    if not epochs:
        return _Cost(0.0, 0.0, 0.0)
    weights = _weights(tried, config)
    batch = int(config["batch_size"])
    rows, steps = min(batch, work.training_rows), math.ceil(work.training_rows / batch)
    points = work.evaluations_per_epoch
    epoch = [steps * each.step_of(rows) + points * each.evaluation for each in tried]
    errors = [
        steps * each.step_of(rows) * each.step_error / each.step + points * each.evaluation_error for each in tried
    ]
    checkpoints = CHECKPOINTS if work.prunes else 0.0
    around = [each.begin + checkpoints * each.end + epochs * points * each.between for each in tried]
    mean = _mean(weights, epoch)
    apart = math.sqrt(_mean(weights, [(each - mean) ** 2 for each in epoch]))
    return _Cost(epochs * mean, epochs * math.hypot(_mean(weights, errors), apart / 2), _mean(weights, around))


def _mean(weights: Sequence[float], values: Sequence[float]) -> float:
    return math.fsum(weight * value for weight, value in zip(weights, values, strict=True))


def _weights(tried: Sequence[Tried], config: Mapping[str, Any]) -> Sequence[float]:
    """Return the weight of each config that was tried for another one: inversely by the square of its distance."""
    distances = [distance(each.config, config, [other.config for other in tried]) for each in tried]
    if min(distances) == 0.0:
        same = [float(far == 0.0) for far in distances]
        return [each / sum(same) for each in same]
    inverse = [1 / far**2 for far in distances]
    return [each / sum(inverse) for each in inverse]


def distance(one: Mapping[str, Any], other: Mapping[str, Any], among: Sequence[Mapping[str, Any]]) -> float:
    """Return how far two configs are apart in what decides a row's time; `among` gives each number its scale."""
    total = 0.0
    for name in {*one, *other} - SAME_STEP:
        a, b = one.get(name), other.get(name)
        if a == b:
            continue
        if not (is_number(a) and is_number(b)):
            total += 1.0
            continue
        numbers = [float(each[name]) for each in [*among, one, other] if is_number(each.get(name))]
        a, b, width = float(a), float(b), max(numbers) - min(numbers)  # type: ignore[arg-type]
        total += abs(a - b) / width * (BATCH if name == "batch_size" else 1.0)
    return total


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _disk(tried: Sequence[Tried], work: Work) -> Interval:
    """Return what checkpoints and database take: a checkpoint a worker, or where trials wait, one of each of them."""
    checkpoint = statistics.fmean([each.checkpoint_bytes for each in tried]) if tried else 0.0
    database = float(2**19 + work.total * work.kept_bytes)
    fewest = min(work.checkpoint_limit, work.workers * checkpoint)
    most = min(work.checkpoint_limit, work.total * checkpoint) if work.prunes else fewest
    return Interval(0.5 * database, database + (fewest + most) / 2, 2 * database + most + fewest)
