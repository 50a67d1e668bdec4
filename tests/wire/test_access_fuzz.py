"""Thousands of generated and mutated requests as every kind of principal, while events arrive that most may not see (H37).

Schemathesis generates requests from the hub's own description of its API, `raw_requests` writes hostile bytes.
HUB_FUZZ_REQUESTS sets how many there are in all (50,000 before a release), HUB_FUZZ_SEED which: a failure names it.
"""

from __future__ import annotations

import os
import re
import secrets
import socket
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from random import Random
from typing import Any, NamedTuple

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import GenerationMode

from event_hub.server.errors import CATALOGUE

from ..hubs import PATIENCE, HubProcess, Stream
from .guarded import ENVIRON, KEYS, SECRET, bearer, cookie, share, token
from .raw_requests import request as raw_request

REQUESTS = int(os.environ.get("HUB_FUZZ_REQUESTS", "3000"))
SEED = int(os.environ.get("HUB_FUZZ_SEED") or secrets.randbelow(1 << 32))
ROOMS = ("demo", "support-1", "secret-room", None)
MARKERS = {room: f"marker{secrets.token_hex(8)}" for room in ROOMS}
"""What is said in each room. No request contains one, so an answer that does was made from that room's events."""
LURKERS = 20
"""Streams of the raw fuzzer that stay open for a while, to see live events as well."""


class Who(NamedTuple):
    """A kind of principal, and the rooms whose events it may see."""

    secret: str | None
    sees: frozenset[str | None] = frozenset()
    signed_in: bool = False

    @property
    def headers(self) -> dict[str, str]:
        if self.secret is None:
            return {}
        return {"Cookie": self.secret} if self.signed_in else bearer(self.secret)


def principals(hub: HubProcess) -> dict[str, Who]:
    limited, room = frozenset({"demo", "support-1"}), frozenset({"demo"})
    return {
        "none": Who(None),
        "wrong": Who("no-such-key-000000"),
        "expired": Who(token({"room": "secret-room", "roomJoin": True}, life=-1)),
        "unsigned": Who(token({"room": "secret-room", "roomJoin": True}, secret="another-secret-of-some-length-00000")),
        "publish": Who(KEYS["publish"]),
        "publish room": Who(KEYS["publish room"]),
        "agent": Who(token({"room": "demo", "agent": True}, life=7200)),
        "subscribe room": Who(KEYS["subscribe room"], limited),
        "livekit": Who(token({"room": "demo", "roomJoin": True}, life=7200), room),
        "share": Who(share(hub, rooms=["demo"])["token"], room),
        "cookie": Who(cookie(hub, KEYS["subscribe room"])["Cookie"], limited, signed_in=True),
        "control": Who(KEYS["control"], frozenset(ROOMS)),
    }


class Verdict:
    """What was wrong with the answers, and how many there were of each status."""

    def __init__(self) -> None:
        self.wrong: list[str] = []
        self.statuses: Counter[str] = Counter()

    def leak(self, who: str, may: frozenset[str | None], answer: bytes, asked: object) -> None:
        """Find events in `answer` that this principal may not see."""
        for room in set(ROOMS) - may:
            if MARKERS[room].encode() in answer:
                self.wrong.append(f"{who} saw an event in {room}: {asked!r:.2000}")

    def server_error(self, who: str, status: int, answer: bytes, asked: object) -> None:
        """Find a 5xx that is not one of the catalogue's 503."""
        if status < 500:
            return
        code = re.search(rb'"code":"(\w+)"', answer)
        known = CATALOGUE.get(code[1].decode()) if code else None
        if status != 503 or known is None or known.status != 503 or b"application/problem+json" not in answer:
            self.wrong.append(f"{who} got {status}: {answer!r:.300} to {asked!r:.2000}")


