"""The process of a run: it ends with all that it has started."""

import subprocess
import sys
import time
from pathlib import Path

import psutil

from hpsearch.tasks.loops.process import descendants, kill_group

LAUNCHER = """
import subprocess, sys, time
rank = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
print(rank.pid, flush=True)
time.sleep(60)
"""
"""It gives what it starts a session of its own, as torchrun does."""


def test_what_has_left_the_group_is_killed_too(tmp_path: Path) -> None:
    command = [sys.executable, "-c", LAUNCHER]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as launcher:
        assert launcher.stdout is not None
        rank = psutil.Process(int(launcher.stdout.readline()))
        assert [each.pid for each in descendants(launcher.pid)] == [rank.pid]
        kill_group(launcher)
        end = time.monotonic() + 20
        while rank.is_running() and rank.status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < end, "it lives on"
            time.sleep(0.05)
