"""How many trials share a device: pure functions over what was measured on it."""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from statistics import median

from hpsearch.records import Shape

FULL = 0.95
"""From this busy share on, a device has no time left for another trial."""

GROWTH = 1.05
"""What another trial must make of a device's rows a second. Less is within the scatter of a few evaluation points."""


@dataclass(frozen=True)
class Measured:
    """What one run was between two of its evaluation points, while so many trials trained on its device.

    Attributes:
        trials: How many they were, this one included.
        rows_per_second: Rows that this one trained.
        memory_bytes: What one trial took of the device's memory, at its peak.
        busy: The share of the time in which the device was busy.
    """

    shape: Shape
    trials: int
    rows_per_second: float
    memory_bytes: int
    busy: float


@dataclass(frozen=True)
class Room:
    """What a device has for trials.

    Attributes:
        memory_bytes: Memory for all of them together.
        most: The most trials that it may train at once.
    """

    memory_bytes: int
    most: int


def trials_that_pay(measured: Collection[Measured], room: Room) -> int:
    """Return how many trials a device should train at once.

    It begins with one. Another joins while the largest trial so far has room once more, the device is not full, and the
    last that joined made more rows a second of it; the first that did not leaves again. So one is tried at a time, and
    what came in first does not matter.
    """
    trials = 1
    while trials < room.most and _has_room(measured, trials + 1, room) and _has_time(measured, trials):
        grown = growth(measured, trials + 1)
        if grown is not None and grown < GROWTH:
            break
        trials += 1
        if grown is None:  # it is being tried
            break
    return trials


def growth(measured: Collection[Measured], trials: int) -> float | None:
    """Return the device's rows a second with so many trials over those with one less, None where that is not known.

    Shapes differ in speed by themselves, so each is compared with itself: the median over those that trained in both.
    """
    speeds: dict[Shape, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for found in measured:
        if found.trials in (trials - 1, trials):
            speeds[found.shape][found.trials].append(found.rows_per_second)
    ratios = [
        trials * median(each[trials]) / ((trials - 1) * median(each[trials - 1]))
        for each in speeds.values()
        if each.keys() == {trials - 1, trials}
    ]
    return median(ratios) if ratios else None


def _has_room(measured: Collection[Measured], trials: int, room: Room) -> bool:
    return trials * max((found.memory_bytes for found in measured), default=0) <= room.memory_bytes


def _has_time(measured: Collection[Measured], trials: int) -> bool:
    busy = [found.busy for found in measured if found.trials == trials]
    return bool(busy) and median(busy) < FULL
