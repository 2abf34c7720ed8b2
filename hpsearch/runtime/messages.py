"""The messages between the coordinator and its workers."""

import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np

from hpsearch.data.folder_copy import Content, Folders
from hpsearch.data.ragged import Rows
from hpsearch.errors import HpsearchError, PreparedDataError, TaskError
from hpsearch.metrics.metric import Metric
from hpsearch.plan.gaps import Gaps
from hpsearch.policy.early_stopping import EarlyStopping
from hpsearch.policy.pruning_steps import quarters
from hpsearch.records import Evaluation, Fit, Run, Savings, Segment, SegmentResult
from hpsearch.tasks import Prepared, Split, Task
from hpsearch.tasks.judge import Judge
from hpsearch.training.device_errors import Blame
from hpsearch.training.features.cache import FeatureCache
from hpsearch.training.features.store import FeatureStore
from hpsearch.training.learner import Learner
from hpsearch.training.numerics import Numerics


@dataclass(frozen=True)
class Workload:
    """All that a worker must know of a study; sent once.

    Attributes:
        study: The study's name, which orders refer to.
        prepared: Where the encoded rows are; in a study that chooses among models, those of the default choice.
        folds: (training rows, held-out rows) for each fold.
        metrics: What is measured at each evaluation point, the objective first.
        early_stopping: The rule that ends a trial's first run, or None.
        checkpoint_every: Seconds between checkpoints during a run.
        choices: The encoded rows by choice of model, where the study chooses among models.
        example: A completed config of the study; workers load its base model before the first order.
        features: Where this machine's workers share the outputs of frozen layers, and within how many bytes; with
            None each batch computes them.
        gaps: Which metrics are undefined on the held-out rows of each fold, and on the test rows.
        runs: The folder of the files that runs in processes of their own write.
    """

    study: str
    task: Task
    prepared: Prepared
    folds: tuple[tuple[np.ndarray, np.ndarray], ...]
    metrics: tuple[Metric, ...]
    seed: int
    evaluations_per_epoch: int
    early_stopping: EarlyStopping | None
    numerics: Numerics
    checkpoint_every: float
    choices: Mapping[str, Prepared] = field(default_factory=dict)
    example: Mapping[str, Any] = field(default_factory=dict)
    features: FeatureStore | None = None
    gaps: Gaps = field(default_factory=Gaps)
    runs: Path = Path("runs")

    def prepared_for(self, config: Mapping[str, Any]) -> Prepared:
        choice = self.task.model_choice(config)
        return self.prepared if choice is None else self.choices[choice]

    def learner_for(self, config: Mapping[str, Any], split: Split = "train", judge: Judge | None = None) -> Learner:
        """Return the learner for a completed config and all others of its base key; without base keys, for all.

        `judge` is that of a trained model, where the learner is to measure it.
        """
        prepared = self.prepared_for(config)
        if judge is not None:
            prepared = replace(prepared, judge=judge)
        if not self.task.base_key(config):
            return self.task.learner(prepared, split)
        return self.task.learner(prepared, split, config)

    @property
    def is_sparse(self) -> bool:
        """Whether a metric is measured after each quarter of a run only."""
        return any(metric.is_sparse for metric in self.metrics)

    def unmeasured(self, run: Run, point: int) -> list[str]:
        """Return the names of the metrics that are not measured at an evaluation point of a run."""
        is_quarter = point in quarters(run.horizon)
        return [metric.name for metric in self.metrics if metric.is_sparse and not is_quarter]

    def prepare_again(self) -> None:
        """Make encoded rows anew that were deleted or damaged since they were prepared."""
        chosen = [self.task.choosing(prepared.source) for prepared in self.choices.values()]
        for task in chosen or [self.task]:
            task.prepare(self.prepared.folder.parent)

    def feature_cache(self, config: Mapping[str, Any]) -> FeatureCache | None:
        """Return the feature cache for a completed config's model, or None.

        With a budget of 0 bytes there is none: not even what other studies cached is read.
        """
        if self.features is None or not self.features.budget:
            return None
        prepared = self.prepared_for(config)
        identity = [prepared.model_digest, prepared.data_digest, self.task.base_key(config)]
        return FeatureCache(self.features, identity)


# From the coordinator to a worker.


@dataclass(frozen=True)
class Prepare:
    """Get ready for a study's orders.

    The workload is pickled on its own, so that a worker that cannot unpickle it (it lacks a module) can answer
    `Refused`. `folders` are those that it reads, where the worker may be on another machine.
    """

    study: str
    workload: bytes
    folders: Folders | None = None


