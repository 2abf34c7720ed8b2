"""The refit: the chosen configuration, trained on all training rows, and its scores on the test rows.

Rows that `validation=` gave are no training rows.
"""

import contextlib
import math
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hpsearch.data.ragged import Rows
from hpsearch.errors import TaskError
from hpsearch.records import digest
from hpsearch.runtime.messages import Workload
from hpsearch.runtime.signals import Interruption
from hpsearch.tasks import Split
from hpsearch.tasks.judge import Judge
from hpsearch.training.adapters import held_in
from hpsearch.training.base_model import BaseModel
from hpsearch.training.fine_tune import FineTune
from hpsearch.training.measurement import all_metrics
from hpsearch.training.memory import memory_errors
from hpsearch.training.numerics import Numerics, device_of, honour, kept_flags
from hpsearch.training.prediction import predict
from hpsearch.training.training import RunArguments


@dataclass(frozen=True)
class Scores:
    """A refit's scores on the test rows.

    Attributes:
        metrics: Metric name to value as measured, "loss", the mean loss, and further scores of the judge's.
        outputs: What is kept of the model's, in the user's units.
    """

    metrics: Mapping[str, float]
    outputs: Rows


@dataclass(frozen=True)
class Refit:
    """A configuration trained on all training rows.

    Attributes:
        config: The whole training config.
        point: The evaluation point at which it stopped; its schedule keeps the horizon of the config.
        epochs: The same, in passes over the rows.
        train_loss: Mean training loss since the last evaluation point.
        model: Still on the device it was trained on. Of a task that trains itself, the files that its code saved, name
            to bytes.
        judge: What becomes of this model's outputs: that of the task, fitted to the rows it was trained on. Where the
            model's architecture allows, its outputs are in the user's units.
    """

    config: Mapping[str, Any]
    point: int
    epochs: float
    train_loss: float
    model: Any
    judge: Judge


def refit(workload: Workload, config: Mapping[str, Any], point: int) -> Refit:
    """Train `config` on all training rows up to evaluation point `point`, in this process.

    Its seed comes from the study's seed alone, so a repeated refit is the same.

    Raises:
        NumericsError: This machine cannot honour the study's numerics.
        TaskError: The device has too little memory.
        Preempted: SIGTERM or SIGUSR1 has ended it; a refit has no checkpoints.
    """
    if workload.task.trains_itself:
        return _refit_by_itself(workload, config, point)
    device = device_of(workload.numerics)
    with Interruption().heard(), honoured(workload.numerics, device):
        learner, rows = workload.learner_for(config), np.arange(workload.prepared.trained_rows)
        held = held_in(learner, config, workload.numerics)
        base = BaseModel(learner, device, workload.feature_cache(config), held_in=held)
        fine_tune = FineTune(
            learner,
            config,
            train_rows=rows,
            held_out_rows=None,
            seed=_seed(workload),
            evaluations_per_epoch=workload.evaluations_per_epoch,
            numerics=workload.numerics,
            device=device,
            base=base,
            first_fold_rows=len(workload.folds[0][0]) if workload.folds else None,
        )
        last = None
        for measurement in fine_tune.advance(point):
            last = measurement or last
        assert last is not None  # a run up to a point of at least 1 has measured there
        judge = workload.prepared_for(config).judge.fitted(learner.truth(rows))
        model, numerics = base.in_float32().eval(), replace(workload.numerics, precision="fp32")
        judge = judge.settle(model, len(rows), lambda model, some: predict(model, learner, some, numerics, device))
        return Refit(dict(config), point, last.epoch, last.train_loss, model, judge)


def _refit_by_itself(workload: Workload, config: Mapping[str, Any], point: int) -> Refit:
    """Run the user's code on all rows up to a report; what it saves there is the model."""
    prepared = workload.prepared_for(config)
    with tempfile.TemporaryDirectory(prefix="hpsearch-refit-") as folder, Interruption().heard():
        arguments = RunArguments(
            config=config,
            train_rows=np.arange(prepared.trained_rows),
            held_out_rows=None,
            seed=_seed(workload),
            evaluations_per_epoch=workload.evaluations_per_epoch,
            numerics=workload.numerics,
            device=device_of(workload.numerics),
            base=_no_base,
            folder=Path(folder) / "run",
            checkpoint_every=math.inf,
        )
        training = workload.task.training(prepared, arguments)
        try:
            last = None
            for measurement in training.advance(point):
                last = measurement or last
            assert last is not None
            files = training.files()
        finally:
            training.close()
    return Refit(dict(config), point, last.epoch, last.train_loss, files, prepared.judge)


def _no_base() -> BaseModel:
    raise AssertionError("a task that trains itself has no base model here")


def _seed(workload: Workload) -> int:
    return int(digest(["refit", workload.seed])[:8], 16)


def score(workload: Workload, refit: Refit) -> Scores:
    """Score a refit on the task's test rows with the study's metrics, in float32 whatever it was trained in.

    `from_pretrained` and `pipeline` run an exported model in float32 by default. In bf16 some rows would get another
    class than from these, and the model card another score (0.7287 for 0.7283 on 1,421 tweets).
    """
    rows = np.arange(workload.prepared.test_rows)
    outputs, kept = outputs_of(workload, refit, "test", rows)
    learner = workload.learner_for(refit.config, "test", refit.judge)
    predictions, truth, weights = refit.judge.predictions(outputs), learner.truth(rows), learner.sample_weights(rows)
    loss = learner.mean_loss(kept, rows)
    metrics = all_metrics(workload.metrics, predictions, truth, weights, loss, undefined=workload.gaps.test)
    return Scores({**refit.judge.further_scores(truth, predictions, weights), **metrics}, outputs)


def outputs_of(workload: Workload, refit: Refit, split: Split, rows: np.ndarray) -> tuple[Rows, Rows]:
    """Return what is kept of a refit's outputs for some rows: in the user's units, and as the model gives it."""
    numerics = replace(workload.numerics, precision="fp32")
    device = device_of(workload.numerics)
    with honoured(workload.numerics, device):
        learner = workload.learner_for(refit.config, split, refit.judge)
        if workload.is_sparse:
            learner = learner.for_answers()
        kept = predict(refit.model, learner, rows, numerics, device)
        return learner.own_units(kept), kept


@contextlib.contextmanager
def honoured(numerics: Numerics, device: torch.device) -> Iterator[None]:
    """Set this process to a study's numerics, and back again afterwards.

    Raises:
        NumericsError: This machine cannot honour them.
        TaskError: The block ran out of memory.
    """
    with kept_flags():
        honour(numerics, device)
        try:
            with memory_errors():
                yield
        except torch.OutOfMemoryError as error:
            raise TaskError(
                f"Out of memory on {device} ({str(error).partition('.')[0]}). No result of the study is lost. Free "
                "memory there (end what else runs on it), and do this again."
            ) from error
