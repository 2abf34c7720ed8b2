"""A stream for people to read, whose failures end no study."""

import contextlib
from typing import TextIO


class SteadyStream:
    """Writes to a stream, or to nowhere once that is closed, and replaces the letters that it cannot show.

    It bypasses the stream's buffer. What a closed terminal refuses would stay there; Python tries it again as it ends,
    and then exits with status 120.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.encoding = stream.encoding or "utf-8"

    def write(self, text: str) -> int:
        data = text.encode(self.encoding, "replace")
        raw = getattr(getattr(self._stream, "buffer", None), "raw", None)
        with contextlib.suppress(OSError, ValueError):  # closed
            self._stream.flush()
            if raw is None:
                self._stream.write(data.decode(self.encoding))
                self._stream.flush()
                return len(text)
            while data and (written := raw.write(data)):
                data = data[written:]
        return len(text)

    def flush(self) -> None:
        """Do nothing: everything was written at once."""
