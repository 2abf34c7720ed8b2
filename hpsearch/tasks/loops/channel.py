"""Whole messages over a pipe, in memory only: between a worker and the process of a run."""

import pickle
import struct
import threading
from typing import IO, Any

import cloudpickle

_LENGTH = struct.Struct(">Q")


class Channel:
    """Two pipes, one for each direction. Any thread may send; one thread receives."""

    def __init__(self, incoming: IO[bytes], outgoing: IO[bytes]) -> None:
        self._incoming, self._outgoing = incoming, outgoing
        self._sending = threading.Lock()

    def send(self, message: Any) -> None:
        """Send a message; code goes by value where it cannot be imported. `OSError` where nobody listens any more."""
        content = cloudpickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
        with self._sending:
            self._outgoing.write(_LENGTH.pack(len(content)))
            self._outgoing.write(content)
            self._outgoing.flush()

    def receive(self) -> Any:
        """Wait for the next message. `EOFError` where the other side is gone."""
        (length,) = _LENGTH.unpack(self._read(_LENGTH.size))
        return pickle.loads(self._read(length))  # noqa: S301  (from the process that this one started, or by it)

    def _read(self, length: int) -> bytes:
        content = bytearray()
        while len(content) < length:
            part = self._incoming.read(length - len(content))
            if not part:
                raise EOFError("the other side has closed the pipe")
            content += part
        return bytes(content)
