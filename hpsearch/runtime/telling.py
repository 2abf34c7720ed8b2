"""The edge to the callbacks of a user: told of each ended trial and of the end, and never the end of the study."""

import logging
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from hpsearch.records import History, Trial

logger = logging.getLogger("hpsearch")

LOG_FILE = "callbacks.log"
"""Where the tracebacks of callbacks go, in the study's folder of logs."""


class Telling:
    """Tells a callback of each ended trial, after it is durable.

    An exception of the callback's ends neither the study nor the callback: the trials are what hours were spent on,
    and a later trial may well go through. The first one is a warning with its last line; the tracebacks of all of
    them are kept with the study.

    Args:
        study: Handed to the callback.
        callback: Called with the study and the trial; its `on_end`, if it has one, with the study.
        logs: The study's folder of logs.
    """

    def __init__(self, study: Any, callback: Callable[[Any, Trial], None], logs: Path) -> None:
        self._study, self._callback, self._logs = study, callback, logs
        self._failures = 0

    def observe(self, history: History, trial: Trial | None) -> None:
        """Tell it of `trial`, if one has ended."""
        if trial is not None:
            self._safely(f"trial {trial.number}", lambda: self._callback(self._study, trial))

    def end(self) -> None:
        """Tell it that the study is run no longer, ended or paused."""
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
            with suppress(OSError):  # a full disk is found by the study's own writing
                self._logs.mkdir(parents=True, exist_ok=True)
                with (self._logs / LOG_FILE).open("a", encoding="utf-8") as log:
                    log.write(f"{self._name} at {subject}\n{traceback.format_exc().rstrip()}\n")
            if self._failures == 1:
                logger.warning(
                    "%s raised %s: %s at %s. The study goes on and calls it again; its traceback is in logs/%s.",
                    self._name,
                    type(error).__name__,
                    error,
                    subject,
                    LOG_FILE,
                )


@contextmanager
def telling(study: Any, callbacks: Sequence[Callable[[Any, Trial], None]], logs: Path) -> Iterator[Sequence[Telling]]:
    """Yield an observer a callback, and tell each of the end afterwards, whether the study ended, paused or failed.

    Only where the user will not wait (a second Ctrl-C) nobody is told.
    """
    observers = [Telling(study, callback, logs) for callback in callbacks]
    try:
        yield observers
    except Exception:
        for observer in observers:
            observer.end()
        raise
    for observer in observers:
        observer.end()
