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
from hpsearch.runtime.forecast import Shape, Tried, distance
from hpsearch.runtime.messages import Checkpointed, Ended, Evaluated, Event, Refused, Train, Workload
from hpsearch.runtime.pools.base import Pool
from hpsearch.training.batches import ROWS_MULTIPLE, epoch_batches

STEPS, POINTS = 16, 4
"""Optimizer steps of a configuration, and the evaluation points in which they are measured."""

QUICK, MORE_STEPS = 2.0, 128
"""Where those steps take less than so many seconds, so many steps are measured: short ones vary more."""

HELD_OUT_ROWS = 512
"""Held-out rows of an evaluation, at most: of larger folds a sample, without the metrics."""

FILLED_ROWS = 20_000
"""Rows of data whose outputs of frozen layers are computed, at most; of more the steps are timed without them."""

MEASURED, EMPTY, HALVED = 0, 1, 2
"""The folds of the first steps. Of an evaluation: the longest rows, for the memory, and all held-out rows. Of steps: a
sample of rows, and a few held-out rows; to tell their evaluation from the steps, the same after a single step; and half
of the sample, for as many steps of half a batch."""

LEAST_HALVED = 4
"""Rows of a batch of which half is tried, at least: some models cannot be trained on a single row."""


class NoMemoryError(TaskError):
    """The first steps of a configuration ran out of memory."""


