"""The plain lines: true, one for each ended trial, and nothing where they lead nowhere."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from samples import trial

from hpsearch.display.plain import PlainLines
from hpsearch.display.standing import Watch
from hpsearch.records import Action, Decision, History


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def lines(stream: io.StringIO, trials: int | None = 10, clock: Callable[[], float] | None = None) -> PlainLines:
    more: dict[str, Any] = {"clock": clock} if clock else {}
    return PlainLines(Watch("emotion", Path("runs/emotion"), "f1", trials, 2, **more), stream)


def history(*values: float | None) -> History:
    """Return a history of ended trials: complete with a value, pruned without."""
    found = History()
    for number, value in enumerate(values):
        found = found.with_trial(trial(number))
        action = Action.PRUNE if value is None else Action.COMPLETE
        found = found.with_decision(Decision(number, action, "median: too low", value=value))
    return found


def test_each_ended_trial_has_a_line() -> None:
    stream = io.StringIO()
    shown, past = lines(stream), history(0.5, None)
    shown.observe(history(), None)
    shown.observe(history(0.5), history(0.5).trials[0])
    shown.observe(past, past.trials[1])
    shown.close()
    assert stream.getvalue().splitlines() == [
        "emotion: trial 0 complete, f1 0.5000; 1/10 trials, best f1 0.5000 (trial 0: learning_rate=0.001)",
        "emotion: trial 1 pruned (median: too low); 2/10 trials, 1 pruned, best f1 0.5000 (trial 0: learning_rate=0.001)"  # noqa: E501
        ", about 0 s left",
    ]


def test_the_time_left_follows_the_pace_of_this_call() -> None:
    """Trials of earlier calls took no time of this one."""
    clock, stream = Clock(), io.StringIO()
    shown = lines(stream, trials=30, clock=clock)
    past = history(*[0.5] * 6)
    shown.observe(past, None)
    for number, seconds in ((6, 10), (7, 20), (8, 200), (9, 2000)):
        clock.now = seconds
        past = history(*[0.5] * (number + 1))
        shown.observe(past, past.trials[number])
    left = [text.rpartition("about ")[2] if "about" in text else "" for text in stream.getvalue().splitlines()]
    assert left == ["", "4 min left", "23 min left", "2.8 h left"]


def test_without_a_number_of_trials_none_is_made_up() -> None:
    stream = io.StringIO()
    past = history(0.5)
    lines(stream, trials=None).observe(past, past.trials[0])
    assert "; 1 trials, best" in stream.getvalue()


@pytest.mark.parametrize("error", [BrokenPipeError, ValueError("I/O operation on closed file")])
def test_a_stream_that_is_gone_ends_nothing(error: Exception) -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise error

    past = history(0.5)
    lines(Gone()).observe(past, past.trials[0])
