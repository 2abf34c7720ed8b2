"""Budgets at work: whole studies in made-up time, through the real scheduler, limits and policy."""

import itertools
import math
import random
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import F1, measured, trial
from simulated import curve

from hpsearch.policy.budget import Budget, Ending
from hpsearch.policy.limits import Limits
from hpsearch.policy.policy import Policy
from hpsearch.policy.pruner import Pruner
from hpsearch.policy.racing import Racing, RacingPruner
from hpsearch.records import Action, Evaluation, History, Origin, Outcome, Segment, SegmentResult, Slot, TrialState
from hpsearch.runtime.scheduler import Scheduler

FOLDS, HORIZON = 3, 4
"""A trial: three folds of two epochs, with two evaluation points an epoch."""


@dataclass
class Order:
    segment: Segment
    ends: list[float]
    """When each of its points is reached."""


@dataclass
class Timed:
    """A study in made-up time: a batch of 8 rows takes a second a row of a tenth, one of 16 half as long a row.

    Trial 0 is the literature default; every third trial repeats an earlier one, where `repeats`.
    """

    budget: Budget
    workers: int = 1
    pruner: Pruner = field(default_factory=Pruner)
    history: History = field(default_factory=History)
    now: float = 0.0
    repeats: bool = False
    seed: int = 0
    started: list[tuple[float, Segment, float | None]] = field(default_factory=list)
    first_complete: float = math.inf

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.policy = Policy(F1, 2, None, self.pruner, self.budget.of_a_trial)
        timeout = self.budget.seconds("timeout")
        self.deadline = None if timeout is None else self.now + timeout
        self.limits = Limits(self.budget, F1, self.deadline, self.workers, self.policy.waits)
        self.scheduler = Scheduler(self._ask, self.limits, self.policy.target, lambda: self.now)
        self.busy: dict[int, Order] = {}
        self.asked = 0

    def run(self) -> Ending:
        """Run as the coordinator does, and return why it ended; what was in training then is left as it was."""
        over = self.limits.over(self.history, self.now)
        while over is None and (self.busy or self.scheduler.has_work(self.history)):
            for index in range(self.workers):
                segment = (
                    None if index in self.busy else self.scheduler.next_segment(self.history, Slot(index, ("cpu",)))
                )
                if segment is not None:
                    self._start(index, segment)
            self._advance()
            over = self.limits.over(self.history, self.now)
        ending = over or self.scheduler.ending(self.history)
        if not ending.keeps_trials:
            for each in self.history.unfinished():
                decision = self.policy.give_up(self.history, each)
                if decision is not None:
                    self.history = self.history.with_decision(decision)
        return ending

    def _ask(self) -> History:
        number = len(self.history.trials)
        self.asked += 1
        batch = {"batch_size": (8, 16)[number % 2]}
        again = number % 3 == 2 and self.repeats
        made = (
            replace(self.history.trials[0], number=number, state=TrialState.RUNNING, stop=None, value=None)
            if again
            else (trial(number, batch, horizon=HORIZON, folds=FOLDS))
        )
        runs = tuple(replace(run, steps_per_epoch=5) for run in made.runs)
        origin = Origin.SAMPLER if number else Origin.DEFAULT
        self.history = self.history.with_trial(replace(made, runs=runs, origin=origin, point=None, reason=None))
        self._settle(number)
        return self.history

    def _start(self, index: int, segment: Segment) -> None:
        self.started.append((self.now, segment, self._known(segment)))
        a_point = seconds_of(replace(segment, stop=segment.start + 1))
        steps = [a_point * self.random.uniform(0.9, 1.1) for _ in range(segment.stop - segment.start)]
        self.busy[index] = Order(segment, list(itertools.accumulate(steps, initial=self.now))[1:])

    def _known(self, segment: Segment) -> float | None:
        """Return what a segment was known to take by what was measured of its batch size, reckoned anew."""
        batch = segment.run.config.get("batch_size")
        seconds = sorted(
            evaluation.seconds
            for each in self.history.trials.values()
            for run in each.runs
            if run.config.get("batch_size") == batch
            for evaluation in self.history.of(run.key)
        )
        return None if not seconds else seconds[(len(seconds) - 1) // 2] * (segment.stop - segment.start)

    def _advance(self) -> None:
        if not self.busy:
            return
        index, order = min(self.busy.items(), key=lambda item: item[1].ends[0])
        before, self.now = self.now, max(self.now, order.ends.pop(0))
        run = order.segment.run
        point = self.history.point(run) + 1
        (number, fold) = map(int, run.key.split("-"))
        value = curve(number, fold)[point - 1]
        seconds = seconds_of(Segment(run, point - 1, point)) * self.random.uniform(0.9, 1.1)
        self.history = self.history.with_evaluation(
            Evaluation(run.key, point, point / 2, 1.0, {"f1": value, "loss": 1 / point}, 1e-3, point, seconds=seconds)
        )
        if not order.ends:
            del self.busy[index]
            self.history = self.history.with_result(SegmentResult(order.segment, Outcome.OK, point))
            self.scheduler.ended(run)
        assert before <= self.now
        for each in self.history.unfinished():
            if any(run.key == own.key for own in each.runs):
                self._settle(each.number)

    def _settle(self, number: int) -> None:
        while True:
            closing = self.scheduler.is_closing(self.history)
            decision = self.policy.decide(self.history, number, closing=closing)
            if decision.action is Action.PAUSE:
                waiting = replace(self.history.trials[number], state=TrialState.WAITING)
                self.history = self.history.with_trial(waiting)
                return
            if decision.final_state is None and decision.stop is None:
                return
            self.history = self.history.with_decision(decision)
            if decision.final_state is TrialState.COMPLETE:
                self.first_complete = min(self.first_complete, self.now)
            if decision.final_state is not None:
                return

    # What it has come to.

    @property
    def epochs(self) -> float:
        return sum(points[-1].epoch for points in self.history.evaluations.values())

    @property
    def device_seconds(self) -> float:
        return math.fsum(each.seconds for points in self.history.evaluations.values() for each in points)

    @property
    def best(self) -> float:
        return max((each.value or 0.0 for each in self.history.finished(TrialState.COMPLETE)), default=-math.inf)


def seconds_of(segment: Segment) -> float:
    """Return what a segment takes: at batch size 8 a point takes two seconds, at 16 one."""
    return (segment.stop - segment.start) * (2.0 if segment.run.config.get("batch_size") == 8 else 1.0)


def pruners(name: str) -> Pruner:
    return Pruner() if name == "none" else RacingPruner(Racing(), F1)


budgets = st.builds(
    Budget,
    trials=st.none() | st.integers(1, 12),
    distinct_trials=st.none() | st.integers(1, 8),
    timeout=st.none() | st.floats(0.5, 60),
    device_seconds=st.none() | st.floats(0.5, 60),
    epochs=st.none() | st.floats(0.1, 25),
    epochs_per_trial=st.none() | st.floats(0.5, 6),
    device_seconds_per_trial=st.none() | st.floats(1, 20),
    target=st.none() | st.floats(0.2, 0.95),
    patience=st.none() | st.integers(1, 6),
).filter(lambda budget: budget.is_bounded)


@settings(max_examples=60)
@given(budgets, st.sampled_from([1, 2, 4]), st.sampled_from(["none", "racing"]), st.booleans(), st.integers(0, 3))
def test_whichever_limit_comes_first_ends_the_study_and_none_is_exceeded(budget, workers, pruner, repeats, seed):
    study = Timed(budget, workers, pruners(pruner), repeats=repeats, seed=seed)
    ending = study.run()
    history = study.history
    assert ending.limit in budget.given
    assert len(history.trials) <= (budget.trials or 1000)
    assert len(history.trials) - history.repeats() <= (budget.distinct_trials or 1000)
    assert study.epochs <= (budget.epochs or 1000) + 1e-6
    if budget.device_seconds is not None:  # past it by what is measured together last, at most
        assert study.device_seconds <= budget.device_seconds + workers * 2.2
    if budget.epochs_per_trial is not None:
        for each in history.trials.values():
            assert sum(history.point(run) for run in each.runs) / 2 <= budget.epochs_per_trial + 1e-6 or repeats
    for now, _, known in study.started:
        if study.deadline is not None:
            assert now < study.deadline
            assert known is None or now + known <= study.deadline + 1e-6
    met = {
        "trials": len(history.trials) == budget.trials,
        "distinct_trials": len(history.trials) - history.repeats() == budget.distinct_trials,
        "target": study.best >= (budget.target or 0.0),
        "patience": True,
        "timeout": True,
        "device_seconds": True,
        "epochs": True,
    }
    assert met[ending.limit]
    if not ending.keeps_trials:
        assert not history.unfinished()


@settings(max_examples=25)
@given(
    budgets.filter(lambda budget: budget.timeout is None), st.sampled_from([1, 2]), st.sampled_from(["none", "racing"])
)
def test_a_spent_budget_asks_for_nothing_more_when_the_study_is_resumed(budget, workers, pruner):
    first = Timed(budget, workers, pruners(pruner))
    ending = first.run()
    again = Timed(budget, workers, pruners(pruner), first.history, first.now + 1000)
    if workers == 1:
        assert again.run().limit == ending.limit
        assert (again.asked, again.started) == (0, [])
        assert again.history.trials.keys() == first.history.trials.keys()
    again.run()
    last = Timed(budget, workers, pruners(pruner), again.history, again.now + 1000)
    last.run()
    assert (last.asked, last.started) == (0, [])


@settings(max_examples=10)
@given(st.floats(10, 40), st.integers(2, 5), st.sampled_from([1, 2]))
def test_the_calls_of_a_budget_add_up_to_one_that_is_not_interrupted(epochs, calls, workers):
    whole = Timed(Budget(epochs=epochs), workers)
    whole.run()
    history = History()
    for _ in range(calls):
        part = Timed(Budget(epochs=epochs, timeout=15.0), workers, history=history)
        part.run()
        history = part.history
    last = Timed(Budget(epochs=epochs), workers, history=history)
    last.run()
    assert last.epochs <= epochs + 1e-6
    assert abs(last.epochs - whole.epochs) <= 2 * workers


@pytest.mark.parametrize("pruner", ["none", "racing"])
@pytest.mark.parametrize("workers", [1, 2, 4])
@pytest.mark.parametrize("limit", ["timeout", "device_seconds", "epochs"])
def test_the_best_so_far_is_cross_validated_before_the_end_where_that_can_be(limit, workers, pruner):
    """Of all that was tried, the trial that looks best at the end is complete, whatever the seed and the budget.

    It cannot be where it was begun before any trial was complete: more than two workers may then have begun more than
    the budget has room for.
    """
    sizes = range(16, 46, 3) if limit == "epochs" else range(48, 98, 5)  # a first trial: 6 epochs, 24 device-seconds
    for size in sizes:
        study = Timed(Budget(**{limit: size}), workers, pruners(pruner), seed=size)
        assert study.run().limit == limit
        left = study.limits._contender_of(study.history)
        if left is not None:
            began = min(now for now, segment, _ in study.started if segment.run in left.runs)
            assert workers > 2
            assert began < study.first_complete


@pytest.mark.parametrize("twins", [0, 1, 2])
@pytest.mark.parametrize(("epochs", "may"), [(17, False), (18, True), (20, True)])
def test_what_equal_trials_share_is_kept_back_once(twins, epochs, may):
    """One trial is complete with 6 epochs; of the next one, and of those equal to it, the first fold is in training."""
    history = History()
    for number in range(2 + twins):
        history = history.with_trial(replace(trial(min(number, 1)), number=number))
    for fold in range(3):
        history = measured(history, 0, fold, [0.5] * 4)
    history = history.with_trial(replace(history.trials[0], state=TrialState.COMPLETE, value=0.5, point=4, stop=4))
    in_flight = [Segment(history.trials[1].runs[0], 0, 4)]
    limits = Limits(Budget(epochs=epochs), F1, workers=2)
    assert (limits.against_asking(history, 0.0, in_flight) is None) is may
