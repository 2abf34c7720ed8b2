from dataclasses import replace

import pytest
from samples import F1, measured, stopped, trial

from hpsearch.policy.budget import Budget
from hpsearch.policy.limits import Limits
from hpsearch.policy.policy import Policy
from hpsearch.policy.pruner import Pruner
from hpsearch.policy.pruners import resolve_pruner
from hpsearch.policy.samplers import resolve_sampler
from hpsearch.records import History, Segment, Slot, Trial, TrialState
from hpsearch.runtime.last_trials import AHEAD, AHEAD_BLIND, AHEAD_OF_PROMOTIONS, LastTrials, last_trials
from hpsearch.runtime.scheduler import Scheduler
from hpsearch.space import Float, Int, Space

SPACE = Space(learning_rate=Float(1e-4, 1e-2, log=True, grid=[1e-4, 1e-3]), epochs=Int(1, 2))
SLOT = Slot(0, ("cpu",))
POLICY = Policy(F1, 2, None, Pruner())


class Asked:
    """A sampler of so many trials, and the History that they are added to."""

    def __init__(self, *trials: Trial, history: History | None = None) -> None:
        self.left = list(trials)
        self.ahead: list[bool] = []
        self.history = history or History()

    def __call__(self, *, is_ahead: bool = False) -> History | None:
        self.ahead.append(is_ahead)
        if not self.left:
            return None
        self.history = self.history.with_trial(self.left.pop(0))
        return self.history


def begun(*trials: Trial) -> History:
    return History.of_trials(trials)


def test_later_folds_wait_for_the_first_ones_stop():
    history = begun(trial(0))
    scheduler = Scheduler(Asked(), Limits(Budget(trials=1), F1), POLICY.target)
    first = scheduler.next_segment(history, SLOT)
    assert first == Segment(history.trials[0].runs[0], 0, 4)
    assert scheduler.next_segment(history, SLOT) is None
    history = stopped(measured(history, 0, 0, [0.1, 0.2, 0.3]), 0, 3)
    scheduler.ended(first.run)
    later = [scheduler.next_segment(history, SLOT) for _ in range(3)]
    assert later == [Segment(run, 0, 3) for run in history.trials[0].runs[1:]] + [None]


def test_a_run_in_flight_is_not_handed_out_twice_and_goes_on_where_it_stands():
    history = begun(trial(0))
    scheduler = Scheduler(Asked(), Limits(Budget(trials=1), F1), POLICY.target)
    segment = scheduler.next_segment(history, SLOT)
    history = measured(history, 0, 0, [0.1, 0.2])
    assert scheduler.next_segment(history, SLOT) is None
    scheduler.ended(segment.run)
    assert scheduler.next_segment(history, SLOT) == Segment(segment.run, 2, 4)


def test_what_was_begun_goes_before_what_is_new():
    asked = Asked(trial(2), history=begun(trial(0), trial(1)))
    scheduler = Scheduler(asked, Limits(Budget(trials=3), F1), POLICY.target)
    order = [scheduler.next_segment(asked.history, SLOT).run.key for _ in range(3)]
    assert order == ["0-0", "1-0", "2-0"]


def test_equal_configs_share_a_run():
    first, equal, other = trial(0), replace(trial(0), number=1), trial(2)
    asked = Asked(equal, other, history=begun(first))
    scheduler = Scheduler(asked, Limits(Budget(trials=3), F1), POLICY.target)
    keys = [scheduler.next_segment(asked.history, SLOT).run.key for _ in range(2)]
    assert keys == ["0-0", "2-0"]
    assert len(asked.history.trials) == 3
    assert scheduler.next_segment(asked.history, SLOT) is None


def test_trials_is_a_total():
    asked = Asked(*(trial(number) for number in range(1, 9)), history=begun(trial(0)))
    scheduler = Scheduler(asked, Limits(Budget(trials=3), F1), POLICY.target)
    while scheduler.next_segment(asked.history, SLOT) is not None:
        pass
    assert list(asked.history.trials) == [0, 1, 2]


def test_without_a_total_the_sampler_says_when_it_is_over():
    asked = Asked(trial(0), trial(1))
    scheduler = Scheduler(asked, Limits(Budget(), F1), POLICY.target)
    segments = [scheduler.next_segment(asked.history, SLOT) for _ in range(3)]
    assert [None if s is None else s.run.key for s in segments] == ["0-0", "1-0", None]
    assert not scheduler.has_work(asked.history)
    asked.left.append(trial(2))
    assert scheduler.next_segment(asked.history, SLOT) is None  # a spent sampler is not asked again


def test_there_is_work_while_a_run_waits_or_a_trial_may_be_asked_for():
    asked = Asked(trial(0))
    scheduler = Scheduler(asked, Limits(Budget(trials=1), F1), POLICY.target)
    assert scheduler.has_work(History())
    segment = scheduler.next_segment(History(), SLOT)
    assert not scheduler.has_work(asked.history)  # all in flight: the pool is busy instead
    scheduler.ended(segment.run)
    assert scheduler.has_work(asked.history)
    done = asked.history.with_trial(replace(trial(0), state=TrialState.PRUNED))
    assert not scheduler.has_work(done)


def test_a_closed_scheduler_hands_out_nothing():
    asked = Asked(trial(1), history=begun(trial(0)))
    scheduler = Scheduler(asked, Limits(Budget(trials=5), F1), POLICY.target)
    scheduler.close()
    assert scheduler.next_segment(asked.history, SLOT) is None
    assert not scheduler.has_work(asked.history)
    assert len(asked.left) == 1


