"""What the coordinator and its workers say to each other."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hpsearch.errors import HpsearchError
from hpsearch.metrics.metric import Metric
from hpsearch.policy.early_stopping import EarlyStopping
from hpsearch.records import Evaluation, Segment, SegmentResult
from hpsearch.tasks import Prepared, Split, Task
from hpsearch.training.features.cache import FeatureCache
from hpsearch.training.features.store import FeatureStore
from hpsearch.training.learner import Learner
from hpsearch.training.numerics import Numerics


@dataclass(frozen=True)
class Workload:
    """All that a worker must know of a study, sent once.

    Attributes:
        study: Its name, by which orders refer to it.
        task: What is fine-tuned.
        prepared: Where the encoded rows are; of a study that chooses among models, those of the default choice.
        folds: (training rows, held-out rows) for each fold.
        metrics: What is measured at each evaluation point, the objective first.
        seed: The study's seed.
        evaluations_per_epoch: Evaluation points an epoch.
        early_stopping: The rule that ends a trial's first run, or None.
        numerics: What the worker must honour.
        checkpoint_every: Seconds between checkpoints of a run under way.
        choices: The encoded rows by choice of model, where the study has such a choice.
        example: A completed config of the study, whose base model the workers load before the first order.
        features: Where this machine's workers share the outputs of frozen layers, and within how many bytes; None to
            compute them for each batch.
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

    def prepared_for(self, config: Mapping[str, Any]) -> Prepared:
        """Return the rows as they are encoded for a completed config's model."""
        choice = self.task.model_choice(config)
        return self.prepared if choice is None else self.choices[choice]

    def learner_for(self, config: Mapping[str, Any], split: Split = "train") -> Learner:
        """Return the learner that trains a completed config, and all others of its base key.

        A task that tells no configs apart is asked without one.
        """
        prepared = self.prepared_for(config)
        if not self.task.base_key(config):
            return self.task.learner(prepared, split)
        return self.task.learner(prepared, split, config)

    def feature_cache(self, config: Mapping[str, Any]) -> FeatureCache | None:
        """Return where the training rows' features of a completed config's model are found, None where they are not
        to be: a budget of nothing reads nothing that other studies have left, either."""
        if self.features is None or not self.features.budget:
            return None
        prepared = self.prepared_for(config)
        identity = [prepared.model_digest, prepared.data_digest, self.task.base_key(config)]
        return FeatureCache(self.features, identity)


# From the coordinator to a worker.


@dataclass(frozen=True)
class Prepare:
    """Get ready for a study's orders.

    The workload is pickled apart, so that one which cannot be unpickled (code of a module that is not found there) is
    answered by `Refused`.

    Attributes:
        study: Name of the study.
        workload: The workload, pickled.
    """

    study: str
    workload: bytes


@dataclass(frozen=True)
class Probe:
    """Find out how many rows fit the device at once.

    Attributes:
        study: Name of the study.
        config: A whole training config that needs as much memory as any.
        rows: The largest effective batch.
    """

    study: str
    config: Mapping[str, Any]
    rows: int


@dataclass(frozen=True)
class Train:
    """Train a segment.

    Attributes:
        study: Name of the study.
        segment: What to train.
        previous: The run's evaluations so far, points 1, 2, 3, ...
        watched: Whether the early-stopping rule ends this run (the first of a trial).
        goes_on: Whether the run may be trained further after this segment, and so has to leave a checkpoint.
        checkpoint: File name to bytes of the run's last checkpoint, or None to start anew. It may be older than
            the segment's start: what lies between is trained again, and measures the same.
    """

    study: str
    segment: Segment
    previous: tuple[Evaluation, ...] = ()
    watched: bool = False
    goes_on: bool = False
    checkpoint: Mapping[str, bytes] | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Stop:
    """Leave the segment in progress, with a checkpoint first (a pause) or without (a prune)."""

    checkpoint: bool


# From a worker to the coordinator.


@dataclass(frozen=True)
class Ready:
    """A worker is up. `environment` is what numerics are resolved from."""

    process: int
    environment: Mapping[str, Any]


@dataclass(frozen=True)
class Probed:
    """The answer to `Probe`: so many rows fit."""

    rows: int


@dataclass(frozen=True)
class Refused:
    """A worker cannot take a study on; `error` says why."""

    study: str
    error: HpsearchError


@dataclass(frozen=True)
class Heartbeat:
    """A worker lives. `progress` counts what it did, in training and evaluation: one whose count stands still hangs."""

    progress: int


@dataclass(frozen=True)
class Evaluated:
    """An evaluation point was reached. `logits`: held-out rows by outputs, float32."""

    study: str
    evaluation: Evaluation
    logits: np.ndarray | None = field(repr=False)


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
    """A segment is over."""

    study: str
    result: SegmentResult


Event = Evaluated | Checkpointed | Ended
