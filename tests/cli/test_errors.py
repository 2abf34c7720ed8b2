"""How a command ends."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from hpsearch.cli.errors import SHOW_TRACEBACK, reported_errors

ENDS = """
import os
import signal
import threading
from types import SimpleNamespace

import typer

from hpsearch.cli.errors import reported_errors
from hpsearch.errors import HpsearchError, Preempted
from hpsearch.runtime.pools import ray_connection


class CrashesAtTheEnd:
    def __del__(self, kill=os.kill, process=os.getpid(), signal=signal.SIGSEGV):
        kill(process, signal)


threading.crashes = CrashesAtTheEnd()
ray_connection.ANSWER_SECONDS = 0.1
ray_connection._disconnect(SimpleNamespace(shutdown=threading.Event().wait))
print("the last line", end="")
with reported_errors():
    {ending}
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize(
    ("ending", "code", "said"),
    [
        pytest.param("pass", 0, "", id="done"),
        pytest.param("raise HpsearchError('The head is silent.')", 1, "hpsearch: The head is silent.\n", id="error"),
        pytest.param("raise Preempted('')", 75, "", id="preempted"),
        pytest.param("raise typer.Exit(1)", 1, "", id="exit"),
        pytest.param("1 / 0", 1, "hpsearch: ZeroDivisionError: division by zero.", id="unexpected"),
    ],
)
def test_a_cluster_that_is_still_being_left_does_not_crash_the_command(ending: str, code: int, said: str) -> None:
    """Ray's threads wait for a head node that is silent, and crash as Python ends."""
    done = subprocess.run(
        [sys.executable, "-c", ENDS.format(ending=ending)], capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONFAULTHANDLER": ""},
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (code, "the last line")
    assert done.stderr.startswith(said) and bool(done.stderr) == bool(said)


def test_an_unexpected_error_is_shown_with_its_traceback_on_demand(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(SHOW_TRACEBACK, "1")
    with pytest.raises(typer.Exit) as ending, reported_errors():
        raise ZeroDivisionError("a defect")
    assert ending.value.exit_code == 1
    error = capsys.readouterr().err
    assert error.startswith("Traceback") and error.endswith("ZeroDivisionError: a defect\n")
