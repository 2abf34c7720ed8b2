"""What to do with a trial after something was recorded for it: one pure function of History."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from hpsearch.errors import UsageError
from hpsearch.metrics.direction import Objective
from hpsearch.policy.early_stopping import EarlyStopping
from hpsearch.policy.failures import after_bad_outcome
from hpsearch.policy.pruner import Pruner
from hpsearch.policy.pruning_steps import first_judged_step, furthest_point, reports, rung, warmup_epochs
from hpsearch.policy.trial_limit import NO_LIMIT, TrialLimit
from hpsearch.records import Action, Decision, History, Origin, Trial, TrialState
from hpsearch.records.objective_values import best_common_point, objective_curve
from hpsearch.records.run_length import run_epochs


@dataclass(frozen=True)
class Policy:
    """The rules that judge a study's trials: early stopping ends a first fold, the pruner ends or pauses a trial.

    They compare scores of the objective; what a decision records are values as measured. A trial that has had what the
    budget lets one trial take ends, the literature default too.
    """

    objective: Objective
    evaluations_per_epoch: int
    early_stopping: EarlyStopping | None
    pruner: Pruner
    trial_limit: TrialLimit = NO_LIMIT

    def decide(self, history: History, number: int, *, closing: bool = False) -> Decision:
        """Return what to do with a trial; `closing` says that no further trials are coming.

        The same History gives the same decision, so a crash between a record and its decision does no harm.
        """
        trial = history.trials[number]
        if trial.state.is_finished:
            return Decision(number, Action.CONTINUE, "the trial has ended")
        failed = after_bad_outcome(history, trial)
        if failed is not None:
            return failed
        stop = trial.stop if trial.stop is not None else self.stop_point(history, trial)
        if stop is not None and all(history.point(run) >= stop for run in trial.runs):
            return self._complete(history, trial, stop)
        over = None if stop != trial.stop else self.trial_limit.reason_to_end(history, trial)
        if over is not None:
            return self._pruned(history, trial, over)
        if stop is None:
            return self._prune_or_pause(history, trial, closing) or Decision(
                number, Action.CONTINUE, "the first fold goes on"
            )
        if trial.stop is None:
            early = stop < trial.runs[0].horizon
            reason = f"the first fold stopped at point {stop} of {trial.runs[0].horizon}"
            return Decision(number, Action.STOP_EARLY if early else Action.CONTINUE, reason, stop=stop)
        return self._prune_or_pause(history, trial, closing) or Decision(number, Action.CONTINUE, "its folds go on")

    def target(self, history: History, trial: Trial, index: int, *, closing: bool) -> int:
        """Return the evaluation point that run `index` (from 0) of an unfinished trial may be trained to for now.

        Later runs wait for the first one's stop. `closing` says that no further trials are coming.
        """
        end = trial.stop if trial.stop is not None else trial.runs[index].horizon
        if trial.stop is None and index > 0:
            return 0
        limit = self._limit(history, trial, closing=closing)
        furthest = self.trial_limit.furthest_point(trial, index, end)
        return furthest if limit is None else min(furthest, furthest_point(index, end, limit))

    def limits_of_all(self, history: History, *, closing: bool) -> Mapping[int, int] | None:
        """Return the step that each trial has to wait at, by number, where the pruner says so of all at once."""
        return self.pruner.limits_of_all(history, closing=closing)

    def decides_within(self, *, is_watched: bool) -> bool:
        """Return whether anything can be decided on a run before its segment's end; `is_watched`: by early stopping."""
        is_stopped_early = is_watched and self.early_stopping is not None
        return is_stopped_early or not self.pruner.never_prunes or self.trial_limit.device_seconds is not None

    def waits(self, history: History, trial: Trial) -> bool:
        """Return whether a trial waits for a promotion: none of its runs may go on for now."""
        return all(
            history.point(run) >= self.target(history, trial, index, closing=False)
            for index, run in enumerate(trial.runs)
        )

    def give_up(self, history: History, trial: Trial) -> Decision | None:
        """Prune a trial that waits for a promotion that can no longer come; return None for any other trial."""
        limit = self._limit(history, trial, closing=True)
        if limit is None:
            return None
        return self._pruned(history, trial, self.pruner.reason_to_wait(history, trial, limit))

    def stop_point(self, history: History, trial: Trial) -> int | None:
        """Return where the first run stops: early or at its horizon; None while it continues."""
        run = trial.runs[0]
        if self.early_stopping is not None:
            early = self.early_stopping.stop_point(
                history.of(run.key), self.objective, warmup_epochs(run), self.evaluations_per_epoch, run_epochs(run)
            )
            if early is not None:
                return early
        return run.horizon if history.point(run) >= run.horizon else None

    def _limit(self, history: History, trial: Trial, *, closing: bool) -> int | None:
        """Return the step that the pruner lets a trial go to; the literature default always goes to its end."""
        if trial.origin is Origin.DEFAULT:
            return None
        limit = self.pruner.limit(history, trial, closing=closing)
        if limit is None or type(limit) is int:
            return limit
        raise UsageError(
            f"{type(self.pruner).__name__}.limit gave {limit!r}, a {type(limit).__name__}: give a step of the pruners' "
            "axis, a whole number, or None where the trial may go to its end."
        )

    def _prune_or_pause(self, history: History, trial: Trial, closing: bool) -> Decision | None:
        return self._prune(history, trial) or self._pause(history, trial, closing)

    def _pause(self, history: History, trial: Trial, closing: bool) -> Decision | None:
        """Let a running trial wait once all of its runs are as far as the pruner allows for now."""
        if trial.state is not TrialState.RUNNING:
            return None
        limit = self._limit(history, trial, closing=closing)
        if limit is None:
            return None
        for index, run in enumerate(trial.runs):
            if history.point(run) < self.target(history, trial, index, closing=closing):
                return None
        reason = self.pruner.reason_to_wait(history, trial, limit)
        return Decision(trial.number, Action.PAUSE, reason, reports=reports(history, trial, self.objective))

    def _prune(self, history: History, trial: Trial) -> Decision | None:
        """Ask the pruner when a run has just reached a step of its axis after the learning rate's warmup.

        Never about the literature default: it must finish every fold to tell whether the winner beats it.
        """
        if trial.origin is Origin.DEFAULT:
            return None
        if not self._at_rung(history, trial) or not reports(history, trial, self.objective):
            return None
        reason = self.pruner.reason_to_prune(history, trial)
        if reason is None:
            return None
        if not isinstance(reason, str):
            raise UsageError(
                f"{type(self.pruner).__name__}.reason_to_prune gave {reason!r}, a {type(reason).__name__}: give the "
                "reason in words, or None if the trial continues."
            )
        return self._pruned(history, trial, reason)

    def _at_rung(self, history: History, trial: Trial) -> bool:
        for index, run in enumerate(trial.runs):
            point = history.point(run)
            if trial.stop is None or point < trial.stop:
                if point == 0:
                    return index > 0
                step = rung(index, point, run.horizon, trial.stop)
                return step is not None and step >= first_judged_step(trial)
        return False

    def _pruned(self, history: History, trial: Trial, reason: str) -> Decision:
        reached = reports(history, trial, self.objective)
        value = reached[-1][1] if reached and math.isfinite(reached[-1][1]) else None
        point = max((history.point(run) for run in trial.runs), default=0)
        return Decision(
            trial.number, Action.PRUNE, reason, value=value, point=point or None, stop=trial.stop, reports=reached
        )

    def _complete(self, history: History, trial: Trial, stop: int) -> Decision:
        curves = [objective_curve(history, run, self.objective.name) for run in trial.runs]
        point, value = best_common_point(curves, stop, self.objective.direction)
        if not math.isfinite(value):
            return Decision(trial.number, Action.FAIL, f"{self.objective.name} was never a number", stop=stop)
        return Decision(
            trial.number,
            Action.COMPLETE,
            f"every fold reached point {stop}",
            value=value,
            point=point,
            stop=stop,
            reports=reports(history, replace(trial, stop=stop), self.objective),
            attributes=self._attributes(history, trial, point),
        )

    def _attributes(self, history: History, trial: Trial, point: int) -> Mapping[str, Any]:
        evaluations = [history.of(run.key)[point - 1] for run in trial.runs]
        means = {
            name: sum(evaluation.metrics[name] for evaluation in evaluations) / len(evaluations)
            for name in evaluations[0].metrics
        }
        return {
            "epoch": evaluations[0].epoch,  # as recorded, which is what the table and the card say
            "folds": [evaluation.metrics[self.objective.name] for evaluation in evaluations],
            "metrics": {name: value for name, value in means.items() if math.isfinite(value)},
        }
