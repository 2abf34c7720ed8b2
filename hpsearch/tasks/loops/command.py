"""A command under a study, in the process of a run: started, read, held, and ended as the study needs it."""

import contextlib
import json
import os
import queue
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from hpsearch.errors import TaskError
from hpsearch.tasks.loops.command_config import PLACEHOLDER, with_values, write_config
from hpsearch.tasks.loops.process import GRACE_SECONDS, LOG_FILE, last_lines
from hpsearch.tasks.loops.run import Run

LOOK_SECONDS = 0.2
"""How often the metrics file is looked at."""

STEPS = ("step", "global_step", "steps", "iteration", "epoch")
"""Keys of a line of metrics that say where it stands, the first that is there."""

_STEP_AT_END = re.compile(r"(\d+)$")


class CommandFailedError(TaskError):
    """A command has ended with an error; `log` has what it wrote last."""

    def __init__(self, message: str, log: str) -> None:
        super().__init__(message)
        self.log = log


@dataclass(frozen=True)
class CommandCall:
    """A command with its config, as it goes to the process of a run.

    Attributes:
        words: The command, split; each word may have names in braces.
        values: The hyperparameters.
        config: Name and content of the config file, None without one.
        metrics_file, reported, pattern, resume, checkpoint, exported: See `CommandTask`.
    """

    words: tuple[str, ...]
    values: Mapping[str, Any]
    config: tuple[str, Any] | None
    metrics_file: str | None
    reported: str | None
    pattern: str | None
    resume: tuple[str, ...] | None
    checkpoint: str | None
    exported: str | None

    def __call__(self, run: Run) -> None:
        """Run the command to its end, or until the study leaves it, and report what it measures."""
        _Followed(self, run).run()


