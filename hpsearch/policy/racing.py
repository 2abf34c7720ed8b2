"""Racing over folds and epochs: every trial starts small, and compute goes where the decision is open.

The ladder is that of successive halving (Li et al. 2020, algorithm 2: a waiting trial may still be promoted), over
quarters of a trial's own first fold, then whole folds. Racing adds comparisons with the best trial so far. All trials
share folds, seeds and the order of rows, so a difference on one fold is a difference of paired measurements, as in a
race (Maron and Moore 1994, "Hoeffding races"), and the study itself shows its sampling error.
"""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from hpsearch.errors import UsageError
from hpsearch.metrics.direction import Objective
from hpsearch.policy.ladder import Rung
from hpsearch.policy.promotion import PromotingPruner, steps_of
from hpsearch.policy.pruning_steps import RUNGS_PER_RUN, first_judged_step
from hpsearch.records import History, Origin, Trial, TrialState
from hpsearch.records.run_length import run_epochs

MINIMUM_STEPS = 20
"""Optimizer steps before the first decision: until then a curve shows little but the learning rate's warmup."""

MINIMUM_SHARE = 0.1
"""Share of a fold's rows before the first decision."""

ROUNDING = 1e-9
"""Far more than the relative error of a mean or a standard deviation in floating point."""

LEAST_FOR_SPREAD = 4
"""Trials at a rung before its spread is compared with its sampling error."""

LEAST_FOR_ERROR = 3
"""Trials with two folds or more from which the sampling error is estimated, at least."""


@dataclass(frozen=True)
class Racing:
    """The default pruner: which trials continue, wait or end.

    Rungs double: a quarter of the first fold's epochs, half of them, the first fold, two folds, four folds, ..., all.
    At each rung a trial waits, with its checkpoint, until it is among the best 1/eta of those that came there; the best
    of a rung continues at once. Two comparisons narrow and widen that, and you can ask for a third:

    - A trial waits if it is behind the best complete trial, at the same rung and on the same folds, by more than
      `margin` standard errors of that difference.
    - If the spread of a rung is within its sampling error, the rung cannot tell trials apart, and all continue.
    - With `forgiving`, a trial ends for good once its mean over whole folds is worse than the worst fold of the best
      complete trial (Bergman, Purucker and Hutter 2024, "Don't waste your time: early stopping cross-validation"). That
      does not compare fold by fold: where folds differ in difficulty, a hard first fold ends trials that are better.

    The standard error comes from what trial and fold together leave unexplained in the folds' scores (the residual of
    a two-way layout). Until three trials have two folds, no trial is held back for being behind. Nothing is decided
    during the learning rate's warmup, the first 20 optimizer steps and the first tenth of a fold. Equal scores, as from
    models that predict one class for every row, are ranked by validation loss. The literature default always trains to
    its end. When no more trials are coming, the best of each rung continues, so one searched trial gets all folds.

    Attributes:
        reduction_factor: eta: one in so many continues to the next rung.
        margin: Standard errors by which a trial may be behind. None: trials are not compared with the best one.
        partial: Whether there are rungs within the first fold.
        spread: Whether all trials continue at a rung that cannot tell them apart.
        forgiving: Whether a trial ends that is worse than the worst fold of the best one.
        synchronous: Decide in cohorts by trial number, at a rung once the whole cohort is there, by rank alone: the
            comparison with the best trial so far depends on which trials were decided on before. Any study is the same
            on any number of workers; with `reproducible=False` only this one is, of a sampler that does not learn.

    Raises:
        UsageError: A value is out of range.
    """

    reduction_factor: int = 2
    margin: float | None = 2.0
    partial: bool = True
    spread: bool = True
    forgiving: bool = False
    synchronous: bool = False

    def __post_init__(self) -> None:
        eta = self.reduction_factor
        if isinstance(eta, bool) or not isinstance(eta, int) or eta < 2:
            raise UsageError(f"Racing(reduction_factor={eta!r}): give a whole number of at least 2.")
        if self.margin is not None and (
            isinstance(self.margin, bool) or not isinstance(self.margin, int | float) or not 0 <= self.margin < math.inf
        ):
            raise UsageError(f"Racing(margin={self.margin!r}): give a number of standard errors from 0, or None.")
        for name in ("partial", "spread", "forgiving", "synchronous"):
            if not isinstance(getattr(self, name), bool):
                raise UsageError(f"Racing({name}={getattr(self, name)!r}): give True or False.")


