"""Who holds a study: as the lock file and the lease table say it, and as an error tells it."""

import json
import os
import socket
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil

from hpsearch.errors import LeaseHeldError
from hpsearch.records.file_lock import FileLock

MAKING_SECONDS = 10.0
"""How long a process that is making a study is waited for."""


def holder(*, is_making: bool = False) -> str:
    """Return who this process is, as the lock file and the lease table say it."""
    facts = {"host": socket.gethostname(), "process": os.getpid(), "since": round(time.time(), 3)}
    return json.dumps({**facts, "making": True} if is_making else {**facts, "namespace": _namespace()})


def is_gone(owner: str) -> bool:
    """Return whether the process that `holder` was called in is known to have ended, here, on this machine."""
    try:
        facts = json.loads(owner)
        pid, namespace = int(facts["process"]), facts["namespace"]
    except (ValueError, KeyError, TypeError):  # of an earlier version
        return False
    if namespace is None or namespace != _namespace():
        return False
    try:
        os.kill(pid, 0)
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except ProcessLookupError:
        return True
    except (PermissionError, psutil.Error):
        return False


def held_error(study: str, owner: str, remedy: str) -> LeaseHeldError:
    """Return the error that names who holds the lease; `owner` is what `holder` returned there, or "" so far."""
    try:
        facts: dict[str, Any] = json.loads(owner)
        since = datetime.fromtimestamp(facts["since"]).astimezone().isoformat(" ", "seconds")
        who = f"process {facts['process']} on host {facts['host']}, since {since}"
    except (ValueError, KeyError, TypeError):
        who = "a process that has not yet written down which one it is"
    return LeaseHeldError(f"Study {study!r} is being run by {who}; only one coordinator may write to it. {remedy}")


def hold(lock: FileLock, study: str, content: str, remedy: str) -> None:
    """Take a study's lock file. Raises LeaseHeldError while another process runs the study.

    One that is only making it, or has not yet written who it is, is waited for.
    """
    until = time.monotonic() + MAKING_SECONDS
    while not lock.acquire(content):
        owner = lock.content()
        is_brief = '"making"' in owner or not owner.strip()
        if not is_brief or time.monotonic() > until:
            raise held_error(study, owner, remedy)
        time.sleep(0.02)


def _namespace() -> str | None:
    """Return within what a process's number is its own: this boot, and the container. None if not on Linux."""
    try:
        start = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{start} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return None
