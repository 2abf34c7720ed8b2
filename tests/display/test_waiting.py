"""Work that takes its time: a person at a terminal is told, and nothing stays on the screen."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from hpsearch.display import waiting


def test_it_speaks_up_after_two_seconds_and_leaves_nothing(terminal: Callable[..., Any]) -> None:
    shown = terminal(
        "import time\nfrom hpsearch.display.waiting import waiting_for\n"
        "with waiting_for('Sorting'):\n    time.sleep(3.5)\nprint('done')"
    )
    shown.until(lambda lines: any(line.startswith("Sorting: ") for line in lines))
    assert shown.end() == 0
    assert list(shown.lines()) == ["done"]


def test_a_file_is_told_nothing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(waiting, "PATIENCE_SECONDS", 0.0)
    with waiting.waiting_for("Sorting"):
        time.sleep(0.05)
    assert capsys.readouterr() == ("", "")
