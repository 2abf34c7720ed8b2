"""The progress line: true, short enough for its terminal, and out of the way of warnings."""

import dataclasses
import io
import logging
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from samples import measured, stopped, trial

from hpsearch.display.line import CLEAR_LINE, ProgressLine, how_to_resume
from hpsearch.plan.description import Description
from hpsearch.records import Action, Decision, History, TrialState


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True

    @property
    def screen(self) -> list[str]:
        """The lines as a person sees them: what was cleared is gone."""
        return [line.rpartition(CLEAR_LINE)[2] for line in self.getvalue().split("\n")]


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def line(stream: io.StringIO, trials: int | None = 10, clock: Any = None) -> ProgressLine:
    return ProgressLine("emotion", "f1", trials, 2, stream, **({"clock": clock} if clock else {}))


def history(*values: float | None) -> History:
    """Return a history of ended trials: complete with a value, pruned without."""
    found = History()
    for number, value in enumerate(values):
        found = found.with_trial(trial(number))
        action = Action.PRUNE if value is None else Action.COMPLETE
        found = found.with_decision(Decision(number, action, "median: too low", value=value))
    return found


def test_without_a_terminal_each_ended_trial_has_a_line() -> None:
    stream = io.StringIO()
    shown, past = line(stream), history(0.5, None)
    shown.observe(history(), None)
    shown.observe(history(0.5), history(0.5).trials[0])
    shown.observe(past, past.trials[1])
    shown.close()
    assert stream.getvalue().splitlines() == [
        "emotion: trial 0 complete, f1 0.5000; 1/10 trials, best f1 0.5000 (trial 0: learning_rate=0.001)",
        "emotion: trial 1 pruned (median: too low); 2/10 trials, 1 pruned, best f1 0.5000 (trial 0: learning_rate=0.001)"  # noqa: E501
        ", about 0 s left",
    ]


def test_in_a_terminal_one_line_says_what_runs_now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    stream = Terminal()
    shown = line(stream)
    past = history(0.5).with_trial(trial(1))
    shown.observe(past, None)
    assert stream.screen == [
        "emotion: 1/10 trials, best f1 0.5000 (trial 0: learning_rate=0.001), now trial 1 epoch 0/2 of fold 1/3"
    ]
    past = measured(past, 1, 0, [0.1, 0.2, 0.3])
    shown.observe(past, None)
    assert stream.screen[0].endswith("now trial 1 epoch 1.5/2 of fold 1/3")
    past = measured(stopped(past, 1, 3), 1, 1, [0.1, 0.2])
    shown.observe(past, None)
    assert stream.screen[0].endswith("now trial 1 fold 2/3")
    shown.close()
    assert stream.getvalue().endswith("\n")


def test_a_trial_that_waits_is_not_said_to_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    stream = Terminal()
    waiting = dataclasses.replace(trial(0), state=TrialState.WAITING)
    line(stream).observe(History().with_trial(waiting), None)
    assert stream.screen == ["emotion: 0/10 trials"]


