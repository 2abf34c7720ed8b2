"""What promotion keeps from question to question: always what is worked out from the whole History."""

import random
from collections.abc import Iterator
from dataclasses import replace

import pytest
from plain_promotion import plain
from samples import F1, MIRRORED, measured, trial

from hpsearch.metrics.direction import Objective
from hpsearch.policy.pruners import resolve_pruner
from hpsearch.policy.racing import Racing
from hpsearch.policy.successive_halving import SuccessiveHalving
from hpsearch.records import History, Origin, TrialState
from hpsearch.space import Float, Space

RULES = {
    "racing": Racing(),
    "racing with ties": Racing(reduction_factor=3, margin=0.5, partial=False),
    "racing, forgiving": Racing(forgiving=True, spread=False),
    "racing in cohorts": Racing(synchronous=True),
    "asha": SuccessiveHalving(),
    "hyperband": SuccessiveHalving(reduction_factor=2, brackets=None),
    "asha in cohorts": SuccessiveHalving(reduction_factor=2, synchronous=True),
}
SPACE = Space(learning_rate=Float(1e-5, 1e-2, log=True))


def events(seed: int, objective: Objective, count: int) -> Iterator[History]:
    """Yield a study after each of its events: trials come, measure, pause, fail, diverge, are pruned and complete.

    Some share their runs, some have equal scores, some a short warmup; trial 0 is the literature default.
    """
    draw = random.Random(seed)
    history = History(direction=objective.direction)
    for _ in range(count):
        unfinished = history.unfinished()
        if not unfinished or (draw.random() < 0.2 and len(unfinished) < 10):
            number = len(history.trials)
            like = draw.randrange(number) if number > 1 and draw.random() < 0.2 else number
            made = trial(like, {"warmup_ratio": draw.choice([0.0, 0.0, 0.6])}, horizon=draw.choice([1, 2, 4]))
            made = replace(made, runs=history.trials[like].runs) if like != number else made
            origin = Origin.SAMPLER if number else Origin.DEFAULT
            history = history.with_trial(replace(made, number=number, origin=origin))
        else:
            history = _moved(history, draw, objective, draw.choice(unfinished).number)
        yield history


def _moved(history: History, draw: random.Random, objective: Objective, number: int) -> History:
    one, chance = history.trials[number], draw.random()
    if chance < 0.05:
        ends = ({"state": TrialState.FAIL}, {"state": TrialState.PRUNED}, {"state": TrialState.PRUNED, "value": 0.5})
        return history.with_trial(replace(one, **draw.choice(ends)))
    if chance < 0.15:
        other = TrialState.WAITING if one.state is TrialState.RUNNING else TrialState.RUNNING
        return history.with_trial(replace(one, state=other))
    if one.stop is None and history.point(one.runs[0]) == one.runs[0].horizon:
        return history.with_trial(replace(one, stop=draw.randint(1, one.runs[0].horizon)))
    end = one.stop or one.runs[0].horizon
    open_runs = [
        fold for fold, run in enumerate(one.runs[: None if one.stop else 1]) if history.point(run) < end
    ]  # fmt: skip
    if not open_runs:
        value = objective.direction.score(draw.choice([0.5, draw.random()]))
        return history.with_trial(replace(one, state=TrialState.COMPLETE, value=value, point=end))
    score = objective.direction.score(draw.choice([0.5, draw.random()]))
    return measured(history, number, draw.choice(open_runs), [score], [draw.choice([0.7, draw.random()])])


@pytest.mark.parametrize("objective", [F1, MIRRORED], ids=["maximized", "minimized"])
@pytest.mark.parametrize("rule", RULES.values(), ids=list(RULES))
def test_what_is_kept_is_what_is_worked_out_anew(rule, objective):
    kept, draw = resolve_pruner(rule, SPACE, objective), random.Random(0)
    anew = plain(kept, objective)
    for history in events(0, objective, 260):
        if draw.random() < 0.8:  # several trials move between two questions
            continue
        for closing in (False, True):
            limits = {each.number: kept.limit(history, each, closing=closing) for each in history.trials.values()}
            assert limits == anew.limits(history, closing)
            of_all = kept.limits_of_all(history, closing=closing)
            assert {number: of_all.get(number) for number in limits} == limits
        one = draw.choice(list(history.trials.values()))
        reason = kept.reason_to_wait(history, one, 2)
        assert "behind" in reason or reason == anew.place(history, one, 2)


def test_the_events_are_of_all_kinds():
    *_, history = events(0, F1, 260)
    states = [each.state for each in history.trials.values()]
    assert min(states.count(state) for state in TrialState) >= 1
    assert states.count(TrialState.COMPLETE) >= 5
    assert history.repeats() >= 3
