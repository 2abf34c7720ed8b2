"""A database server that is stopped, and one that is killed, and started again while the study waits for it."""

import signal
import time
from typing import Any

from disturbed_study import DisturbedStudy

SECONDS = (2.0, 8.0)
"""How long it is away."""


def stop_server(study: DisturbedStudy, server: Any) -> None:
    """As its operator stops it: transactions are broken off, what was committed is on the disk."""
    _away(study, server, signal.SIGINT)


def kill_server(study: DisturbedStudy, server: Any) -> None:
    """At once, as in a crash: it recovers from its log."""
    _away(study, server, signal.SIGQUIT)


def _away(study: DisturbedStudy, server: Any, number: int) -> None:
    server.stop(number)
    time.sleep(study.random.uniform(*SECONDS))
    server.start()
