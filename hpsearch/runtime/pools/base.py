"""The seam of the pools."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from hpsearch.errors import HpsearchError, PreparedDataError
from hpsearch.records import Slot
from hpsearch.runtime.devices import Devices, TrialsPerDevice
from hpsearch.runtime.messages import Event, Probe, Probed, Train, Workload

logger = logging.getLogger("hpsearch")


class TimeIsUpError(HpsearchError):
    """The time of a study was up before any worker was ready for it."""


class Pool(Protocol):
    """A set of slots that train segments. An order ends with exactly one `Ended`, whatever happens to its worker.

    Attributes:
        deadline: When waiting for workers ends with `TimeIsUpError`, in seconds of `time.monotonic`; None for never.
    """

    deadline: float | None

    def environment(self) -> Mapping[str, Any]:
        """Return the workers' libraries and hardware (`training.detect_environment`), to resolve numerics from."""

    def prepare(self, workload: Workload) -> None:
        """Make every worker ready for a study, and later every worker that replaces a lost one.

        Raises:
            HpsearchError: A worker refuses: it cannot honour the numerics, or cannot load the model. Or workers die
                again and again before they are ready.
        """

    def probe(self, order: Probe, slot: Slot | None = None) -> Probed | None:
        """Have one worker find out how many rows fit its device at once; other slots are assumed to be alike.

        What fits may not depend on what trains beside it. So where others train on the device of `slot`, which is idle,
        the answer is None, and no slot of it is idle any more until they have ended. It is None, too, where the last
        worker on that device is given up. Without a slot any worker does it.
        """

    def slots(self) -> Sequence[Slot]:
        """Return all slots; any thread may ask."""

    def idle(self) -> Sequence[Slot]:
        """Return the slots that can take an order now."""

    def busy(self) -> bool:
        """Return whether any order has not ended."""

    def training(self) -> Sequence[tuple[Slot, Train]]:
        """Return what trains where; any thread may ask."""

    def submit(self, slot: Slot, order: Train) -> None:
        """Give an order to an idle slot."""

    def completed(self, timeout: float) -> Iterator[Event]:
        """Wait up to `timeout` seconds and yield what workers report, each worker's events in order."""

    def cancel(self, study: str, run: str) -> None:
        """End the order that trains a study's run, if any, after its current step, without a checkpoint."""

    def interrupt(self, study: str) -> None:
        """End every order of a study after its current step, with a checkpoint."""

    def rest(self, slot: Slot) -> None:
        """Have an idle slot's worker free the memory that it keeps for its next segment: another process needs it."""

    def close(self) -> None:
        """End all workers."""


def prepare_again(workload: Workload, error: PreparedDataError) -> None:
    """Make a study's rows anew, and say so."""
    logger.warning("%s That is done now, and the study continues.", error)
    workload.prepare_again()


def with_whole_rows(workload: Workload, prepare: Callable[[], object]) -> None:
    """Call `prepare`, once more where it finds the study's rows deleted or damaged; they are made anew before."""
    try:
        prepare()
    except PreparedDataError as error:
        prepare_again(workload, error)
        prepare()


@dataclass(frozen=True)
class PoolChoice:
    """How `devices` chooses a pool.

    Attributes:
        values: What `devices` may be for this pool, as errors list it.
        claims: Whether a value is meant for this pool, be it there or not.
        opening: Checks such a value at once, and returns what starts the pool. `UsageError` says what is not there.
        is_in_process: Whether it trains in the calling process, so that metrics and tasks need not travel.
        sharing: The same as `opening` where several trials share a device; None where none can.
        takes_turns: Whether its devices are this machine's, so that it takes turns on them with other processes.
    """

    values: tuple[str, ...]
    claims: Callable[[Devices], bool]
    opening: Callable[[Devices], Callable[[], Pool]]
    is_in_process: bool = False
    sharing: Callable[[Devices, TrialsPerDevice], Callable[[], Pool]] | None = None
    takes_turns: bool = False
