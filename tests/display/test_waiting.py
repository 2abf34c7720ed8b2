"""Work that takes its time: a person at a terminal is told, and nothing stays on the screen."""

import os
import pty
import time

import pyte
import pytest

from hpsearch.display import waiting


def test_it_speaks_up_after_its_patience_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert waiting.PATIENCE_SECONDS == 2.0
    monkeypatch.setattr(waiting, "PATIENCE_SECONDS", 0.05)
    screen = pyte.Screen(40, 4)
    shown = pyte.ByteStream(screen)
    master, slave = pty.openpty()
    with os.fdopen(slave, "w") as terminal:
        monkeypatch.setattr("sys.stderr", terminal)
        with waiting.waiting_for("Sorting"):
            shown.feed(os.read(master, 1000))  # which blocks until there is something
            assert screen.display[0].rstrip() == "Sorting: 0 s"
        shown.feed(os.read(master, 1000))
    os.close(master)
    assert [line.rstrip() for line in screen.display] == [""] * 4


def test_a_file_is_told_nothing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(waiting, "PATIENCE_SECONDS", 0.0)
    with waiting.waiting_for("Sorting"):
        time.sleep(0.05)
    assert capsys.readouterr() == ("", "")
