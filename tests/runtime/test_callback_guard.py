"""Exceptions of users' callbacks are logged and end nothing."""

import logging
from pathlib import Path
from typing import Any

import pytest
from samples import trial
from toy_studies import toy_study

from hpsearch.records import History
from hpsearch.runtime.callback_guard import guarded_callbacks


def tell(callback: Any, folder: Path, count: int = 3) -> None:
    with guarded_callbacks("the study", [callback], folder) as (observer,):
        for number in range(count):
            observer.observe(History(), trial(number))
            observer.observe(History(), None)  # an evaluation is nothing that a callback is told of


def test_a_callback_that_raises_is_called_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    heard = []

    def draw(study: Any, ended: Any) -> None:
        heard.append((study, ended.number))
        raise KeyError(f"column {ended.number}")

    tell(draw, tmp_path)
    assert heard == [("the study", 0), ("the study", 1), ("the study", 2)]
    first, last = [record.getMessage() for record in caplog.records]
    assert first == (
        "The callback draw raised KeyError: 'column 0' at trial 0. The study continues and will call it again; the "
        "traceback is in logs/callbacks.log."
    )
    assert last == "The callback draw failed 3 times; see logs/callbacks.log."
    log = (tmp_path / "callbacks.log").read_text()
    assert [f"column {number}" in log for number in range(3)] == [True] * 3
    assert log.count("Traceback (most recent call last)") == 3


def test_on_end_is_told_once_whether_the_study_ended_or_failed(tmp_path: Path) -> None:
    class Callback:
        ends = 0

        def __call__(self, study: Any, ended: Any) -> None: ...

        def on_end(self, study: Any) -> None:
            self.ends += 1

    callback = Callback()
    tell(callback, tmp_path)
    assert callback.ends == 1
    with pytest.raises(ValueError, match="the study"), guarded_callbacks("it", [callback], tmp_path):
        raise ValueError("the study")
    assert callback.ends == 2
    with pytest.raises(KeyboardInterrupt), guarded_callbacks("it", [callback], tmp_path):
        raise KeyboardInterrupt
    assert callback.ends == 2  # the user does not want to wait


def test_who_wants_to_end_the_process_can(tmp_path: Path) -> None:
    def leave(study: Any, ended: Any) -> None:
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        tell(leave, tmp_path)


def test_a_study_outlives_its_callbacks(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        def __call__(self, study: Any, ended: Any) -> None:
            raise RuntimeError("no such server")

        def on_end(self, study: Any) -> None:
            assert len(study.result.table()) == 2
            raise RuntimeError("no such server either")

    study = toy_study(tmp_path, callbacks=[Broken()])
    result = study.run(trials=2, devices="inline", progress=False)
    assert len(result.table()) == 2
    assert "The callback Broken failed 3 times" in caplog.text
    assert (study.folder / "logs" / "callbacks.log").read_text().count("\nRuntimeError: no such server") == 3
    assert all(record.levelno == logging.WARNING for record in caplog.records if record.name == "hpsearch")