@pytest.mark.parametrize(("stop", "watched"), [(None, True), (3, False)])
def test_only_a_first_run_without_a_stop_is_watched(stop, watched):
    history = begun(replace(trial(0), stop=stop))
    scheduler = Scheduler(Asked(), Limits(Budget(trials=1), F1), POLICY.target)
    assert scheduler.is_watched(history, history.trials[0].runs[0]) is watched
    assert not scheduler.is_watched(history, history.trials[0].runs[1])


# Several workers


def several(
    asked: Asked, trials: int | None, workers: int = 2, expected: int | None = None, ahead: int = 0
) -> Scheduler:
    last = LastTrials(lambda: workers, expected, ahead)
    return Scheduler(asked, Limits(Budget(trials=trials), F1), POLICY.target, last=last)


def keys(scheduler: Scheduler, history: History, *slots: int) -> list[str | None]:
    found = [scheduler.next_segment(history, Slot(slot, ("cpu",))) for slot in slots]
    return [None if segment is None else segment.run.key for segment in found]


def test_a_worker_goes_on_with_the_run_that_it_trained_last():
    history = begun(trial(0), trial(1), trial(2))
    asked = Asked(history=history)
    scheduler = several(asked, 4)  # a fourth is still to come
    assert keys(scheduler, history, 0, 1) == ["0-0", "1-0"]
    for number in (0, 1):
        scheduler.ended(history.trials[number].runs[0])
        history = measured(history, number, 0, [0.1])
    assert keys(scheduler, history, 1, 0) == ["1-0", "0-0"]


def test_what_another_worker_holds_is_left_to_it_where_there_is_other_work():
    history = begun(trial(0), trial(1))
    scheduler = several(Asked(history=history), 4)
    assert keys(scheduler, history, 0) == ["0-0"]
    scheduler.ended(history.trials[0].runs[0])
    history = measured(history, 0, 0, [0.1])
    assert keys(scheduler, history, 1, 0) == ["1-0", "0-0"]


def test_at_the_end_what_takes_longest_goes_first():
    history = begun(*(trial(number, horizon=2 * epochs) for number, epochs in enumerate([1, 4, 2, 3])))
    two = several(Asked(history=history), 4)
    assert keys(two, history, 0, 1, 0, 1) == ["1-0", "3-0", "2-0", "0-0"]
    alone = several(Asked(history=history), 4, workers=1)
    assert keys(alone, history, 0, 0, 0, 0) == ["0-0", "1-0", "2-0", "3-0"]


def test_the_last_trials_are_asked_for_ahead_so_that_the_longest_begins_first():
    first, *others = (trial(number, horizon=2 * epochs) for number, epochs in enumerate([1, 1, 4, 2, 3]))
    asked = Asked(*others, history=begun(first))
    scheduler = several(asked, 5, expected=5, ahead=1)
    assert keys(scheduler, asked.history, 0) == ["0-0"]  # four are left, and two are asked for ahead
    assert keys(scheduler, asked.history, 1) == ["1-0"]
    assert keys(scheduler, asked.history, 0) == ["2-0"]
    assert asked.ahead == [False, False]
    assert keys(scheduler, asked.history, 0) == ["4-0"]
    assert keys(scheduler, asked.history, 1) == ["3-0"]
    assert asked.ahead == [False, False, True, True]


def test_a_sampler_that_ends_by_itself_is_asked_to_its_end():
    asked = Asked(trial(0, horizon=2 * 1), trial(1, horizon=2 * 2))
    scheduler = several(asked, None, expected=3, ahead=2)
    assert keys(scheduler, History(), 0) == ["1-0"]
    assert keys(scheduler, asked.history, 1) == ["0-0"]
    assert scheduler.is_closing(asked.history)
    assert len(asked.ahead) == 3
    assert keys(scheduler, asked.history, 0) == [None]
    assert len(asked.ahead) == 3


def test_how_many_are_asked_for_ahead_depends_on_whether_the_sampler_learns_and_trials_wait():
    def of(name: str, trials: int | None = 12, target: float | None = None, pruner: str = "none"):
        sampler, budget = resolve_sampler(name, SPACE, F1, 0), Budget(trials=trials, target=target)
        found = last_trials(sampler, resolve_pruner(pruner, SPACE, F1), budget, lambda: 2)
        return found.expected, found.ahead

    assert of("random") == of("qmc") == (12, AHEAD_BLIND)
    assert of("bayesian") == of("gp") == (12, AHEAD)
    assert of("grid", None) == (4, AHEAD_BLIND)
    assert of("bayesian", None) == (None, AHEAD)
    assert of("random", target=0.9) == (None, AHEAD_BLIND)  # it may end before its last trial
    assert of("random", pruner="racing") == of("bayesian", pruner="asha") == (12, AHEAD_OF_PROMOTIONS)


@pytest.mark.parametrize(
    ("expected", "workers", "is_blind", "ahead"),
    [
        (12, 2, True, 8), (12, 2, False, 8), (50, 2, False, 8), (50, 8, True, 32), (50, 8, False, 10),
        (20, 8, False, 8), (10, 4, False, 10), (8, 2, False, 8), (50, 1, True, 0),
    ],
)  # fmt: skip
def test_few_of_what_is_learned_is_asked_for_ahead(expected, workers, is_blind, ahead):
    """The first ten proposals are random, whenever they are asked for."""
    last = LastTrials(lambda: workers, expected, AHEAD_OF_PROMOTIONS, is_blind)
    assert sum(last.are_left(trials) for trials in range(expected)) == ahead
