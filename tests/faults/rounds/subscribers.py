"""A subscriber that records its stream: a plain client that resumes with Last-Event-ID as often as necessary."""

from __future__ import annotations

import http.client
import json
import math
import random
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from event_hub.sse import Cursor, Decoder

from ...hubs import PATIENCE
from .records import HUB_ONLY, Gap, Item, Record


class Subscriber(threading.Thread):
    """Reads `/api/stream` from the oldest event on until `finish`. `silence`: seconds without a byte after which the
    connection counts as dead (three heartbeats). `slow`: maximum seconds to pause after each read, with a small buffer. `stalls`: maximum seconds to
    pause after one read in a hundred; between these, it reads fast. `moves`: maximum seconds until it leaves and goes on with
    another connection, at any of the hubs."""

    def __init__(
        self,
        name: str,
        ports: Callable[[], list[int]],
        seed: str,
        *,
        kind: str = "",
        silence: float,
        slow: float = 0.0,
        stalls: float = 0.0,
        moves: float = 0.0,
    ) -> None:
        super().__init__(name=f"subscriber-{name}", daemon=True)
        self.seen: list[Item] = []
        self.opened = 0
        self.refused = 0
        self.ends: list[str] = []
        """How each stream ended."""
        self.problems: list[str] = []
        self.kind = kind
        """If not empty, only events of this type."""
        self._ports = ports
        self._random = random.Random(seed)
        self._silence = silence
        self.slow = slow
        """Maximum seconds of a pause; `hurry` ends the pauses."""
        self._stalls = stalls
        self.moves = moves
        self._done = threading.Event()
        self._last: str | None = None
        self._socket: socket.socket | None = None

    @property
    def reached(self) -> Cursor:
        """The place up to which the stream is known."""
        return Cursor.parse(self._last or "") or Cursor("", 0)

    def matches(self, record: Record) -> bool:
        return self.kind in ("", record.type)

    def hurry(self) -> None:
        """Read without pauses from now on, over a new connection: the window of the small buffer allows a few kB a second."""
        self._stalls = self.moves = 0.0
        if self.slow:
            self.slow = 0.0
            self._disconnect()

    def _disconnect(self) -> None:
        connection = self._socket
        if connection is not None:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def finish(self) -> None:
        self._done.set()
        self._disconnect()
        self.join(PATIENCE)
        if self.is_alive():
            self.problems.append(f"{self.name} does not end")

    def run(self) -> None:
        while not self._done.is_set():
            try:
                self._follow()
            except (OSError, http.client.HTTPException) as error:
                self.ends.append(repr(error))
            except Exception as error:  # reported by the round
                self.problems.append(f"{self.name}: {error!r}")
                return
            self._done.wait(self._random.uniform(0.01, 0.1))

    def _follow(self) -> None:
        """One connection, from its request to its end."""
        connection = http.client.HTTPConnection("127.0.0.1", self._random.choice(self._ports()))
        self._socket = connection.sock = socket.socket()
        try:
            if self.slow:
                connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            if self._stalls:  # with the segments of an Ethernet, the hub's buffer stays small too
                connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32_768)
                connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1400)
            connection.sock.settimeout(self._silence)
            connection.sock.connect(("127.0.0.1", connection.port))
            headers = {"Accept": "text/event-stream"}
            if self._last is not None:
                headers["Last-Event-ID"] = self._last
            query = f"&type={self.kind}" if self.kind else ""
            connection.request("GET", f"/api/stream?since=all{query}", headers=headers)
            response = connection.getresponse()
            if response.status != 200:
                self.refused += 1
                if response.status not in (429, 503):
                    self.problems.append(f"{self.name}: {response.status} {response.read(500)!r}")
                return
            self.opened += 1
            decoder = Decoder()
            end = time.monotonic() + self._random.uniform(0, self.moves) if self.moves else math.inf
            while time.monotonic() < end and not self._done.is_set() and (data := response.read1(65536)):
                for message in decoder.feed(data):
                    self._take(message.id, json.loads(message.data))
                if self.slow:
                    self._done.wait(self._random.uniform(0, self.slow))
                if self._stalls and self._random.random() < 0.01:
                    self._done.wait(self._random.uniform(0, self._stalls))
            self.ends.append("it left" if time.monotonic() >= end else "its end")
        finally:
            self._socket.close()
            connection.close()

    def _take(self, cursor: str, event: dict[str, Any]) -> None:
        if event["type"] == "stream_gap":
            last = Cursor.parse(event["to"])
            assert last is not None, event
            self.seen.append(Gap(Cursor.parse(event["from"]), last, event["missed"], event["reason"]))
        elif event["type"] not in HUB_ONLY:
            self.seen.append(Record.of(cursor, event))
        self._last = cursor
