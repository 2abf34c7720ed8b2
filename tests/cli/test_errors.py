"""How a command ends."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ENDS = """
import threading
from hpsearch.cli.errors import reported_errors
from hpsearch.errors import HpsearchError, Preempted

class CrashesAtTheEnd:
    def __del__(self):
        import os, signal
        os.kill(os.getpid(), signal.SIGSEGV)

threading.crashes = CrashesAtTheEnd()
threading.Thread(target=threading.Event().wait, name="hpsearch-leave", daemon=True).start()
print("the last line", end="")
with reported_errors():
    raise {error}
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize(
    ("error", "code", "said"),
    [("HpsearchError('The head is silent.')", 1, "hpsearch: The head is silent.\n"), ("Preempted('')", 75, "")],
    ids=["error", "preempted"],
)
def test_a_cluster_that_is_still_being_left_does_not_crash_the_command(error: str, code: int, said: str) -> None:
    """Ray's threads wait for a head node that is silent, and crash as Python ends."""
    done = subprocess.run(
        [sys.executable, "-c", ENDS.format(error=error)], capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONFAULTHANDLER": ""},
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (code, "the last line", said)
