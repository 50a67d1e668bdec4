"""A publisher that records what was acknowledged: single events and batches, retried until the hub has them."""

from __future__ import annotations

import http.client
import json
import random
import threading
from collections.abc import Callable
from typing import Any

from ...hubs import PATIENCE

TIMEOUT = 5.0
"""Seconds for an answer; a lost one is asked for again with the same `event_id`."""
AGAIN = (429, 503)
"""Statuses that say: later."""


class Publisher(threading.Thread):
    """Posts numbered events of the type `n` to one of `ports` until `finish`. Every event has an `event_id`, and one in
    fifty that is acknowledged is posted once more."""

    def __init__(self, name: str, ports: Callable[[], list[int]], seed: str, *, pause: float, size: int) -> None:
        super().__init__(name=f"publisher-{name}", daemon=True)
        self.acknowledged: dict[str, str] = {}
        """The id of each event that was answered with 200."""
        self.order: list[str] = []
        """Keys in the order of publication."""
        self.problems: list[str] = []
        self.repeats = True
        """Whether acknowledged POSTs are repeated."""
        self.refused = 0
        self.failures = 0
        self._label = name
        self._ports = ports
        self._random = random.Random(seed)
        self._pause = pause
        self._size = size
        self._done = threading.Event()
        self._given_up = threading.Event()
        self._connection: http.client.HTTPConnection | None = None

    def finish(self) -> None:
        """Stop after the current POST is acknowledged; if that takes too long, it is a problem."""
        self._done.set()
        self.join(PATIENCE)
        if self.is_alive():
            self._given_up.set()
            self.join(2 * TIMEOUT)
            self.problems.append(f"{self.name}: no acknowledgement within {PATIENCE:g} s")

    def run(self) -> None:
        try:
            while not self._done.wait(self._pause):
                events = [self._event() for _ in range(self._random.choice((1, 1, 1, 2, 7)))]
                self.order += [event["event_id"] for event in events]
                answer = self._acknowledged(events)
                if answer is None:
                    return
                self._take(events, answer)
                if self._random.random() < 0.02 and self.repeats:
                    again = self._acknowledged(events)
                    if again is not None:
                        self._repeated(events, again)
        except Exception as error:  # reported by the round
            self.problems.append(f"{self.name}: {error!r}")
        finally:
            self._close()

    def _event(self) -> dict[str, Any]:
        number = len(self.order)
        key = f"{self._label}-{number}-{self._random.getrandbits(24):x}"
        return {"type": "n", "room": f"r{number % 3}", "event_id": key, "pad": "x" * self._random.randrange(self._size)}

    def _take(self, events: list[dict[str, Any]], answer: dict[str, Any]) -> None:
        first = answer["id"] if len(events) == 1 else answer["first_id"]
        epoch, offset = first.split("-")
        for index, event in enumerate(events):
            self.acknowledged[event["event_id"]] = f"{epoch}-{int(offset) + index}"

    def _repeated(self, events: list[dict[str, Any]], answer: dict[str, Any]) -> None:
        first = answer["id"] if len(events) == 1 else answer["first_id"]
        new = not answer["duplicate"] if len(events) == 1 else answer["duplicates"] != len(events)
        if new or first != self.acknowledged[events[0]["event_id"]]:
            self.problems.append(f"{self.name}: a repeated POST was not recognized: {answer}")

    def _acknowledged(self, events: list[dict[str, Any]]) -> dict[str, Any] | None:
        body = json.dumps(events[0] if len(events) == 1 else events).encode()
        while not self._given_up.is_set():
            try:
                status, text = self._post(body)
                answer: dict[str, Any] = json.loads(text)
            except (OSError, http.client.HTTPException, ValueError):  # the last: an answer that was cut
                self.failures += 1
                self._close()
            else:
                if status == 200:
                    return answer
                if status not in AGAIN:
                    raise AssertionError(f"{status}: {text[:500]!r}")
                self.refused += 1
            self._given_up.wait(self._random.uniform(0.02, 0.1))
        return None

    def _post(self, body: bytes) -> tuple[int, bytes]:
        if self._connection is None:
            self._connection = http.client.HTTPConnection(
                "127.0.0.1", self._random.choice(self._ports()), timeout=TIMEOUT
            )
        self._connection.request("POST", "/api/agent/data", body, {"Content-Type": "application/json"})
        with self._connection.getresponse() as response:
            return response.status, response.read()

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
