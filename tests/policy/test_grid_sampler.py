import pytest
from sampled_histories import asked

import hpsearch as hp
from hpsearch.policy.grid_sampler import GridSampler
from hpsearch.records import History, Origin

SPACE = hp.Space(
    learning_rate=hp.Float(1e-5, 1e-2, log=True, grid=[1e-5, 1e-4, 1e-3]),
    batch_size=hp.Categorical([8, 16]),
    epochs=hp.Int(1, 4, step=3),
    decay_ratio=hp.Float(0.1, 0.5, grid=[0.1, 0.5]).when(batch_size=8),
    warmup_ratio=0.1,
)


def order(space: hp.Space, points: int | None, seed: int) -> list[dict[str, object]]:
    history, sampler = History(), GridSampler(space, points, seed)
    while (params := sampler.propose(history)) is not None:
        history = asked(history, space, params)  # none of them ends: as parallel asks see it
    return [dict(trial.params) for trial in history.trials.values()]


def test_every_point_comes_once_whatever_else_was_tried():
    history = asked(History(), SPACE, {"learning_rate": 7e-5, "batch_size": 16, "epochs": 1}, Origin.ENQUEUED)
    on_the_grid = {"learning_rate": 1e-4, "batch_size": 16, "epochs": 4}
    history = asked(history, SPACE, on_the_grid, Origin.ENQUEUED)
    sampler = GridSampler(SPACE, None, 0)
    assert sampler.is_finite
    assert len(sampler) == 18
    while (params := sampler.propose(history)) is not None:
        history = asked(history, SPACE, params)
    tried = [each.params for each in history.trials.values()]
    assert sorted(map(str, tried[1:])) == sorted(map(str, SPACE.grid()))


def test_a_grid_object_says_how_many_points():
    assert len(order(hp.Space(learning_rate=hp.Float(1e-5, 1e-2, log=True)), 4, 0)) == 4


def test_the_seed_shuffles_the_points():
    assert order(SPACE, None, 1) == order(SPACE, None, 1)
    assert order(SPACE, None, 1) != order(SPACE, None, 2)
    assert order(SPACE, None, 1) != list(SPACE.grid())


@pytest.mark.parametrize("seed", range(5))
def test_a_grid_cut_short_has_seen_every_value(seed):
    """In the order of enumeration the first quarter of this grid has one learning rate."""
    space = hp.Space(
        learning_rate=hp.Float(1e-5, 1e-2, log=True, grid=[1e-5, 1e-4, 1e-3, 1e-2]),
        batch_size=hp.Categorical([8, 16, 32]),
        epochs=hp.Int(1, 5),
    )
    begun = order(space, None, seed)[:15]
    assert len({params["learning_rate"] for params in begun}) == 4
    assert len({params["batch_size"] for params in begun}) == 3


def test_the_order_is_the_same_on_every_machine():
    """A resumed grid would not be wrong in another order, but it would not be the study that it was."""
    space = hp.Space(epochs=hp.Int(1, 6))
    assert [params["epochs"] for params in order(space, None, 0)] == [3, 4, 1, 2, 6, 5]
