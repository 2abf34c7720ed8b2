"""Processes that run toy studies, forked from one that has imported everything: each starts in milliseconds.

Such a process leads a process group of its own, and ends as any Python program does.
"""

import gc
import importlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil


class StudyProcess:
    """A forked process; `log` holds what it prints."""

    def __init__(self, launcher: "Launcher", pid: int, log: Path) -> None:
        self._launcher, self.pid, self.log = launcher, pid, log
        self._status: int | None = None

    def poll(self) -> int | None:
        """Return its exit status (minus the signal's number where one killed it), or None while it lives."""
        if self._status is None:
            self._status = self._launcher.ask({"poll": self.pid})
        return self._status

    def wait(self, seconds: float = 240.0) -> int:
        until(lambda: self.poll() is not None, seconds, lambda: f"process {self.pid}:\n{self.text()}")
        assert self._status is not None
        return self._status

    def send(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send(signal.SIGKILL)
        self.wait()

    def started(self) -> list[psutil.Process]:
        """Return whatever it has started: its workers, and what loky has beside them."""
        try:
            return psutil.Process(self.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def workers(self) -> list[psutil.Process]:
        """Return its live worker processes."""
        return [child for child in self.started() if is_worker(child)]

    def text(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""


def is_worker(process: psutil.Process) -> bool:
    try:
        return is_alive(process) and any("popen_loky_posix" in word for word in process.cmdline())
    except psutil.NoSuchProcess:
        return False


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def until(holds: Callable[[], Any], seconds: float, what: Callable[[], str] | str = "") -> None:
    """Wait until something holds; fail where it does not within so many seconds."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"not within {seconds} s: {what() if callable(what) else what}"
        time.sleep(0.02)


class Launcher:
    """The process that forks; one serves all tests of a session.

    Attributes:
        environment: Variables that each process has, unless its launch gives them other values.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._count = folder, 0
        self.environment: dict[str, str] = {}
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        environment["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parents[2]), str(Path(__file__).parent)])
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def ask(self, request: Mapping[str, Any]) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def launch(self, function: str, environment: Mapping[str, str] | None = None, **arguments: Any) -> StudyProcess:
        """Call a function of toy_studies in a new process."""
        self._count += 1
        log = self._folder / f"process-{self._count}.log"
        request = {"call": function, "arguments": arguments, "log": str(log)}
        request["environment"] = {**self.environment, **(environment or {})}
        return StudyProcess(self, self.ask(request), log)

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()


def _poll(pid: int) -> int | None:
    done, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if done else None


def _forked(request: Mapping[str, Any]) -> int:
    """Return the new process's id, or 0 in the new process itself."""
    pid = os.fork()
    if pid == 0:
        os.setsid()
        # For reading too: only so does a terminal become the session's own, whose Ctrl-C reaches it.
        for descriptor, name, flags in ((0, os.devnull, os.O_RDONLY), (1, request["log"], os.O_RDWR | os.O_CREAT)):
            opened = os.open(name, flags)
            os.dup2(opened, descriptor)
            os.close(opened)
        os.dup2(1, 2)
        os.environ.update(request["environment"])
    return pid


IMPORTED = (
    "alembic.config",
    "alembic.migration",
    "optuna.storages._rdb.models",
    "sklearn.model_selection",
    "torch._inductor",
    "transformers",
    "hpsearch.analysis",
    "hpsearch.records.store",
    "hpsearch.result.result",
    "hpsearch.runtime.new_trials",
    "hpsearch.runtime.coordinator",
    "hpsearch.runtime.pools",
    "hpsearch.display.live",
)
"""What a study imports as it runs; a forked process has it by then."""


def main() -> None:
    for name in IMPORTED:
        importlib.import_module(name)
    import torch
    import toy_studies

    from hpsearch.tasks.classes.metric import resolve_metric

    resolve_metric("f1_macro", "multiclass", ("a", "b", "c"))
    torch.set_num_threads(1)
    gc.freeze()  # else each child, as it ends, walks through all that was imported here, which takes seconds
    for line in sys.stdin:
        request = json.loads(line)
        if "poll" in request:
            answer = _poll(request["poll"])
        else:
            answer = _forked(request)
            if answer == 0:
                if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # the tests were started in the background
                    signal.signal(signal.SIGINT, signal.default_int_handler)
                getattr(toy_studies, request["call"])(**request["arguments"])
                return
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
