"""What happened in a study, as frozen records that check themselves."""

import enum
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hpsearch.records.fit import Fit, thriftiest

LOSS = "loss"
"""Name of the mean validation loss among an evaluation's metrics."""


class TrialState(enum.Enum):
    """The states of a trial, as Optuna names them."""

    WAITING = "waiting"
    RUNNING = "running"
    COMPLETE = "complete"
    PRUNED = "pruned"
    FAIL = "fail"

    @property
    def is_finished(self) -> bool:
        return self in (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


class Origin(enum.Enum):
    """Who proposed a configuration."""

    DEFAULT = "default"
    ENQUEUED = "enqueued"
    SAMPLER = "sampler"


class Outcome(enum.Enum):
    """How a segment ended."""

    OK = "ok"
    PAUSED = "paused"
    DIVERGED = "diverged"
    OUT_OF_MEMORY = "out_of_memory"
    TIMED_OUT = "timed_out"
    FAILED = "failed"
    LOST = "lost"

    @property
    def is_bad_luck(self) -> bool:
        """Whether the config is to blame, not the machine: such a trial is pruned and never tried again."""
        return self in (Outcome.DIVERGED, Outcome.OUT_OF_MEMORY)

    @property
    def is_loss(self) -> bool:
        """Whether the worker was lost or hung: the run is tried again."""
        return self in (Outcome.LOST, Outcome.TIMED_OUT)


class Action(enum.Enum):
    """What is to be done with a trial."""

    CONTINUE = "continue"
    PAUSE = "pause"
    PRUNE = "prune"
    STOP_EARLY = "stop early"
    COMPLETE = "complete"
    FAIL = "fail"


@dataclass(frozen=True)
class Run:
    """One training of one config on one fold with one seed.

    Attributes:
        key: Digest of (training config, fold, repeat, seed, data, model, numerics): equal keys, equal numbers.
        config: The whole training config, with the task's defaults.
        fold: Index of the held-out fold, from 0.
        repeat: Index of the seed, from 0.
        horizon: The last evaluation point (`hpsearch.records.run_length.horizon_of`).
        steps_per_epoch: Optimizer steps an epoch on this fold; 0 in studies of versions that did not record it.
        fit: How it is trained so that it fits into memory; None as the study's numerics say.
    """

    key: str
    config: Mapping[str, Any]
    fold: int
    repeat: int
    horizon: int
    steps_per_epoch: int = 0
    fit: Fit | None = None

    def __post_init__(self) -> None:
        if self.horizon < 1 or self.fold < 0 or self.repeat < 0:
            raise ValueError(f"run {self.key}: horizon {self.horizon}, fold {self.fold}, repeat {self.repeat}")


@dataclass(frozen=True)
class Trial:
    """One configuration being judged.

    Attributes:
        number: Optuna's trial number.
        config: The configuration: searched, conditional and fixed hyperparameters.
        params: The searched part of `config`, as Optuna knows it.
        runs: Its runs in the order of training: fold 0, fold 1, ... of repeat 0, then of repeat 1, ...
        value: The cross-validated objective, when COMPLETE; the partial mean when PRUNED.
        point: The evaluation point of `value`, common to all folds.
        stop: The evaluation point at which the first fold stopped; None before that.
        reason: Why it ended, in words.
        former: Runs that ran out of memory, or had not begun as their shape did: others took their place in `runs`.
    """

    number: int
    config: Mapping[str, Any]
    params: Mapping[str, Any]
    state: TrialState
    origin: Origin
    runs: tuple[Run, ...]
    value: float | None = None
    point: int | None = None
    stop: int | None = None
    reason: str | None = None
    former: tuple[Run, ...] = ()

    @property
    def all_runs(self) -> tuple[Run, ...]:
        """Its runs, after those whose place they took."""
        return (*self.former, *self.runs)

    @property
    def fit(self) -> Fit | None:
        """How its runs were trained so that they fit into memory: that of those that had to save most."""
        return thriftiest(*(run.fit for run in self.runs))


@dataclass(frozen=True)
class Segment:
    """Train `run` from evaluation point `start` to evaluation point `stop`."""

    run: Run
    start: int
    stop: int

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.stop <= self.run.horizon:
            raise ValueError(f"segment {self.start} to {self.stop} of a run to {self.run.horizon}")


@dataclass(frozen=True)
class Evaluation:
    """What was measured on the held-out fold at one evaluation point of a run.

    Attributes:
        run: The run's key.
        point: The evaluation point, from 1.
        epoch: Passes over the training rows so far, a fraction.
        train_loss: Mean training loss per row since the previous evaluation point (with label smoothing, if any).
        metrics: Metric name to value; `"loss"` is the mean validation loss without label smoothing
            (runs that measure themselves may report none).
        learning_rate: The learning rate of the last step.
        rows_seen: Training rows seen by the run so far.
        seconds: Seconds of training and evaluation since the previous point: a measurement, outside equality.
        peak_memory_bytes: Peak memory of the device (or process): a measurement, outside equality.
    """

    run: str
    point: int
    epoch: float
    train_loss: float
    metrics: Mapping[str, float]
    learning_rate: float
    rows_seen: int
    seconds: float = field(compare=False, default=0.0)
    peak_memory_bytes: int = field(compare=False, default=0)

    def __post_init__(self) -> None:
        if self.point < 1:
            raise ValueError(f"evaluation point {self.point} of run {self.run}: points start at 1")

    @property
    def loss(self) -> float:
        """Mean validation loss, infinite where it was not a number."""
        loss = self.metrics.get(LOSS, math.nan)  # a run that measures itself may report none
        return loss if math.isfinite(loss) else math.inf


@dataclass(frozen=True)
class SegmentResult:
    """The end of a segment.

    Attributes:
        point: The last evaluation point reached.
        log: The traceback, or how the worker ended, for every outcome but OK; with PAUSED only where a worker was lost
            after it had left a checkpoint.
    """

    segment: Segment
    outcome: Outcome
    point: int
    log: str = ""


@dataclass(frozen=True)
class Decision:
    """What is done with a trial, and why.

    Attributes:
        trial: The trial's number.
        value: The trial's objective (COMPLETE) or partial mean (PRUNE).
        point: The evaluation point of `value`.
        stop: The evaluation point that later folds run to (STOP_EARLY and later).
        reports: (step, value) pairs for Optuna's intermediate values, on the pruner's axis.
        attributes: Small facts for Optuna's user attributes: epoch, folds, mean metrics.
    """

    trial: int
    action: Action
    reason: str
    value: float | None = None
    point: int | None = None
    stop: int | None = None
    reports: tuple[tuple[int, float], ...] = ()
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def final_state(self) -> TrialState | None:
        """The state in which this decision ends the trial, or None while it continues."""
        return {
            Action.COMPLETE: TrialState.COMPLETE,
            Action.PRUNE: TrialState.PRUNED,
            Action.FAIL: TrialState.FAIL,
        }.get(self.action)


@dataclass(frozen=True)
class Slot:
    """A place for one worker, and the devices it sees.

    Attributes:
        share: The part of its device that is this slot's: 1/n where n slots share one, on a CPU 1 for each core.
    """

    index: int
    devices: tuple[str, ...]
    share: float = 1.0
