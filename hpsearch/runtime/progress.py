"""The progress line: what a person waiting for a study wants to know, and no more."""

import contextlib
import logging
import os
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO
from urllib.parse import urlsplit

from hpsearch.description import Description
from hpsearch.records import History, Trial, TrialState

CLEAR_LINE = "\r\x1b[K"
"""Back to the line's start, and erase it (ECMA-48, erase in line)."""


@dataclass(frozen=True)
class _Tally:
    """How many trials have ended, how, and the best of them, ties to the first asked."""

    done: int
    pruned: int
    failed: int
    best: Trial | None

    @classmethod
    def of(cls, history: History) -> "_Tally":
        done = history.finished()
        complete = [trial for trial in done if trial.state is TrialState.COMPLETE and trial.value is not None]
        return cls(
            done=len(done),
            pruned=sum(trial.state is TrialState.PRUNED for trial in done),
            failed=sum(trial.state is TrialState.FAIL for trial in done),
            best=max(complete, key=lambda trial: (trial.value, -trial.number), default=None),
        )


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
    """

    def __init__(
        self,
        name: str,
        objective: str,
        trials: int | None,
        evaluations_per_epoch: int,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        self._objective = objective
        self._trials = trials
        self._evaluations_per_epoch = evaluations_per_epoch
        self._stream = stream or sys.stderr
        self._clock = clock
        self._started = clock()
        self._before: int | None = None
        self._text = ""
        self._tallied: tuple[Mapping[int, Trial], _Tally] | None = None
        self._warnings = _AboveTheLine(self)
        if self._stream.isatty() and not logging.getLogger("hpsearch").hasHandlers():
            logging.getLogger("hpsearch").addHandler(self._warnings)

    def observe(self, history: History, trial: Trial | None) -> None:
        """Show what has become of the study; `trial` is the one that has just ended, if one has."""
        if self._before is None:
            self._before = self._tally(history).done - (trial is not None)
        if self._stream.isatty():
            self._text = self._fitting(history, self._width())
            self._write(CLEAR_LINE + self._text)
        elif trial is not None:
            self._write(f"{self._name}: {self._ended(trial)}; {self._fitting(history, None)}\n")

    def above(self, text: str) -> None:
        """Print a text above the line."""
        self._write(f"{CLEAR_LINE}{text}\n{self._text}")

    def close(self) -> None:
        """Leave the line as it stands."""
        logging.getLogger("hpsearch").removeHandler(self._warnings)
        if self._text:
            self._write("\n")
            self._text = ""

    def _write(self, text: str) -> None:
        with contextlib.suppress(OSError):  # a terminal that was closed is no reason to end a study
            self._stream.write(text)
            self._stream.flush()

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
        tally = self._tally(history)
        done, best = tally.done, tally.best
        parts = [f"{done}/{self._trials} trials" if self._trials else f"{done} trials"]
        parts += [f"{tally.pruned} pruned"] if tally.pruned else []
        parts += [f"{tally.failed} failed"] if tally.failed else []
        if best is not None:
            shown = "".join(f" {name}={_short(best.config[name])}" for name in best.params) if parameters else ""
            parts.append(f"best {self._objective} {best.value:.4f} (trial {best.number}{':' if shown else ''}{shown})")
        left = self._time_left(done)
        parts += [f"about {left} left"] if left else []
        parts += [f"now {where}" for where in self._running(history)] if now else []
        return ", ".join(parts)

    def _tally(self, history: History) -> _Tally:
        """Return the counts, made anew only when a trial has changed: a thousand are looked at, at every evaluation."""
        if self._tallied is None or self._tallied[0] is not history.trials:
            self._tallied = (history.trials, _Tally.of(history))
        return self._tallied[1]

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

    def _time_left(self, done: int) -> str:
        """Return the time to the last trial at the pace of this call, once two trials have ended in it."""
        here = done - (self._before or 0)
        if self._trials is None or here < 2 or done >= self._trials:
            return ""
        seconds = (self._clock() - self._started) / here * (self._trials - done)
        minutes, hours = round(seconds / 60), seconds / 3600
        return f"{seconds:.0f} s" if seconds < 90 else f"{minutes} min" if minutes < 90 else f"{hours:.1f} h"


class _AboveTheLine(logging.Handler):
    """Prints warnings above the progress line, which they would otherwise be appended to."""

    def __init__(self, line: ProgressLine) -> None:
        super().__init__(logging.WARNING)
        self._line = line

    def emit(self, record: logging.LogRecord) -> None:
        self._line.above(record.getMessage())


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


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
