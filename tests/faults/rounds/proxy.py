"""A TCP proxy that does to connections what networks do: cuts them at a byte, holds bytes back, or vanishes silently."""

from __future__ import annotations

import random
import select
import socket
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count

from ...hubs import PATIENCE


@dataclass
class Network:
    """What a proxy does. `cuts`: for each of the next connections, the byte of the response after which it is cut;
    `reset`: with RST instead of FIN. `held`: the share of pieces that are held back, `hold`: for so many seconds."""

    cuts: deque[int] = field(default_factory=deque)
    reset: bool = False
    cut_requests: bool = False
    """Cut at that byte of the request instead."""
    held: float = 0.0
    hold: tuple[float, float] = (0.5, 2.0)
    every: tuple[int, int] | None = None
    """While set, each connection is cut after a random number of bytes from this range, counted both ways."""
    vanished: threading.Event = field(default_factory=threading.Event)
    """While set, existing connections pass on nothing, and new ones are accepted and pass on nothing."""


class Proxy:
    """Forwards connections to `port`, as `network` says. One thread for each connection."""

    def __init__(self, port: int, seed: str, network: Network | None = None) -> None:
        self.network = network or Network()
        self.connections = 0
        self.cut = 0
        self._target = port
        self._random = random.Random(seed)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._accept, name="proxy", daemon=True)]

    def __enter__(self) -> Proxy:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(PATIENCE)

    def _accept(self) -> None:
        for number in count():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            cut = self.network.cuts.popleft() if self.network.cuts else None
            thread = threading.Thread(target=self._forward, args=(client, cut, number), name="proxied", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _forward(self, client: socket.socket, cut: int | None, number: int) -> None:
        """Pass bytes on until an end of the connection, or the cut."""
        rng = random.Random(f"{self.port}-{number}") if self.network.held == 0 else self._random
        hub = socket.socket()
        hub.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        passed = {client: 0, hub: 0}
        limited = client if self.network.cut_requests else hub
        budget: int | None = None
        try:
            hub.connect(("127.0.0.1", self._target))
            while not self._ended.is_set():
                ready, _, _ = select.select([client, hub], [], [], 0.1)
                if self.network.vanished.is_set():
                    self._vanish()
                    return self._reset(client, hub)  # long after the peers have given up, or at the end of the round
                every = self.network.every
                budget = None if every is None else budget if budget is not None else rng.randrange(*every)
                for source in ready:
                    room = cut - passed[source] if cut is not None and source is limited else 65536
                    room = room if budget is None else min(room, budget)
                    size = rng.randrange(1, 1400) if self.network.held else 65536
                    data = source.recv(min(room, size)) if room > 0 else b""
                    if not data and room > 0:
                        return None
                    if self.network.held and rng.random() < self.network.held:
                        self._ended.wait(rng.uniform(*self.network.hold))
                    (hub if source is client else client).sendall(data)
                    passed[source] += len(data)
                    budget = None if budget is None else budget - len(data)
                    if budget == 0 or (cut is not None and source is limited and passed[source] >= cut):
                        self.cut += 1
                        return self._reset(client, hub) if self.network.reset else None
        except OSError:
            pass
        finally:
            client.close()
            hub.close()
        return None

    def _vanish(self) -> None:
        while self.network.vanished.is_set() and not self._ended.is_set():
            time.sleep(0.05)

    @staticmethod
    def _reset(*connections: socket.socket) -> None:
        for connection in connections:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
