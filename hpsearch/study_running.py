"""Run several studies together, on devices that they share."""

import contextlib
import math
import time
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from hpsearch.errors import UsageError
from hpsearch.plan.arguments import check_whole
from hpsearch.plan.paths import shown_folder
from hpsearch.policy.budget import Budget, budget_of
from hpsearch.policy.duration import parse_duration
from hpsearch.runtime.signals import NOTICE_PERIOD, Interruption
from hpsearch.study import Study

if TYPE_CHECKING:
    from hpsearch.result.result import Result
    from hpsearch.runtime.devices import Devices, TrialsPerDevice


def run(
    studies: Sequence[Study],
    trials: int | Sequence[int | None] | None = None,
    *,
    timeout: float | str | None = None,
    budget: Budget | None = None,
    devices: "Devices" = "auto",
    trials_per_device: "TrialsPerDevice" = 1,
    weights: Sequence[float] | None = None,
    progress: bool | str = True,
    notice_period: float | str = NOTICE_PERIOD,
    virtual_slots: int | None = None,
) -> "list[Result]":
    """Run several studies together until each has its trials, or `timeout` has passed; return their results in order.

    They share the devices: each slot that is free goes to the study that has used the fewest device-seconds for its
    weight. A study that has ended, or has nothing to train just now, leaves its share to the others. Each has its own
    sampler, budget and database, and its numbers are those that it would have alone.

    Ctrl-C pauses all of them with checkpoints and raises KeyboardInterrupt; `study.stop()` pauses one. SIGTERM and
    SIGUSR1 do what they do in `Study.run`. A study that fails does not end the others: its error is raised once they
    have ended, and their results can be read with `study.result`.

    Args:
        studies: The studies.
        trials: Trials in total, of each study, or a list with a number (or None) for each.
        timeout: Seconds of this call, or text like "2h", "90m", "30s".
        budget: Further limits of each study, as in `Study.run`; its timeout is of this call.
        devices: As in `Study.run`.
        trials_per_device: As in `Study.run`, whichever studies they are of.
        weights: A number for each study. One of weight 2 gets twice the device-seconds of one of weight 1. By default
            all have the same.
        progress: What to show on standard error, as in `Study.run`.
        notice_period: As in `Study.run`.
        virtual_slots: As in `Study.run`, of each study.

    Raises:
        UsageError: Something in a study, its task, its data or these arguments is not valid. No study has trained.
        LeaseHeldError: Another process is running one of the studies.
        NumericsError: This machine cannot compute as one of the studies began.
        StudyFailedError: The first trials of a study all failed with the same exception.
        KeyboardInterrupt: Ctrl-C has paused them; `was_interrupted` of each is then true. By SIGTERM and SIGUSR1 it is
            an `errors.Preempted`.
    """
    from hpsearch.display.display import check_progress
    from hpsearch.result.result import Result
    from hpsearch.runtime.several_runs import SeveralRuns
    from hpsearch.runtime.study_run import StudyRun

    studies = _checked(studies)
    numbers, shares = _trials_of(studies, trials), _weights_of(studies, weights)
    budgets = [budget_of(number, parse_duration(timeout), budget) for number in numbers]
    seconds = min(
        (time_given for limits in budgets if (time_given := limits.seconds("timeout")) is not None), default=None
    )
    notice_seconds = parse_duration(notice_period, "notice_period")
    check_progress(progress)
    deadline, interruption = None if seconds is None else time.monotonic() + seconds, Interruption(notice_seconds)
    runs = [
        StudyRun(
            study.plan, study.record, budget=limits, deadline=deadline, progress=False, callbacks=study.callbacks,
            subject=study, interruption=interruption, label=label, virtual_slots=virtual_slots,
            is_alone=len(studies) == 1,
        )
        for study, limits, label in zip(studies, budgets, _labels(studies), strict=True)
    ]  # fmt: skip
    with contextlib.ExitStack() as all_running:
        for study, each in zip(studies, runs, strict=True):
            all_running.enter_context(study.stoppable(each))
        all_running.enter_context(interruption.heard())
        together = SeveralRuns(runs, shares, deadline, progress, interruption)
        errors = together.on(devices, [study.enqueued for study in studies], trials_per_device)
    if interruption.is_set():
        raise interruption.exception("the studies were paused; run them again to continue")
    if errors:
        raise errors[0]
    return [Result(study.plan, study.record, study, study.record.store.history) for study in studies]


def _checked(studies: Sequence[Study]) -> Sequence[Study]:
    """Return the studies as a list. Raises UsageError where they cannot be run together."""
    if not isinstance(studies, list | tuple) or not all(isinstance(study, Study) for study in studies):
        raise UsageError(
            f"hp.run takes a list of studies, and not {_kinds(studies)}: hp.run([study_a, study_b], trials=50). A "
            "single study runs by study.run(trials=50)."
        )
    if not studies:
        raise UsageError("hp.run([]) has no study to run. Give at least one: hp.run([study_a, study_b], trials=50).")
    for study, count in Counter(map(id, studies)).items():
        if count > 1:
            name = next(each.name for each in studies if id(each) == study)
            raise UsageError(f"The study {name!r} is in the list {count} times. Give each study once.")
    for folder, count in Counter(study.folder for study in studies).items():
        if count > 1:
            raise UsageError(
                f"{count} of the studies are called {folder.name!r} and kept in {shown_folder(folder)}. Give each a "
                "name of its own, or another folder."
            )
    return studies


def _kinds(given: Any) -> str:
    if not isinstance(given, list | tuple):
        return f"a {type(given).__name__}"
    return f"a list with a {next(type(each).__name__ for each in given if not isinstance(each, Study))}"


def _trials_of(studies: Sequence[Study], trials: int | Sequence[int | None] | None) -> Sequence[int | None]:
    numbers = list(trials) if isinstance(trials, list | tuple) else [cast("int | None", trials)] * len(studies)
    if len(numbers) != len(studies):
        raise UsageError(
            f"trials={trials!r} is not a list with a number for each of the {len(studies)} studies. Give one for each, "
            "or one number that is for all."
        )
    for number in numbers:
        if number is not None:
            check_whole("trials", number, 1)
    return numbers


def _weights_of(studies: Sequence[Study], weights: Sequence[float] | None) -> Sequence[float]:
    if weights is None:
        return [1.0] * len(studies)
    if not isinstance(weights, list | tuple) or len(weights) != len(studies):
        raise UsageError(
            f"weights={weights!r} is not a list with a number for each of the {len(studies)} studies. Give for "
            f"instance weights={[1] * (len(studies) - 1) + [2]}, by which the last one gets twice the share of another."
        )
    for weight in weights:
        is_number = isinstance(weight, int | float) and not isinstance(weight, bool)
        if not is_number or not 0 < weight < math.inf:
            raise UsageError(
                f"weights={weights!r} has {weight!r}, which is not a weight: a study with it would never be trained. "
                "Give numbers above 0, or leave that study out of the list."
            )
    return [float(weight) for weight in weights]


def _labels(studies: Sequence[Study]) -> Sequence[str]:
    """Return what each study is called where they are run: its name, with its folder where another has the same."""
    count = Counter(study.name for study in studies)
    return [study.name if count[study.name] == 1 else str(shown_folder(study.folder)) for study in studies]
