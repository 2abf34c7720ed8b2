"""The progress line, and which display a study gets: what a person waiting for it wants to know, and no more."""

import os
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO
from urllib.parse import urlsplit

from hpsearch.display.display import Display, Warnings, write_at_once
from hpsearch.display.pace import Pace
from hpsearch.display.standing import Tallies, Watch
from hpsearch.display.wording import duration, short
from hpsearch.errors import UsageError, nearest
from hpsearch.plan.description import Description
from hpsearch.records import History, Trial, TrialState

DISPLAYS = ("plain", "line")
"""What `progress` may be besides True and False."""

CLEAR_LINE = "\r\x1b[K"
"""Back to the line's start, and erase it (ECMA-48, erase in line)."""


class ProgressLine:
    """Keeps one line up to date in a terminal; without one, prints a line as each trial ends.

    In a terminal the line is never wider than the terminal: what matters least is left out first. Warnings of
    hpsearch are printed above it.

    Args:
        name: The study's name.
        objective: Name of the objective.
        trials: How many trials there shall be, or None.
        evaluations_per_epoch: Evaluation points an epoch.
        stream: Where to write; standard error by default, for standard output belongs to the script.
        clock: Seconds, from any start.
        in_place: Whether to keep one line up to date; None where the stream is a terminal.
    """

    def __init__(
        self,
        name: str,
        objective: str,
        trials: int | None,
        evaluations_per_epoch: int,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
        in_place: bool | None = None,
    ) -> None:
        self._name = name
        self._objective = objective
        self._trials = trials
        self._evaluations_per_epoch = evaluations_per_epoch
        self._stream = stream or sys.stderr
        self._pace = Pace(clock)
        self._text = ""
        self._tallies = Tallies()
        self._in_place = self._stream.isatty() if in_place is None else in_place
        self._warnings = Warnings(self.above)
        if self._in_place:
            self._warnings.listen()

    def observe(self, history: History, trial: Trial | None) -> None:
        """Show what has become of the study; `trial` is the one that has just ended, if one has."""
        tally = self._tallies.of(history)
        self._pace.begin(tally.ended - (trial is not None), tally.under_way)
        if self._in_place:
            self._text = self._fitting(history, self._width())
            self._write(CLEAR_LINE + self._text)
        elif trial is not None:
            self._write(f"{self._name}: {self._ended(trial)}; {self._fitting(history, None)}\n")

    def above(self, text: str) -> None:
        """Print a text above the line."""
        self._write(f"{CLEAR_LINE}{text}\n{self._text}")

    def close(self) -> None:
        """Leave the line as it stands."""
        self._warnings.leave()
        if self._text:
            self._write("\n")
            self._text = ""

    def _write(self, text: str) -> None:
        write_at_once(self._stream, text)

    def _width(self) -> int:
        try:
            columns = os.get_terminal_size(self._stream.fileno()).columns
        except (OSError, ValueError):
            columns = shutil.get_terminal_size().columns
        return max(20, columns - 1)  # the last column would wrap on some terminals

    def _fitting(self, history: History, width: int | None) -> str:
        """Return the most telling text of at most `width` characters."""
        if width is None:
            return self._parts(history, parameters=True, now=False)
        for parameters, now in ((True, True), (False, True), (False, False)):
            text = f"{self._name}: {self._parts(history, parameters=parameters, now=now)}"
            if len(text) <= width:
                return text
        return text[: width - 1] + "…"

    def _parts(self, history: History, *, parameters: bool, now: bool) -> str:
        tally = self._tallies.of(history)
        done, best = tally.ended, tally.best
        parts = [f"{done}/{self._trials} trials" if self._trials else f"{done} trials"]
        parts += [f"{tally.pruned} pruned"] if tally.pruned else []
        parts += [f"{tally.failed} failed"] if tally.failed else []
        if best is not None:
            shown = "".join(f" {name}={short(best.config[name])}" for name in best.params) if parameters else ""
            parts.append(f"best {self._objective} {best.value:.4f} (trial {best.number}{':' if shown else ''}{shown})")
        left = self._pace.left(done, tally.under_way, self._trials)
        parts += [f"about {duration(left)} left"] if left is not None else []
        parts += [f"now {where}" for where in self._running(history)] if now else []
        return ", ".join(parts)

    def _running(self, history: History) -> Iterator[str]:
        """Say of each trial under way how far it is."""
        for trial in history.unfinished():
            if trial.state is not TrialState.RUNNING:
                continue
            if trial.stop is None:
                first = trial.runs[0]
                reached, horizon = (p / self._evaluations_per_epoch for p in (history.point(first), first.horizon))
                yield f"trial {trial.number} epoch {reached:g}/{horizon:g} of fold 1/{len(trial.runs)}"
            else:
                done = sum(history.point(run) >= trial.stop for run in trial.runs)
                yield f"trial {trial.number} fold {min(done + 1, len(trial.runs))}/{len(trial.runs)}"

    def _ended(self, trial: Trial) -> str:
        value = "" if trial.value is None else f", {self._objective} {trial.value:.4f}"
        reason = f" ({trial.reason})" if trial.reason and trial.state is not TrialState.COMPLETE else ""
        return f"trial {trial.number} {trial.state.value}{value}{reason}"


def chosen_display(progress: bool | str, watch: Watch, line: Callable[..., ProgressLine]) -> Display | None:
    """Return the display that fits where this process writes to, or None where nothing is to be shown.

    Args:
        progress: True for the best that fits; "plain" for a line an ended trial; "line" for one line that is kept up
            to date in a terminal; False for nothing.
        watch: What the live displays draw from.
        line: Makes a `ProgressLine`, given `in_place`.

    Raises:
        UsageError: It is none of these.
    """
    check_progress(progress)
    if progress is False:
        return None
    if progress == "plain":
        return line(in_place=False)
    if progress == "line":
        return line(in_place=None)
    from hpsearch.display.notebook import NotebookDisplay, is_in_notebook

    if is_in_notebook():
        return NotebookDisplay(watch)
    if not sys.stderr.isatty() or os.environ.get("TERM") in ("dumb", "unknown") or os.environ.get("CI"):
        return line(in_place=False)  # what moves the cursor would be noise there
    from hpsearch.display.terminal import LiveDisplay

    return LiveDisplay(watch)


def check_progress(progress: bool | str) -> None:
    """Check that a display is known by this name.

    Raises:
        UsageError: It is not.
    """
    if not isinstance(progress, bool) and progress not in DISPLAYS:
        raise UsageError(
            f"progress={progress!r} is not understood.{nearest(str(progress), DISPLAYS)} Say True for what fits where "
            "the study is run, 'plain' for a line an ended trial, 'line' for a single line, or False for nothing."
        )


def how_to_resume(description: Description, folder: Path, storage: str | None) -> str:
    """Return a sentence that says how a paused study goes on: a command to paste, wherever one is enough.

    A database's password is not printed.
    """
    if description.needs_its_script:
        return "Go on by running the same script (or `hpsearch run FILE.py`) again: it goes on where it stood."
    words = [*_program(), "resume", str(folder)]
    if storage is None:
        return f"Go on with: {shlex.join(words)}"
    if urlsplit(storage).password is not None:
        return f"Go on with: {shlex.join(words)} --storage URL (of the same database)"
    return f"Go on with: {shlex.join([*words, '--storage', storage])}"


def _program() -> list[str]:
    """Return the words that start hpsearch in this shell: by its name only where that is this environment's."""
    found = shutil.which("hpsearch")
    if found is not None and Path(found).parent == Path(sys.executable).parent:
        return ["hpsearch"]
    return [sys.executable, "-m", "hpsearch"]
