"""Where the workers of a pool connect: nobody else gets in, and nobody else can keep them out."""

import contextlib
import logging
import os
import pickle
import queue
import secrets
import socket
import struct
import sys
import threading
import time
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Connection, Listener, answer_challenge, deliver_challenge

SILENT_SECONDS = 10
"""How long who connects may keep silent before the pool's key is shown. A worker shows it at once."""

WAITING_LIMIT = 64
"""How many connections may wait at once for their key; one more, and the one that waits for longest is dropped."""

logger = logging.getLogger("hpsearch")


class WorkerListener:
    """Takes the connections of a pool's workers.

    On Linux other users are turned away as they connect (the kernel says who they are); elsewhere the socket lies in a
    folder of this user's. Whoever remains has to show the pool's key, within seconds.

    Attributes:
        address: Where workers connect.
        authkey: The key that they show, and are shown.
    """

    def __init__(self, workers: int) -> None:
        self.authkey = secrets.token_bytes(32)
        # On Linux an abstract socket: it has no file, so a killed coordinator leaves none behind.
        address = f"\0hpsearch-{secrets.token_hex(16)}" if sys.platform == "linux" else None
        # `_admit` asks each connection for the key on its own: a silent stranger holds up nobody else.
        self._listener = Listener(address, backlog=workers + 1)
        self.address = self._listener.address
        self._admitted: queue.SimpleQueue[tuple[int, Connection]] = queue.SimpleQueue()
        self._waiting: list[Connection] = []
        self._changing = threading.Lock()
        self._room = threading.Semaphore(2 * WAITING_LIMIT)  # those dropped are open until their threads notice
        self._strangers: set[int] = set()
        self._is_closed = False
        threading.Thread(target=self._accept, name="hpsearch-accept", daemon=True).start()

    def admitted(self) -> tuple[int, Connection] | None:
        """Return the number of the next worker that was let in, and its connection; None where there is none."""
        with contextlib.suppress(queue.Empty):
            return self._admitted.get_nowait()
        return None

    def close(self) -> None:
        self._is_closed = True
        with contextlib.suppress(OSError):
            Client(self.address).close()  # wakes the thread that accepts, which then ends

    def _accept(self) -> None:
        """Take connections, in a separate thread because accepting blocks."""
        while not self._is_closed:
            try:
                connection = self._listener.accept()
            except OSError:
                time.sleep(0.1)  # no descriptors left, or a connection that ended before it began
                continue
            if not self._is_this_user(connection):
                connection.close()
                continue
            self._room.acquire()
            with self._changing:
                while len(self._waiting) >= WAITING_LIMIT:
                    shut_down(self._waiting.pop(0))
                self._waiting.append(connection)
            threading.Thread(target=self._admit, args=(connection,), name="hpsearch-admit", daemon=True).start()
        self._listener.close()

    def _is_this_user(self, connection: Connection) -> bool:
        if not hasattr(socket, "SO_PEERCRED"):
            return True
        with socket.socket(fileno=os.dup(connection.fileno())) as peer:
            _, user, _ = struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        if user == os.geteuid():
            return True
        if user not in self._strangers:
            self._strangers.add(user)
            logger.warning("User %d connected to the socket of this study's workers, and was turned away.", user)
        return False

    def _admit(self, connection: Connection) -> None:
        """Let a worker in once both ends have shown the key; turn a stranger away."""
        number: int | None
        try:
            _set_patience(connection, SILENT_SECONDS)
            deliver_challenge(connection, self.authkey)
            answer_challenge(connection, self.authkey)
            number = pickle.loads(connection.recv_bytes())
            _set_patience(connection, 0)
        except (OSError, EOFError, AuthenticationError, AssertionError):
            number = None
        with self._changing:  # `_accept` may be dropping it
            if connection in self._waiting:
                self._waiting.remove(connection)
            if number is None:
                connection.close()
        self._room.release()
        if number is not None:
            self._admitted.put((number, connection))


def _set_patience(connection: Connection, seconds: int) -> None:
    """Let a connection's reads and writes fail after so many seconds; 0 for never."""
    if os.name == "posix":
        with socket.socket(fileno=os.dup(connection.fileno())) as peer:
            for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
                peer.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", seconds, 0))


def shut_down(connection: Connection) -> None:
    """End a connection that another thread reads from, which then closes it."""
    if os.name != "posix":
        connection.close()
        return
    with contextlib.suppress(OSError), socket.socket(fileno=os.dup(connection.fileno())) as peer:
        peer.shutdown(socket.SHUT_RDWR)
