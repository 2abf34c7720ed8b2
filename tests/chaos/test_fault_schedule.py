"""Which fault comes when is decided by the seed alone."""

from fault_schedule import AFTER, COORDINATOR_KILLED, LOSS_NAN, WORKER_KILLED, scheduled
from long_form import PARTS

COUNTS = {WORKER_KILLED: 5, LOSS_NAN: 2, COORDINATOR_KILLED: 3}


def test_it_is_the_same_for_the_same_seed_and_another_for_another() -> None:
    assert scheduled(COUNTS, 1) == scheduled(COUNTS, 1)
    assert scheduled(COUNTS, 1) != scheduled(COUNTS, 2)


def test_it_has_as_many_of_each_as_were_asked_for_and_losses_first() -> None:
    faults = scheduled(COUNTS, 0)
    assert {kind: [fault.kind for fault in faults].count(kind) for kind in COUNTS} == COUNTS
    assert [fault.kind for fault in faults[:2]] == [LOSS_NAN, LOSS_NAN]
    assert all(AFTER[0] <= fault.after <= AFTER[1] for fault in faults[2:])


def test_the_long_form_has_a_hundred_faults() -> None:
    assert sum(sum(part.faults.values()) for part in PARTS) >= 100
