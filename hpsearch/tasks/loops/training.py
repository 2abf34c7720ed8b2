"""The training of a run by the user's own code, as its worker follows it."""

import hashlib
import logging
import math
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hpsearch.errors import UsageError
from hpsearch.records.digest import digest
from hpsearch.tasks.loops.messages import Begin, Failed, Go, Pause, Reported, Returned, Saved, Waiting, Warned
from hpsearch.tasks.loops.process import RunProcess
from hpsearch.tasks.loops.run import SAVES, Run
from hpsearch.tasks.loops.saved import State, packed, paths_in, unpacked
from hpsearch.training.measurement import Measurement
from hpsearch.training.run_checkpoint import unusable
from hpsearch.training.training import RunArguments, RunFailedError, RunLostError

logger = logging.getLogger("hpsearch")

WAIT_SECONDS = 0.2
"""How long the process is waited for before the caller looks at the clock."""

RESTORED = "restored"
"""The folder, within that of the run, of the state that it continues from."""


class LoopTraining:
    """One run of the user's code, in a process that starts with `advance`.

    Args:
        call: Runs the code.
        name: What the code is called, in messages.
        rows: Returns the rows of these indices, as the code takes them; None where it reads its own.
        arguments: What the worker says of the run.
    """

    def __init__(
        self,
        call: Callable[[Run], None],
        name: str,
        rows: Callable[[np.ndarray | None], Any] | None,
        arguments: RunArguments,
    ) -> None:
        self._call, self._name, self._arguments = call, name, arguments
        self._rows = rows or (lambda _: None)
        self.horizon = int(arguments.config["epochs"]) * arguments.evaluations_per_epoch
        self._identity = _identity(arguments)
        self._folder = _made(arguments.folder)
        self._process: RunProcess | None = None
        self._restored: Path | None = None
        self._point = self._step = 0
        self._saved = State(self._identity, 0, 0)
        self._saved_in: Path | None = None
        self._last: Reported | None = None
        self._is_waiting = self._is_pausing = self._has_returned = False
        self._measured_at = time.monotonic()
        self._warned: set[str] = set()

    @property
    def has_model(self) -> bool:
        """Whether it can go on: its process lives, or has ended by itself."""
        return self._process is None or self._has_returned or self._process.is_alive

    @property
    def point(self) -> int:
        return self._point

    @property
    def step(self) -> int:
        return self._step

    @property
    def place(self) -> tuple[int, int]:
        """Where the last state stands that the code has saved."""
        return self._saved.point, self._saved.step

    def advance(self, stop: int) -> Iterator[Measurement | None]:
        """Run the code until its report `stop`; then, or after `pause`, until it has saved or let that pass.

        Raises:
            UsageError: `stop` does not lie ahead.
            RunFailedError: The code raises, or ends its process.
            RunLostError: Its process was killed.
            torch.OutOfMemoryError: The code ran out of memory.
        """
        if not self.point <= stop <= self.horizon:
            raise UsageError(f"A run at report {self.point} of {self.horizon} cannot advance to report {stop}.")
        return self._items(stop)

    def _items(self, stop: int) -> Iterator[Measurement | None]:
        self._is_pausing = False
        if self._point >= stop:
            return
        self._measured_at = time.monotonic()
        self._go(stop)
        while not self._is_at_rest(stop):
            yield self._item(stop)

    def _go(self, stop: int) -> None:
        self._is_waiting = False
        if self._has_returned:
            return
        if self._process is None:
            self._process = RunProcess(self._begin(stop))
        else:
            self._process.send(Go(stop))

    def _is_at_rest(self, stop: int) -> bool:
        if self._point >= stop and (self._has_returned or stop == self.horizon) and not self._is_refit:
            return True
        return self._is_waiting or (self._has_returned and self._point >= stop)

    @property
    def _is_refit(self) -> bool:
        return self._arguments.held_out_rows is None

    def _item(self, stop: int) -> Measurement | None:
        """Return what the process has to say, if anything."""
        if self._has_returned:
            return self._carried()
        process = self._process
        assert process is not None
        try:
            message = process.receive(WAIT_SECONDS)
        except EOFError:
            raise self._ended(process) from None
        if message is not None or process.has_worked():
            self._arguments.progressed()
        match message:
            case Reported():
                self._last, self._step = message, message.step
                return self._measurement(message.point, message.metrics)
            case Saved(folder, point, step):
                self._keep(folder, State(self._identity, point, step))
            case Waiting():
                self._is_waiting = True
            case Returned():
                self._return(stop)
            case Warned(text):
                self._warn(text)
            case Failed() as failed:
                raise self._failed(failed)
        return None

    def _measurement(self, point: int, metrics: Mapping[str, float]) -> Measurement:
        self._point = point
        now, before = time.monotonic(), self._measured_at
        self._measured_at = now
        return Measurement(
            point=point,
            epoch=point / self._arguments.evaluations_per_epoch,
            train_loss=metrics.get("train_loss", math.nan),
            validation_loss=math.nan,
            outputs=None,
            learning_rate=metrics.get("learning_rate", 0.0),
            rows_seen=0,
            seconds=now - before,
            peak_memory_bytes=0 if self._last is None else self._last.peak_memory_bytes,
            metrics=dict(metrics),
        )

    def _carried(self) -> Measurement:
        """Return the last report once more, as that of the next point: the code has ended before its last report."""
        assert self._last is not None
        return self._measurement(self._point + 1, self._last.metrics)

    def _return(self, stop: int) -> None:
        if self._last is None and self._restored is not None:
            self._start_again(stop)
            return
        self._has_returned = True
        if self._last is None:
            message = (
                f"{self._name} returned and never called run.report(). Report after each evaluation: "
                "run.report(step, accuracy=0.9)."
            )
            raise RunFailedError(message, message)
        if self._point < stop:
            self._warn(
                f"{self._name} returned after {self._point} of {self.horizon} reports; its last report stands for the "
                "others. Where it always makes fewer, say so: reports=."
            )

    def _start_again(self, stop: int) -> None:
        """Run the code from its beginning: it had ended where it was left, and what it reported last is not known."""
        assert self._process is not None
        self._process.end(gracefully=True)
        self._restored, self._process = None, None
        self._point = self._step = 0
        self._go(stop)

    def _warn(self, text: str) -> None:
        if text not in self._warned:
            self._warned.add(text)
            _say_once(text)

    def pause(self) -> None:
        """Ask the code to save, and have `advance` end then."""
        if not self._is_pausing and self._process is not None and not self._has_returned:
            self._process.send(Pause())
        self._is_pausing = True
        if self._process is None or self._has_returned:
            self._is_waiting = True

    def _keep(self, folder: Path, state: State) -> None:
        """Keep what was saved last, until it is asked for."""
        older, self._saved_in, self._saved = self._saved_in, folder, state
        if older is not None:
            shutil.rmtree(older, ignore_errors=True)

    @property
    def saved_folder(self) -> Path | None:
        """The folder of what the code saved last in this process; None where it has saved nothing."""
        return self._saved_in

    def files(self) -> Mapping[str, bytes]:
        """Return what the code saved last, path to bytes; `RunFailedError` where it has saved nothing."""
        folder = self._saved_in
        if folder is None:
            message = (
                f"{self._name} saved nothing at report {self.point}, so there is no model to take away. Have it save "
                "when run.due(step) says so, after the report: with run.save() as folder: ..."
            )
            raise RunFailedError(message, message)
        return {path: (folder / path).read_bytes() for path in paths_in(folder)}

    def checkpoint(self) -> dict[str, bytes]:
        """Return what the code saved last, file name to bytes; `CheckpointError` where it has saved nothing."""
        if self._saved_in is None:
            raise unusable(f"{self._name} has saved nothing")
        return packed(self._saved, self._saved_in)

    def restore(self, files: Mapping[str, bytes]) -> None:
        """Have the process start from a `checkpoint` of this run."""
        target = self._folder / RESTORED
        shutil.rmtree(target, ignore_errors=True)
        self._saved = unpacked(self._identity, files, target)
        self._restored, self._point, self._step = target, self._saved.point, self._saved.step

    def close(self) -> None:
        """End the process; one that waits, or has come to its end, may return by itself."""
        process, self._process = self._process, None
        if process is None:
            return
        process.end(gracefully=self._is_waiting or self._has_returned or self._point >= self.horizon)
        for folder in (SAVES, RESTORED):
            shutil.rmtree(self._folder / folder, ignore_errors=True)

    # ------------------------------------------------------------------ inside

    def _begin(self, stop: int) -> Begin:
        arguments = self._arguments
        is_cpu = arguments.device.type == "cpu"
        return Begin(
            call=self._call,
            train_rows=self._rows(arguments.train_rows),
            validation_rows=self._rows(arguments.held_out_rows),
            seed=arguments.seed,
            device=str(arguments.device),
            folder=self._folder,
            restored=self._restored,
            point=self._point,
            step=self._step,
            horizon=self.horizon,
            until=stop,
            checkpoint_every=arguments.checkpoint_every,
            threads=torch.get_num_threads() if is_cpu else None,
            is_refit=self._is_refit,
        )

    def _failed(self, failed: Failed) -> Exception:
        if failed.is_memory:
            return torch.OutOfMemoryError(f"{failed.message}\n{failed.log}")
        return RunFailedError(f"{self._name} failed: {failed.message}", failed.log)

    def _ended(self, process: RunProcess) -> Exception:
        ending, output = process.ending(), process.last_lines()
        message = f"The process of {self._name} {'was killed' if process.was_killed else 'ended'} ({ending})."
        log = f"{output}\n{message} What it wrote is in {process.log_file}.".lstrip()
        return (RunLostError if process.was_killed else RunFailedError)(message, log)


def _identity(arguments: RunArguments) -> str:
    rows = [
        None if rows is None else hashlib.sha256(np.ascontiguousarray(rows).tobytes()).hexdigest()
        for rows in (arguments.train_rows, arguments.held_out_rows)
    ]
    return digest([dict(arguments.config), rows, arguments.seed, arguments.evaluations_per_epoch])


def _made(folder: Path) -> Path:
    """Return the run's folder, made; on a machine where it cannot be, one for temporary files."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return Path(tempfile.mkdtemp(prefix="hpsearch-run-"))
    return folder


_said: set[str] = set()


def _say_once(text: str) -> None:
    if text not in _said:
        _said.add(text)
        logger.warning("%s", text)
