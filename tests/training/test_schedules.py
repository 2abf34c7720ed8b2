import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hpsearch.training.schedules import SCHEDULES, decay_steps, learning_rate_factor, warmup_steps


def factors(schedule: str, steps_total: int, warmup: int, decay_ratio: float = 0.2) -> list[float]:
    return [
        learning_rate_factor(schedule, step, steps_total=steps_total, warmup=warmup, decay_ratio=decay_ratio)
        for step in range(steps_total)
    ]


def test_corners_have_their_closed_forms() -> None:
    linear = factors("linear", 100, 10)
    assert linear[0] == 0.0
    assert linear[5] == 0.5
    assert linear[10] == 1.0
    assert linear[55] == 0.5
    assert linear[99] == pytest.approx(1 / 90)

    cosine = factors("cosine", 100, 10)
    assert cosine[:11] == linear[:11]
    assert cosine[55] == pytest.approx(0.5)
    assert cosine[40] == pytest.approx(0.75)
    assert cosine[99] == pytest.approx((1 + math.cos(math.pi * 89 / 90)) / 2)

    constant = factors("constant", 100, 10)
    assert constant[:11] == linear[:11]
    assert set(constant[10:]) == {1.0}

    stable = factors("warmup_stable_decay", 100, 10)
    assert stable[:11] == linear[:11]
    assert set(stable[10:81]) == {1.0}
    assert stable[85] == 0.5
    assert stable[81] == pytest.approx(1 - math.sqrt(1 / 20))
    assert stable[99] == pytest.approx(1 - math.sqrt(19 / 20))


def test_no_warmup_starts_at_the_full_learning_rate() -> None:
    for schedule in SCHEDULES:
        assert factors(schedule, 7, 0)[0] == 1.0


def test_a_warmup_over_all_steps_leaves_nothing_to_decay() -> None:
    for schedule in SCHEDULES:
        assert factors(schedule, 4, 4) == [0.0, 0.25, 0.5, 0.75]


def test_counts_of_steps_are_rounded_up_and_never_overlap() -> None:
    assert [warmup_steps(ratio, 100) for ratio in (0.0, 0.001, 0.1, 0.101, 1.0)] == [0, 1, 10, 11, 100]
    assert [decay_steps(ratio, 100, 10) for ratio in (0.0, 0.001, 0.2, 0.9, 1.0)] == [0, 1, 20, 90, 90]
    assert factors("warmup_stable_decay", 10, 0, decay_ratio=0.0) == [1.0] * 10


def test_an_unknown_schedule_is_an_error() -> None:
    with pytest.raises(ValueError, match="'polynomial' is not one of"):
        factors("polynomial", 10, 0)


@given(
    st.sampled_from(SCHEDULES),
    st.integers(1, 300),
    st.floats(0.0, 1.0),
    st.floats(0.0, 1.0),
)
def test_factors_rise_through_the_warmup_and_never_after(
    schedule: str, steps_total: int, warmup_ratio: float, decay_ratio: float
) -> None:
    warmup = warmup_steps(warmup_ratio, steps_total)
    values = factors(schedule, steps_total, warmup, decay_ratio)
    assert all(0.0 <= value <= 1.0 for value in values)
    assert all(one < other for one, other in pairwise(values[:warmup]))
    assert all(one >= other for one, other in pairwise(values[warmup:]))
    assert all(value > 0.0 for value in values[max(1, warmup) :])


@pytest.mark.parametrize(("steps_total", "warmup"), [(1, 0), (6, 2), (97, 10), (97, 0), (40, 40)])
def test_factors_are_those_of_transformers_bit_for_bit(steps_total: int, warmup: int) -> None:
    from transformers import (
        get_constant_schedule_with_warmup,
        get_cosine_schedule_with_warmup,
        get_linear_schedule_with_warmup,
        get_wsd_schedule,
    )

    decay = decay_steps(0.3, steps_total, warmup)
    made = {
        "linear": lambda optimizer: get_linear_schedule_with_warmup(optimizer, warmup, steps_total),
        "cosine": lambda optimizer: get_cosine_schedule_with_warmup(optimizer, warmup, steps_total),
        "constant": lambda optimizer: get_constant_schedule_with_warmup(optimizer, warmup),
        "warmup_stable_decay": lambda optimizer: get_wsd_schedule(
            optimizer, warmup, decay, num_training_steps=steps_total, decay_type="1-sqrt"
        ),
    }
    for schedule, make in made.items():
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
        theirs = make(optimizer)
        found = []
        for _ in range(steps_total):
            found.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            theirs.step()
        assert factors(schedule, steps_total, warmup, 0.3) == found, schedule
