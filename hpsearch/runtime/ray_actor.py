"""A worker as an actor of Ray: its side of the conversation. One thread follows orders, others carry messages.

It imports nothing of Ray's: the pool makes an actor of the class (`hpsearch.runtime.pools.ray`).
"""

import os
import sys
import threading
import traceback
from dataclasses import dataclass
from typing import Any

from hpsearch.provenance.packages import __version__
from hpsearch.runtime.worker_orders import Channel, follow_orders

POLL_SECONDS = 10.0
"""How long a worker without news lets its pool wait: heartbeats come with news, or by then."""


@dataclass(frozen=True)
class Arrived:
    """An actor has been given a place.

    Attributes:
        version: hpsearch's, as its node has it.
        gpu: The number on its node of the GPU that Ray has given it; "" without one.
    """

    version: str
    gpu: str


class OutboxChannel(Channel):
    """A worker's end: what it sends waits until its pool asks for it."""

    def __init__(self) -> None:
        super().__init__()
        self._outbox: list[bytes] = []
        self._changed = threading.Condition()
        self._has_news = False
        self._error: Exception | None = None

    def send(self, message: Any) -> None:
        """Send a message. A heartbeat alone ends nobody's wait."""
        from hpsearch.runtime.messages import Heartbeat

        with self._changed:
            self._has_news = self._has_news or not isinstance(message, Heartbeat)
            super().send(message)
            self._changed.notify()

    def send_bytes(self, content: bytes) -> None:
        self._outbox.append(content)

    def fail(self, error: Exception) -> None:
        """Have whoever waits for news get an error instead."""
        with self._changed:
            self._error, self._has_news = error, True
            self._changed.notify()

    def collected(self, timeout: float) -> list[bytes]:
        """Wait up to `timeout` seconds for news, and return all that was sent since the last call."""
        with self._changed:
            self._changed.wait_for(lambda: self._has_news, timeout)
            if self._error is not None:
                raise self._error
            outbox, self._outbox, self._has_news = self._outbox, [], False
        return outbox


class WorkerActor:
    """Follows a pool's orders in a thread of its own: torch has settings of each thread.

    Args:
        device: What is trained on, as this process names it.
    """

    def __init__(self, device: str) -> None:
        self._channel = OutboxChannel()
        self._taken, self._early = 0, dict[int, bytes]()
        self._taking = threading.Lock()
        self._thread = threading.Thread(target=self._follow, args=(device,), name="hpsearch-orders", daemon=True)
        self._thread.start()

    def arrived(self) -> Arrived:
        return Arrived(__version__, os.environ.get("CUDA_VISIBLE_DEVICES", ""))

    def deliver(self, number: int, content: bytes) -> None:
        """Take the pool's pickled message of a number, 0 and up, once all before it are taken: calls are threads."""
        with self._taking:
            self._early[number] = content
            while self._taken in self._early:
                self._channel.take(self._early.pop(self._taken))
                self._taken += 1

    def outbox(self) -> list[bytes]:
        """Return the pickled messages for the pool, once there is news, or in a while."""
        return self._channel.collected(POLL_SECONDS)

    def where(self) -> str:
        """Return the stack of the thread that follows orders."""
        frame = sys._current_frames().get(self._thread.ident or 0)
        return "" if frame is None else "".join(traceback.format_stack(frame)).rstrip()

    def _follow(self, device: str) -> None:
        try:
            follow_orders(self._channel, device)
        except Exception as error:  # the worker's edge: a package that cannot be imported
            traceback.print_exc()
            sys.stderr.flush()
            self._channel.fail(error)
        else:
            os._exit(1)
