"""The worker: trains segments on one device, and keeps models and rows loaded in between.

It never sees the database: orders, and what it measures, travel as messages.
"""

import contextlib
import logging
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from hpsearch.data.ragged import Rows, byte_count
from hpsearch.errors import CheckpointError, PreparedDataError, TaskError
from hpsearch.metrics.direction import Objective
from hpsearch.policy.pruning_steps import quarters, warmup_epochs
from hpsearch.records import Evaluation, Outcome, Run, SegmentResult, run_seed
from hpsearch.records.run_length import run_epochs
from hpsearch.runtime.messages import Checkpointed, Ended, Evaluated, Event, Probe, Probed, Stop, Train, Workload
from hpsearch.training.adapters import held_in
from hpsearch.training.base_model import BaseModel
from hpsearch.training.device_errors import Blame, blame
from hpsearch.training.divergence import Diverged
from hpsearch.training.learner import Learner
from hpsearch.training.measurement import Measurement, all_metrics
from hpsearch.training.memory import empty_cache, free_memory, memory_errors
from hpsearch.training.memory_probe import memory_trial, possible_savings
from hpsearch.training.numerics import Numerics, honour, probe_micro_batch
from hpsearch.training.rehearsal import rehearse
from hpsearch.training.training import RunArguments, RunFailedError, RunLostError, Training

logger = logging.getLogger("hpsearch")

BASES_KEPT = {"cpu": 2}
"""How many of a study's base models a worker keeps, by type of device; one on others."""


class CountedLearner:
    """A learner that calls `called` before each batch that goes through the model, so that a long evaluation shows
    progress. `called` must not raise."""

    def __init__(self, learner: Learner, called: Callable[[], None]) -> None:
        self._learner, self._called = learner, called

    def outputs(self, model: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
        self._called()
        return self._learner.outputs(model, batch)

    def fitted(self, rows: np.ndarray) -> "CountedLearner":
        return CountedLearner(self._learner.fitted(rows), self._called)

    def for_answers(self) -> "CountedLearner":
        learner: Any = self._learner.for_answers()
        learner.progressed = self._called
        return CountedLearner(learner, self._called)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._learner, name)


@dataclass
class _Warm:
    """What a worker keeps of a study between segments; `bases` are base models by key, the last used last."""

    workload: Workload
    targets: Rows
    weights: np.ndarray | None
    bases: dict[str, BaseModel]


@dataclass(frozen=True)
class _Kept:
    """The run that was trained last, as its segment left it, should it be trained further."""

    study: str
    run: str
    training: Training

    def is_for(self, order: Train) -> bool:
        """Whether an order goes on from exactly there."""
        place = self.study, self.run, self.training.point
        return place == (order.study, order.segment.run.key, order.segment.start) and self.training.has_model


