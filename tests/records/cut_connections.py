"""A line to a database server, cut at commits: before one arrives, or after it took place and before its answer."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable


class Line:
    """Passes bytes between clients and the server at `port`; what `cuts` says of each commit is done to its connection.

    Args:
        cuts: From the number of a commit (from 0) to "before", "after" or None.

    Attributes:
        is_down: Whether new connections are ended at once.
    """

    def __init__(self, port: int, cuts: Callable[[int], str | None]) -> None:
        self._server, self._cuts = port, cuts
        self.commits = 0
        self.is_down = False
        self.done: list[str] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._counting = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()
        self.cut_all()

    def cut_all(self) -> None:
        for pair in self._pairs:
            _cut(*pair)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self.is_down:
                client.close()
                continue
            try:
                server = socket.create_connection(("127.0.0.1", self._server))
            except OSError:
                client.close()
                continue
            self._pairs.append((client, server))
            silent = threading.Event()
            threading.Thread(target=self._ask, args=(client, server, silent), daemon=True).start()
            threading.Thread(target=self._answer, args=(client, server, silent), daemon=True).start()

    def _ask(self, client: socket.socket, server: socket.socket, silent: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(1 << 16):
                if b"COMMIT" in data:
                    with self._counting:
                        cut = self._cuts(self.commits)
                        self.commits += 1
                    if cut is not None:
                        self.done.append(cut)
                    if cut == "before":
                        break
                    if cut == "after":
                        silent.set()
                        server.sendall(data)
                        time.sleep(0.1)  # the server commits
                        break
                server.sendall(data)
        _cut(client, server)

    def _answer(self, client: socket.socket, server: socket.socket, silent: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(1 << 16):
                if not silent.is_set():
                    client.sendall(data)
        _cut(client, server)


def _cut(*ends: socket.socket) -> None:
    for end in ends:
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()
