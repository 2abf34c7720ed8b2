"""Sends each record once to a service that may be slow or down, from its own thread."""

import contextlib
import json
import logging
import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hpsearch.callbacks.trial_record import StudyRecord, TrialRecord
from hpsearch.data.atomic_write import replaced_file
from hpsearch.errors import StoreError

logger = logging.getLogger("hpsearch")

RETRY_SECONDS = 300.0
"""How long to wait after a failure, except at the end: each attempt may take minutes."""

PATIENCE_SECONDS = 60.0
"""How long a study waits at its end for the records still to be sent."""

FAILURES_IN_A_ROW = 2
"""The service may refuse one record for its content; when the next one fails too, the service is down."""


class Sender:
    """Sends a study's records in order, without holding up the study.

    A file lists what was sent, so that a resumed study sends what is missing and nothing twice. A record that could not
    be sent is tried again after a while, at the end, and when the study runs next.

    Args:
        service: The service's name, for warnings.
        send: Sends one trial; it may raise anything.
        finish: Sends the state of the study at the end; it may raise anything.
        ledger: File with the ids of what was sent.
    """

    def __init__(
        self,
        service: str,
        send: Callable[[TrialRecord], None],
        finish: Callable[[StudyRecord], None],
        ledger: Path,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._service, self._send, self._finish, self._ledger, self._clock = service, send, finish, ledger, clock
        self._sent = set(json.loads(ledger.read_text(encoding="utf-8"))["sent"]) if ledger.exists() else set()
        self._offered: set[int] = set()
        self._queue: queue.SimpleQueue[TrialRecord | StudyRecord] = queue.SimpleQueue()
        self._missing: list[TrialRecord] = []
        self._silent_until = -float("inf")
        self._has_warned = False
        self._thread = threading.Thread(target=self._work, name=f"hpsearch-{service}", daemon=True)
        self._thread.start()

    def was_offered(self, number: int) -> bool:
        return number in self._offered

    def offer(self, record: TrialRecord) -> None:
        """Send a trial, unless it was sent before."""
        self._offered.add(record.number)
        if record.id not in self._sent:
            self._queue.put(record)

    def finish(self, record: StudyRecord) -> None:
        """Send the state of the study, wait `PATIENCE_SECONDS` for the rest, and warn of what was not sent."""
        self._queue.put(record)
        self._thread.join(PATIENCE_SECONDS)
        if self._thread.is_alive():
            logger.warning(
                "%s has not taken all trials within %g seconds; the rest is sent when the study runs again.",
                self._service,
                PATIENCE_SECONDS,
            )
        elif self._missing:
            logger.warning(
                "%d trials were not sent to %s; they will be when the study runs again.",
                len(self._missing),
                self._service,
            )

    def _work(self) -> None:
        while True:
            record = self._queue.get()
            if isinstance(record, StudyRecord):
                self._send_missing()
                self._safely(self._finish, record)
                return
            self._missing.append(record)
            if self._clock() >= self._silent_until:
                self._send_missing()

    def _send_missing(self) -> None:
        failures, left = 0, []
        for record in self._missing:
            if failures < FAILURES_IN_A_ROW and self._safely(self._send, record):
                failures = 0
                self._remember(record.id)
            else:
                failures += 1
                left.append(record)
        self._missing = left
        if left:
            self._silent_until = self._clock() + RETRY_SECONDS

    def _safely(self, call: Callable[[Any], None], record: TrialRecord | StudyRecord) -> bool:
        """Return whether a call succeeded; warn of the first that does not."""
        try:
            call(record)
        except Exception as error:  # these packages raise their own errors, the network's and JSON's
            if not self._has_warned:
                self._has_warned = True
                logger.warning(
                    "%s could not be reached: %s: %s. The study continues. Sending is tried again from time to time, "
                    "and when the study runs again.",
                    self._service,
                    type(error).__name__,
                    str(error).strip(),
                )
            return False
        return True

    def _remember(self, key: str) -> None:
        """Note what was sent; where the disk refuses, it is sent again next time, under the same id."""
        self._sent.add(key)
        with contextlib.suppress(OSError, StoreError):
            self._ledger.parent.mkdir(parents=True, exist_ok=True)
            with replaced_file(self._ledger) as file:
                file.write(json.dumps({"sent": sorted(self._sent)}, indent=1).encode("utf-8"))