class Worker:
    """Trains segments on one device.

    Attributes:
        steps: Optimizer steps since the start.
        progress: Counts batches, optimizer steps and metrics; the worker hangs if it stops growing.
    """

    def __init__(self, device: str) -> None:
        self.device = torch.device(device)
        self.steps = 0
        self.progress = 0
        self._warm: dict[str, _Warm] = {}
        self._numerics: Numerics | None = None
        self._kept: _Kept | None = None

    def prepare(self, workload: Workload) -> None:
        """Open a study's rows and set this process to its numerics.

        Raises:
            NumericsError: This process cannot honour them.
        """
        self._drop_kept()  # it may have other numerics
        self._honour(workload.numerics)
        warm = self._warm.get(workload.study)
        if warm is not None:
            self._warm[workload.study] = replace(warm, workload=workload)
            return
        if workload.task.trains_itself:
            self._warm[workload.study] = _Warm(workload, np.zeros(0), None, {})
            return
        base = self._load(workload, workload.example)
        rows = np.arange(workload.prepared.rows)
        self._warm[workload.study] = _Warm(
            workload,
            base.learner.truth(rows),
            base.learner.sample_weights(rows),
            {workload.task.base_key(workload.example): base},
        )

    def _honour(self, numerics: Numerics) -> None:
        """Set this process to a study's numerics: the last segment may have been another study's."""
        if numerics != self._numerics:
            honour(numerics, self.device)
            self._numerics = numerics

    def _load(self, workload: Workload, config: Mapping[str, Any]) -> BaseModel:
        """Load a base model; a GPU has room for that of one study."""
        if self.device.type != "cpu":
            for warm in self._warm.values():
                if warm.workload.study != workload.study:
                    warm.bases.clear()
        empty_cache(self.device)
        learner = cast(Learner, CountedLearner(workload.learner_for(config), self._count_progress))
        held = held_in(learner, config, workload.numerics)
        return BaseModel(learner, self.device, workload.feature_cache(config), held_in=held)

    def _base(self, warm: _Warm, config: Mapping[str, Any]) -> BaseModel:
        """Return a config's base model; a newly loaded one replaces the longest unused.

        Every run starts from a reset base, so its numbers do not depend on what else was loaded, or how often.
        """
        key = warm.workload.task.base_key(config)
        base = warm.bases.pop(key, None)
        if base is None:
            while len(warm.bases) >= BASES_KEPT.get(self.device.type, 1):
                del warm.bases[next(iter(warm.bases))]
            base = self._load(warm.workload, config)
        warm.bases[key] = base
        return base

    def probe(self, order: Probe) -> Probed:
        """Try a model in the study's numerics, and how many of the longest rows fit at once, at most `order.rows`.

        A configuration whose model was tried before ends no study: whatever is wrong with it is for its trial to show.

        Raises:
            TaskError: It cannot be trained in this precision, or not even one row fits.
        """
        self._drop_kept()
        warm = self._warm[order.study]
        self._honour(warm.workload.numerics)
        try:
            with memory_errors():
                return self._probed(order, self._base(warm, order.config), warm.workload.numerics)
        except PreparedDataError:
            raise
        except torch.OutOfMemoryError as error:
            if not order.is_first:
                return Probed(0, None)  # it is not even loaded, so nothing is known of it
            raise TaskError(
                f"Not one row of the longest can be trained on in the memory of {self.device} "
                f"({str(error).partition('.')[0]}). Free the device (nvidia-smi shows who uses it), or take a smaller "
                "model, a shorter max_length or image_size, or more frozen layers."
            ) from error
        except Exception as error:
            if order.is_first or blame(error) is not None:
                raise
            return Probed(order.rows or 0, None)
        finally:
            with contextlib.suppress(RuntimeError):  # of a device that has failed for good: what failed says so
                free_memory(self.device)  # workers beside this one may need what the probe took

    def _probed(self, order: Probe, base: BaseModel, numerics: Numerics) -> Probed:
        if order.is_first:
            rehearse(base, numerics, order.config)
        savings = possible_savings(base, order.config)
        if order.rows is None:
            return Probed(0, savings)
        try:
            rows = probe_micro_batch(memory_trial(base, numerics, order.config), order.rows)
            return Probed(rows, savings)
        except torch.OutOfMemoryError:
            if order.is_first:
                raise
            return Probed(0, savings)

    def rest(self) -> None:
        """Free what is kept for the next segment, where another process may need the memory."""
        self._drop_kept()
        empty_cache(self.device)

    def train(self, order: Train, stop_order: Callable[[], Stop | None]) -> Iterator[Event | None]:
        """Train one segment; yield evaluations and checkpoints on the way, and at last how it ended.

        After every step without an event it yields None, so that an inline pool can look at the clock. It also asks
        `stop_order`, after every optimizer step, whether to stop.
        """
        point, blamed = order.segment.start, None
        try:
            with memory_errors():
                for event in self._segment(order, stop_order):
                    if isinstance(event, Evaluated):
                        point = max(point, event.evaluation.point)
                    yield event
            return
        except Diverged as error:
            outcome, log = Outcome.DIVERGED, str(error)
        except torch.OutOfMemoryError:
            outcome, log = Outcome.OUT_OF_MEMORY, traceback.format_exc()
        except RunFailedError as error:
            outcome = Outcome.LOST if isinstance(error, RunLostError) else Outcome.FAILED
            log = error.log
        except Exception as error:  # whatever a model, a metric or a user's code raises ends only its trial
            blamed = blame(error)
            outcome = Outcome.FAILED if blamed in (None, Blame.TRIAL) else Outcome.LOST
            log = traceback.format_exc()
        # Outside the handlers: what the attempt held hangs on its traceback.
        if outcome is Outcome.OUT_OF_MEMORY:
            self._forget_models()
        yield Ended(order.study, SegmentResult(order.segment, outcome, point, log), blamed)

    def _forget_models(self) -> None:
        """Free all that a segment which ran out of memory may hold: its model, with gradients and features, too."""
        self._drop_kept()
        for warm in self._warm.values():
            warm.bases.clear()
        free_memory(self.device)

    def _drop_kept(self) -> None:
        """Free the run that was trained last."""
        kept, self._kept = self._kept, None
        if kept is not None:
            kept.training.close()

    def _segment(self, order: Train, stop_order: Callable[[], Stop | None]) -> Iterator[Event | None]:
        warm = self._warm[order.study]
        self._honour(warm.workload.numerics)
        training = self._training(warm, order)
        try:
            yield from self._trained(warm, order, training, stop_order)
        finally:
            if self._kept is None or self._kept.training is not training:
                training.close()

    def _trained(
        self, warm: _Warm, order: Train, training: Training, stop_order: Callable[[], Stop | None]
    ) -> Iterator[Event | None]:
        evaluations = list(order.previous[: training.point])
        saved_at, step = time.monotonic(), training.step
        saved = training.place  # where the last checkpoint stands, or the beginning
        stop: Stop | None = None
        for measurement in training.advance(order.segment.stop):
            self.steps += training.step - step
            step = training.step
            self._count_progress()
            if measurement is not None:
                event = self._evaluated(warm, order, measurement)
                evaluations.append(event.evaluation)
                yield event
                if order.watched and self._stops_early(warm, order, evaluations):
                    break
            if training.point >= order.segment.stop:  # what follows, if anything, is that it can be left
                if measurement is None:
                    yield None
                continue
            stop = stop or stop_order()
            if stop is not None and not stop.checkpoint:
                break
            if stop is not None:
                training.pause()
            due = time.monotonic() - saved_at >= warm.workload.checkpoint_every
            if due and training.place != saved:
                yield self._checkpointed(order, training)
                saved_at, saved = time.monotonic(), training.place
            yield None
        is_whole = training.point >= order.segment.stop
        wanted = order.leaves_checkpoint and is_whole if stop is None else stop.checkpoint
        if wanted and training.place != saved:
            yield self._checkpointed(order, training)
        if stop is not None and not is_whole:
            yield self._end(order, Outcome.PAUSED, training.point)
            return
        if order.leaves_checkpoint:
            self._kept = _Kept(order.study, order.segment.run.key, training)
        yield self._end(order, Outcome.OK, training.point)

    def _training(self, warm: _Warm, order: Train) -> Training:
        kept, self._kept = self._kept, None
        if kept is not None and kept.is_for(order):
            return kept.training
        if kept is not None:
            kept.training.close()
        del kept  # what its optimizer holds goes before another one's comes
        workload, run = warm.workload, order.segment.run
        train_rows, held_out_rows = workload.folds[run.fold]
        arguments = RunArguments(
            config=run.config,
            train_rows=train_rows,
            held_out_rows=held_out_rows,
            seed=run_seed(workload.seed, run.fold, run.repeat),
            evaluations_per_epoch=workload.evaluations_per_epoch,
            numerics=workload.numerics.for_fit(order.fit),
            device=self.device,
            base=lambda: self._base(warm, run.config),
            folder=workload.runs / run.key,
            checkpoint_every=workload.checkpoint_every,
            progressed=self._count_progress,
            answer_points=quarters(run.horizon) if workload.is_sparse else frozenset(),
            first_fold_rows=len(workload.folds[0][0]),
        )
        training = workload.task.training(workload.prepared_for(run.config), arguments)
        if order.checkpoint is not None:
            try:
                training.restore(order.checkpoint)
            except CheckpointError as error:  # the run is trained again, and measures the same
                logger.warning("Run %s starts again from its beginning: %s", run.key, error)
        return training

    def _stops_early(self, warm: _Warm, order: Train, evaluations: list[Evaluation]) -> bool:
        rule, run = warm.workload.early_stopping, order.segment.run
        if rule is None:
            return False
        first = warm.workload.metrics[0]
        objective = Objective(first.name, first.direction, first.is_sparse)
        points = warm.workload.evaluations_per_epoch
        return rule.stop_point(evaluations, objective, warmup_epochs(run), points, run_epochs(run)) is not None

    def _evaluated(self, warm: _Warm, order: Train, measurement: Measurement) -> Evaluated:
        run = order.segment.run
        metrics = self._metrics(warm, run, measurement)
        evaluation = Evaluation(
            run=run.key,
            point=measurement.point,
            epoch=measurement.epoch,
            train_loss=measurement.train_loss,
            metrics=metrics,
            learning_rate=measurement.learning_rate,
            rows_seen=measurement.rows_seen,
            seconds=measurement.seconds,
            peak_memory_bytes=measurement.peak_memory_bytes,
        )
        return Evaluated(order.study, evaluation, measurement.outputs)

    def _metrics(self, warm: _Warm, run: Run, measurement: Measurement) -> Mapping[str, float]:
        """Return what was measured: by the run itself, or by the judge from its outputs."""
        workload, judge = warm.workload, warm.workload.prepared.judge
        if measurement.metrics is not None:
            judge.check_reported(measurement.metrics, [metric.name for metric in workload.metrics])
            return measurement.metrics
        assert measurement.outputs is not None
        held_out = workload.folds[run.fold][1]
        if byte_count(measurement.outputs) > judge.row_bytes * len(held_out):
            raise TaskError(
                f"{type(judge).__name__} says that it keeps {judge.row_bytes:,} bytes of a row at most, and kept "
                f"{byte_count(measurement.outputs):,} of {len(held_out):,} rows. Raise its row_bytes, or keep less."
            )
        return all_metrics(
            workload.metrics,
            judge.predictions(measurement.outputs),
            warm.targets[held_out],
            None if warm.weights is None else warm.weights[held_out],
            measurement.validation_loss,
            undefined={*workload.gaps.folds.get(run.fold, ()), *workload.unmeasured(run, measurement.point)},
            progressed=self._count_progress,
        )

    def _count_progress(self) -> None:
        self.progress += 1

    def _checkpointed(self, order: Train, training: Training) -> Checkpointed:
        point, step = training.place
        return Checkpointed(order.study, order.segment.run.key, point, step, training.checkpoint())

    def _end(self, order: Train, outcome: Outcome, point: int) -> Ended:
        return Ended(order.study, SegmentResult(order.segment, outcome, point))
