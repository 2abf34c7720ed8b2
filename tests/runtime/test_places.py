from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from hpsearch.records import Slot
from hpsearch.runtime.pools.places import missing, offered, shared, spare


def on(*devices: str) -> list[Slot]:
    return [Slot(index, (device,)) for index, device in enumerate(devices)]


def test_a_device_offers_as_many_slots_as_it_should_train_trials():
    slots = on("cuda:0", "cuda:0", "cuda:1", "cpu")
    assert offered(slots, [], {"cuda:0": 1}) == [slots[0], slots[2], slots[3]]
    assert offered(slots[1:], slots[:1], {"cuda:0": 1, "cuda:1": 1}) == slots[2:]
    assert offered(slots[1:], slots[:1], {"cuda:0": 2}) == slots[1:]


def test_missing_slots_take_the_first_free_numbers():
    slots = [Slot(0, ("cuda:0",)), Slot(2, ("cuda:1",))]
    assert missing(slots, {"cuda:0": 3, "cuda:1": 1}) == [Slot(1, ("cuda:0",)), Slot(3, ("cuda:0",))]


def test_the_last_idle_slot_is_given_back_first():
    slots = on("cuda:0", "cuda:0", "cuda:0", "cuda:1")
    assert spare(slots, [], {"cuda:0": 1}) == [slots[2], slots[1]]
    assert spare(slots, [slots[2]], {"cuda:0": 2}) == [slots[1]]
    assert spare(slots, slots, {"cuda:0": 1}) == []


def test_a_gpu_is_shared_and_a_core_is_not():
    assert [slot.share for slot in shared(on("cuda:0", "cuda:0", "cuda:1", "cpu", "cpu"))] == [0.5, 0.5, 1.0, 1.0, 1.0]


devices = st.sampled_from(["cuda:0", "cuda:1", "cpu"])
wanted = st.dictionaries(devices, st.integers(1, 5))


@given(st.lists(devices, max_size=8), st.sets(st.integers(0, 7)), wanted)
def test_where_nothing_trains_devices_come_to_what_they_should_have(names, busy_numbers, trials):
    slots = on(*names)
    busy = [slot for slot in slots if slot.index in busy_numbers]
    staying = [slot for slot in slots if slot not in spare(slots, busy, trials)]
    now = [*staying, *missing(staying, trials)]
    assert len({slot.index for slot in now}) == len(now)
    assert all(slot in now for slot in busy)
    counts, training = (Counter(slot.devices[0] for slot in some) for some in (now, busy))
    for device, number in trials.items():
        assert counts[device] == max(number, training[device])
    free = offered([slot for slot in now if slot not in busy], busy, trials)
    for device, number in trials.items():
        assert sum(slot.devices[0] == device for slot in free) == max(0, number - training[device])
