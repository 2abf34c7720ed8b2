"""What a pool begins with where trials share devices: slots, what measures each device, and NVIDIA's MPS."""

import logging
import os
from collections import Counter
from collections.abc import Mapping, Sequence

from hpsearch.records import Slot
from hpsearch.runtime.device_load import NotMeasuredError, load_of
from hpsearch.runtime.devices import Inventory, worker_environment
from hpsearch.runtime.mps import MpsRefusedError, MultiProcessService, running_daemon
from hpsearch.runtime.occupancy import Occupancy

logger = logging.getLogger("hpsearch")

Places = tuple[Sequence[Slot], Mapping[str, Occupancy], MultiProcessService | None]
"""The arguments of `LocalPool`."""


def filled_places(slots: Sequence[Slot]) -> Places:
    """Return the places of a pool whose devices train as many trials as they have slots."""
    occupancies = {
        device: Occupancy(device, trials) for device, trials in Counter(slot.devices[0] for slot in slots).items()
    }
    return slots, occupancies, _service(occupancies)


def measured_places(slots: Sequence[Slot], machine: Inventory) -> Places:
    """Return the places of a pool whose devices train as many trials as pay: it begins with one on each.

    Args:
        slots: One for each GPU; on a CPU as many as there may be.
    """
    occupancies, unmeasured = {}, {}
    for device, named in Counter(slot.devices[0] for slot in slots).items():
        most = named if device == "cpu" else max(1, machine.cores // max(1, machine.cuda))
        visible = worker_environment(Slot(0, (device,)), os.environ)["CUDA_VISIBLE_DEVICES"]
        try:
            occupancies[device] = Occupancy(device, most, load_of(device, visible, os.environ))
        except NotMeasuredError as error:
            unmeasured[device] = error
    if unmeasured:
        logger.warning(
            "trials_per_device='auto' trains one trial at a time on %s: %s. Give a number if you know how many fit.",
            ", ".join(unmeasured),
            next(iter(unmeasured.values())),
        )
    first = dict.fromkeys(slot.devices[0] for slot in slots)
    return [Slot(index, (device,)) for index, device in enumerate(first)], occupancies, _service(occupancies)


def _service(occupancies: Mapping[str, Occupancy]) -> MultiProcessService | None:
    """Start NVIDIA's MPS where a GPU may train several trials at once, and say how they share it."""
    if not any(device.startswith("cuda") for device in occupancies):
        return None
    if (pipes := running_daemon(os.environ)) is not None:
        logger.warning("Trials share GPUs through the NVIDIA MPS daemon that is running here (%s).", pipes)
        return None
    try:
        service = MultiProcessService()
    except MpsRefusedError as error:
        logger.warning("Trials share GPUs in time slices, without NVIDIA's MPS: %s.", error)
        return None
    logger.warning("Trials share GPUs through NVIDIA's MPS, which was started for this study.")
    return service
