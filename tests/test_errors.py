"""What others have written (names, labels, messages) obeys nobody in a terminal, a log or a page."""

import io
import json
import logging
import re
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from plotly.offline import get_plotlyjs
from rich.console import Console
from toy_studies import toy_study
from toy_task import ToyTask
from typer.testing import CliRunner

import hpsearch as hp
from hpsearch.cli.commands import app
from hpsearch.display.panel import StandingPanel
from hpsearch.display.plain import PlainLines
from hpsearch.display.standing import Watch
from hpsearch.errors import DataError, HpsearchError, UsageError, printable
from hpsearch.tasks import Prepared
from hpsearch.tasks.classes.judge import ClassJudge

EVIL = "\x1b]0;owned\x07\x1b[2J\x08\x9b31m\x7f\u202edetrever\u2066"
"""A new title for the terminal, an empty screen, a step back, red letters, and an order turned around."""

OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u206f\ud800-\udfff]")


def quiet(text: str) -> str:
    """Return a text that has the evil one in it, and holds nothing that a terminal obeys."""
    assert not OBEYED.search(text), repr(OBEYED.search(text))
    return text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, Größe, 日本語, שלום, 👩‍👩‍👧\ttab\nline", "plain, Größe, 日本語, שלום, 👩‍👩‍👧\ttab\nline"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\r\nb\rc", "a\nb\\rc"),
        ("\x9b\x7f\x00", "\\x9b\\x7f\\x00"),
        ("\u202etxt.exe\u2069\u2028", "\\u202etxt.exe\\u2069\\u2028"),
        ("\ud800", "\\ud800"),
    ],
)
def test_only_what_cannot_be_seen_becomes_an_escape(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert printable(shown) == shown


def test_errors_and_logs_are_printable() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    logger = logging.getLogger("hpsearch")
    logger.addHandler(handler)
    try:
        logger.warning("%s has %d rows", EVIL, 3)
        try:
            int(EVIL)
        except ValueError:
            logger.warning("plain", exc_info=True)
    finally:
        logger.removeHandler(handler)
    assert "\\x1b]0;owned" in quiet(stream.getvalue())
    assert "has 3 rows" in stream.getvalue()
    assert "ValueError: invalid literal" in stream.getvalue()
    assert "\\x1b" in quiet(str(DataError(f"the label {EVIL}")))
    assert HpsearchError(EVIL).args == (EVIL,)


@pytest.mark.parametrize(
    "letter", ["\x1b", "\x07", "\x00", "\x7f", "\x9b", "\n", "\t", "\r", "\u202e", "\u2066", "\ud800"]
)
def test_a_study_is_not_called_so(letter: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot name a study"):
        toy_study_called(f"a{letter}b", tmp_path)


def toy_study_called(name: str, folder: Path) -> hp.Study:
    return hp.Study(name, ToyTask(), hp.Space(learning_rate=1e-2, batch_size=8, epochs=1), folder=folder)


@dataclass(frozen=True, eq=False)
class EvilTask(ToyTask):
    """Its labels and what it raises are evil."""

    def prepare(self, cache: Path) -> Prepared:
        return replace(super().prepare(cache), judge=ClassJudge("multiclass", (f"a{EVIL}", "b", "c")))

    def learner(self, prepared: Prepared, split: str = "train") -> Any:
        learner = super().learner(prepared, split)
        learner._trouble = self._raise
        return learner

    def _raise(self, rows: int) -> None:
        if rows == 16:
            raise RuntimeError(f"cannot read {EVIL}.png")


def accuracy(truth: np.ndarray, predicted: np.ndarray) -> float:
    return float(np.mean(truth == predicted))


def test_nothing_evil_comes_out_of_a_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Terminal, lines, table, logs, command line, report and model card, with all that others can choose."""
    monkeypatch.setenv("HPSEARCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(sys.modules[__name__].accuracy, "__name__", f"acc{EVIL}")
    folder = tmp_path / f"runs{EVIL}"
    study = toy_study(folder, metrics=[], metric=accuracy, cv=2)
    study.plan.task = EvilTask()
    watch = Watch(study.name, study.folder, study.plan.objective.name, 6, 2)
    lines = io.StringIO()
    plain = PlainLines(watch, lines)
    study.callbacks = (lambda study, trial: plain.observe(study.store().history, trial),)
    result = study.run(trials=6, devices="inline", progress="plain")
    text = quiet(lines.getvalue())
    assert "acc\\x1b" in text
    assert "cannot read \\x1b" in text
    console = Console(file=io.StringIO(), width=200, force_terminal=False)
    console.print(StandingPanel(watch.standing()))
    assert "acc\\x1b" in quiet(console.file.getvalue())  # type: ignore[attr-defined]
    assert "cannot read \\x1b" in quiet(result.text())
    (log, *_) = (study.folder / "logs").glob("trial-*.log")
    assert "cannot read \\x1b" in quiet(log.read_text())
    library = get_plotlyjs().replace("</script", "<\\/script")  # has such characters in its tables
    page = quiet(result.report(tmp_path / "report.html").read_text().replace(library, ""))
    assert "acc\\x1b" in page
    assert "acc\\\\x1b" in page  # in what page.js reads
    assert json.dumps(EVIL)[1:-1] not in page
    exported = result.export(tmp_path / "model")
    quiet((exported / "README.md").read_text())
    for command in (["list"], ["show", "toy"], ["show", f"no{EVIL}"], ["export", f"{EVIL}.py", "x"]):
        done = CliRunner().invoke(app, [*command, "--folder", str(folder)])
        quiet(done.stdout + done.stderr)
    output = capfd.readouterr()
    assert "acc\\x1b" in quiet(output.err + output.out)
