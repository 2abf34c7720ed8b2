"""`run` and `resume`: run a study from a shell, and say what comes next."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from hpsearch.cli.errors import say
from hpsearch.errors import Preempted, StudyFailedError, UsageError, nearest
from hpsearch.plan.paths import shown_folder

PROGRESS: Mapping[str, bool | str] = {"auto": True, "plain": "plain", "none": False}
"""What `--progress` may be, and what `Study.run` calls it."""


def run_study(
    study: Any,
    trials: int | None,
    timeout: str | None,
    devices: str,
    trials_per_device: str,
    progress: str,
    notice_period: str | float,
    file: Path | None = None,
) -> None:
    """Run a study and print its table; `file` is the FILE.py that defines it, if it was named by that."""
    from hpsearch.records import TrialState

    if progress not in PROGRESS:
        raise UsageError(
            f"--progress {progress!r} is not understood.{nearest(progress, PROGRESS)} Use auto for the display that "
            "fits where it runs, plain for one line per finished trial, or none."
        )
    try:
        result = study.run(
            trials=trials,
            timeout=timeout,
            devices=devices,
            trials_per_device=trials_per_device,
            progress=PROGRESS[progress],
            notice_period=notice_period,
        )
    except Preempted:  # there may be no time for a table
        raise
    except KeyboardInterrupt:
        if not study.was_interrupted:  # a second Ctrl-C
            raise
        say(study.result.text())
        raise typer.Exit(130) from None
    say(result.text())
    complete = result.history.finished(TrialState.COMPLETE)
    if result.has_ended and not complete:
        raise StudyFailedError(
            f"None of the {len(result.history.trials)} trials of {study.name!r} is complete, so there is no best one. "
            f"The table says why each ended{_logs_of(study.folder)}. Fix the cause, or widen the space, and run it "
            "again under a new name."
        )
    by_file = file is not None and study.record.description.needs_its_script
    if complete and not result.history.unfinished() and (by_file or study.plan.storage is None):
        name = shlex.quote(str(file if by_file else shown_folder(study.folder)))
        say(f"Next: hpsearch report {name}, or hpsearch export {name} best-model", err=True)


def _logs_of(folder: Path) -> str:
    logs = folder / "logs"
    return f"; their logs are in {shown_folder(logs)}" if logs.is_dir() else ""