def doubling_rungs(steps: int, *, partial: bool = True) -> tuple[int, ...]:
    """Return the rungs of a trial of so many steps, lowest first, without its end."""
    first = 0 if partial else RUNGS_PER_RUN.bit_length() - 1
    return tuple(2**power for power in range(first, steps.bit_length()) if 2**power < steps)


def sampling_error(scores: Sequence[Sequence[float]]) -> float | None:
    """Return the standard deviation of a fold's score about what trial and fold explain, or None from too few.

    Args:
        scores: The scores of each trial's folds, in their common order; only folds that all trials have count.

    The residual mean square of a two-way layout with one observation a cell (Fisher 1925, section 48).
    """
    finite = [row for row in scores if all(map(math.isfinite, row))]
    folds = min(map(len, finite), default=0)
    if len(finite) < LEAST_FOR_ERROR or folds < 2:
        return None
    rows = [row[:folds] for row in finite]
    means = [fmean(row) for row in rows]
    grand = fmean(means)
    columns = [fmean(row[fold] for row in rows) - grand for fold in range(folds)]
    pairs = zip(rows, means, strict=True)
    squares = sum((row[fold] - mean - columns[fold]) ** 2 for row, mean in pairs for fold in range(folds))
    return math.sqrt(squares / ((len(rows) - 1) * (folds - 1)))


@dataclass(frozen=True)
class _Best:
    """What trials are compared with: the best complete one, the scores of its folds, and their sampling error."""

    trial: Trial
    folds: tuple[float, ...]
    error: float | None
    only_default: bool