@pytest.mark.parametrize("columns", [200, 100, 80, 60, 40, 25])
def test_the_line_is_never_wider_than_the_terminal(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    stream = Terminal()
    past = history(*[0.5] * 8).with_trial(trial(8)).with_trial(trial(9))
    line(stream).observe(past, None)
    (text,) = stream.screen
    assert len(text) < columns
    assert text.startswith("emotion: 8/10 trials"[: columns - 2])


def test_what_matters_least_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    past = history(0.5).with_trial(trial(1))
    seen = []
    for columns in (120, 90, 60):
        monkeypatch.setenv("COLUMNS", str(columns))
        stream = Terminal()
        line(stream).observe(past, None)
        seen.append(
            ("learning_rate" in stream.screen[0], "now trial 1" in stream.screen[0], "best" in stream.screen[0])
        )
    assert seen == [(True, True, True), (False, True, True), (False, False, True)]


def test_the_time_left_follows_the_pace_of_this_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trials of earlier calls took no time of this one."""
    monkeypatch.setenv("COLUMNS", "200")
    clock, stream = Clock(), io.StringIO()
    shown = line(stream, trials=30, clock=clock)
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
    line(stream, trials=None).observe(past, past.trials[0])
    assert "; 1 trials, best" in stream.getvalue()


def test_warnings_stand_above_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # pytest's own, which a user's program does not have
    monkeypatch.setenv("COLUMNS", "200")
    stream = Terminal()
    shown = line(stream)
    shown.observe(history(0.5), None)
    logging.getLogger("hpsearch").warning("Trial %d: diverged", 3)
    assert stream.screen[0] == "Trial 3: diverged"
    assert stream.screen[1].startswith("emotion: 1/10 trials")
    shown.close()
    assert logging.getLogger("hpsearch").handlers == []


def test_a_program_with_its_own_logging_keeps_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stream = Terminal()
    shown = line(stream)
    logging.getLogger("hpsearch").warning("Trial 3: diverged")
    shown.close()
    assert "diverged" not in stream.getvalue()
    assert "diverged" in caplog.text


def test_a_closed_terminal_ends_nothing() -> None:
    class Gone(Terminal):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    line(Gone()).observe(history(0.5), None)


# ---------------------------------------------------------------- how a paused study goes on


def description(**changes: Any) -> Description:
    """Return a description of which only what decides about resuming is filled in."""
    values: dict[str, Any] = dict.fromkeys(field.name for field in dataclasses.fields(Description))
    values |= {"task": {"task": "toy_task:ToyTask"}, "sampler": "bayesian", "pruner": "median", "callables": {}}
    return Description(**{**values, **changes})


def pasted(sentence: str) -> list[str]:
    assert sentence.startswith("Go on with: ")
    return shlex.split(sentence.removeprefix("Go on with: "))


def test_the_command_names_the_folder_wherever_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    folder = tmp_path / "my runs" / "emotion's"
    words = pasted(how_to_resume(description(), folder, None))
    assert words == [sys.executable, "-m", "hpsearch", "resume", str(folder)]
    done = subprocess.run([*words[:3], "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.strip()


def test_hpsearch_is_named_alone_only_where_it_is_this_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for folder in ("here", "elsewhere"):
        (tmp_path / folder).mkdir()
        script = tmp_path / folder / "hpsearch"
        script.write_text("#!/bin/sh\n")
        script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "here" / "python"))
    monkeypatch.setenv("PATH", str(tmp_path / "elsewhere"))
    assert pasted(how_to_resume(description(), tmp_path, None))[1:3] == ["-m", "hpsearch"]
    monkeypatch.setenv("PATH", str(tmp_path / "here"))
    assert pasted(how_to_resume(description(), tmp_path, None)) == ["hpsearch", "resume", str(tmp_path)]


def test_a_database_is_named_without_its_password(tmp_path: Path) -> None:
    url = "sqlite:///shared.db"
    assert pasted(how_to_resume(description(), tmp_path, url))[-2:] == ["--storage", url]
    secret = how_to_resume(description(), tmp_path, "postgresql+psycopg://me:hunter2@host/studies")
    assert "hunter2" not in secret
    assert "--storage URL" in secret


@pytest.mark.parametrize(
    "changes",
    [
        {"task": {"task": "__main__:MyTask"}},
        {"task": {"task": "__hpsearch__:MyTask"}},
        {"task": {"task": "tests.sample:make.<locals>.MyTask"}},
        {"sampler": "<TPESampler>"},
        {"pruner": "MedianPruner(n_startup_trials=5)"},
        {"callables": {"cost": None}},
    ],
)
def test_what_was_made_in_a_script_goes_on_with_the_script(tmp_path: Path, changes: dict[str, Any]) -> None:
    assert "running the same script" in how_to_resume(description(**changes), tmp_path, None)


@pytest.mark.parametrize("changes", [{"sampler": "Grid(points=4)"}, {"callables": {"cost": "package.module:cost"}}])
def test_what_can_be_imported_goes_on_by_the_command(tmp_path: Path, changes: dict[str, Any]) -> None:
    assert pasted(how_to_resume(description(**changes), tmp_path, None))[-2:] == ["resume", str(tmp_path)]
