"""What a study may take, as a user says it: whichever limit comes first ends the study."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from hpsearch.errors import UsageError
from hpsearch.policy.duration import parse_duration
from hpsearch.policy.trial_limit import TrialLimit

COUNTS = ("trials", "distinct_trials", "patience")
DURATIONS = ("timeout", "device_seconds", "device_seconds_per_trial")
EPOCHS = ("epochs", "epochs_per_trial")
COMPUTE = ("timeout", "device_seconds", "epochs")
"""Limits that may end a study in the middle of a trial."""

BOUNDS = (*COUNTS, *COMPUTE)
"""Limits that end a study of any sampler: a target may never be reached, and a limit per trial ends trials."""


@dataclass(frozen=True)
class Budget:
    """What a study may take: `study.run(budget=hp.Budget(epochs=200, patience=10))`.

    Whichever limit comes first ends the study.

    Attributes:
        trials: Trials in total, including those of earlier calls.
        distinct_trials: Different configurations in total, as they are trained.
        timeout: Wall time of this call: seconds, or text like "2h", "90m", "30s".
        device_seconds: Training and evaluation in total, added up over all workers and calls: seconds, or such text.
        epochs: Passes over the training rows of a fold in total, added up over folds, trials and calls.
        epochs_per_trial: The same for one trial. One that would need more trains so far, and is pruned.
        device_seconds_per_trial: Training and evaluation of one trial. One that has taken more is pruned at its next
            evaluation.
        target: A value of the objective, as measured. The study ends once a complete (cross-validated) trial has it.
        patience: Trials in a row that were no better than the best complete one, after which no more are tried.

    Raises:
        UsageError: A limit is zero, negative or no number.
    """

    trials: int | None = None
    distinct_trials: int | None = None
    timeout: float | str | None = None
    device_seconds: float | str | None = None
    epochs: float | None = None
    epochs_per_trial: float | None = None
    device_seconds_per_trial: float | str | None = None
    target: float | None = None
    patience: int | None = None

    def __post_init__(self) -> None:
        for name in COUNTS:
            value = getattr(self, name)
            if value is not None and (not _is_number(value) or not isinstance(value, int) or value < 1):
                raise UsageError(f"Budget({name}={value!r}) must be a whole number of at least 1.")
        for name in EPOCHS:
            value = getattr(self, name)
            if value is not None and (not _is_number(value) or not 0 < value < math.inf):
                raise UsageError(f"Budget({name}={value!r}) must be a finite number of epochs above 0.")
        if self.target is not None and (not _is_number(self.target) or not math.isfinite(self.target)):
            raise UsageError(f"Budget(target={self.target!r}) must be a number: a value of the objective, as measured.")
        for name in DURATIONS:
            parse_duration(getattr(self, name), f"Budget({name})")

    @property
    def given(self) -> Mapping[str, Any]:
        """The limits that are set, by name."""
        limits = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in limits.items() if value is not None}

    @property
    def goal(self) -> Mapping[str, Any]:
        """What the study keeps of it, for the next `resume`: all but the time of this call."""
        kept = {name: value for name, value in self.given.items() if name not in ("trials", "timeout")}
        return {"trials": self.trials, **({"budget": kept} if kept else {})}

    @property
    def is_bounded(self) -> bool:
        """Whether a study of any sampler ends by it."""
        return bool(set(self.given) & set(BOUNDS))

    @property
    def of_a_trial(self) -> TrialLimit:
        """What one trial may take."""
        return TrialLimit(self.epochs_per_trial, self.seconds("device_seconds_per_trial"))

    def seconds(self, name: str) -> float | None:
        """Return a duration among the limits, in seconds."""
        given: float | str | None = getattr(self, name)
        return parse_duration(given, f"Budget({name})")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def budget_of(trials: int | None, timeout: float | str | None, budget: Any) -> Budget:
    """Return the arguments of a run as one budget; where a limit is given twice, the smaller one.

    Raises:
        UsageError: It is no budget, or limits nothing.
    """
    if budget is None:
        return Budget(trials=trials, timeout=timeout)
    if not isinstance(budget, Budget):
        raise UsageError(
            f"budget={budget!r} is a {type(budget).__name__}: give an hp.Budget, such as hp.Budget(epochs=200)."
        )
    if not budget.given:
        names = ", ".join(field.name for field in fields(Budget))
        raise UsageError(f"budget=Budget() limits nothing: give it one of {names}.")
    both = (Budget(trials=trials, timeout=timeout), budget)
    fewest = min((each.trials for each in both if each.trials is not None), default=None)
    shortest = min(both, key=lambda each: math.inf if (seconds := each.seconds("timeout")) is None else seconds)
    return Budget(**{**budget.given, "trials": fewest, "timeout": shortest.timeout})


EXPECTED = ("trials", "sampler")
"""What ends a study that was left to itself."""


@dataclass(frozen=True)
class Ending:
    """Why a run of a study ended.

    Attributes:
        limit: The limit of the budget that came first; "sampler" where nothing was left to try, "stop" after
            `study.stop()`, "interrupt" after Ctrl-C or SIGTERM.
        reason: The same in words.
    """

    limit: str
    reason: str

    @property
    def is_pause(self) -> bool:
        """Whether the same call again would go on."""
        return self.limit in ("timeout", "stop", "interrupt")

    @property
    def keeps_trials(self) -> bool:
        """Whether trials that wait for a promotion keep waiting, for a larger budget lets them go on."""
        return self.is_pause or self.limit in (*COMPUTE, "target")

    def __str__(self) -> str:
        return self.reason
