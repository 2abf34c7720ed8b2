"""`run` and `resume`: run studies from a shell, and say what comes next."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from hpsearch.cli.errors import say
from hpsearch.errors import Preempted, StudyFailedError, UsageError, nearest
from hpsearch.plan.paths import shown_folder

PROGRESS: Mapping[str, bool | str] = {"auto": True, "plain": "plain", "none": False}
"""What `--progress` may be, and what `Study.run` calls it."""


def run_studies(studies: Sequence[Any], file: Path | None = None, *, progress: str, **how: Any) -> None:
    """Run a study, or several together, and print the table of each.

    Args:
        file: The FILE.py that defines them, if they were named by that.
        how: Further arguments of `Study.run` and `hp.run`.
    """
    from hpsearch.study_running import run

    how["progress"] = _progress(progress)
    failed: StudyFailedError | None = None
    try:
        results = run(studies, **how) if len(studies) > 1 else [studies[0].run(**how)]
    except Preempted:  # there may be no time for a table
        raise
    except KeyboardInterrupt:
        if not all(study.was_interrupted for study in studies):  # a second Ctrl-C
            raise
        for study in studies:
            say(study.result.text())
        raise typer.Exit(130) from None
    except StudyFailedError as error:
        if len(studies) == 1:
            raise
        results, failed = [study.result for study in studies], error
    for study, result in zip(studies, results, strict=True):
        try:
            _say_result(study, result, file)
        except StudyFailedError as error:
            failed = failed or error
    if failed is not None:
        raise failed


def forecast_studies(studies: Sequence[Any], *, progress: str, **how: Any) -> None:
    """Print what each study would take alone; nothing is written to it. `how` are arguments of `Study.forecast`."""
    for study in studies:
        shown = study.forecast(progress=_progress(progress), **how)
        say(f"{study.name}: {shown}")
    if len(studies) > 1:
        say("Each is forecast alone. Together they share these devices and take about the sum of their times.")


def _progress(progress: str) -> bool | str:
    if progress not in PROGRESS:
        raise UsageError(
            f"--progress {progress!r} is not understood.{nearest(progress, PROGRESS)} Use auto for the display that "
            "fits where it runs, plain for one line per finished trial, or none."
        )
    return PROGRESS[progress]


def _say_result(study: Any, result: Any, file: Path | None) -> None:
    """Print a study's table, and what comes next. Raises StudyFailedError where none of its trials is complete."""
    from hpsearch.records import TrialState

    say(result.text())
    complete = result.history.finished(TrialState.COMPLETE)
    unfinished = result.history.unfinished()
    if result.has_ended and not complete and not unfinished:
        raise StudyFailedError(
            f"None of the {len(result.history.trials)} trials of {study.name!r} is complete, so there is no best one. "
            f"The table says why each ended{_logs_of(study.folder)}. Fix the cause, or widen the space, and run it "
            "again under a new name."
        )
    by_file = file is not None and study.record.description.needs_its_script
    if complete and (result.has_ended or not unfinished) and (by_file or study.plan.storage is None):
        name = shlex.quote(str(file if by_file else shown_folder(study.folder)))
        say(f"Next: hpsearch report {name}, or hpsearch export {name} best-model", err=True)


def _logs_of(folder: Path) -> str:
    logs = folder / "logs"
    return f"; their logs are in {shown_folder(logs)}" if logs.is_dir() else ""
