"""The seam of the pools."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from hpsearch.records import Segment, Slot
from hpsearch.runtime.messages import Event, Probe, Train, Workload


class Pool(Protocol):
    """A set of slots that train segments. An order ends with exactly one `Ended`, whatever befalls its worker."""

    def environment(self) -> Mapping[str, Any]:
        """Return what the workers compute with (`training.detect_environment`), to resolve numerics from."""

    def prepare(self, workload: Workload) -> None:
        """Make every worker, and every one that takes a lost one's place, ready for a study.

        Raises:
            HpsearchError: A worker refuses: it cannot honour the numerics, or cannot load the model.
        """

    def probe(self, order: Probe) -> int:
        """Have one worker find out how many rows fit its device at once; every slot is taken to be like the first."""

    def slots(self) -> Sequence[Slot]:
        """Return every slot, whatever its worker does."""

    def idle(self) -> Sequence[Slot]:
        """Return the slots that can take an order now."""

    def busy(self) -> bool:
        """Return whether any order has not ended."""

    def training(self) -> Sequence[tuple[Slot, Segment]]:
        """Return what is being trained, and where; it may be asked from any thread."""

    def submit(self, slot: Slot, order: Train) -> None:
        """Give an idle slot a segment to train."""

    def completed(self, timeout: float) -> Iterator[Event]:
        """Wait up to `timeout` seconds and yield what workers found, each worker's in order."""

    def cancel(self, run: str) -> None:
        """End the order that trains this run, if any, as soon as its current step is over, without a checkpoint."""

    def interrupt(self) -> None:
        """End every order as soon as its current step is over, with a checkpoint."""

    def close(self) -> None:
        """End all workers."""
