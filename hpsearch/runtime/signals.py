"""What signals do to a run: Ctrl-C pauses it, and SIGTERM and SIGUSR1, by which clusters give notice, do so in time.

Slurm's --signal, its time limit and preemption, a spot machine's shutdown, and Kubernetes send them some time before
they kill. Within that time every run saves its checkpoint, or the process ends without.
"""

import contextlib
import importlib
import logging
import os
import queue
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from hpsearch.errors import PREEMPTED_CODE, Preempted

logger = logging.getLogger("hpsearch")

NOTICE_PERIOD = 25.0
"""Seconds that a run may take to end by default: Slurm (KillWait), Kubernetes, Google's and Azure's spot machines kill
30 after their signal."""

CLEANUP_SECONDS = 5.0
"""How much of the notice period is left for ending workers and giving the study back, a fifth of it at most."""

NOTICES = (signal.SIGTERM, signal.SIGUSR1) if os.name == "posix" else ()


class Interruption:
    """What the signals of this process ask of a run. Another thread's run hears of none.

    Args:
        notice_period: Within how many seconds of SIGTERM or SIGUSR1 this process has left the run, or ends.
    """

    def __init__(self, notice_period: float = NOTICE_PERIOD) -> None:
        self.notice_period = notice_period
        self._pause: Callable[[], None] | None = None
        self._asked = threading.Event()
        self._news: queue.SimpleQueue[signal.Signals | None] = queue.SimpleQueue()
        self._notice: signal.Signals | None = None
        self._is_overdue = False
        self._before: dict[signal.Signals, Any] = {}
        self._raised: Preempted | None = None

    def is_set(self) -> bool:
        """Return whether a signal has paused what can be paused; any thread may ask."""
        return self._asked.is_set()

    def exception(self, text: str) -> KeyboardInterrupt:
        """Return what a paused run raises: KeyboardInterrupt, or Preempted where a cluster has given notice."""
        _import_what_is_imported_at_exit()
        return KeyboardInterrupt(text) if self._notice is None else Preempted(f"{self._notice.name}: {text}")

    @contextlib.contextmanager
    def heard(self) -> Iterator[None]:
        """Hear SIGTERM and SIGUSR1 meanwhile: what cannot be paused is left at once, by `Preempted`."""
        here = (threading.get_ident(),)
        threading.Thread(target=self._count_down, args=here, name="hpsearch-notice", daemon=True).start()
        try:
            with self._answered(NOTICES, self._take_notice):
                yield
        except Preempted as error:
            if error is self._raised:
                logger.warning("%s", error)
            raise
        except KeyboardInterrupt:
            _import_what_is_imported_at_exit()
            raise
        finally:
            self._news.put(None)

    @contextlib.contextmanager
    def pausing(self, pause: Callable[[], None]) -> Iterator[None]:
        """Let signals, the first Ctrl-C too, call `pause` meanwhile. A Ctrl-C after that ends the run at once."""
        self._pause = pause
        try:
            with self._answered((signal.SIGINT,), lambda *_: self._ask()):
                yield
        finally:
            self._pause = None

    @contextlib.contextmanager
    def _answered(
        self, numbers: tuple[signal.Signals, ...], handler: Callable[[int, FrameType | None], None]
    ) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        for number in numbers:
            self._before[number] = signal.getsignal(number) or signal.SIG_DFL  # None: another than Python's own
            signal.signal(number, handler)
        try:
            yield
        finally:
            for number in numbers:
                signal.signal(number, self._before[number])

    def _ask(self) -> None:
        signal.signal(signal.SIGINT, self._before[signal.SIGINT])  # a second one ends it at once
        self._asked.set()  # the display now asks for a second Ctrl-C, which must not come here any more
        assert self._pause is not None
        self._pause()

    def _take_notice(self, number: int, _frame: FrameType | None) -> None:
        """Pause what can be paused, else raise. Later notices change nothing: job scripts pass on what came to all."""
        is_first = self._notice is None
        if is_first:
            self._notice = signal.Signals(number)
            self._news.put(self._notice)
        if self._is_overdue or (is_first and self._pause is None):
            late = f" did not pause within {self.notice_period:g} seconds and" if self._is_overdue else ""
            self._raised = Preempted(
                f"{signal.Signals(number).name}: hpsearch{late} has stopped. Everything recorded is safe; run the same "
                "command to continue."
            )
            raise self._raised
        if is_first and not self.is_set():
            self._ask()

    def _count_down(self, main_thread: int) -> None:
        """End the run when its notice is over, whatever it does: the main thread may be in native code, and hear late.

        A thread of its own, which the handler tells by a queue: no other way is safe in a handler.
        """
        notice = self._news.get()
        if notice is None:
            return
        last = min(CLEANUP_SECONDS, self.notice_period / 5)
        with contextlib.suppress(queue.Empty):
            self._news.get(timeout=self.notice_period - last)
            return
        self._is_overdue = True
        signal.pthread_kill(main_thread, notice)
        with contextlib.suppress(queue.Empty):
            self._news.get(timeout=last)
            return
        os.write(2, f"hpsearch: {self.notice_period:g} seconds after {notice.name} this process ends.\n".encode())
        os._exit(PREEMPTED_CODE)


def _import_what_is_imported_at_exit() -> None:
    """Import tabulate, where it is installed: torch's last words at exit would, if torch._dynamo was imported.

    Python ends a process by SIGINT, which a shell calls 130, if an unhandled KeyboardInterrupt was the last thing that
    was run from a text. tabulate makes named tuples, which are such texts; after it the exit code would be 1.
    """
    with contextlib.suppress(ImportError):
        importlib.import_module("tabulate")
