import pytest

from hpsearch.records import Run
from hpsearch.records.run_length import epoch_at, epochs_of, first_stop, horizon_of, run_epochs, whole_up


@pytest.mark.parametrize(
    ("config", "points"),
    [
        ({"epochs": 3}, 12),
        ({"epochs": 1}, 4),
        ({"epochs": 0.25}, 1),
        ({"epochs": 0.3}, 2),
        ({"epochs": 1.5}, 6),
        ({"epochs": 0.001}, 1),
        ({"epochs": 0.1 + 0.2 + 0.2}, 2),
        ({"epochs": None, "max_steps": 10}, 4),
        ({"epochs": None, "max_steps": 11}, 5),
        ({"epochs": None, "max_steps": 1}, 1),
        ({"epochs": None, "max_steps": 25}, 10),
    ],
)
def test_points_lie_on_fractions_of_an_epoch_and_on_the_end(config: dict[str, float], points: int) -> None:
    """Four points an epoch, ten steps an epoch."""
    assert horizon_of(config, 10, 4) == points


def test_steps_are_epochs_of_so_many_steps() -> None:
    assert epochs_of({"epochs": None, "max_steps": 25}, 10) == 2.5
    assert epochs_of({"epochs": 1.5, "max_steps": None}, 10) == 1.5
    assert epochs_of({"epochs": 2}, 0) == 2.0  # of a version that did not count steps


def test_a_run_tells_where_it_stands_in_epochs() -> None:
    run = Run("run", {"epochs": 0.6}, 0, 0, horizon=3, steps_per_epoch=10)
    assert run_epochs(run) == 0.6
    assert [epoch_at(run, point, 4) for point in range(4)] == [0.0, 0.25, 0.5, 0.6]
    whole = Run("run", {"epochs": 2}, 0, 0, horizon=8)
    assert [epoch_at(whole, point, 4) for point in (1, 4, 8)] == [0.25, 1.0, 2.0]


def test_runs_of_two_epochs_and_more_do_not_stop_within_the_first_and_shorter_ones_within_their_half() -> None:
    assert [first_stop(epochs) for epochs in (5.0, 2.0, 1.5, 1.0, 0.25)] == [1.0, 1.0, 0.75, 0.5, 0.125]


def test_rounding_adds_no_step() -> None:
    assert whole_up(0.1 * 30) == 3
    assert whole_up(1e-12) == 1
    assert whole_up(2.0001) == 3