class RacingPruner(PromotingPruner):
    """Racing as a pure function of History.

    Args:
        rule: Its settings.
        objective: What it compares.
    """

    def __init__(self, rule: Racing, objective: Objective) -> None:
        super().__init__(objective, "racing", rule.reduction_factor)
        self._rule = rule
        self._best: tuple[int, _Best | None] = (-1, None)

    def rungs(self, trial: Trial) -> tuple[int, ...]:
        return doubling_rungs(steps_of(trial), partial=self._rule.partial)

    def first_judged(self, trial: Trial) -> int:
        """Return the first step at which a trial may have to wait: after warmup, 20 steps and a tenth of a fold."""
        earliest, run = first_judged_step(trial), trial.runs[0]
        steps_per_epoch = min(other.steps_per_epoch for other in trial.runs)
        if not steps_per_epoch:
            return earliest
        epochs = run_epochs(run)
        for step in range(earliest, RUNGS_PER_RUN + 1):
            passes = -(-step * run.horizon // RUNGS_PER_RUN) / run.horizon * epochs
            if passes >= MINIMUM_SHARE and passes * steps_per_epoch >= MINIMUM_STEPS:
                return step
        return RUNGS_PER_RUN + 1

    def group_of(self, trial: Trial) -> tuple[Hashable, tuple[int, ...], int | None]:
        rungs = self.rungs(trial)
        size = self._rule.reduction_factor ** len(rungs) if self._rule.synchronous else None
        cohort = 0 if size is None else trial.number // size
        return (steps_of(trial), cohort), rungs, size

    def promoted(self, history: History, rung: Rung) -> list[int]:
        count = max(1, len(rung.ranked) // self._rule.reduction_factor)
        if self._rule.synchronous:  # by values alone: what has ended, or is further, tells who was faster
            return [number for equals in (rung.ranked[:count] if rung.all_came else ()) for number in equals]
        best = self.basis(history)
        if best is not None and self._tells_nothing_apart(rung, best):
            count = len(rung.ranked)
        going = self.going_by_rank(rung, count)
        if best is None or best.error is None or self._rule.margin is None:
            return going
        able = next((number for number in going if number in rung.able), None)
        last_hope = able if rung.all_came and best.only_default else None
        least = self._least(history, rung.step, best)
        return [
            number
            for number in going
            if number in rung.beyond or number == last_hope or not self._is_behind(number, rung.step, least)
        ]

    def reason_to_wait(self, history: History, trial: Trial, limit: int) -> str:
        best = self.basis(history)
        if best is not None and best.error is not None and self._rule.margin is not None:
            margin = self._margin(limit, best)
            if self._is_behind(trial.number, limit, self._least(history, limit, best)):
                return (
                    f"racing: behind trial {best.trial.number} after step {limit} of {steps_of(trial)} by more than "
                    f"{self._rule.margin:g} standard errors of the difference ({margin:.4g})"
                )
        return super().reason_to_wait(history, trial, limit)

    @property
    def never_prunes(self) -> bool:
        return not self._rule.forgiving

    def reason_to_prune(self, history: History, trial: Trial) -> str | None:
        """Return why a trial ends for good: its mean over whole folds is worse than the best's worst fold."""
        best = self.basis(history) if self._rule.forgiving else None
        if best is None or best.only_default or trial.stop is None:
            return None
        whole = self.progress(history, trial).folds
        if not whole or len(whole) == len(trial.runs) or fmean(whole) >= min(best.folds):
            return None
        mean, worst = map(self._objective.direction.score, (fmean(whole), min(best.folds)))
        return (
            f"racing: mean {mean:.4g} over {len(whole)} of {len(trial.runs)} folds, worse than the worst fold "
            f"({worst:.4g}) of trial {best.trial.number}"
        )

    def _is_behind(self, number: int, step: int, least: float) -> bool:
        ours = self._progress[number].at(step)
        return ours is not None and ours[0] < least

    def _least(self, history: History, step: int, best: _Best) -> float:
        """Return the least score at a rung of one who is not behind the best there by more than the margin."""
        theirs = self.progress(history, best.trial).at(step)
        return -math.inf if theirs is None else theirs[0] - self._margin(step, best)

    def _margin(self, step: int, best: _Best) -> float:
        """Return by how much a trial may be behind the best at a rung, by its step.

        The mean over all folds is to be foretold from those trained; from a part of one, no better than from one.
        """
        assert best.error is not None
        assert self._rule.margin is not None
        folds = step // RUNGS_PER_RUN
        unknown = 1 / max(1, folds) - (1 / len(best.folds) if folds else 0.0)
        return self._rule.margin * best.error * math.sqrt(2 * max(0.0, unknown))

    def _tells_nothing_apart(self, rung: Rung, best: _Best) -> bool:
        scores = [score for score in rung.scores if math.isfinite(score)]
        if not self._rule.spread or best.error is None or len(scores) < LEAST_FOR_SPREAD:
            return False
        return _is_stdev_within(scores, best.error / math.sqrt(max(1, rung.step // RUNGS_PER_RUN)))

    def basis(self, history: History) -> _Best | None:
        """Return the best complete trial, and the folds' sampling error; worked out when a fold or trial has ended."""
        if self._rule.synchronous:  # which trial is the best so far depends on which worker was faster
            return None
        self.look_at(history)
        if self._best[0] != self._ends:
            best = self._found_best(history)
            self._best = (self._ends, self._best[1] if best == self._best[1] else best)
        return self._best[1]

    def _found_best(self, history: History) -> _Best | None:
        complete = history.finished(TrialState.COMPLETE)
        if not complete:
            return None
        best = max(complete, key=lambda trial: (self._score(trial), -trial.number))
        scores = [self.progress(history, trial).folds for trial in history.trials.values()]
        error = sampling_error([folds for folds in scores if len(folds) >= 2])
        only_default = all(trial.origin is Origin.DEFAULT for trial in complete)
        return _Best(best, self.progress(history, best).folds, error, only_default)

    def _score(self, trial: Trial) -> float:
        return -math.inf if trial.value is None else self._objective.direction.score(trial.value)


def _is_stdev_within(values: Sequence[float], bound: float) -> bool:
    """Return whether `stdev(values) <= bound`; that works with fractions, and is needed only where it is close."""
    mean = sum(values) / len(values)
    about = math.sqrt(sum([(value - mean) * (value - mean) for value in values]) / (len(values) - 1))
    close = ROUNDING * (about + bound + abs(mean))
    return about < bound if abs(about - bound) > close else stdev(values) <= bound