class Neighbour:
    """A stream that is read to its end in a thread of its own, from before the first hostile request to after the last."""

    def __init__(self, hub: HubProcess, who: Who) -> None:
        self.who = who
        query = f"?access_token={who.secret}" if not who.signed_in else ""
        extra = [] if not who.signed_in else [f"Cookie: {who.secret}"]
        self.stream = Stream(hub.port, query, headers=extra)
        assert self.stream.status == 200
        self.numbers: list[int] = []
        self.others: Counter[str] = Counter()
        self.finished = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self.stream.until("stream_opened")
        self._thread.start()

    def _read(self) -> None:
        with suppress(OSError):  # closed, because the test has failed
            self._read_events()
        self.finished.set()

    def _read_events(self) -> None:
        left = len(self.who.sees)
        for event in self.stream.events():
            if event.get("probe"):
                self.numbers.append(event["n"])
                left -= bool(event.get("last"))
                if not left:
                    break
            else:
                self.others[event["type"]] += 1

    def close(self) -> None:
        self.stream.close()
        self._thread.join(PATIENCE)


class Publisher:
    """Says something in every room, again and again. `said`: the numbers of the events of each room."""

    def __init__(self, hub: HubProcess) -> None:
        self.said: dict[str | None, list[int]] = {room: [] for room in ROOMS}
        self._hub, self._stop = hub, threading.Event()
        self._number = 0
        self._failure = ""
        self._session = requests.Session()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _say(self, **more: Any) -> None:
        events = []
        for room in ROOMS:
            self._number += 1
            self.said[room].append(self._number)
            named = {"room": room} if room is not None else {}
            event = {"probe": True, "session": "said", "n": self._number, "note": MARKERS[room], **named, **more}
            kind = {
                "type": "transcript",
                "role": "user",
                "text": f"this is {MARKERS[room]}",
                "participant": MARKERS[room],
            }
            events.append({**event, **(kind if self._number // 4 % 2 else {"type": "probe"})})
        answer = self._session.post(
            f"{self._hub.url}/api/agent/data", json=events, headers=bearer(KEYS["control"]), timeout=PATIENCE
        )
        assert answer.status_code == 200, answer.text

    def _run(self) -> None:
        try:
            while not self._stop.wait(0.1):
                self._say()
        except BaseException as error:
            self._failure = repr(error)

    def finish(self) -> None:
        self._stop.set()
        self._thread.join(PATIENCE)
        assert not self._failure, self._failure
        self._say(last=True)
        self._session.close()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(PATIENCE)


# -- raw bytes -----------------------------------------------------------------------------------------------------------


class Lurker(NamedTuple):
    connection: socket.socket
    who: str
    asked: bytes


class RawFuzzer:
    """Sends `raw_requests`, each on a connection of its own, and judges everything that comes back."""

    def __init__(self, hub: HubProcess, whose: dict[str, Who], verdict: Verdict, random: Random) -> None:
        self._hub, self._whose, self._verdict, self._random = hub, whose, verdict, random
        self._cookie = f"hub_sign_in_{hub.port}"
        self._lurkers: deque[Lurker] = deque()

    def send(self, who: str) -> None:
        principal, name = self._whose[who], self._cookie
        secret = principal.secret
        if secret is not None and principal.signed_in:
            secret = secret.partition("=")[2]
        asked = raw_request(secret, name, self._random, signed_in=principal.signed_in)
        connection = socket.create_connection(("127.0.0.1", self._hub.port), timeout=PATIENCE)
        lurk = asked.startswith(b"GET /api/stream") and self._random.random() < 0.3
        try:
            connection.sendall(asked)
            if not lurk:
                connection.shutdown(socket.SHUT_WR)
        except OSError:  # refused before all of it was sent
            pass
        self._lurkers.append(Lurker(connection, who, asked)) if lurk else self._read(Lurker(connection, who, asked))
        if len(self._lurkers) > LURKERS:
            self._retire()

    def _retire(self) -> None:
        lurker = self._lurkers.popleft()
        try:
            lurker.connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        self._read(lurker)

    def _read(self, lurker: Lurker) -> None:
        connection, who, asked = lurker
        answer = bytearray()
        with connection:
            try:
                while received := connection.recv(1 << 18):
                    answer += received
            except TimeoutError:
                self._verdict.wrong.append(f"{who}: no end of the answer {bytes(answer[-200:])!r} to {asked!r:.2000}")
            except OSError:
                pass
        self._verdict.leak(who, self._whose[who].sees, answer, asked)
        found = re.match(rb"HTTP/1\.[01] (\d\d\d)", answer)
        self._verdict.statuses[
            f"raw {found[1].decode()}" if found else "raw, no answer" if not answer else "raw ?"
        ] += 1
        for problem in re.finditer(rb"HTTP/1\.[01] (5\d\d) ", answer):  # of a request further on as well
            self._verdict.server_error(who, int(problem[1]), bytes(answer[problem.start() :]), asked)

    def close(self) -> None:
        while self._lurkers:
            self._retire()


# -- requests from the description ---------------------------------------------------------------------------------------


class SchemaFuzzer:
    """Sends each generated request as every kind of principal."""

    def __init__(self, hub: HubProcess, whose: dict[str, Who], verdict: Verdict) -> None:
        self._hub, self._whose, self._verdict = hub, whose, verdict
        self._sessions = {who: requests.Session() for who in whose}
        self._description = hub.get("/openapi.json")
        self.sent = 0

    def run(self, budget: int) -> None:
        schema = schemathesis.openapi.from_dict(self._description)
        operations = [found.ok() for found in schema.get_all_operations()]
        modes = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
        examples = -(-budget // (len(operations) * len(modes) * len(self._whose)))
        for operation in operations:
            for mode in modes:
                self._fuzz(operation, mode, examples)

    def _fuzz(self, operation: Any, mode: GenerationMode, examples: int) -> None:
        documented = operation.definition.raw["responses"]

        @seed(SEED)
        @settings(
            max_examples=examples,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(operation.as_strategy(mode))
        def send(case: Any) -> None:
            for who in self._whose:
                if (who, operation.path) != (
                    "control",
                    "/api/forget",
                ):  # it may: neighbours would miss what they wait for
                    self._send(case, who, documented)

        try:
            send()
        except Exception as error:
            if "no way to generate" not in str(error).lower() and type(error).__name__ not in (
                "Unsatisfiable",
                "SkipTest",
            ):
                raise

    def _send(self, case: Any, who: str, documented: dict[str, Any]) -> None:
        given = case.as_transport_kwargs(base_url=self._hub.url)
        principal = self._whose[who]
        headers = dict(given.pop("headers", None) or {})
        if principal.secret is not None:
            given["params"] = {k: v for k, v in (given.get("params") or {}).items() if k != "access_token"}
            headers = {k: v for k, v in headers.items() if k.lower() not in ("authorization", "cookie")}
            given.pop("cookies", None)
            headers |= principal.headers
        given |= {"headers": headers, "timeout": PATIENCE, "stream": True, "allow_redirects": False}
        self.sent += 1
        for last in (False, True):
            try:
                with self._sessions[who].request(**given) as answer:
                    self._judge(answer, who, documented, given)
                return
            except (requests.exceptions.InvalidHeader, requests.exceptions.InvalidURL, UnicodeError):
                self._verdict.statuses["schema, cannot be sent"] += 1
                return
            except requests.ConnectionError as error:  # perhaps a kept connection that the hub has just closed
                if last:
                    self._verdict.wrong.append(f"{who}: {error!r:.200} to {given!r:.2000}")

    def _judge(self, answer: requests.Response, who: str, documented: dict[str, Any], asked: Any) -> None:
        if answer.headers.get("Content-Type", "").startswith("text/event-stream"):
            body = next(answer.iter_content(1 << 16), b"")
        else:
            body = answer.content
        kind = f"Content-Type: {answer.headers.get('Content-Type')}\n".encode()
        self._verdict.statuses[f"schema {answer.status_code}"] += 1
        self._verdict.leak(who, self._whose[who].sees, body + repr(answer.headers).encode(), asked)
        self._verdict.server_error(who, answer.status_code, kind + body, asked)
        if answer.status_code >= 500 and str(answer.status_code) not in documented:
            self._verdict.wrong.append(f"{who}: {answer.status_code} is not documented: {asked!r:.2000}")

    def close(self) -> None:
        for session in self._sessions.values():
            session.close()


# -- the test ------------------------------------------------------------------------------------------------------------


@contextmanager
def neighbourhood(hub: HubProcess, whose: dict[str, Who]) -> Iterator[Callable[[], dict[str, Neighbour]]]:
    """Neighbours of every kind that may subscribe, and a publisher. The yielded function ends the publishing, and returns
    them when each has what was published last."""
    with ExitStack() as stack:
        neighbours = {who: Neighbour(hub, principal) for who, principal in whose.items() if principal.sees}
        for neighbour in neighbours.values():
            stack.callback(neighbour.close)
        publisher = Publisher(hub)
        stack.callback(publisher.stop)

        yield lambda: _finish(publisher, neighbours)


def _finish(publisher: Publisher, neighbours: dict[str, Neighbour]) -> dict[str, Neighbour]:
    publisher.finish()
    for who, neighbour in neighbours.items():
        assert neighbour.finished.wait(PATIENCE), f"{who} has only {len(neighbour.numbers)} events"
        assert not neighbour.stream.ended, f"{who} was disconnected: {neighbour.others}"
        assert not {"stream_gap", "stream_closing"} & set(neighbour.others), (who, neighbour.others)
        expected = sorted(n for room in neighbour.who.sees for n in publisher.said[room])
        assert neighbour.numbers == expected, f"{who}: each event exactly once, in order"
    return neighbours


PARSERS = ("auto", "python")
"""gunicorn's: the one in C, if its wheel is installed, and the one that it has otherwise. Each gets half of the requests."""


@pytest.mark.slow
@pytest.mark.timeout(180 + REQUESTS // 20)
@pytest.mark.parametrize("parser", PARSERS)
def test_nobody_sees_what_they_may_not_whatever_they_send(hub_factory: Callable[..., HubProcess], parser: str) -> None:
    requests_in_all = REQUESTS // len(PARSERS)
    hub = hub_factory(**ENVIRON, HUB_STALL="60s", GUNICORN_CMD_ARGS=f"--http-parser {parser}").start()
    whose, verdict, random = principals(hub), Verdict(), Random(SEED)
    schema, raw = SchemaFuzzer(hub, whose, verdict), RawFuzzer(hub, whose, verdict, random)
    started = time.monotonic()
    with neighbourhood(hub, whose) as finish:
        try:
            schema.run(requests_in_all // 3)
            kinds = list(whose)
            for number in range(max(0, requests_in_all - schema.sent)):
                raw.send(kinds[number % len(kinds)])
                assert len(verdict.wrong) < 20, _report(verdict)
        finally:
            raw.close()
            schema.close()
        assert not verdict.wrong, _report(verdict)
        neighbours = finish()
    print(
        f"{requests_in_all} requests, {schema.sent} of them from the description, in {time.monotonic() - started:.0f} s"
    )
    print({who: len(neighbour.numbers) for who, neighbour in neighbours.items()}, dict(verdict.statuses))
    assert hub.terminate() == 0
    log = hub.output()
    at = log.find("Traceback")
    assert at < 0, f"HUB_FUZZ_SEED={SEED}\n{log[max(0, at - 300) : at + 5000]}"
    assert not [secret for secret in (*KEYS.values(), SECRET) if secret in log], "the log has a secret"


def _report(verdict: Verdict) -> str:
    return f"HUB_FUZZ_SEED={SEED}\n" + "\n".join(verdict.wrong[:10])
