"""Places for workers on devices that trials share: which may take an order now, which are to come, which to go."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import count, islice

from hpsearch.records import Slot

Trials = Mapping[str, int]
"""Device to how many trials it should train at once; one that is not named keeps the slots that it has."""


def offered(idle: Sequence[Slot], busy: Sequence[Slot], trials: Trials) -> Sequence[Slot]:
    """Return the idle slots that may take an order now."""
    taken, free = Counter(slot.devices[0] for slot in busy), []
    for slot in idle:
        device = slot.devices[0]
        if device not in trials or taken[device] < trials[device]:
            taken[device] += 1
            free.append(slot)
    return free


def gpus_of(slots: Sequence[Slot]) -> set[str]:
    """Return the devices of slots, but for CPUs: what fits into their memory is not looked for."""
    return {slot.devices[0] for slot in slots if not is_cpu(slot.devices[0])}


def is_cpu(device: str) -> bool:
    """Return whether a device, "cpu" or "node/cpu" of a cluster, is one."""
    return device.rpartition("/")[2] == "cpu"


def missing(slots: Sequence[Slot], trials: Trials) -> Sequence[Slot]:
    """Return new slots for devices that should train more trials than they have slots."""
    there = Counter(slot.devices[0] for slot in slots)
    devices = [device for device, wanted in trials.items() for _ in range(wanted - there[device])]
    numbers = (number for number in count() if all(slot.index != number for slot in slots))
    return [Slot(number, (device,)) for number, device in zip(islice(numbers, len(devices)), devices, strict=True)]


def spare(slots: Sequence[Slot], busy: Sequence[Slot], trials: Trials) -> Sequence[Slot]:
    """Return the slots to give back, the last first, where a device has more than it should train trials."""
    over = Counter(slot.devices[0] for slot in slots)
    over.subtract({device: trials.get(device, number) for device, number in over.items()})
    going = []
    for slot in reversed(slots):
        if over[slot.devices[0]] > 0 and slot not in busy:
            over[slot.devices[0]] -= 1
            going.append(slot)
    return going


def shared(slots: Sequence[Slot]) -> Sequence[Slot]:
    """Return the slots with their shares: a GPU is divided among those that it has, a CPU's slots have a core each."""
    there = Counter(slot.devices[0] for slot in slots)
    return [replace(slot, share=1.0 if slot.devices[0] == "cpu" else 1.0 / there[slot.devices[0]]) for slot in slots]
