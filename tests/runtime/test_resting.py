"""Trials that wait are not asked again, and whatever moves them is noticed: the segments are those of a fresh look."""

from dataclasses import replace

import pytest
from samples import F1
from simulated import Simulated

from hpsearch.policy.budget import Budget
from hpsearch.policy.limits import Limits
from hpsearch.policy.policy import Policy
from hpsearch.policy.pruners import resolve_pruner
from hpsearch.policy.racing import Racing
from hpsearch.records import Segment, Slot, TrialState
from hpsearch.runtime.scheduler import Scheduler
from hpsearch.space import Float, Space

SPACE = Space(learning_rate=Float(1e-5, 1e-2, log=True))
SLOT = Slot(0, ("cpu",))
TRIALS = 40


def scheduler(policy: Policy, *, remembers: bool) -> Scheduler:
    of_all = {"limits_of_all": policy.limits_of_all} if remembers else {}
    return Scheduler(lambda **_: None, Limits(Budget(trials=TRIALS), F1), policy.target, **of_all)


def startable(one: Scheduler, history) -> list[tuple[int, Segment]]:
    return [(trial.number, segment) for trial, segment in one._startable(history)]


@pytest.mark.parametrize("rule", ["racing", Racing(synchronous=True), "asha", "median", "none"], ids=str)
@pytest.mark.parametrize("distinct", [1000, 9])
def test_what_may_start_is_what_a_fresh_look_says(rule, distinct):
    """Also with trials that share runs, and as the study closes."""
    pruner = resolve_pruner(rule, SPACE, F1)
    policy = Policy(F1, 2, None, pruner)
    kept = scheduler(policy, remembers=True)
    seen = 0
    for history in Simulated(resolve_pruner(rule, SPACE, F1), TRIALS, 3, seed=1, distinct=distinct).steps():
        expected = startable(scheduler(policy, remembers=False), history)
        assert startable(kept, history) == expected
        seen += len(history.unfinished()) - len(expected)
    assert seen > 100 or rule in ("median", "none")


def test_a_trial_in_flight_is_not_taken_for_one_that_waits():
    policy = Policy(F1, 2, None, resolve_pruner("racing", SPACE, F1))
    one = scheduler(policy, remembers=True)
    history = next(Simulated(resolve_pruner("racing", SPACE, F1), TRIALS, 1, seed=0).steps())
    segment = one.next_segment(history, SLOT)
    assert segment is not None
    assert startable(one, history) == []
    one.ended(segment.run)
    assert [again for _, again in startable(one, history)] == [segment]
    ended = history.with_trial(replace(history.trials[0], state=TrialState.FAIL))
    assert startable(one, ended) == []
