"""What the user's code is given of its run: where to write, what to continue from, and whom to report to."""

import contextlib
import math
import numbers
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpsearch.errors import TaskError, UsageError
from hpsearch.tasks.loops.messages import Begin, End, Go, Pause, Reported, Saved, Waiting, Warned

SAVES = "saves"
"""The folder, within that of the run, of what it saves."""


@dataclass(frozen=True)
class Answer:
    """The answer to a report.

    Attributes:
        stop: Whether the run has come to its end: let the code return.
    """

    stop: bool


class RunEnded(BaseException):
    """Unwinds the user's code where a run is left for good."""


class Run:
    """One run of the user's code, on one fold with one seed.

    Attributes:
        folder: A folder of the run's own. A run that is continued on another machine may find it empty.
        seed: Its seed. Python's, NumPy's and torch's random states have been set by it.
        device: The device that it is to train on: "cpu", "cuda", "mps".
        train_rows, validation_rows: The rows of its fold, of the type that the task was given; None without rows.
        is_refit: Whether it trains on all rows, to be exported. `validation_rows` are then those that the task was
            given, else some of the training rows.
        reports: How many reports the whole run makes.
        held: Returns a block in which what else trains for the run stands still: it is left in there.
    """

    def __init__(self, begin: Begin, send: Callable[[Any], None]) -> None:
        self.folder = begin.folder
        self.seed = begin.seed
        self.device = begin.device
        self.train_rows = begin.train_rows
        self.validation_rows = begin.validation_rows
        self.is_refit = begin.is_refit
        self.reports = begin.horizon
        self._send = send
        self._restored = begin.restored
        self._point, self._step, self._until = begin.point, begin.step, begin.until
        self._reported: int | None = None  # the step of the last report of this process
        self._asked: int | None = None  # the step that `due` was last asked about
        self._reports_here = 0
        self._every, self._saved_at = begin.checkpoint_every, time.monotonic()
        self._count = _next_count(begin.folder / SAVES)
        self._orders = threading.Condition()
        self._is_pausing = self._is_ending = self._is_leaving = False
        self.held: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext
        self._left_at: int | None = None  # the step at which the code first heard that it is to be left

    # ------------------------------------------------------------------ for the user's code

    def restore(self) -> Path | None:
        """Return the folder of the state that the run is to continue from, as `save` left it; None at its beginning."""
        return self._restored

    def due(self, step: int) -> bool:
        """Return whether to save now: the run is to be left here, or `checkpoint_every` seconds have passed.

        Ask after the step was reported, where it is reported.
        """
        self._come_to(_whole(step))
        self._asked = self._step
        return self._is_to_be_left or time.monotonic() - self._saved_at >= self._every

    @contextlib.contextmanager
    def save(self, *, earlier: int = 0, step: int | None = None) -> Iterator[Path]:
        """Yield an empty folder to write the run's state into: `with run.save() as folder: ...`

        It counts once the block has ended without an error. What was reported before is a part of the state.

        Args:
            earlier: How many of the last reports are not a part of it: it is of an earlier step.
            step: That step; None: where the run stands.
        """
        folder = self.folder / SAVES / str(self._count)
        self._count += 1
        folder.mkdir(parents=True)
        try:
            yield folder
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        self._saved_at = time.monotonic()
        self._send(Saved(folder, self._point - earlier, self._step if step is None else step))
        if self._is_to_be_left:
            self._wait()

    def report(self, step: int, /, **metrics: float) -> Answer:
        """Report what was measured after a step; the study decides by it, and may have the code wait here.

        Args:
            step: Steps done, or epochs: a whole number that rises from report to report.
            metrics: Name to number. The study's objective must be among them.

        Returns:
            Its `stop` is true where the run has come to its end.

        Raises:
            UsageError: The step does not rise, or was saved before it was reported.
        """
        values = {name: _number(name, value) for name, value in metrics.items()}
        step = self._checked(step, values)
        if self._point >= self.reports:
            return Answer(stop=True)
        if self._come_to(step, is_report=True):
            return Answer(stop=True)
        self._point += 1
        self._reports_here += 1
        self._reported = step
        self._send(Reported(self._point, step, values, peak_memory_bytes()))
        if self._point == self._until and (self._point < self.reports or self.is_refit):
            self._is_leaving = True
        if self._is_to_be_left and self._asked is None and self._reports_here > 1:  # it never saves
            self._wait(is_report=True)
        return Answer(stop=self._is_ending or (self._point >= self.reports and not self.is_refit))

    def arguments(self, batch_size: int, at_once: int | None = None) -> dict[str, int]:
        """Return the batch arguments of a `transformers.TrainingArguments` that keep an effective batch.

        Args:
            batch_size: Rows of an optimizer step.
            at_once: Rows that fit into memory at once, at most; None: all of them.
        """
        batch_size = _whole(batch_size)
        most = batch_size if at_once is None else max(1, _whole(at_once))
        part = next(rows for rows in range(min(most, batch_size), 0, -1) if batch_size % rows == 0)
        return {"per_device_train_batch_size": part, "gradient_accumulation_steps": batch_size // part}

    def warn(self, text: str) -> None:
        """Tell the user something, once a study."""
        self._send(Warned(text))

    # ------------------------------------------------------------------ inside

    def _checked(self, step: int, values: Mapping[str, float]) -> int:
        step = _whole(step)
        if not values:
            raise UsageError("run.report() was given no metrics: report numbers by name, run.report(step, loss=0.5).")
        if self._reported is not None and step <= self._reported:
            raise UsageError(
                f"run.report({step}, ...) after a report of step {self._reported}: steps must rise from report to "
                "report. Report each step once."
            )
        if self._asked == step:
            raise UsageError(
                f"run.due({step}) was asked before run.report({step}, ...): a state that is saved in between would "
                "lack the report of its step. Report first, then ask run.due(step) and save."
            )
        return step

    @property
    def _is_to_be_left(self) -> bool:
        return self._is_leaving or self._is_pausing

    def _come_to(self, step: int, *, is_report: bool = False) -> bool:
        """Take note that the code has come to a step; wait where it has been left. True where it is to return."""
        if self._is_to_be_left:
            if self._left_at is None:
                self._left_at = self._step if self._is_leaving else step
            if step != self._left_at and self._wait(is_report=is_report):  # it had its chance to save
                return True
        self._step = step
        return False

    def _wait(self, *, is_report: bool = False) -> bool:
        """Wait until the run goes on; True where it does not, and the code is told so by a report's answer."""
        self._send(Waiting())
        with self.held(), self._orders:
            self._orders.wait_for(lambda: self._is_ending or (self._until > self._point and not self._is_pausing))
        self._is_leaving, self._left_at = False, None
        if self._is_ending and not is_report:
            raise RunEnded
        return self._is_ending

    def obey(self, order: Any) -> None:
        """Take an order of the worker's; a thread of its own calls this."""
        with self._orders:
            match order:
                case Go(until):
                    self._until, self._is_pausing = until, False
                case Pause():
                    self._is_pausing = True
                case End():
                    self._is_ending = True
            self._orders.notify_all()


def peak_memory_bytes() -> int:
    """Return the most memory that this process has held so far: of its GPU where it has used one."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        return int(torch.cuda.max_memory_allocated())
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)


def _whole(step: Any) -> int:
    if isinstance(step, bool) or not isinstance(step, numbers.Real) or float(step) != math.floor(step):
        raise UsageError(f"step={step!r} is no whole number: give the steps or epochs done so far.")
    return int(float(step))


def _number(name: str, value: Any) -> float:
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        value = value.item()
    if not isinstance(value, numbers.Real):
        raise TaskError(
            f"run.report({name}={value!r}): that is a {type(value).__name__}, and a number is needed. Give float(...)."
        )
    return float(value)


def _next_count(folder: Path) -> int:
    numbers_there = [int(path.name) for path in folder.glob("*") if path.name.isdecimal()]
    return 1 + max(numbers_there, default=-1)
