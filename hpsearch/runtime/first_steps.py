"""The first steps of some configurations, timed in a pool; nothing is recorded."""

import math
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

from hpsearch.errors import TaskError
from hpsearch.plan.gaps import Gaps
from hpsearch.records import Evaluation, Outcome, Run, Segment, Slot
from hpsearch.runtime.forecast import Tried, distance
from hpsearch.runtime.messages import Checkpointed, Ended, Evaluated, Event, Train, Workload
from hpsearch.runtime.pools.base import Pool

STEPS = 8
"""Steps of a configuration, at most."""

HELD_OUT_ROWS = 512
"""Held-out rows of an evaluation, at most: of larger folds a sample, without the metrics."""

FILLED_ROWS = 20_000
"""Rows of data whose outputs of frozen layers are computed, at most; of more the steps are timed without them."""

LONGEST, SAMPLE = 0, 1
"""The folds of the first steps: a step on the longest rows, for the memory, and some on a sample of all."""


def first_steps(pool: Pool, workload: Workload, config: Mapping[str, Any]) -> Tried:
    """Train a few steps of a config on all slots at once, and return what they took.

    There are two evaluation points for each step, and the second comes without a step: so the two are told apart.

    Raises:
        TaskError: It cannot be trained.
    """
    config = {**config, "epochs": 1}
    brief, scale = _brief(workload, config)
    pool.prepare(brief)
    first = _train(pool, brief, config, LONGEST, 2, pool.slots()[:1])
    runs = _train(pool, brief, config, SAMPLE, brief.evaluations_per_epoch, pool.slots())
    # Medians: another program may take the processor for a moment.
    evaluation = statistics.median([each.seconds for run in runs for each in run.evaluations[1::2]])
    with_step = [each.seconds for run in runs for each in run.evaluations[2::2] or run.evaluations[:1]]
    step = max(1e-6, statistics.median(with_step) - evaluation)
    spread = statistics.stdev(with_step) if len(with_step) > 1 else 0.0
    (warm,) = first
    return Tried(
        config=config,
        step=step,
        step_error=spread / math.sqrt(len(with_step)),
        evaluation=scale * (evaluation + statistics.median([run.between for run in runs])),
        begin=statistics.median([run.begin for run in runs]),
        end=statistics.median([run.end for run in runs]),
        filling=max(0.0, warm.evaluations[0].seconds - step - evaluation),
        peak_bytes=max(each.peak_memory_bytes for run in (*first, *runs) for each in run.evaluations),
        checkpoint_bytes=max(run.checkpoint_bytes for run in runs),
    )


def some_of(configs: Sequence[Mapping[str, Any]], default: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Return a small, a default and a large one of some configs, each of another shape where there are so many.

    The small one has the most frozen layers and the smallest batch.
    """
    ordered = sorted([default, *configs], key=_size)
    chosen: list[Mapping[str, Any]] = []
    for config in (default, ordered[-1], ordered[0]):
        if all(distance(config, other, ordered) > 0 for other in chosen):
            chosen.append(config)
    return chosen


def _size(config: Mapping[str, Any]) -> tuple[float, float]:
    frozen = config.get("freeze_layers", 0)
    return -float(frozen) if isinstance(frozen, int | float) else -math.inf, float(config["batch_size"])


def _brief(workload: Workload, config: Mapping[str, Any]) -> tuple[Workload, float]:
    """Return a workload of a few steps, and how many times as long an evaluation takes on all held-out rows."""
    train, held_out = workload.folds[0]
    batch, random = int(config["batch_size"]), np.random.default_rng(0)
    rows = train if len(train) <= STEPS * batch else np.sort(random.choice(train, STEPS * batch, replace=False))
    rows = rows[: len(rows) // batch * batch] if len(rows) > batch else rows
    is_whole = len(held_out) <= HELD_OUT_ROWS
    held = held_out if is_whole else np.sort(random.choice(held_out, HELD_OUT_ROWS, replace=False))
    lengths = np.asarray(workload.learner_for(config).lengths)[train]
    longest = train[np.argsort(-lengths, kind="stable")[:batch]]
    undefined = workload.gaps.folds.get(0, {})
    brief = replace(
        workload,
        folds=((longest, held), (rows, held)),
        metrics=workload.metrics if is_whole else (),
        evaluations_per_epoch=2 * math.ceil(len(rows) / batch),
        early_stopping=None,
        checkpoint_every=math.inf,
        gaps=Gaps(folds={LONGEST: undefined, SAMPLE: undefined}),
        features=workload.features if workload.prepared_for(config).rows <= FILLED_ROWS else None,
    )
    return brief, len(held_out) / len(held)


class _Steps:
    """The steps of one slot, as they are reported."""

    def __init__(self) -> None:
        self.evaluations: list[Evaluation] = []
        self.checkpoint_bytes = 0
        self._times = [time.monotonic()]

    def take(self, event: Event) -> None:
        match event:
            case Evaluated(_, evaluation, _):
                self.evaluations.append(evaluation)
                self._times.append(time.monotonic())
            case Checkpointed(_, _, _, _, files):
                self.checkpoint_bytes = sum(map(len, files.values()))
            case Ended(_, result):
                self._times.append(time.monotonic())
                if result.outcome is not Outcome.OK:
                    last = (result.log.strip().splitlines() or [result.outcome.value])[-1]
                    config = ", ".join(f"{name}={value}" for name, value in sorted(result.segment.run.config.items()))
                    raise TaskError(f"The first steps of a configuration ({config}) failed: {last}")

    @property
    def begin(self) -> float:
        """Seconds from the order to the first step."""
        return max(0.0, self._times[1] - self._times[0] - self.evaluations[0].seconds)

    @property
    def between(self) -> float:
        """Seconds of an evaluation point outside of training and prediction: metrics, messages."""
        passed = [after - before for before, after in pairwise(self._times[1:-1])]
        outside = [gap - each.seconds for gap, each in zip(passed, self.evaluations[1:], strict=True)]
        return max(0.0, statistics.median(outside))

    @property
    def end(self) -> float:
        """Seconds from the last evaluation to the end."""
        return self._times[-1] - self._times[-2]


def _train(
    pool: Pool, brief: Workload, config: Mapping[str, Any], fold: int, stop: int, slots: Sequence[Slot]
) -> Sequence[_Steps]:
    steps: dict[str, _Steps] = {}
    horizon = brief.evaluations_per_epoch
    waiting = {slot.index for slot in slots}
    while waiting or pool.busy():
        for slot in pool.idle():
            if slot.index in waiting:
                waiting.discard(slot.index)
                run = Run(f"first steps {slot.index}", config, fold, 0, horizon, horizon // 2)
                steps[run.key] = _Steps()
                pool.submit(slot, Train(brief.study, Segment(run, 0, stop), leaves_checkpoint=True))
        for event in pool.completed(0.5):
            steps[_run_of(event)].take(event)
    return list(steps.values())


def _run_of(event: Event) -> str:
    match event:
        case Evaluated(_, evaluation, _):
            return evaluation.run
        case Checkpointed(_, run, _, _, _):
            return run
        case Ended(_, result):
            return result.segment.run.key