@dataclass(frozen=True)
class Probe:
    """Try a model in the study's precision, and find out how many rows fit on the device at once.

    Attributes:
        config: A whole training config; its memory is tried as it is.
        rows: Its batch, of which as much is looked for as fits; None to try the model only.
        is_first: Whether the model is new to the study: it is rehearsed, and must be able to train on one row. Else
            that not one fits is an answer.
    """

    study: str
    config: Mapping[str, Any]
    rows: int | None = None
    is_first: bool = True


@dataclass(frozen=True)
class Train:
    """Train a segment.

    Attributes:
        previous: The run's evaluations so far, points 1, 2, 3, ...
        watched: Whether the early-stopping rule may end this run (the first of a trial).
        leaves_checkpoint: Whether the run may continue later, and so leaves a checkpoint at the segment's end.
        checkpoint: File name to bytes of the run's last checkpoint, or None to start from the beginning. It may be
            older than the segment's start: what lies between is trained again, and measures the same.
    """

    study: str
    segment: Segment
    previous: tuple[Evaluation, ...] = ()
    watched: bool = False
    leaves_checkpoint: bool = False
    checkpoint: Mapping[str, bytes] | None = field(default=None, repr=False)

    @property
    def fit(self) -> Fit | None:
        """How the run is trained so that it fits into memory; None as the study's numerics say."""
        return self.segment.run.fit


@dataclass(frozen=True)
class Stop:
    """Leave the segment in progress, with a checkpoint (a pause) or without (a prune)."""

    checkpoint: bool


@dataclass(frozen=True)
class Sent:
    """The answer to `Wanted`: what a folder holds, a part of a file, or why neither can be had."""

    answer: Content | bytes | PreparedDataError = field(repr=False)


# From a worker to the coordinator.


@dataclass(frozen=True)
class Wanted:
    """A worker on another machine, getting ready for a study, does not see a folder of it.

    Attributes:
        folder: The folder on the coordinator's machine.
        name: The file of which a part is wanted; with "" the folder's content.
        start: Where the part begins, in bytes.
    """

    study: str
    folder: str
    name: str = ""
    start: int = 0


@dataclass(frozen=True)
class Ready:
    """A worker has started. Numerics are resolved from `environment`."""

    process: int
    environment: Mapping[str, Any]


@dataclass(frozen=True)
class Probed:
    """The answer to `Probe`: the model can be trained.

    Attributes:
        rows: How many rows fit at once; 0 where not one does, or none were asked for.
        savings: How the model may be trained in less memory; None where that could not be found out.
    """

    rows: int
    savings: Savings | None = field(default_factory=Savings)


@dataclass(frozen=True)
class Refused:
    """A worker cannot train for a study; `error` says why. That ends the study, and no other on the pool."""

    study: str
    error: HpsearchError


@dataclass(frozen=True)
class Broken:
    """The answer to `Prepare` or `Probe` of a worker that met an error of its device: no process outlives one."""

    study: str
    error: HpsearchError
    blame: Blame


@dataclass(frozen=True)
class Heartbeat:
    """A worker is alive. `progress` counts its work in training and evaluation; if that stands still, it hangs."""

    progress: int


@dataclass(frozen=True)
class Evaluated:
    """A run reached an evaluation point. `outputs`: what is kept of those of the held-out rows."""

    study: str
    evaluation: Evaluation
    outputs: Rows | None = field(repr=False)


@dataclass(frozen=True)
class Checkpointed:
    """A run can continue from here: `files` is file name to bytes."""

    study: str
    run: str
    point: int
    step: int
    files: Mapping[str, bytes] = field(repr=False)


@dataclass(frozen=True)
class Ended:
    """A segment has ended. `blame`: who is, where an error of the device ended it; its process can train no other."""

    study: str
    result: SegmentResult
    blame: Blame | None = None


Event = Evaluated | Checkpointed | Ended | Refused


def pickled(message: Any) -> bytes:
    """Pickle a message. Raises TaskError where the user's task cannot be sent to another process."""
    try:
        content: bytes = cloudpickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    except (TypeError, ValueError, AttributeError, RuntimeError, pickle.PicklingError) as error:
        raise TaskError(
            f"The study cannot be sent to a worker process: {type(error).__name__}: {' '.join(str(error).split())}. "
            "Its task or a metric holds what lives in one process only (a lock, an open file, a connection): make that "
            "inside the function that uses it, or run with devices='inline'."
        ) from error
    return content