def first_steps(pool: Pool, workload: Workload, config: Mapping[str, Any]) -> Tried:
    """Train a few steps of a config on all slots at once, and return what they took.

    Raises:
        NoMemoryError: It takes too much memory.
        TaskError: It cannot be trained.
    """
    others = {name: value for name, value in config.items() if name not in ("max_steps", "gradual_unfreezing")}
    config = {**others, "epochs": 1}  # and steps of all that a run trains at last
    briefs = _Briefs(workload, config, STEPS)
    pool.prepare(briefs.of_evaluations)
    (first,) = _train(pool, briefs.of_evaluations, config, MEASURED, 1, pool.slots()[:1])
    whole = _train(pool, briefs.of_evaluations, config, MEASURED, POINTS, pool.slots())
    pool.prepare(briefs.of_steps)
    empty = _train(pool, briefs.of_steps, config, EMPTY, POINTS, pool.slots())
    # Medians of what is alike: another program may take the processor for a moment.
    nothing = statistics.median([each.seconds for run in empty for each in run.evaluations[1:]])
    runs = _train(pool, briefs.of_steps, config, MEASURED, POINTS, pool.slots())
    step, error, warming = _step(runs, nothing, briefs.steps)
    if step * briefs.steps < QUICK:
        briefs = _Briefs(workload, config, MORE_STEPS)
        pool.prepare(briefs.of_steps)
        runs = _train(pool, briefs.of_steps, config, MEASURED, POINTS, pool.slots())
        step, error, warming = _step(runs, nothing, briefs.steps)
    half = {**config, "batch_size": briefs.batch // 2}
    halves = _train(pool, briefs.of_steps, half, HALVED, POINTS, pool.slots()) if briefs.batch >= LEAST_HALVED else ()
    fixed = 2 * _step(halves, nothing, briefs.steps)[0] - step if halves else 0.0
    evaluations = [each.seconds for run in whole for each in run.evaluations[1:]]
    evaluation = statistics.median(evaluations)
    between = statistics.median([run.between for run in whole])
    return Tried(
        config=config,
        step=step * briefs.padding,
        step_error=error * briefs.padding,
        step_fixed=min(max(0.0, fixed), step) * briefs.padding,
        evaluation=briefs.scale * evaluation,
        evaluation_error=briefs.scale * statistics.stdev(evaluations) / math.sqrt(len(evaluations)),
        between=briefs.scale * between,
        begin=statistics.median([run.begin for run in whole]) + warming,
        end=statistics.median([run.end for run in whole]),
        filling=max(0.0, first.evaluations[0].seconds - step - evaluation),
        peak_bytes=max(each.peak_memory_bytes for run in (first, *whole, *runs) for each in run.evaluations),
        checkpoint_bytes=max(run.checkpoint_bytes for run in runs),
        shapes=briefs.shapes,
    )


def _step(runs: "Sequence[_Steps]", nothing: float, steps: int) -> tuple[float, float, float]:
    """Return the seconds of a step, their standard error, and by how much the first steps of a run take longer.

    `nothing` is what a point takes without a step. A mean, and no median: the rows of steps are of different lengths.
    """
    points = [[max(0.0, each.seconds - nothing) for each in run.evaluations] for run in runs]
    ends = [math.ceil(point * steps / POINTS) for point in range(POINTS + 1)]
    first = 1 if steps >= 2 * POINTS else 0
    later = [seconds for run in points for seconds in run[first:]]
    step = max(1e-6, math.fsum(later) / len(runs) / (steps - ends[first]))
    error = statistics.stdev(later) / math.sqrt(len(later)) * POINTS / steps
    warming = statistics.fmean([run[0] for run in points]) - step * ends[1] if first else 0.0
    return step, error, max(0.0, warming)


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


class _Briefs:
    """Two workloads of a few steps.

    Attributes:
        of_evaluations: A step on the longest rows, then evaluations.
        of_steps: Some steps, almost without evaluations.
        batch, steps: The rows of a step, and the number of steps.
        padding: How many padded tokens a row has in a whole epoch, for each in these steps: among more rows more are
            of one length.
        scale: How many times as long an evaluation takes on all held-out rows.
        shapes: The shapes of the batches of these steps.
    """

    def __init__(self, workload: Workload, config: Mapping[str, Any], steps: int) -> None:
        train, held_out = workload.folds[0]
        batch, random = int(config["batch_size"]), np.random.default_rng(0)
        rows = train if len(train) <= steps * batch else np.sort(random.choice(train, steps * batch, replace=False))
        rows = rows[: len(rows) // batch * batch] if len(rows) > batch else rows
        is_whole = len(held_out) <= HELD_OUT_ROWS
        held = held_out if is_whole else np.sort(random.choice(held_out, HELD_OUT_ROWS, replace=False))
        lengths = np.asarray(workload.learner_for(config).lengths)
        longest = train[np.argsort(-lengths[train], kind="stable")[:batch]]
        is_filled = workload.prepared_for(config).rows <= FILLED_ROWS
        brief = replace(
            workload,
            evaluations_per_epoch=POINTS,
            early_stopping=None,
            checkpoint_every=math.inf,
        )
        if not is_filled:  # under another name, or the workers would go on with models that have features
            brief = replace(brief, study=f"{workload.study} without features", features=None)
        undefined = Gaps(folds={MEASURED: workload.gaps.folds.get(0, {})})
        metrics = workload.metrics if is_whole else ()
        self.of_evaluations = replace(brief, folds=((longest, held),), metrics=metrics, gaps=undefined)
        few = held[:ROWS_MULTIPLE]  # a whole batch of the model, as one row would be
        self.batch = min(batch, len(rows))
        self.steps = math.ceil(len(rows) / batch)
        halved = rows[::2][: self.steps * (self.batch // 2)]
        self.of_steps = replace(brief, folds=((rows, few), (longest, few), (halved, few)), metrics=(), gaps=Gaps())
        self.padding = _tokens(lengths[train], batch) / _tokens(lengths[rows], batch)
        self.scale = len(held_out) / len(held)
        self.shapes = _shapes(workload, config, lengths[rows])


def new_shapes(workload: Workload, configs: Sequence[Mapping[str, Any]], tried: Sequence[Tried]) -> int:
    """Return how many shapes of batches some configs have that were not tried."""
    train = workload.folds[0][0]
    kinds = {(config["batch_size"], bool(config.get("freeze_layers"))): config for config in configs}.values()
    all_of_them = [_shapes(workload, each, np.asarray(workload.learner_for(each).lengths)[train]) for each in kinds]
    return len(frozenset().union(*all_of_them).difference(*(each.shapes for each in tried)))


def _shapes(workload: Workload, config: Mapping[str, Any], lengths: np.ndarray) -> frozenset[Shape]:
    """Return the shapes of the batches of an epoch: rows and padded tokens."""
    numerics = workload.numerics
    multiple = numerics.padding_multiple if config.get("freeze_layers") else numerics.training_padding_multiple
    batches = epoch_batches(lengths, int(config["batch_size"]), 0, 0)
    return frozenset((len(rows), -(-int(lengths[rows].max()) // multiple) * multiple) for rows in batches)


def _tokens(lengths: np.ndarray, batch: int) -> float:
    """Return the padded tokens a row of an epoch."""
    padded = [len(rows) * int(lengths[rows].max()) for rows in epoch_batches(lengths, batch, 0, 0)]
    return max(1, sum(padded)) / len(lengths)


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
                    kind = NoMemoryError if result.outcome is Outcome.OUT_OF_MEMORY else TaskError
                    raise kind(f"The first steps of a configuration ({config}) failed: {last}")

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
    horizon, error = brief.evaluations_per_epoch, None
    waiting = {_key(slot) for slot in slots}
    while (waiting := waiting & {_key(slot) for slot in pool.slots()}) or pool.busy():
        for slot in pool.idle():
            if (key := _key(slot)) in waiting:
                waiting.discard(key)
                run = Run(key, config, fold, 0, horizon, horizon)
                steps[key] = _Steps()
                pool.submit(slot, Train(brief.study, Segment(run, 0, stop), leaves_checkpoint=True))
        for event in pool.completed(0.5):
            key = _run_of(event)
            if isinstance(event, Ended) and event.result.outcome is Outcome.PAUSED:
                del steps[key]  # out of memory beside others: again among fewer
                waiting |= {key} if error is None else set()
                continue
            try:
                steps[key].take(event)
            except TaskError as failed:  # once the others have ended, too, the pool is ready for another try
                error = failed
                waiting.clear()
    if error is not None:
        raise error
    if not steps:
        raise TaskError(
            f"No worker was left on {slots[0].devices[0]} to try a few steps on. Make the forecast on other devices, "
            "or with devices='inline'."
        )
    return list(steps.values())


def _key(slot: Slot) -> str:
    return f"first steps {slot.index}"


def _run_of(event: Event) -> str:
    match event:
        case Evaluated(_, evaluation, _):
            return evaluation.run
        case Checkpointed(_, run, _, _, _):
            return run
        case Ended(_, result):
            return result.segment.run.key
        case Refused(_, error):
            raise error
