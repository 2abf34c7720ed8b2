"""A worker as its pool sees it."""

import time
from dataclasses import dataclass, field, replace
from typing import Any

import psutil

from hpsearch.records import Outcome, SegmentResult, Slot
from hpsearch.runtime.messages import Ended, Prepare, Stop, Train, Workload, pickled
from hpsearch.runtime.node_folders import folders_of
from hpsearch.runtime.pools.silence import GRACE_SECONDS
from hpsearch.runtime.pools.transport import Remote


@dataclass
class PoolWorker:
    """A worker as its pool sees it.

    Attributes:
        generation: Its number, which no other worker of this pool ever has.
        pid: Its process, once it is up.
        awaited: Answers that it still owes.
        told_again: Studies whose rows it found deleted or damaged, and which it was told of again.
        point: The last evaluation point that it reported of its order.
        progress: The count of its last heartbeat.
        progressed: When that count last changed, or it was given something to do.
        asked: When it was asked to end because it shows no progress; None where it was not.
        kept: (study, run, point) of the run that its process can go on with as it stands.
        ending: How its process ended, once it is lost; "" where that is unknown.
    """

    slot: Slot
    remote: Remote
    generation: int
    pid: int | None = None
    awaited: int = 0
    order: Train | None = None
    is_stopping: bool = False
    told_again: set[str] = field(default_factory=set)
    point: int = 0
    progress: int = -1
    progressed: float = field(default_factory=time.monotonic)
    asked: float | None = None
    kept: tuple[str, str, int] | None = None
    ending: str = ""

    def takes(self, order: Train) -> Train:
        """Take an order; return what is sent of it: a run that the process has kept needs no checkpoint."""
        run, start, kept = order.segment.run.key, order.segment.start, self.kept
        self.order, self.is_stopping, self.kept = order, False, None
        self.point = start
        self.makes_progress()
        return replace(order, checkpoint=None) if kept == (order.study, run, start) else order

    def ends(self, result: SegmentResult) -> None:
        order, self.order = self.order, None
        is_whole = result.outcome is Outcome.OK and not self.is_stopping  # a late stop has its process rest
        if order is not None and order.leaves_checkpoint and is_whole:
            self.kept = order.study, order.segment.run.key, result.point

    def makes_progress(self) -> None:
        self.progressed, self.asked = time.monotonic(), None

    def owes(self, message: Any) -> None:
        """Send what it has to answer."""
        self.awaited, self.kept = self.awaited + 1, None
        self.makes_progress()
        self.send(message)

    def is_hung(self, seconds: float) -> bool:
        """Whether it shows no progress, and neither ends nor goes on once it was asked to end, which this does."""
        now = time.monotonic()
        if (self.order is None and not self.awaited) or now - self.progressed <= seconds:
            return False
        if self.asked is None:
            self.asked, self.is_stopping = now, True
            if self.order is not None:
                self.send(Stop(checkpoint=True))
            self.remote.rouse()
        return now - self.asked > GRACE_SECONDS

    def send(self, message: Any) -> None:
        self.remote.send(pickled(message))  # errors of pickling are the user's to see

    def tell(self, workload: Workload) -> None:
        """Have it get ready for a study."""
        folders = folders_of(workload) if self.remote.is_elsewhere else None
        self.owes(Prepare(workload.study, pickled(workload), folders))

    def rest(self) -> None:
        """Have it free the memory that it keeps for its next segment."""
        self.kept = None
        self.send(Stop(checkpoint=False))

    def dismiss(self) -> None:
        """Let it go: an idle process may be of use to the next pool."""
        if self.is_ready and self.order is None:
            self.remote.release()
        else:
            self.remote.end()

    @property
    def is_ready(self) -> bool:
        return self.pid is not None and self.awaited == 0


def not_begun(order: Train) -> Ended:
    """Return how an order ends whose worker was lost since it was idle, while another one tried a model."""
    return Ended(order.study, SegmentResult(order.segment, Outcome.PAUSED, order.segment.start))


def probe_failure(lost: int, ending: str) -> str:
    """Return in words that so many workers were lost while they tried a model, how the last ended, and what to do."""
    return (
        f"A worker was lost {lost} times while it tried the model on a few rows and looked how many fit its memory"
        f"{ending and f' ({ending})'}. Give a smaller batch_size or a shorter max_length, or free the device. "
        "devices='inline' shows the error of a model that is at fault."
    )


def start_failure(worker: PoolWorker, failed: int, ending: str) -> str:
    """Return in words that workers on a slot ended so many times before they were ready, and what to do.

    Args:
        ending: How the last process ended, "" where that is unknown.
    """
    doing = "started" if worker.pid is None else "loaded the model and the rows"
    text = (
        f"Worker processes on {worker.slot.devices[0]} ended {failed} times before they were ready, as they {doing}"
        f"{ending and f' ({ending})'}. "
    )
    if "SIGKILL" not in ending:
        return text + "Run with devices='inline' to see the error, or `hpsearch doctor` to check the machine."
    memory = psutil.virtual_memory()
    return text + (
        f"The system kills processes when its memory is full: {memory.available / 2**30:.1f} of "
        f"{memory.total / 2**30:.1f} GiB are free now. Free memory, use fewer workers (devices=1) or a smaller "
        "model, then run the study again."
    )
