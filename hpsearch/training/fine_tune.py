"""One fine-tune, step by step: after any step it can be left, written down, and continued elsewhere."""

import hashlib
import math
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from hpsearch.data.ragged import is_finite
from hpsearch.errors import DataError, UsageError
from hpsearch.records.digest import digest
from hpsearch.training import run_checkpoint
from hpsearch.training.base_model import BaseModel
from hpsearch.training.batches import epoch_batches, steps_per_epoch
from hpsearch.training.divergence import Diverged
from hpsearch.training.features.bypass import FrozenPart
from hpsearch.training.features.cache import FrozenFeatures
from hpsearch.training.freezing import freeze, frozen_layers
from hpsearch.training.gradients import accumulate_gradients
from hpsearch.training.hyperparameters import TrainingSettings
from hpsearch.training.learner import Learner
from hpsearch.training.measurement import Measurement
from hpsearch.training.memory import memory_errors, peak_memory_bytes, reset_peak_memory
from hpsearch.training.numerics import Numerics
from hpsearch.training.optimizers import make_optimizer
from hpsearch.training.prediction import predict
from hpsearch.training.random_states import RandomStates, stream_seed
from hpsearch.training.run_length import RunLength
from hpsearch.training.run_state import Position, RunState
from hpsearch.training.schedules import learning_rate_factor
from hpsearch.training.single_rows import joins_single
from hpsearch.training.unfreezing import Unfreezing

__all__ = ["Diverged", "FineTune", "Measurement"]

LEAST_SCALE = 1.0
"""A scale of the loss below this has fallen 17 times: it is not the scale that makes a gradient overflow."""


