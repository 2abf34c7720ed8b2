"""One device over time, on a clock of its own, with looks that are invented."""

import logging

import pytest

from hpsearch.records import Evaluation, Outcome, Run, Segment, SegmentResult
from hpsearch.runtime.device_load import Load, NotMeasuredError
from hpsearch.runtime.messages import Train
from hpsearch.runtime.occupancy import Occupancy

GIB = 1 << 30


class Device:
    """A GPU of 16 GiB on which one trial makes 100 rows a second, and further ones what is left."""

    def __init__(self, most: int = 8, *, per_trial: int = 2 * GIB, whole: float = 250.0, measured: bool = True) -> None:
        self.now, self.per_trial, self.whole = 0.0, per_trial, whole
        self.training: dict[int, tuple[Run, int]] = {}
        self.is_silent = False
        self.occupancy = Occupancy("cuda:0", most, self if measured else None, lambda: self.now)

    def look(self) -> Load:
        if self.is_silent:
            raise NotMeasuredError("GPU is lost")
        busy = min(1.0, 100.0 * len(self.training) / self.whole)
        return Load(busy, GIB + self.per_trial * len(self.training), 16 * GIB)

    def begin(self, slot: int, run: str = "", **config: object) -> None:
        made = Run(run or f"run {slot}", {"batch_size": 8, "learning_rate": 0.1, **config}, 0, 0, 100)
        self.training[slot] = made, 0
        self.occupancy.began(slot, Train("study", Segment(made, 0, 100)))

    def train(self, points: int = 1) -> None:
        """Let everything train for ten seconds a point."""
        for _ in range(points):
            for _ in range(10):
                self.now += 1.0
                self.occupancy.look()
            speed = min(100.0, self.whole / len(self.training))
            for slot, (run, point) in self.training.items():
                self.training[slot] = run, point + 1
                evaluation = Evaluation(
                    run.key, point + 1, point + 1.0, 0.1, {"loss": 0.1}, 0.1, int(10 * speed * (point + 1)),
                    seconds=10.0, peak_memory_bytes=self.per_trial - GIB // 2,
                )  # fmt: skip
                self.occupancy.evaluated(slot, evaluation)

    def end(self, slot: int, outcome: Outcome = Outcome.OK) -> SegmentResult:
        run, point = self.training.pop(slot)
        return self.occupancy.ended(slot, SegmentResult(Segment(run, 0, 100), outcome, point, "a traceback"))

    def fill(self) -> None:
        for slot in range(self.occupancy.trials):
            if slot not in self.training:
                self.begin(slot)


def test_trials_join_until_the_rows_a_second_no_longer_grow():
    device, counts = Device(), []
    for _ in range(8):
        device.fill()
        device.train(3)
        counts.append(device.occupancy.trials)
    assert counts[:2] == [2, 3]
    assert set(counts[2:]) == {3}  # at 250 rows a second the device is full with three, and says so


def test_a_process_s_first_interval_says_nothing():
    device = Device()
    device.fill()
    device.train()
    assert device.occupancy.trials == 1
    device.train()
    assert device.occupancy.trials == 2


def test_memory_counts_what_a_process_takes_beside_its_tensors():
    device = Device(per_trial=4 * GIB)  # of which 3.5 are tensors: three times those would fit, processes do not
    for _ in range(6):
        device.fill()
        device.train(3)
    assert device.occupancy.trials == 3  # (16 - 1) x 0.9 = 13.5 GiB
    device = Device(per_trial=5 * GIB)
    for _ in range(6):
        device.fill()
        device.train(3)
    assert device.occupancy.trials == 2


def test_an_interval_in_which_a_trial_came_or_went_is_no_measurement():
    device = Device(whole=100.0)
    device.fill()
    device.train(2)
    assert device.occupancy.trials == 1  # one trial keeps this device busy
    device = Device(whole=150.0)
    device.fill()
    device.train(2)
    device.now += 5.0
    device.begin(1)
    device.now += 5.0
    device.train()  # of the last fifteen seconds the first trained ten beside another
    assert device.occupancy.trials == 2
    device.end(1)
    assert device.occupancy.trials == 2


def test_short_segments_one_after_another_measure_too():
    device = Device()
    for number in range(6):
        for slot in range(device.occupancy.trials):
            device.begin(slot, f"{number} {slot}")
        device.train()
        for slot in list(device.training):
            device.end(slot)
            device.now += 0.01
    assert device.occupancy.trials == 3


def test_out_of_memory_beside_others_is_a_pause_and_alone_it_is_the_trials_own(caplog):
    device = Device(most=3, measured=False)
    device.fill()
    with caplog.at_level(logging.WARNING, "hpsearch"):
        paused = device.end(1, Outcome.OUT_OF_MEMORY)
    assert (paused.outcome, paused.log) == (Outcome.PAUSED, "")
    assert device.occupancy.trials == 2
    assert "ran out of memory on cuda:0, which trained 3 at once. It continues from its checkpoint" in caplog.text
    device.end(0), device.end(2)
    device.begin(0, "run 1"), device.begin(1)
    assert device.end(0, Outcome.OUT_OF_MEMORY).outcome is Outcome.PAUSED
    device.end(1)
    assert device.occupancy.trials == 1
    device.begin(0, "run 1")
    ended = device.end(0, Outcome.OUT_OF_MEMORY)
    assert (ended.outcome, ended.log) == (Outcome.OUT_OF_MEMORY, "a traceback")
    assert device.occupancy.trials == 3  # it was too large by itself, which says nothing of the others


def test_a_run_that_fits_with_fewer_leaves_the_device_to_fewer():
    device = Device(most=3, measured=False)
    device.fill()
    device.end(1, Outcome.OUT_OF_MEMORY)
    device.begin(1)
    device.end(1)
    assert device.occupancy.trials == 2


@pytest.mark.parametrize("outcome", [Outcome.OK, Outcome.PAUSED, Outcome.DIVERGED, Outcome.FAILED])
def test_other_ends_are_left_as_they_are(outcome):
    device = Device(most=2, measured=False)
    device.fill()
    assert device.end(0, outcome).outcome is outcome
    assert device.occupancy.trials == 2


def test_a_device_that_says_no_more_keeps_its_trials(caplog):
    device = Device()
    device.fill()
    device.train(3)
    device.is_silent = True
    device.fill()
    with caplog.at_level(logging.WARNING, "hpsearch"):
        device.train(3)
    assert device.occupancy.trials == 2
    assert caplog.text.count("cuda:0 trains no more trials than now: GPU is lost.") == 1


def test_a_lost_worker_is_no_trial_and_its_successor_begins_cold():
    device = Device(whole=1000.0)
    device.fill()
    device.train(2)
    device.fill()
    device.train(2)
    device.training.pop(1)
    device.occupancy.lost(1)
    device.train(2)
    assert device.occupancy.trials == 3
    device.occupancy.limit(1)
    assert device.occupancy.trials == 1


@pytest.mark.parametrize("measured", [True, False])
def test_where_no_worker_can_start_no_trial_is_trained(measured):
    device = Device(measured=measured)
    device.occupancy.limit(0)
    assert device.occupancy.trials == 0
