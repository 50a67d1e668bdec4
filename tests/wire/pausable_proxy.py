"""A connection that can be paused on its way from the hub to the client, so that unsent data piles up at the hub."""

from __future__ import annotations

import socket
import threading

from ..hubs import PATIENCE


class PausableProxy:
    """Forwards connections to `port`. While `flows` is not set, answers to requests for `path` are held back."""

    def __init__(self, port: int, path: str) -> None:
        self.port = port
        self.path = path.encode()
        self.flows = threading.Event()
        self.flows.set()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.sockets: list[socket.socket] = [self.listener]
        self.threads = [threading.Thread(target=self._accept)]

    def __enter__(self) -> PausableProxy:
        self.threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self.flows.set()
        for connection in self.sockets:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            connection.close()
        for thread in self.threads:
            thread.join(PATIENCE)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            hub = socket.socket()
            hub.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
            hub.connect(("127.0.0.1", self.port))
            self.sockets += [client, hub]
            held = threading.Event()
            for source, sink, first in ((client, hub, held), (hub, client, None)):
                thread = threading.Thread(target=self._pump, args=(source, sink, first, held))
                self.threads.append(thread)
                thread.start()

    def _pump(
        self, source: socket.socket, sink: socket.socket, first: threading.Event | None, held: threading.Event
    ) -> None:
        """`first` is set once a request for the path has passed; it is None on the way back."""
        try:
            while data := source.recv(8192):
                if first is not None and self.path in data.split(b"\r\n", 1)[0]:
                    held.set()
                if first is None and held.is_set():
                    self.flows.wait(PATIENCE)
                sink.sendall(data)
        except OSError:
            pass
        try:
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass
