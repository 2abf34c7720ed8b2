"""What a run answers the user's code, and what it tells its worker."""

import contextlib
import math
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hpsearch.errors import TaskError, UsageError
from hpsearch.tasks.loops.messages import Begin, End, Go, Pause, Reported, Saved, Waiting
from hpsearch.tasks.loops.run import Run, RunEnded


class Worker:
    """The other side of a run: what it heard, and when it last heard that the run waits."""

    def __init__(self, folder: Path, **given: Any) -> None:
        settings = {"horizon": 4, "until": 4, "checkpoint_every": math.inf, "point": 0, "step": 0, **given}
        self.heard: list[Any] = []
        begin = Begin(
            call=lambda run: None, train_rows=None, validation_rows=None, seed=1, device="cpu",
            folder=folder, restored=None, **settings,
        )  # fmt: skip
        self.run = Run(begin, self.heard.append)

    def follow(self, code: Callable[[Run], None]) -> threading.Thread:
        def unwound() -> None:
            with contextlib.suppress(RunEnded):
                code(self.run)

        thread = threading.Thread(target=unwound, daemon=True)
        thread.start()
        return thread

    def wait_for(self, kind: type) -> None:
        end = time.monotonic() + 30
        while not any(isinstance(message, kind) for message in self.heard):
            assert time.monotonic() < end, self.heard
            time.sleep(0.01)

    @property
    def kinds(self) -> list[str]:
        return [type(message).__name__ for message in self.heard]


def save(run: Run) -> None:
    with run.save() as folder:
        (folder / "state").write_text("x")


def loop(run: Run) -> None:
    for epoch in range(4):
        answer = run.report(epoch, accuracy=epoch / 4)
        if run.due(epoch):
            save(run)
        if answer.stop:
            return


def test_a_run_to_its_end_saves_nothing_and_stops(tmp_path: Path) -> None:
    worker = Worker(tmp_path)
    loop(worker.run)
    assert worker.kinds == ["Reported"] * 4
    assert [(message.point, message.step) for message in worker.heard] == [(1, 0), (2, 1), (3, 2), (4, 3)]
    assert worker.run.report(4, accuracy=1.0).stop and len(worker.heard) == 4


def test_a_run_waits_at_the_end_of_its_segment_with_its_state_saved(tmp_path: Path) -> None:
    worker = Worker(tmp_path, until=2)
    thread = worker.follow(loop)
    worker.wait_for(Waiting)
    assert worker.kinds == ["Reported", "Reported", "Saved", "Waiting"]
    saved = worker.heard[2]
    assert (saved.point, saved.step) == (2, 1) and (saved.folder / "state").read_text() == "x"
    worker.run.obey(Go(4))
    thread.join(30)
    assert worker.kinds[4:] == ["Reported", "Reported"]


def test_a_run_that_waits_is_unwound_where_it_is_left(tmp_path: Path) -> None:
    worker, ended = Worker(tmp_path, until=1), []

    def code(run: Run) -> None:
        try:
            loop(run)
        except RunEnded:
            ended.append("unwound")
        except Exception:  # noqa: BLE001  (what users write)
            ended.append("caught")

    thread = worker.follow(code)
    worker.wait_for(Waiting)
    worker.run.obey(End())
    thread.join(30)
    assert ended == ["unwound"] and worker.kinds == ["Reported", "Saved", "Waiting"]


def test_a_pause_is_heard_between_two_reports(tmp_path: Path) -> None:
    worker = Worker(tmp_path)
    worker.run.report(0, accuracy=0.1)
    assert not worker.run.due(0) and not worker.run.due(3)
    worker.run.obey(Pause())
    assert worker.run.due(5)
    thread = worker.follow(save)
    worker.wait_for(Waiting)
    assert worker.heard[1] == Saved(worker.heard[1].folder, 1, 5)
    worker.run.obey(Go(4))
    thread.join(30)
    assert not worker.run.due(6)


def test_code_that_never_saves_is_left_at_its_next_report(tmp_path: Path) -> None:
    worker, answers = Worker(tmp_path, until=2), []

    def code(run: Run) -> None:
        for epoch in range(4):
            answers.append(run.report(epoch, accuracy=0.5).stop)
            if answers[-1]:
                return

    thread = worker.follow(code)
    worker.wait_for(Waiting)
    assert worker.kinds == ["Reported", "Reported", "Waiting"]
    worker.run.obey(End())
    thread.join(30)
    assert answers == [False, True]


def test_a_state_that_failed_to_be_written_does_not_count(tmp_path: Path) -> None:
    worker = Worker(tmp_path)
    with pytest.raises(OSError, match="full"), worker.run.save() as folder:
        raise OSError("the disk is full")
    assert worker.heard == [] and not folder.exists()


def test_saving_is_due_by_the_clock(tmp_path: Path) -> None:
    worker = Worker(tmp_path, checkpoint_every=0.0)
    assert worker.run.due(0)
    save(worker.run)
    assert isinstance(worker.heard[0], Saved)


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        (lambda run: run.report(1), "was given no metrics"),
        (lambda run: run.report(0.5, accuracy=1.0), r"step=0\.5 is no whole number"),
        (lambda run: run.report(0, accuracy="high"), r"accuracy='high'\): that is a str, and a number is needed"),
        (lambda run: (run.report(3, a=1.0), run.report(3, a=1.0)), "steps must rise from report to report"),
        (lambda run: (run.due(2), run.report(2, a=1.0)), r"run\.due\(2\) was asked before run\.report\(2"),
    ],
)
def test_mistakes_of_the_code_are_errors(tmp_path: Path, mistake: Callable[[Run], Any], message: str) -> None:
    with pytest.raises((UsageError, TaskError), match=message):
        mistake(Worker(tmp_path).run)


def test_a_refit_is_asked_for_its_state_at_the_end(tmp_path: Path) -> None:
    worker = Worker(tmp_path, is_refit=True)
    thread = worker.follow(loop)
    worker.wait_for(Waiting)
    assert worker.kinds == ["Reported"] * 4 + ["Saved", "Waiting"]
    worker.run.obey(End())
    thread.join(30)
    assert isinstance(worker.heard[3], Reported)
