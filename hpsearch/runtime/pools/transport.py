"""The seam between a pool and the processes of its workers, on this machine or on others."""

from enum import Enum
from typing import Any, Protocol

from hpsearch.records import Slot


class Lost(Enum):
    """What a transport says of a process in place of a message."""

    GONE = "gone"
    """It has ended, or cannot be reached any more."""


class Remote(Protocol):
    """A worker's process as its pool reaches it."""

    @property
    def is_elsewhere(self) -> bool:
        """Whether it may be on another machine, which does not see this one's folders."""

    @property
    def started(self) -> float | None:
        """When the process began, in seconds of `time.monotonic`; None while it waits for a place."""

    def send(self, content: bytes) -> None:
        """Send a pickled message; one to a process that is gone is dropped, for what is received says so."""

    def rouse(self) -> None:
        """Have the process, which shows no progress, write down where it stands; wake it where it was stopped."""

    def stack(self) -> str:
        """Return where it stands, as it wrote that down when it was asked or as it crashed; "" where it did not."""

    def end(self) -> None:
        """Kill the process; nothing more is received of it. A second call does nothing."""

    def release(self) -> None:
        """Have an idle process leave its pool, to the next one or for good; nothing more is received of it."""

    def ending(self) -> str:
        """Return how the process ended: the signal that killed it, or its exit status; "" where that is unknown."""


class Transport(Protocol):
    """Starts the processes of workers, and brings what they say."""

    def start(self, slot: Slot, generation: int) -> Remote:
        """Start a worker's process on a slot. No other process of the pool ever has its number, `generation`."""

    def received(self, timeout: float) -> list[tuple[int, Any]]:
        """Wait up to `timeout` seconds; return (generation, message) pairs; `Lost.GONE` is a process's last."""

    def failed_to_start(self) -> None:
        """Take note that a process ended before it was up; the next one is started next."""

    def close(self) -> None:
        """End what carries the messages; all processes have been ended or released."""
