"""Calls a user's callbacks after each trial and at the end; logs their exceptions, which never end the study."""

import logging
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from hpsearch.data.atomic_write import append_text
from hpsearch.errors import StoreError
from hpsearch.records import History, Trial

logger = logging.getLogger("hpsearch")

LOG_FILE = "callbacks.log"
"""File for the callbacks' tracebacks, in the study's folder of logs."""


class GuardedCallback:
    """Calls a callback with the study and each ended trial, once that is durable, and its `on_end`, if any, at the end.

    An exception ends neither the study nor the calls: hours went into the trials, and the next call may succeed. The
    first one is logged as a warning; the log file gets all tracebacks.
    """

    def __init__(self, study: Any, callback: Callable[[Any, Trial], None], logs: Path) -> None:
        self._study, self._callback, self._logs = study, callback, logs
        self._failures = 0

    def observe(self, history: History, trial: Trial | None) -> None:
        if trial is not None:
            self._safely(f"trial {trial.number}", lambda: self._callback(self._study, trial))

    def end(self) -> None:
        on_end = getattr(self._callback, "on_end", None)
        if on_end is not None:
            self._safely("the end", lambda: on_end(self._study))
        if self._failures > 1:
            logger.warning("%s failed %d times; see logs/%s.", self._name, self._failures, LOG_FILE)

    @property
    def _name(self) -> str:
        name = getattr(self._callback, "__name__", None) or type(self._callback).__name__
        return f"The callback {name}"

    def _safely(self, subject: str, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception as error:
            self._failures += 1
            text = f"{self._name} at {subject}\n{traceback.format_exc().rstrip()}\n"
            with suppress(StoreError):  # the study's own writes report what the disk refuses
                append_text(self._logs / LOG_FILE, text)
            if self._failures == 1:
                logger.warning(
                    "%s raised %s: %s at %s. The study continues and will call it again; the traceback is in logs/%s.",
                    self._name,
                    type(error).__name__,
                    error,
                    subject,
                    LOG_FILE,
                )


@contextmanager
def guarded_callbacks(
    study: Any, callbacks: Sequence[Callable[[Any, Trial], None]], logs: Path
) -> Iterator[Sequence[GuardedCallback]]:
    """Yield an observer for each callback; call its `on_end` when the study has ended, paused or failed.

    Not after a second Ctrl-C: the user does not want to wait.
    """
    observers = [GuardedCallback(study, callback, logs) for callback in callbacks]
    try:
        yield observers
    except Exception:
        for observer in observers:
            observer.end()
        raise
    for observer in observers:
        observer.end()
