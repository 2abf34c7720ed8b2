"""Workers that show no progress: how long they are waited for, and what is said of them."""

import math
import os

from hpsearch.errors import UsageError

HANG_SECONDS = 1800.0
"""How long a worker with work may show no progress; HPSEARCH_WORKER_WAIT sets another limit.

Progress is a batch trained on or evaluated, a metric begun or ended, an answer, a message. So the limit must be longer
than the slowest single metric, and than the loading of a model. It depends on the machine and changes no number: that
is why it is a variable, and no setting of the study's.
"""

GRACE_SECONDS = 20.0
"""How long a silent worker has to end, or to go on, once it was asked to (news takes ten seconds on Ray); then it is
killed."""


def hang_seconds() -> float:
    """Return how long a worker may show no progress."""
    given = os.environ.get("HPSEARCH_WORKER_WAIT", "")
    try:
        seconds = float(given) if given else HANG_SECONDS
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise UsageError(
            f"HPSEARCH_WORKER_WAIT={given!r} is not a number of seconds. It is how long a worker may show no progress "
            f"before it is ended: 7200 for two hours. Leave it out for {HANG_SECONDS:.0f}."
        )
    return seconds


def silent_log(stack: str, device: str, seconds: float) -> str:
    """Return the log of a segment whose worker showed no progress: where it stood, and what was done."""
    where = f"{stack}\n" if stack else "It did not say where it stood.\n"
    return (
        f"{where}The worker on {device} made no progress for {seconds:g} seconds. It was asked to end, and killed "
        f"{GRACE_SECONDS:g} seconds later. If a metric or a step can take longer than that, set HPSEARCH_WORKER_WAIT "
        "to more seconds."
    )


def death_log(stack: str, device: str, ending: str) -> str:
    """Return the log of a segment whose worker's process is gone.

    Args:
        ending: How it ended, "" where that is unknown.
    """
    stack = "" if "SIGKILL" in ending else stack  # who is killed writes none: it was asked before, and went on
    how = f"{'was killed' if ending.startswith('SIG') else 'ended'} ({ending})"
    if not ending:
        how = "ended without a word (killed, or out of memory?)"
    return f"{stack}\nThe worker process on {device} {how}.".lstrip()
