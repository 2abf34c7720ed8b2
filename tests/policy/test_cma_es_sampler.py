import numpy as np
import pytest
from sampled_histories import STATES, asked, before, grown, score, told

import hpsearch as hp
from hpsearch.policy.cma_es_sampler import CmaEsSampler, _Coordinate, _copied, _sample
from hpsearch.records import History, Origin

SPACE = hp.Space(
    learning_rate=hp.Float(1e-5, 1e-2, log=True),
    batch_size=hp.Categorical([8, 16]),
    epochs=hp.Int(1, 9, step=2),
    freeze_layers=hp.Int(1, 64, log=True),
    decay_ratio=hp.Float(0.1, 0.5).when(batch_size=8),
    weight_decay=hp.Float(0.0, 0.3),
)
POPULATION = 8
"""4 + floor(3 ln 4): the four parameters that are numbers and always there."""


def made(seed: int = 0) -> CmaEsSampler:
    return CmaEsSampler(SPACE, "f1", seed)


def generations(sampler: CmaEsSampler) -> int:
    return sampler._optimizers[-1].generation


@pytest.mark.parametrize(
    ("parameter", "values"),
    [
        (hp.Float(1e-5, 1e-2, log=True), [1e-5, 3e-4, 1e-2]),
        (hp.Float(0.1, 0.3, step=0.1), [0.1, 0.2, 0.3]),
        (hp.Float(-1.0, 3.0), [-1.0, 0.5, 3.0]),
        (hp.Int(1, 9, step=4), [1, 5, 9]),
        (hp.Int(1, 64, log=True), list(range(1, 65))),
        (hp.Int(0, 1), [0, 1]),
    ],
)
def test_a_value_comes_back_from_its_place_between_0_and_1(parameter: hp.Float | hp.Int, values: list[float]) -> None:
    coordinate = _Coordinate("x", parameter)
    for value in values:
        place = coordinate.encode(value)
        assert 0.0 <= place <= 1.0
        assert coordinate.decode(place) == pytest.approx(value, rel=1e-12)
        assert type(coordinate.decode(place)) is type(value)
    for place in (0.0, 1.0, 0.3, 0.77):
        assert parameter.contains(coordinate.decode(place))


def test_a_block_is_told_when_all_of_it_have_ended_but_for_those_that_failed() -> None:
    sampler = made()
    history = grown(sampler, SPACE, POPULATION)  # one of them failed
    sampler.propose(history)
    assert generations(sampler) == 0
    history = grown(sampler, SPACE, 1, history)
    sampler.propose(history)
    assert generations(sampler) == 1


def test_a_trial_in_flight_holds_back_what_comes_after_it() -> None:
    history = History()
    for number in range(2 * POPULATION):
        params = made(number).propose(History())
        history = told(asked(history, SPACE, params), SPACE, number, "running" if number == 3 else "complete")
    sampler = made()
    sampler.propose(history)
    assert generations(sampler) == 0
    sampler.propose(told(history, SPACE, 3, "complete"))
    assert generations(sampler) == 2


def test_what_it_keeps_changes_nothing() -> None:
    """The long-lived one tells each block once, a new one tells all: states are the same to the bit."""
    sampler = made(4)
    history = grown(sampler, SPACE, 60, states=STATES[:-1])
    fresh = made(4)
    assert sampler.propose(history) == fresh.propose(history)
    assert generations(fresh) == generations(sampler) >= 5
    for one, other in zip(sampler._optimizers, fresh._optimizers, strict=True):
        assert np.array_equal(one._cma._C, other._cma._C)
        assert np.array_equal(one.mean, other.mean)
    earlier = before(history, 30)
    assert sampler.propose(earlier) == made(4).propose(earlier)  # also of an earlier past
    assert sampler.propose(history) == fresh.propose(history)


def test_a_trial_is_told_as_it_was_sampled_and_not_as_it_was_rounded() -> None:
    """With margin correction the difference is what keeps whole numbers from freezing."""
    sampler = made(1)
    history = grown(sampler, SPACE, 5)
    sampler.propose(history)
    solutions = sampler._solutions(history, sampler._ended(history), sampler._ended(history))
    for solution in solutions:
        raw = sampler._raw(solution)
        encoded = [c.encode(value) for c, value in zip(sampler._coordinates, solution.params, strict=True)]
        assert raw == pytest.approx(encoded, abs=0.26)  # half a step of five values is 0.125, and the ends are clipped
        assert raw[1] != encoded[1]
    given = asked(History(), SPACE, history.trials[0].params, Origin.ENQUEUED)
    new = made(1)
    ended = new._ended(told(given, SPACE, 0, "complete"))
    (solution,) = new._solutions(given, ended, ended)
    assert new._raw(solution)[1] == new._coordinates[1].encode(solution.params[1])  # nobody sampled it


def test_a_copy_goes_on_as_the_original_would() -> None:
    sampler = made()
    sampler.propose(grown(sampler, SPACE, 40))
    original = sampler._optimizers[-1]
    copied = _copied(original)
    assert np.array_equal(original._cma._C, copied._cma._C)
    for one, other in zip(_sample(original, 5), _sample(copied, 5), strict=True):
        assert np.array_equal(one, other)
    assert copied._cma._C is not original._cma._C


def test_pruned_trials_count_by_rank_and_diverged_ones_last() -> None:
    history = History()
    for number, state in enumerate(["complete", "pruned", "diverged", "complete"]):
        history = told(asked(history, SPACE, made(number).propose(History())), SPACE, number, state)
    sampler = made()
    ended = sampler._ended(history)
    costs = [solution.cost for solution in sampler._solutions(history, ended, ended)]
    assert costs[2] == float("inf")
    assert all(np.isfinite(costs[index]) for index in (0, 1, 3))
    assert costs[0] == -score(SPACE, history.trials[0].params)
    assert -costs[1] > score(SPACE, history.trials[1].params) / 2  # its partial value, and what the others gained


def test_it_comes_closer_to_the_optimum() -> None:
    space = hp.Space(
        learning_rate=hp.Float(1e-5, 1e-2, log=True), epochs=hp.Int(1, 21), weight_decay=hp.Float(0.0, 0.3)
    )
    means = []
    for seed in range(3):
        history, sampler = History(), CmaEsSampler(space, "f1", seed)
        for number in range(84):
            history = told(asked(history, space, sampler.propose(history)), space, number, "complete")
        values = [score(space, trial.params) for trial in history.trials.values()]
        means.append((sum(values[:14]) / 14, sum(values[-14:]) / 14))
    assert all(late > early + 0.1 for early, late in means)


def test_choices_do_not_go_with_the_numbers() -> None:
    """They come from another random stream: from the same one, a choice would say which way the numbers lie."""
    params = [made(seed).propose(History()) for seed in range(200)]
    rates = [[np.log(each["learning_rate"]) for each in params if each["batch_size"] == size] for size in (8, 16)]
    assert abs(np.mean(rates[0]) - np.mean(rates[1])) < 0.6  # about three standard errors
