"""What trains on one device: keeps the measurements that say how many trials it should train."""

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import fmean

from hpsearch.records import Evaluation, Outcome, SegmentResult, Shape, shape_of
from hpsearch.runtime.device_load import DeviceLoad, NotMeasuredError
from hpsearch.runtime.messages import Train
from hpsearch.runtime.placing import Measured, Room, trials_that_pay

logger = logging.getLogger("hpsearch")

SPARE = 0.1
"""The share of a device's free memory that trials leave alone: what others start meanwhile, and fragments."""

LOOK_SECONDS = 0.5
"""How often a device is looked at: NVML's own samples are a sixth of a second to one second long."""

STEADY = 0.1
"""By how much the mean number of trials over an interval may differ from a whole number."""


@dataclass
class _Order:
    """An order in progress on the device.

    Attributes:
        run: Its run's key.
        rows: Rows that its run had seen at its last evaluation point; None where what follows is no measurement.
        since: When that was.
        occupied: Trial-seconds of the device by then.
        beside: The most trials that have trained on the device with it, itself included.
    """

    run: str
    shape: Shape
    rows: int | None
    since: float
    occupied: float
    beside: int = 0


class Occupancy:
    """One device, and what trains on it.

    What a trial takes of a GPU's memory is the peak of its tensors, which it reports, and what a process takes beside
    them: known from the first run, which is alone.

    Args:
        device: Its name.
        most: The most trials that it may train at once.
        load: Looks at it, to find out how many pay; None where always `most` train, as far as memory allows.

    Attributes:
        trials: How many trials it should train at once.
    """

    def __init__(
        self, device: str, most: int, load: DeviceLoad | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.device = device
        self._load, self._clock = load, clock
        self._orders: dict[int, _Order] = {}
        self._warm: set[int] = set()
        self._measured: list[Measured] = []
        self._tried_with: dict[str, int] = {}  # by run, the fewest trials at once with which it ran out of memory
        self._looks: list[tuple[float, float]] = []
        self._changed, self._occupied, self._looked = clock(), 0.0, -math.inf
        self._foreign = self._used = self._overhead = 0
        self._room, self.trials = Room(0, most), most
        if load is not None:
            first = load.look()
            self._foreign = first.memory_used
            self._room = Room(int((first.memory_bytes - first.memory_used) * (1.0 - SPARE)), most)
            self.trials = 1

    def look(self) -> None:
        """Look how busy it is and how much memory is in use, at most every `LOOK_SECONDS`."""
        if self._load is None or not self._orders or self._clock() - self._looked < LOOK_SECONDS:
            return
        self._looked = self._clock()
        try:
            load = self._load.look()
        except NotMeasuredError as error:
            logger.warning("%s trains no more trials than now: %s.", self.device, error)
            self._load, self._room = None, replace(self._room, most=self.trials)
            return
        self._looks.append((self._clock(), load.busy))
        self._used = max(self._used, load.memory_used)

    def began(self, slot: int, order: Train) -> None:
        """Note that a slot trains an order."""
        self._advance()
        rows = order.previous[-1].rows_seen if order.previous else 0
        steady = rows if slot in self._warm else None  # a process's first steps load kernels
        run = order.segment.run
        self._orders[slot] = _Order(run.key, shape_of(run.config), steady, self._clock(), self._occupied)
        for each in self._orders.values():
            each.beside = max(each.beside, len(self._orders))

    def evaluated(self, slot: int, evaluation: Evaluation) -> None:
        """Measure the interval that an evaluation ends."""
        self._advance()
        order, now = self._orders.get(slot), self._clock()
        if order is None:
            return
        self._warm.add(slot)
        if self.device != "cpu" and not self._measured:  # one process is there, the first
            self._overhead = max(0, self._used - self._foreign - evaluation.peak_memory_bytes)
        rows, seconds = evaluation.rows_seen - (order.rows or 0), now - order.since
        among = (self._occupied - order.occupied) / seconds if seconds > 0 else 0.0
        busy = [share for at, share in self._looks if at >= order.since] or [share for _, share in self._looks[-1:]]
        is_steady = round(among) > 0 and abs(among - round(among)) <= STEADY
        if order.rows is not None and is_steady and busy and evaluation.seconds > 0:
            memory, speed = evaluation.peak_memory_bytes + self._overhead, rows / evaluation.seconds
            self._measured.append(Measured(order.shape, round(among), speed, memory, fmean(busy)))
            self._fit()
        order.rows, order.since, order.occupied = evaluation.rows_seen, now, self._occupied
        earliest = min(each.since for each in self._orders.values())
        self._looks = [look for look in self._looks if look[0] >= earliest] or self._looks[-1:]

    def ended(self, slot: int, result: SegmentResult) -> SegmentResult:
        """Note that an order has ended, and return how: out of memory beside others is a pause, to be tried again.

        What a trial comes to does not depend on what ran beside it, so only one that is alone can run out of memory.
        From then on the device trains fewer, unless the run has too little alone, too.
        """
        self._advance()
        order = self._orders.pop(slot, None)
        if order is None or result.outcome is not Outcome.OUT_OF_MEMORY:
            return result
        if order.beside < 2:
            self._tried_with.pop(order.run, None)
            self._fit()
            return result
        if self._tried_with.get(order.run, order.beside + 1) > order.beside:
            self._tried_with[order.run] = order.beside
            self._fit()
            logger.warning(
                "A trial ran out of memory on %s, which trained %d at once. It continues from its checkpoint among "
                "%d or fewer.",
                self.device,
                order.beside,
                self.trials,
            )
        return replace(result, outcome=Outcome.PAUSED, log="")

    def lost(self, slot: int) -> None:
        """Note that a slot's worker is gone; the next one begins cold."""
        self._advance()
        self._orders.pop(slot, None)
        self._warm.discard(slot)

    def limit(self, most: int) -> None:
        """Train no more trials at once than so many; none where no worker can start."""
        self._room = replace(self._room, most=most)
        self._fit()

    def _fit(self) -> None:
        """Work out anew how many trials the device should train."""
        most = min([self._room.most, *(trials - 1 for trials in self._tried_with.values())])
        pay = most if self._load is None else trials_that_pay(self._measured, replace(self._room, most=most))
        self.trials = min(most, pay)

    def _advance(self) -> None:
        """Count the trial-seconds since the number of trials last changed."""
        now = self._clock()
        self._occupied += len(self._orders) * (now - self._changed)
        self._changed = now
