import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from records_samples import python_process

from hpsearch.records import ask_seed, digest, run_key, run_seed

CONFIG = {"learning_rate": 2e-5, "batch_size": 16, "epochs": 3}
ARGUMENTS: dict[str, Any] = {
    "fold": 0,
    "repeat": 0,
    "seed": 1,
    "data": "d",
    "model": "m",
    "numerics": {"precision": "fp32"},
}


def test_a_digest_is_the_same_in_every_process_and_order() -> None:
    code = "from hpsearch.records import digest; print(digest({'b': [1, 2.5, None], 'a': 'x'}))"
    with python_process(code) as process:
        other, _ = process.communicate()
    assert digest({"a": "x", "b": [1, 2.5, None]}) == other.strip() == "ce74053d7a9997b7a9ffa28fba2f736e"


@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(allow_nan=False, allow_infinity=False))
def test_floats_have_one_digest_exactly_when_they_have_the_same_bits(one: float, other: float) -> None:
    assert (digest(one) == digest(other)) == (repr(one) == repr(other))


def test_what_is_not_a_number_has_no_digest() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        digest({"learning_rate": math.nan})


@pytest.mark.parametrize(
    "changes",
    [
        {"fold": 1},
        {"repeat": 1},
        {"seed": 2},
        {"data": "e"},
        {"model": "n"},
        {"numerics": {"precision": "bf16"}},
        {"config": {**CONFIG, "learning_rate": math.nextafter(2e-5, 1)}},
    ],
)
def test_a_run_key_depends_on_everything_that_its_numbers_depend_on(changes: dict[str, Any]) -> None:
    key = run_key(**{"config": CONFIG, **ARGUMENTS})
    assert key == run_key(**{"config": dict(reversed(CONFIG.items())), **ARGUMENTS})
    assert key != run_key(**{"config": CONFIG, **ARGUMENTS, **changes})


def test_seeds_differ_by_fold_and_repeat_and_by_trial_when_asking() -> None:
    run_seeds = {run_seed(study, fold, repeat) for study in range(3) for fold in range(5) for repeat in range(3)}
    ask_seeds = {ask_seed(study, number) for study in range(3) for number in range(50)}
    assert len(run_seeds) == 45
    assert len(ask_seeds) == 150
    assert not run_seeds & ask_seeds
    assert all(0 <= seed < 2**32 for seed in run_seeds | ask_seeds)
