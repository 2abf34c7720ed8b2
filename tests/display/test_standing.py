"""What the displays draw from: counts, the best with its interval, and what is under way where."""

from dataclasses import replace
from pathlib import Path

import pytest
from samples import measured, stopped, trial

from hpsearch.analysis.aggregates import summarize
from hpsearch.display.standing import Tally, Watch
from hpsearch.metrics.direction import Direction
from hpsearch.records import Action, Decision, History, Segment, Slot, TrialState

SHARES = [1 / 3, 1 / 3, 1 / 3]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def complete(history: History, number: int, *scores: float) -> History:
    history = stopped(history.with_trial(trial(number)), number, 1)
    for fold, score in enumerate(scores):
        history = measured(history, number, fold, [score])
    value = sum(scores) / len(scores)
    return history.with_decision(Decision(number, Action.COMPLETE, "", value=value, point=1, stop=1))


def watch(**more) -> Watch:
    return Watch("emotion", Path.cwd() / "runs" / "emotion", "f1", 10, 2, test_shares=SHARES, **more)


def test_every_state_is_counted() -> None:
    history = complete(History(), 0, 0.1, 0.2, 0.3)
    for number, action in ((1, Action.PRUNE), (2, Action.FAIL), (3, None), (4, None)):
        history = history.with_trial(trial(number))
        if action is not None:
            history = history.with_decision(Decision(number, action, "", value=0.9))
    history = history.with_trial(replace(trial(4), state=TrialState.WAITING))
    tally = Tally.of(history)
    assert (tally.running, tally.waiting, tally.complete, tally.pruned, tally.failed) == (1, 1, 1, 1, 1)
    assert tally.ended == 3
    assert tally.best is not None
    assert tally.best.number == 0  # a pruned trial's value is no rival


def test_the_best_has_the_corrected_interval_that_the_report_shows() -> None:
    seen = watch()
    history = complete(complete(History(), 0, 0.1, 0.2, 0.3), 1, 0.5, 0.6, 0.8)
    seen.observe(history, history.trials[1])
    best = seen.standing().best
    assert best is not None
    assert (best.number, best.params) == (1, {"learning_rate": 0.002})
    assert best.interval == summarize(history.trials[1], history, "f1", SHARES).interval
    assert best.interval is not None
    seen.observe(complete(history, 2, 0.9, 0.9, 0.95), trial(2))
    assert seen.standing().best.number == 2


def test_what_is_under_way_is_said_with_its_device_and_its_time() -> None:
    clock = Clock()
    slots = [Slot(0, ("cpu",)), Slot(1, ("cpu",)), Slot(2, ("cuda:0",))]
    history = measured(stopped(History().with_trial(trial(5)), 5, 4), 5, 1, [0.1, 0.3], [1.5, 1.2])
    history = replace(
        history,
        evaluations={key: tuple(replace(e, seconds=30.0) for e in es) for key, es in history.evaluations.items()},
    )
    runs = history.trials[5].runs
    training = [(slots[2], Segment(runs[2], 0, 4)), (slots[1], Segment(runs[1], 0, 4))]
    seen = watch(slots=lambda: slots, training=lambda: training, clock=clock)
    seen.observe(history, None)
    seen.standing()
    clock.now = 20.0
    standing = seen.standing()
    assert standing.folder == str(Path("runs/emotion"))
    assert standing.devices == {"cpu": 2, "cuda:0": 1}
    second, third = standing.folds
    assert (second.trial, second.fold, second.folds, second.device) == (5, 2, 3, "cpu #1")
    assert (second.epoch, second.epochs, second.loss, second.value) == (1.0, 2.0, 1.2, 0.3)
    assert (second.elapsed, second.left) == (20.0, pytest.approx(2 * 30.0 - 20.0))
    assert (third.fold, third.device, third.loss, third.value, third.left) == (3, "cuda:0", None, None, None)
    training.clear()
    assert seen.standing().folds == []


def test_slots_that_come_and_go_are_counted_as_they_are_now() -> None:
    first = trial(0)
    slots = [Slot(0, ("cuda:0",))]
    seen = watch(slots=lambda: slots, training=lambda: [(slots[0], Segment(first.runs[0], 0, 4))])
    seen.observe(History().with_trial(first), None)
    assert (seen.standing().devices, seen.standing().folds[0].device) == ({"cuda:0": 1}, "cuda:0")
    slots.append(Slot(1, ("cuda:0",), 0.5))
    assert (seen.standing().devices, seen.standing().folds[0].device) == ({"cuda:0": 2}, "cuda:0 #0")
    del slots[1]
    assert (seen.standing().devices, seen.standing().folds[0].device) == ({"cuda:0": 1}, "cuda:0")


def test_a_run_that_two_trials_share_is_shown_once_and_one_whose_trial_has_ended_not_at_all() -> None:
    first = trial(0)
    history = History().with_trial(first).with_trial(replace(trial(1), runs=first.runs))
    slot = Slot(0, ("cpu",))
    seen = watch(slots=lambda: [slot], training=lambda: [(slot, Segment(first.runs[0], 0, 4))])
    seen.observe(history, None)
    assert [fold.trial for fold in seen.standing().folds] == [0]
    for number in (0, 1):
        history = history.with_decision(Decision(number, Action.PRUNE, "", value=0.1))
    seen.observe(history, history.trials[1])
    assert seen.standing().folds == []


def test_a_deadline_and_a_pause_are_known() -> None:
    clock = Clock()
    seen = watch(deadline=100.0, clock=clock, is_pausing=lambda: clock.now > 50)
    assert (seen.standing().pauses_in, seen.standing().is_pausing) == (100.0, False)
    clock.now = 120.0
    assert (seen.standing().pauses_in, seen.standing().is_pausing) == (0.0, True)


def test_the_best_of_what_is_minimized_is_the_lowest() -> None:
    seen = watch()
    history = complete(complete(complete(History(), 0, 0.3, 0.3, 0.3), 1, 0.1, 0.1, 0.2), 2, 0.5, 0.5, 0.5)
    seen.observe(replace(history, direction=Direction.MINIMIZE), None)
    best = seen.standing().best
    assert best is not None
    assert best.number == 1
