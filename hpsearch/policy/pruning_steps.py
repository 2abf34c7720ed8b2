"""The step axis that pruners see: comparable across trials that train for different lengths.

A step is a quarter of a run: step 1 is a quarter of the first fold's epochs, step 4 its end, step 5 a quarter of the
second fold, and so on. So a trial of one epoch and a trial of four meet at every step.
"""

import math
from collections.abc import Iterator, Sequence

from hpsearch.metrics.direction import Objective
from hpsearch.records import Evaluation, History, Run, Trial, TrialState
from hpsearch.records.run_length import run_epochs

RUNGS_PER_RUN = 4


def rung(index: int, point: int, horizon: int, stop: int | None) -> int | None:
    """Return the step that evaluation point `point` (from 1) is the first to reach, or None where it reaches none.

    The point is of a trial's run `index` (from 0), whose last point is `horizon`, or `stop` once the first fold has
    set it.
    """
    end = horizon if index == 0 else (stop or horizon)
    if point == stop:
        return RUNGS_PER_RUN * (index + 1)
    quarter = RUNGS_PER_RUN * point // end
    reached = quarter > RUNGS_PER_RUN * (point - 1) // end
    return RUNGS_PER_RUN * index + quarter if reached else None


def quarters(horizon: int) -> frozenset[int]:
    """Return the evaluation points that first reach a quarter of a run: where what is costly is measured.

    They are those of the steps of a first run. They follow from its length alone: not from where its segments end,
    nor from what the other runs of its trial have shown.
    """
    return frozenset(-(-quarter * horizon // RUNGS_PER_RUN) for quarter in range(1, RUNGS_PER_RUN + 1))


def furthest_point(index: int, end: int, limit: int) -> int:
    """Return the first evaluation point of a trial's run `index` (from 0) at which the trial reaches step `limit`.

    It is from 0, where the run may not begin, to `end`, the run's last evaluation point.
    """
    quarters = min(max(limit - RUNGS_PER_RUN * index, 0), RUNGS_PER_RUN)
    return -(-quarters * end // RUNGS_PER_RUN)


def first_judged_step(trial: Trial) -> int:
    """Return the first step at which a pruner may be asked: the first past the learning rate's warmup.

    On a warmup's plateau every curve looks alike. The runs after the first are judged throughout.
    """
    run = trial.runs[0]
    warmup = warmup_share(run) * run.horizon
    for step in range(1, RUNGS_PER_RUN + 1):
        if -(-step * run.horizon // RUNGS_PER_RUN) > warmup:
            return step
    return RUNGS_PER_RUN + 1


def warmup_share(run: Run) -> float:
    """Return the share of a run in which the learning rate warms up."""
    steps = run.config.get("warmup_steps")
    if steps is not None and run.steps_per_epoch:
        return float(steps) / (run.steps_per_epoch * run_epochs(run))
    return float(run.config.get("warmup_ratio") or 0.0)


def warmup_epochs(run: Run) -> float:
    """Return the epochs of a run in which the learning rate warms up."""
    steps = run.config.get("warmup_steps")
    if steps is not None and run.steps_per_epoch:
        return float(steps) / run.steps_per_epoch
    return warmup_share(run) * run_epochs(run)


def reports_at_end(history: History, trial: Trial, objective: Objective) -> tuple[tuple[int, float], ...]:
    """Return a trial's reports; of a pruned one only those that judged it, for an equal trial may train its runs on."""
    pairs = reports(history, trial, objective)
    if trial.state is not TrialState.PRUNED or trial.value is None:
        return pairs
    if trial.stop is None and trial.point is not None:
        horizon = trial.runs[0].horizon
        return pairs[: sum(rung(0, point, horizon, None) is not None for point in range(1, trial.point + 1))]
    last = max((index for index, (_, value) in enumerate(pairs) if value == trial.value), default=len(pairs) - 1)
    return pairs[: last + 1]


def reports(history: History, trial: Trial, objective: Objective | str) -> tuple[tuple[int, float], ...]:
    """Return the (step, partial value) pairs that a trial has reached so far, in order; the values are as measured.

    A name alone, as a user's own pruner gives it, is that of a metric of the study's direction.
    """
    if isinstance(objective, str):
        objective = Objective(objective, history.direction)
    return tuple([(step, value) for step, value, _ in steps_reached(history, trial, objective)])


def steps_reached(history: History, trial: Trial, objective: Objective) -> Iterator[tuple[int, float, Evaluation]]:
    """Yield (step, partial value, evaluation that reached it) of a trial, in the order of the steps.

    The partial value is the mean, over the runs begun so far, of the best objective of each, as measured. A run counts
    only once all before it have ended, so that the steps do not depend on which worker was faster.
    """
    ended: list[float] = []
    for index, run in enumerate(trial.runs):
        evaluations, best = history.of(run.key)[: trial.stop], -math.inf
        for evaluation in evaluations:
            score = objective.score(evaluation.metrics)
            best = max(best, score) if math.isfinite(score) else best
            step = rung(index, evaluation.point, run.horizon, trial.stop)
            if step is not None and objective.is_sparse and ended and best == -math.inf:
                yield step, sum(ended) / len(ended), evaluation  # a later run of which nothing is measured yet
            elif step is not None:
                current = objective.direction.score(best)
                yield step, (sum(ended) + current) / (len(ended) + 1), evaluation
        if trial.stop is None or len(evaluations) < trial.stop:
            return
        ended.append(objective.direction.score(best))


def running_best(evaluations: Sequence[Evaluation], objective: Objective) -> float:
    """Return the best objective among the evaluations, as measured; where none is a number, the worst infinity."""
    scores = (objective.score(evaluation.metrics) for evaluation in evaluations)
    return objective.direction.score(max((score for score in scores if math.isfinite(score)), default=-math.inf))