class _Followed:
    """A command of one run, and how far its metrics have been read."""

    def __init__(self, call: CommandCall, run: Run) -> None:
        self._call, self._run = call, run
        self._folder = run.folder / "command"
        shutil.rmtree(self._folder, ignore_errors=True)  # what an earlier process has left there
        self._folder.mkdir()
        self._values: dict[str, Any] = {
            **call.values, "folder": self._folder, "seed": run.seed, "device": run.device
        }  # fmt: skip
        self._restored_step = -1
        self._steps: list[int] = []
        self._metrics = None if call.metrics_file is None else Path(self._filled(call.metrics_file))
        self._read_to = 0
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._last_seen: Path | None = None
        self._unsaid: list[tuple[int, dict[str, float]]] = []
        self._is_over = self._is_counting = False

    def run(self) -> None:
        words = self._words()
        if self._metrics is not None:
            self._metrics.unlink(missing_ok=True)
        try:
            process = subprocess.Popen(  # noqa: S603  (the user's own command, and no shell)
                words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                errors="replace", env={"PYTHONUNBUFFERED": "1", **os.environ},  # it is read as it is printed
            )  # fmt: skip
        except OSError as error:
            message = f"{words[0]!r} cannot be started: {error.strerror}."
            raise CommandFailedError(message, message) from error
        threading.Thread(target=self._listen, args=(process,), name="hpsearch-output", daemon=True).start()
        self._run.held = lambda: held(process)
        try:
            self._follow(process)
        finally:
            end(process)
        self._export()

    def _follow(self, process: "subprocess.Popen[str]") -> None:
        while not self._is_over:
            is_running = process.poll() is None
            for step, metrics in self._reports(is_running=is_running):
                self._report(step, metrics)
                if self._is_over:
                    return
            if not is_running:
                break
        if process.returncode:
            log = self._run.folder / LOG_FILE
            message = f"{self._call.words[0]} ended with exit status {process.returncode}."
            raise CommandFailedError(message, f"{last_lines(log)}\n{message} What it wrote is in {log}.")

    # ------------------------------------------------------------------ the command

    def _words(self) -> list[str]:
        call = self._call
        more: tuple[str, ...] = ()
        named = {name for word in call.words for name in PLACEHOLDER.findall(word)}
        if call.config is not None:
            name, content = call.config
            self._values["config"] = self._folder / name
            replaced = {key: value for key, value in call.values.items() if key not in named}
            write_config(self._values["config"], with_values(content, replaced))
        state = self._run.restore()
        if state is not None and call.resume is not None:
            self._values["checkpoint"] = next(state.iterdir())
            self._restored_step = _step_of(self._values["checkpoint"])
            more = call.resume
        return [self._filled(word) for word in (*call.words, *more)]

    def _filled(self, text: str) -> str:
        return PLACEHOLDER.sub(lambda match: str(self._values.get(match[1], match[0])), text)

    def _listen(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None
        for line in process.stdout:
            sys.stdout.write(line)
            sys.stdout.flush()
            self._lines.put(line)
        self._lines.put(None)

    # ------------------------------------------------------------------ its metrics

    def _reports(self, *, is_running: bool) -> Iterator[tuple[int, dict[str, float]]]:
        """Yield (step, metrics) of what is new, after waiting a moment; all of it once the command has ended."""
        if self._call.pattern is None:
            if is_running:
                time.sleep(LOOK_SECONDS)
            yield from self._of_file()
            return
        while True:
            try:
                line = self._lines.get(timeout=LOOK_SECONDS if is_running else GRACE_SECONDS)
            except queue.Empty:
                return
            if line is None:
                return
            found = re.search(self._call.pattern, line)
            if found:
                yield self._placed({name: _number(value) for name, value in found.groupdict().items()})

    def _of_file(self) -> Iterator[tuple[int, dict[str, float]]]:
        assert self._metrics is not None
        if not self._metrics.is_file():
            return
        with self._metrics.open("rb") as file:
            file.seek(self._read_to)
            content = file.read()
        whole = content[: content.rfind(b"\n") + 1]  # a line may be half there
        self._read_to += len(whole)
        for line in whole.splitlines():
            with contextlib.suppress(ValueError):
                values = json.loads(line)
                if isinstance(values, Mapping) and (self._call.reported is None or self._call.reported in values):
                    yield self._placed({str(name): _number(value) for name, value in values.items()})

    def _placed(self, values: Mapping[str, float | None]) -> tuple[int, dict[str, float]]:
        numbers = {name: value for name, value in values.items() if value is not None}
        step = next((numbers[name] for name in STEPS if name in numbers), None)
        metrics = {name: value for name, value in numbers.items() if name not in STEPS}
        if step is not None and step.is_integer() and not self._is_counting:
            return int(step), metrics
        self._is_counting = True  # of 0.5, 1.0, 1.5 epochs each is a report
        return (self._steps[-1] if self._steps else self._restored_step) + 1, metrics

    def _report(self, step: int, metrics: dict[str, float]) -> None:
        run = self._run
        is_new = step > self._restored_step and (not self._steps or step > self._steps[-1])
        if not metrics or not is_new:
            return
        self._steps.append(step)
        if run.is_refit:  # it is trained to its end, whatever it reports on the way
            self._unsaid.append((step, metrics))
            return
        answer = run.report(step, **metrics)
        if answer.stop:
            self._is_over = True
        elif self._call.resume is not None and run.due(step):
            self._save()

    def _save(self) -> None:
        """Hand over the last checkpoint that is whole: one that was there before the command measured again."""
        found = [path for path in _glob(self._filled(self._call.checkpoint or "")) if _step_of(path) >= 0]
        whole = [path for path in found if _step_of(path) < self._steps[-1]]
        if not whole:
            return
        newest = max(whole, key=_step_of)
        if newest == self._last_seen:
            return
        self._last_seen, step = newest, _step_of(newest)
        later = sum(reported > step for reported in self._steps)
        with self._run.save(earlier=later, step=step) as folder:
            copy = shutil.copytree if newest.is_dir() else shutil.copy2
            copy(newest, folder / newest.name)

    def _export(self) -> None:
        """Hand over the trained model of a refit, behind the reports that it is asked for."""
        for step, metrics in self._unsaid:
            self._run.report(step, **metrics)
            if self._run.due(step):
                break
        if self._run.is_refit and self._call.exported is not None:
            with self._run.save() as folder:
                shutil.copytree(self._filled(self._call.exported), folder, dirs_exist_ok=True)


def _glob(pattern: str) -> list[Path]:
    path = Path(pattern)
    return list(path.parent.glob(path.name))


def _step_of(path: Path) -> int:
    found = _STEP_AT_END.search(path.stem if path.is_file() else path.name)
    return int(found[1]) if found else -1


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    with contextlib.suppress(ValueError):
        return float(value)
    return None


@contextlib.contextmanager
def held(process: "subprocess.Popen[str]") -> Iterator[None]:
    """Stop a command, and what it has started, for the duration of the block."""
    everyone = _family(process)
    for each in everyone:
        with contextlib.suppress(psutil.Error):
            each.suspend()
    try:
        yield
    finally:
        for each in everyone:
            with contextlib.suppress(psutil.Error):
                each.resume()


def end(process: "subprocess.Popen[str]") -> None:
    """End a command and what it has started: asked first, then killed."""
    everyone = _family(process)
    if process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_SECONDS)
    for each in everyone:
        with contextlib.suppress(psutil.Error):
            each.kill()
    process.wait()


def _family(process: "subprocess.Popen[str]") -> list[psutil.Process]:
    with contextlib.suppress(psutil.Error):
        leader = psutil.Process(process.pid)
        return [leader, *leader.children(recursive=True)]
    return []
