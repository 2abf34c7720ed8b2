"""How many trials share a device: rules over measurements, recorded and invented."""

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpsearch.records import shape_of
from hpsearch.runtime.placing import FULL, GROWTH, Measured, Room, growth, trials_that_pay

MINILM = shape_of({"model": "MiniLM", "batch_size": 32, "learning_rate": 3e-4, "epochs": 3, "freeze_layers": 0})
GIB = 1 << 30
H100 = Room(int(80 * GIB * 0.9), 16)


def at(trials: int, rows_per_second: float, shape=MINILM, memory=2 * GIB, busy=0.5) -> Measured:
    return Measured(shape, trials, rows_per_second, memory, busy)


def climbed(speeds: list[float], room: Room = H100, busy=lambda trials: 0.5, memory=2 * GIB) -> list[int]:
    """Return how many trials train after each measurement of a device on which n trials make `speeds[n - 1]` each."""
    measured: list[Measured] = []
    counts = [trials_that_pay(measured, room)]
    for _ in range(2 * len(speeds)):
        now = counts[-1]
        measured.append(at(now, speeds[min(now, len(speeds)) - 1], busy=busy(now), memory=memory))
        counts.append(trials_that_pay(measured, room))
    return counts


def test_trials_join_one_by_one_while_the_rows_a_second_grow_and_the_last_in_vain_leaves():
    """Invented: a device whose rows a second are 100, 180, 240, 244, ... with 1, 2, 3, 4 trials."""
    counts = climbed([100, 90, 80, 61, 50])
    assert counts[:5] == [1, 2, 3, 4, 3]
    assert set(counts[4:]) == {3}


def test_a_full_device_takes_no_other_trial():
    assert set(climbed([100, 90], busy=lambda _: FULL)) == {1}
    assert climbed([100, 90, 85, 80], busy=lambda trials: min(1.0, 0.34 * trials))[-1] == 3


def test_a_device_has_no_more_trials_than_memory_for_the_largest():
    assert climbed([100] * 9, memory=20 * GIB)[-1] == 3
    fits = [at(1, 100), at(2, 95), at(3, 90)]
    assert trials_that_pay(fits, H100) == 4
    assert trials_that_pay([*fits, at(3, 20, shape_of({"model": "BERT"}), memory=30 * GIB)], H100) == 2


def test_before_anything_is_measured_there_is_one_and_there_are_never_more_than_allowed():
    assert trials_that_pay([], H100) == 1
    assert climbed([100] * 9, Room(80 * GIB, 1))[-1] == 1
    assert climbed([100] * 9, Room(80 * GIB, 5))[-1] == 5


def test_nothing_further_is_tried_before_the_last_that_joined_is_judged():
    other = shape_of({"model": "other"})
    assert trials_that_pay([at(1, 100), at(2, 500, other)], H100) == 2  # no shape has been measured with 1 and with 2
    assert growth([at(1, 100), at(2, 500, other)], 2) is None


def test_shapes_are_compared_with_themselves():
    slow, fast = shape_of({"model": "slow"}), shape_of({"model": "fast"})
    measured = [at(1, 10, slow), at(2, 9, slow), at(1, 1000, fast), at(2, 450, fast), at(2, 2000, MINILM)]
    assert growth(measured, 2) == pytest.approx((1.8 + 0.9) / 2)


def test_recorded_on_two_cores_that_others_keep_busy():
    """Recorded: MiniLM on tweets with trials_per_device="auto" on two cores, beside other work (a load of ten)."""
    speeds = [7.33, 6.98, 6.09, 7.72, 7.66, 5.76, 5.51, 6.89, 5.86, 6.49]
    mebibytes = [1216, 1222, 1348, 1349, 1349, 1385, 1385, 1456, 1456, 1456]
    measured = [at(1, speed, memory=size << 20, busy=1.0) for speed, size in zip(speeds, mebibytes, strict=True)]
    room = Room(17_046_521_856, 2)
    assert [trials_that_pay(measured[:count], room) for count in range(len(measured) + 1)] == [1] * 11


def test_the_same_on_cores_that_are_free():
    """Invented: the same two cores without others; the second worker brings 1.8 times the rows a second."""
    measured = [at(1, speed, busy=0.52, memory=GIB) for speed in (70.0, 73.0, 71.0)]
    cores = Room(16 * GIB, 2)
    assert trials_that_pay(measured, cores) == 2
    measured += [at(2, speed, busy=0.99, memory=GIB) for speed in (64.0, 65.0, 63.0)]
    assert growth(measured, 2) == pytest.approx(1.8, abs=0.01)
    assert trials_that_pay(measured, cores) == 2


shapes = st.sampled_from([MINILM, shape_of({"batch_size": 8}), shape_of({"batch_size": 64})])
intervals = st.builds(
    Measured, shapes, st.integers(1, 8), st.floats(1.0, 1e5), st.integers(0, 100 * GIB), st.floats(0.0, 1.0)
)
rooms = st.builds(Room, st.integers(0, 200 * GIB), st.integers(1, 16))


@given(st.lists(intervals, max_size=30), rooms)
def test_never_fewer_than_one_nor_more_than_memory_or_the_limit_allow(measured, room):
    trials = trials_that_pay(measured, room)
    assert 1 <= trials <= room.most
    assert trials == 1 or trials * max(found.memory_bytes for found in measured) <= room.memory_bytes


@given(st.lists(intervals, max_size=30), rooms, st.randoms(use_true_random=False))
def test_the_order_of_arrival_does_not_matter(measured, room, shuffler):
    shuffled = list(measured)
    shuffler.shuffle(shuffled)
    assert trials_that_pay(shuffled, room) == trials_that_pay(measured, room)


@given(st.lists(intervals, max_size=30), rooms)
def test_a_trial_that_brought_nothing_gives_its_slot_back(measured, room):
    trials = trials_that_pay(measured, room)
    for number in range(2, trials + 1):
        grown = growth(measured, number)
        assert grown is None or grown >= GROWTH
        assert grown is not None or number == trials  # the last is being tried


@given(st.lists(st.floats(0.3, 1.0), min_size=8, max_size=8), st.integers(0, 1 << 30))
def test_on_a_device_that_is_measured_again_and_again_the_number_comes_to_rest(shares, seed):
    """Speeds that scatter by a tenth: in the end no trial comes or goes any more."""
    scatter, measured, counts = random.Random(seed), [], []
    for _ in range(60):
        counts.append(trials_that_pay(measured, H100))
        speed = 100 * shares[min(counts[-1], 8) - 1] * scatter.uniform(0.95, 1.05)
        measured.append(at(counts[-1], speed))
    assert sum(before != after for before, after in pairwise(counts[30:])) <= 4