class FineTune:
    """One training of one config on one set of rows, from its beginning or from a checkpoint.

    Its numbers are a pure function of the arguments (of `device`, only of its type and model). Its random states are
    in force only while a step computes: it and the rest of the process do not change each other's random numbers.

    The model belongs to `base`, and one run at a time can have it: once another fine-tune is made from the same base,
    this one raises `UsageError`. Fine-tunes of different bases may take turns step by step.

    Attributes:
        model: The model in its current state.
        horizon: The last evaluation point.
        steps_total: Optimizer steps of the whole run.
    """

    def __init__(
        self,
        learner: Learner,
        config: Mapping[str, Any],
        *,
        train_rows: np.ndarray,
        held_out_rows: np.ndarray | None,
        seed: int,
        evaluations_per_epoch: int,
        numerics: Numerics,
        device: torch.device | str,
        base: BaseModel,
        answer_points: Collection[int] = (),
        first_fold_rows: int | None = None,
    ) -> None:
        """Make the base's model ready for the run.

        Args:
            learner: Rows and losses; `base` was made from it, or from one of the same model.
            config: Hyperparameters; training hyperparameters that it does not name have their defaults.
            train_rows: Rows to train on, int64, shape (rows,).
            held_out_rows: Rows to evaluate on; None for a refit, which measures the training loss only.
            seed: Decides the head, the order of rows, and dropout.
            evaluations_per_epoch: Evaluation points an epoch; point p comes after
                ceil(p * steps_per_epoch / evaluations_per_epoch) steps, the last after the last step.
            numerics: What to compute with; `hpsearch.training.numerics.honour` sets the process to it.
            device: Where to compute; that of `base`.
            base: The worker's base model.
            answer_points: Evaluation points at which `Learner.for_answers` measures: there, answers are generated.
            first_fold_rows: Training rows of the study's first fold, which `max_steps` counts steps of; None for those
                of this run.

        Raises:
            TaskError: A hyperparameter is out of range, or freezes more layers than there are; or the model cannot be
                trained on single rows, and `batch_size` makes them.
            DataError: There are no rows.
        """
        settings = TrainingSettings.of(config)
        self._base, self._numerics, self._settings = base, numerics, settings
        self._device = torch.device(device)
        self._train_rows = _checked_rows(train_rows, "train on")
        self._held_out_rows = None if held_out_rows is None else _checked_rows(held_out_rows, "evaluate on")
        self._learner = learner.fitted(self._train_rows)
        if hasattr(self._learner, "weighed"):  # in the loss of training alone, by a hyperparameter
            self._learner = self._learner.weighed(config, self._train_rows)
        self._reads_features = base.features is not None and learner is base.learner
        self._lengths = np.asarray(learner.lengths)[self._train_rows]
        self._seed, self._evaluations_per_epoch = seed, evaluations_per_epoch
        self._answer_points = frozenset(answer_points)
        self._identity = self._digest({**config, **settings.named()}, first_fold_rows)
        self._ordered: tuple[int, list[np.ndarray]] | None = None

        reset_peak_memory(self._device)
        layers = base.layers() if settings.needs_layers else ()
        self.model: nn.Module = base.fresh(config, seed)
        self._generation = base.generation
        self._freezing = freeze(self.model, layers, settings.freeze_layers, base.head, has_adapters=base.has_adapters)
        self._frozen_layers = frozen_layers(layers, settings.freeze_layers)
        # The config decides, not whether features are read: a run is the same with and without a cache.
        self._padding_multiple = (
            numerics.padding_multiple if self._frozen_layers else numerics.training_padding_multiple
        )
        self._joins_single, self._steps_per_epoch = self._steps(len(self._train_rows))
        first = len(self._train_rows) if first_fold_rows is None or settings.max_steps is None else first_fold_rows
        self._length = RunLength.of(
            settings, self._steps_per_epoch, evaluations_per_epoch, (first, self._steps(first)[1])
        )
        self.horizon, self.steps_total = self._length.horizon, self._length.steps_total
        self._warmup = settings.warmup(self.steps_total)
        self._features: FrozenFeatures | None = None
        self._are_features_prepared = False
        self._is_pausing = False
        random = RandomStates(stream_seed(seed, "training"), self._device)
        scaler = torch.amp.GradScaler(self._device.type, enabled=numerics.precision == "fp16")
        self._state = RunState(base, self._freezing, make_optimizer(self.model, settings, layers), scaler, random)
        self._unfreezing = Unfreezing(
            self.model,
            self._freezing,
            layers,
            never=len(self._frozen_layers),
            epochs=settings.gradual_unfreezing,
            steps_per_epoch=self._steps_per_epoch,
        )
        self._freezing.train(self.model)

    def _steps(self, rows: int) -> tuple[bool, int]:
        """Return whether single rows join other batches, in a run on so many rows, and its steps an epoch."""
        batch_size = self._settings.batch_size
        joins = joins_single(self._base, self._freezing, rows, batch_size, self._numerics.micro_batch)
        return joins, steps_per_epoch(rows, batch_size, joins_single=joins)

    @property
    def has_model(self) -> bool:
        """Whether no other run has taken the base's model over."""
        return self._base.generation == self._generation

    @property
    def point(self) -> int:
        """The last evaluation point reached, 0 before the first."""
        return self._state.position.point

    @property
    def step(self) -> int:
        """Optimizer steps done."""
        return self._state.position.step

    @property
    def epoch(self) -> float:
        """Passes over the training rows done, a fraction."""
        return self._state.position.rows_seen / len(self._train_rows)

    @property
    def place(self) -> tuple[int, int]:
        """The point and the step of what `checkpoint` would hold."""
        return self.point, self.step

    def step_of(self, point: int) -> int:
        """Return the number of steps after which an evaluation point is reached."""
        return self._length.step_of(point)

    def advance(self, stop: int) -> Iterator[Measurement | None]:
        """Train until evaluation point `stop` is reached, one optimizer step an item.

        An item is None, or the Measurement of the point that its step reaches. Points after the first on one step are
        items without a step; so are, before the first step, the blocks of rows whose features the cache lacks. Between
        items the run can be left for good, written down by `checkpoint`, or continued by another call.

        Raises:
            UsageError: `stop` does not lie ahead, or another run has taken the base's model over.
            Diverged: Found at an evaluation point: loss, weights or outputs are not finite.
            torch.OutOfMemoryError: On any device.
        """
        if not self.point <= stop <= self.horizon:
            raise UsageError(f"A run at point {self.point} of {self.horizon} cannot advance to point {stop}.")
        return self._items(stop)

    def _items(self, stop: int) -> Iterator[Measurement | None]:
        self._is_pausing = False
        if self.point < stop:
            yield from self._prepared_features()
        while self.point < stop and not self._is_pausing:
            yield self._item()

    def pause(self) -> None:
        """Have `advance` end before the next step."""
        self._is_pausing = True

    def files(self) -> Mapping[str, bytes]:
        """Return what `checkpoint` does."""
        return self.checkpoint()

    def close(self) -> None:
        """Free nothing: the model is the base's."""

    def _item(self) -> Measurement | None:
        self._require_model()
        started = time.perf_counter()
        position, due = self._state.position, self.step_of(self.point + 1)
        measured: Measurement | None = None
        with memory_errors(), self._state.random.installed():
            if position.step < due:
                self._train()
            if position.step == due:
                measured = self._measure()
        position.seconds += time.perf_counter() - started
        if measured is not None:
            measured = replace(measured, seconds=position.seconds)
            position.point, position.seconds = measured.point, 0.0
        return measured

    def _prepared_features(self) -> Iterator[None]:
        """Compute the outputs of the frozen layers, before the first step, where they can be read."""
        cache, learner = self._base.features, self._base.learner  # features are the same whatever a run is fitted to
        if self._are_features_prepared or cache is None or not self._reads_features:
            return
        self._freezing.train(self.model)
        part = FrozenPart(self.model, learner, self._frozen_layers, self._freezing, self._numerics, self._device)
        blocks = cache.features(part, self._base.head)
        while True:
            self._require_model()
            started = time.perf_counter()
            try:
                with memory_errors():
                    next(blocks)
            except StopIteration as end:
                self.model.eval()  # the first step says which layers train
                self._features, self._are_features_prepared = end.value, True
                return
            finally:
                self._state.position.seconds += time.perf_counter() - started
            yield None
            if self._is_pausing:
                return

    def _train(self) -> None:
        """Do one optimizer step; nothing in it waits for the device.

        In fp16 a step whose gradient overflows changes neither weights nor the optimizer's state. It counts as any
        other: the next one has the next batch, and the schedule's next learning rate.
        """
        settings, state, position = self._settings, self._state, self._state.position
        if position.step == self.step_of(position.point):
            state.loss_sum.zero_()
            position.weight_sum = 0.0
        self._unfreezing.train(position.step)
        state.to_training()
        rows = self._train_rows[self._batch(position.step)]
        loss_sum, weight_sum = accumulate_gradients(
            self.model,
            self._learner,
            rows,
            label_smoothing=settings.label_smoothing_factor,
            numerics=self._numerics,
            device=self._device,
            padding_multiple=self._padding_multiple,
            features=self._features,
            joins_single=self._joins_single,
            scaled=state.scaler.scale,
        )
        state.scaler.unscale_(state.optimizer)
        if settings.max_grad_norm:
            nn.utils.clip_grad_norm_(state.trainable.values(), settings.max_grad_norm)
        for group in state.optimizer.param_groups:
            group["lr"] = group["lr_share"] * self._learning_rate(position.step)
        state.scaler.step(state.optimizer)
        state.scaler.update()
        state.optimizer.zero_grad(set_to_none=True)
        state.loss_sum += loss_sum
        position.weight_sum += weight_sum
        position.rows_seen += len(rows)
        position.step += 1

    def _batch(self, step: int) -> np.ndarray:
        """Return the positions, among the training rows, of a step's batch."""
        epoch, index = divmod(step, self._steps_per_epoch)
        if self._ordered is None or self._ordered[0] != epoch:
            self._ordered = (
                epoch,
                epoch_batches(
                    self._lengths, self._settings.batch_size, self._seed, epoch, joins_single=self._joins_single
                ),
            )
        return self._ordered[1][index]

    def _rows_seen(self, step: int) -> int:
        """Return the number of rows, repetitions counted, in the batches of the first steps."""
        epochs, steps = divmod(step, self._steps_per_epoch)
        return epochs * len(self._train_rows) + sum(len(self._batch(step - 1 - index)) for index in range(steps))

    def _learning_rate(self, step: int) -> float:
        settings = self._settings
        return settings.learning_rate * learning_rate_factor(
            settings.lr_scheduler_type,
            step,
            steps_total=self.steps_total,
            warmup=self._warmup,
            decay_ratio=settings.decay_ratio,
        )

    def _measure(self) -> Measurement:
        """Measure the run at the evaluation point that it has reached: only here does it wait for the device."""
        state, position = self._state, self._state.position
        state.to_evaluation()
        train_loss = state.loss_sum.item() / position.weight_sum if position.weight_sum else 0.0
        self._require_finite("training loss", math.isfinite(train_loss))
        norm = nn.utils.get_total_norm(state.trainable.values())
        self._require_finite("norm of the weights", bool(norm.isfinite()))
        self._require_finite("gradient", state.scaler.get_scale() >= LEAST_SCALE)
        outputs, validation_loss = None, math.nan
        if self._held_out_rows is not None:
            rows, learner = self._held_out_rows, self._learner
            if position.point + 1 in self._answer_points:
                learner = learner.for_answers()
            kept = predict(self.model, learner, rows, self._numerics, self._device, self._features)
            self._require_finite("output for held-out rows", is_finite(kept))
            validation_loss = learner.mean_loss(kept, rows)
            self._require_finite("validation loss", math.isfinite(validation_loss))
            outputs = learner.own_units(kept)
        return Measurement(
            point=position.point + 1,
            epoch=self.epoch,
            train_loss=train_loss,
            validation_loss=validation_loss,
            outputs=outputs,
            learning_rate=self._learning_rate(position.step - 1),
            rows_seen=position.rows_seen,
            seconds=0.0,
            peak_memory_bytes=peak_memory_bytes(self._device),
        )

    def checkpoint(self) -> dict[str, bytes]:
        """Return the run's state after an item, file name to bytes: safetensors and JSON.

        Only what differs from the base is in it: trained parameters, changed buffers of what is not frozen, the
        optimizer's state, the random states, the position, and the training loss since the last evaluation point.
        """
        self._require_model()
        return run_checkpoint.dump(self._identity, self._state.tensors(), self._state.facts())

    def restore(self, files: Mapping[str, bytes]) -> None:
        """Continue from a `checkpoint` of this run, made by any process.

        Raises:
            CheckpointError: It is damaged, or belongs to another run; then nothing has changed.
        """
        self._require_model()
        tensors, facts = run_checkpoint.load(self._identity, files)
        self._state.check(tensors, facts)
        place = Position.of(facts)
        latest = self.step_of(place.point + 1) if place.point < self.horizon else self.steps_total
        possible = place.point <= self.horizon and self.step_of(place.point) <= place.step <= latest
        if not possible or place.rows_seen != self._rows_seen(place.step):
            raise run_checkpoint.unusable(f"{place} is no place in this run of {self.steps_total} steps")
        self._state.load(tensors, facts)

    def _require_finite(self, quantity: str, finite: bool) -> None:
        if not finite:
            raise Diverged(quantity, self.step, self.epoch, self._numerics.precision)

    def _require_model(self) -> None:
        if not self.has_model:
            raise UsageError(
                f"This run, at step {self.step}, no longer has its model: another run was made from the same base "
                "model. Write a checkpoint before that, and restore it into a new fine-tune."
            )

    def _digest(self, config: Mapping[str, Any], first_fold_rows: int | None) -> str:
        """Return the digest of all arguments that decide the run's numbers, for its checkpoints."""
        first_fold = [] if self._settings.max_steps is None else [first_fold_rows]
        rows = [
            None if rows is None else hashlib.sha256(rows.tobytes()).hexdigest()
            for rows in (self._train_rows, self._held_out_rows)
        ]
        numbers = [self._seed, self._evaluations_per_epoch, *first_fold]
        return digest([dict(config), rows, *numbers, self._numerics.to_dict()])


def _checked_rows(rows: np.ndarray, purpose: str) -> np.ndarray:
    if len(rows) == 0:
        raise DataError(f"A run has no rows to {purpose}; give it at least one.")
    return np.asarray(rows, dtype=np.int64)
