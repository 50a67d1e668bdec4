"""A connection that breaks in the middle of an upload, together with the hub that receives it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable

from ..hubs import PATIENCE


class CuttingProxy:
    """Forwards connections to the hub at `port`. When `after` bytes of the first request for `path` have passed, it calls
    `cut`, and closes that connection."""

    def __init__(self, port: int, path: str, after: int, cut: Callable[[], None]) -> None:
        self._port, self._path, self._after, self._cut = port, path.encode(), after, cut
        self.done = threading.Event()
        """Set once that has happened."""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._sockets: list[socket.socket] = [self._listener]
        self._threads = [threading.Thread(target=self._accept)]

    def __enter__(self) -> CuttingProxy:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        for connection in self._sockets:
            _close(connection)
        for thread in self._threads:
            thread.join(PATIENCE)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                hub = socket.create_connection(("127.0.0.1", self._port))
            except OSError:
                client.close()
                continue
            self._sockets += [client, hub]
            for source, sink, looks in ((client, hub, True), (hub, client, False)):
                thread = threading.Thread(target=self._pump, args=(source, sink, looks))
                self._threads.append(thread)
                thread.start()

    def _pump(self, source: socket.socket, sink: socket.socket, looks: bool) -> None:
        passed = -1
        """Bytes of the upload, once it has begun."""
        try:
            while data := source.recv(4096):
                if looks and not self.done.is_set() and self._path in data.split(b"\r\n", 1)[0]:
                    passed = 0
                if passed >= 0:
                    passed += len(data)
                sink.sendall(data)
                if passed > self._after:
                    self._cut()
                    self.done.set()
                    break
        except OSError:
            pass
        for connection in (source, sink):
            _close(connection)


def _close(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    connection.close()
