"""What a pruner of Optuna's decides on a trial, worked out anew from History.

Successive halving and Hyperband write what they have seen into the attributes of trials, others remember it
themselves. A projection has no such memory. So the reports are replayed: every trial, by number, reports again step by
step and the pruner is asked after each, as Optuna would have asked it; the trial in question comes last. What it finds
is a function of History alone, the same after a restart and whatever the workers' order was; with one worker it is what
plain Optuna decides.
"""

import copy
from collections.abc import Sequence

import optuna
from optuna.trial import FrozenTrial

from hpsearch.errors import UsageError
from hpsearch.policy.axis import first_judged_step
from hpsearch.policy.projection import ProjectedStorage, Projection
from hpsearch.records import History, Trial

_MEMORYLESS = (
    optuna.pruners.MedianPruner,
    optuna.pruners.NopPruner,
    optuna.pruners.PercentilePruner,
    optuna.pruners.ThresholdPruner,
    optuna.pruners.WilcoxonPruner,
)
"""Optuna's own pruners that look at values and states only: nothing has to be replayed for them."""

_UNUSED_SAMPLER = optuna.samplers.RandomSampler(seed=0)
"""Nothing is sampled in a replay; without one, Optuna would make a TPE for each study."""


class _Replayed:
    """The pruner and the study as they stand after a number of trials."""

    def __init__(self, pruner: optuna.pruners.BasePruner, frozen: Sequence[FrozenTrial] = ()) -> None:
        self.pruner = pruner
        self.storage = ProjectedStorage(frozen)
        self._study = optuna.Study(self.storage.name, self.storage, _UNUSED_SAMPLER, pruner)

    def copy(self) -> "_Replayed":
        """Return the same to go on from; the trials are shared, for what a pruner writes goes into a copy of them."""
        other = _Replayed(copy.deepcopy(self.pruner), self.storage.get_all_trials(0))
        other.storage.user_attributes.update(copy.deepcopy(self.storage.user_attributes))
        other.storage.system_attributes.update(copy.deepcopy(dict(self.storage.system_attributes)))
        return other

    def ask(self, reporting: FrozenTrial, earliest: int) -> bool:
        """Replay a trial's reports, asking from the earliest judged step on, and return the pruner's last word."""
        reports, verdict = reporting.intermediate_values, False
        reporting.intermediate_values = {}
        self.storage.put(reporting)
        for step, value in reports.items():
            reporting.intermediate_values[step] = value  # shared with the copies that attributes are written into
            if step >= earliest:
                verdict = bool(self.pruner.prune(self._study, self.storage.get_trial(reporting.number)))
        return verdict


class Replay:
    """A pruner that is asked by replaying History, and keeps what can change no more.

    Trials that have ended are replayed once, as far as no earlier one is still under way; what comes after, a few
    trials for each worker, is replayed for every question. Both give the same, because the order is by number.

    Raises:
        UsageError: The pruner cannot be copied, so it cannot be asked from the beginning.
    """

    def __init__(self, pruner: optuna.pruners.BasePruner, projection: Projection) -> None:
        self._projection = projection
        self._pristine = _copied(pruner)
        self._kept = _Replayed(_copied(pruner))
        self._kept_trials: list[Trial] = []

    def prunes(self, history: History, trial: Trial) -> bool:
        """Return whether the pruner, asked after the trial's last report, ends the trial."""
        if is_memoryless(self._pristine):
            return bool(
                self._pristine.prune(self._projection.study(history), self._projection.reporting(history, trial))
            )
        self._keep(history)
        now = self._kept.copy()
        for other in list(history.trials.values())[len(self._kept_trials) :]:
            if other.number != trial.number:
                self._replay(now, history, other)
        return now.ask(self._projection.reporting(history, trial), first_judged_step(trial))

    def _keep(self, history: History) -> None:
        """Replay what has ended since the last question, up to the first trial under way."""
        trials = list(history.trials.values())
        known = self._kept_trials
        if len(trials) < len(known) or any(a is not b for a, b in zip(known, trials, strict=False)):
            self._kept, self._kept_trials = _Replayed(_copied(self._pristine)), []  # of another History
        for trial in trials[len(self._kept_trials) :]:
            if not trial.state.is_finished:
                return
            self._replay(self._kept, history, trial)
            self._kept_trials.append(trial)

    def _replay(self, replayed: _Replayed, history: History, trial: Trial) -> None:
        """Let a trial report, and then end as it ended."""
        reporting = self._projection.reporting(history, trial)
        replayed.ask(reporting, first_judged_step(trial))
        if trial.state.is_finished:
            shown, frozen = self._projection.trial(history, trial), replayed.storage.get_trial(trial.number)
            frozen.state, frozen.values, frozen.datetime_complete = shown.state, shown.values, shown.datetime_complete


def is_memoryless(pruner: optuna.pruners.BasePruner) -> bool:
    """Return whether a pruner's word depends on what it is shown alone, and not on what it was shown before."""
    if type(pruner) is optuna.pruners.PatientPruner:
        return pruner._wrapped_pruner is None or is_memoryless(pruner._wrapped_pruner)
    return type(pruner) in _MEMORYLESS


def _copied(pruner: optuna.pruners.BasePruner) -> optuna.pruners.BasePruner:
    try:
        return copy.deepcopy(pruner)
    except (TypeError, copy.Error) as error:
        raise UsageError(
            f"The pruner {type(pruner).__name__} cannot be copied ({error}), so what it decided could not be worked "
            "out again after a restart. Keep locks, files and generators out of it, or use pruner='median'."
        ) from error
