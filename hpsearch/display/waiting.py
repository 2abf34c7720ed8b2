"""What a person at a terminal sees of work that takes its time and has no display of its own."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from hpsearch.display.stream import SteadyStream

PATIENCE_SECONDS = 2.0
"""Work that is done by then needs no words."""


@contextmanager
def waiting_for(what: str) -> Iterator[None]:
    """Say on a terminal what is being done once it takes more than two seconds, and for how long; then remove it."""
    if not sys.stderr.isatty():
        yield
        return
    is_done = threading.Event()
    stream = SteadyStream(sys.stderr)

    def tell() -> None:
        started = time.monotonic()
        wait, width = PATIENCE_SECONDS, 0
        while not is_done.wait(wait):
            text = f"{what}: {time.monotonic() - started:.0f} s"
            stream.write(f"\r{text}")
            wait, width = 1.0, max(width, len(text))
        if width:
            stream.write(f"\r{' ' * width}\r")

    thread = threading.Thread(target=tell, daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_done.set()
        thread.join()
