import json
import random
from typing import Any

import numpy as np
import pytest
import torch
from numpy.random import mtrand

from hpsearch.errors import CheckpointError
from hpsearch.training.random_states import RandomStates, isolated, stream_seed


def draw() -> tuple[Any, ...]:
    """Draw from every global generator, an odd number of numpy's and Python's paired normals among them."""
    return (
        torch.rand(2).tolist(),
        torch.randn(3).tolist(),
        mtrand.randn(),
        mtrand.randint(1000),
        random.random(),
        random.gauss(0.0, 1.0),
    )


def seed_everything(seed: int) -> None:
    torch.manual_seed(seed)
    mtrand.seed(seed)
    random.seed(seed)


def test_a_block_leaves_the_callers_random_states_untouched() -> None:
    seed_everything(4)
    undisturbed = [draw() for _ in range(4)]
    seed_everything(4)
    states, found = RandomStates(9), []
    for _ in range(4):
        found.append(draw())
        with states.installed():
            draw()
        with isolated(1):
            draw()
    assert found == undisturbed


def test_an_exception_in_a_block_leaves_them_untouched_too() -> None:
    seed_everything(4)
    undisturbed = draw()
    seed_everything(4)

    with pytest.raises(KeyboardInterrupt), RandomStates(9).installed():  # noqa: PT012
        draw()
        raise KeyboardInterrupt
    assert draw() == undisturbed


def test_states_go_on_from_block_to_block_whatever_happens_between() -> None:
    def blocks(states: RandomStates) -> list[Any]:
        found = []
        for _ in range(3):
            with states.installed():
                found.append(draw())
            draw()
        return found

    one = blocks(RandomStates(9))
    assert one == blocks(RandomStates(9))
    assert one != blocks(RandomStates(8))
    assert one[0] != one[1] != one[2]


def test_states_written_down_go_on_where_they_were() -> None:
    states = RandomStates(9)
    with states.installed():
        draw()
    tensors = {name: tensor.clone() for name, tensor in states.tensors().items()}
    facts = json.loads(json.dumps(states.facts()))
    assert facts["python_normal"] is not None
    with states.installed():
        expected = draw()

    other = RandomStates(1)
    RandomStates.check_facts(facts)
    other.load(tensors, facts)
    with other.installed():
        assert draw() == expected


def test_reseeding_inside_a_block_stays_inside() -> None:
    seed_everything(4)
    undisturbed = draw()
    seed_everything(4)
    with isolated(3):
        seed_everything(0)
        inside = draw()
    assert draw() == undisturbed
    seed_everything(0)
    assert draw() == inside


def test_a_callers_own_bit_generator_comes_back() -> None:
    before = mtrand.get_bit_generator()
    own = np.random.PCG64(3)
    mtrand.set_bit_generator(own)
    try:
        with isolated(3):
            assert mtrand.get_bit_generator() is not own
            mtrand.randn()
        assert mtrand.get_bit_generator() is own
    finally:
        mtrand.set_bit_generator(before)


@pytest.mark.parametrize(
    "wrong",
    [
        {"numpy_position": 625},
        {"numpy_position": None},
        {"python_version": 2},
        {"python_normal": "0.5"},
    ],
)
def test_facts_that_are_no_state_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(CheckpointError):
        RandomStates.check_facts({**RandomStates(0).facts(), **wrong})


def test_purposes_have_seeds_of_their_own() -> None:
    purposes: list[tuple[str | int, ...]] = [("head",), ("batches", 0), ("batches", 1)]
    seeds = {stream_seed(seed, *purpose) for seed in range(50) for purpose in purposes}
    assert len(seeds) == 150
    assert all(0 <= seed < 2**32 for seed in seeds)
    # Another number here is another study for everyone who resumes one.
    assert stream_seed(0, "head") == 3051012197
