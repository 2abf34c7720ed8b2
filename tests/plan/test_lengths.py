import pytest

import hpsearch as hp
from hpsearch.plan.lengths import run_epochs, run_steps

UNNAMED = {"epochs": 3, "max_steps": None, "batch_size": 10}
OF_STEPS = {"epochs": None, "max_steps": 50, "batch_size": 10}
ROWS = [100, 96]
"""Ten steps an epoch."""


@pytest.mark.parametrize(
    ("space", "epochs", "steps"),
    [
        (hp.Space(learning_rate=0.1), (3.0, 3.0), (30, 30)),
        (hp.Space(epochs=hp.Float(0.25, 1.5)), (0.25, 1.5), (3, 15)),
        (hp.Space(epochs=hp.Int(1, 4), batch_size=hp.Categorical([5, 20])), (1.0, 4.0), (5, 80)),
        (hp.Space(max_steps=25), (2.5, 2.5), (25, 25)),
        (hp.Space(max_steps=hp.Int(10, 40), batch_size=hp.Categorical([5, 20])), (0.5, 8.0), (10, 40)),
        (hp.Space(max_steps=hp.Categorical([None, 25])), (2.5, 3.0), (25, 30)),
        (
            hp.Space(max_steps=hp.Categorical([None, 100]), epochs=hp.Int(1, 2).when(max_steps=None)),
            (1.0, 10.0),
            (10, 100),
        ),
    ],
)
def test_the_ends_of_what_a_space_allows(space: hp.Space, epochs: tuple[float, float], steps: tuple[int, int]) -> None:
    assert run_epochs(space, UNNAMED, ROWS) == epochs
    assert run_steps(space, UNNAMED, ROWS) == steps


def test_of_a_task_that_counts_steps() -> None:
    assert run_epochs(hp.Space(learning_rate=0.1), OF_STEPS, ROWS) == (5.0, 5.0)
    assert run_epochs(hp.Space(epochs=2), OF_STEPS, ROWS) == (2.0, 2.0)
    assert run_steps(hp.Space(epochs=2), OF_STEPS, ROWS) == (20, 20)


def test_without_rows_or_numbers_nothing_is_told() -> None:
    assert run_steps(hp.Space(learning_rate=0.1), UNNAMED, []) is None
    assert run_steps(hp.Space(learning_rate=0.1), {}, ROWS) is None
    assert run_epochs(hp.Space(learning_rate=0.1), {}, ROWS) == (1.0, 1.0)
