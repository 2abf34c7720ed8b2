"""A server that is frozen, not gone: its connections stay open, and nothing comes. psycopg has no limit for that.

The kernel of a stopped server's machine still acknowledges what it receives, so no keepalive and no `tcp_user_timeout`
ever ends such a wait.
"""

import time
import weakref
from collections.abc import Generator
from typing import Any

SILENCE_SECONDS = 30.0
"""How long a server that had answered may be silent before its connection counts as lost."""


def limit_silence(connection: Any, _record: object) -> None:
    """Close a connection of psycopg once its server has been silent for too long; what waits for it then fails."""
    wait, server, seconds = type(connection).wait, connection.pgconn, SILENCE_SECONDS
    itself = weakref.ref(connection)  # a circle would keep it open

    def wait_if_heard(replies: Generator[Any, Any, Any], *arguments: Any, **named: Any) -> Any:
        return wait(itself(), _heard(replies, server, seconds), *arguments, **named)

    connection.wait = wait_if_heard


def _heard(replies: Generator[Any, Any, Any], server: Any, seconds: float) -> Generator[Any, Any, Any]:
    """Pass on what the socket is ready for; it is asked several times a second, and for nothing while all is silent."""
    from psycopg import OperationalError

    try:
        asked = next(replies)
        heard = time.monotonic()
        while True:
            ready = yield asked
            if ready:
                heard = time.monotonic()
            elif time.monotonic() - heard > seconds:
                server.finish()
                raise OperationalError(f"the server has been silent for {seconds:.0f} s")
            asked = replies.send(ready)
    except StopIteration as end:
        return end.value
