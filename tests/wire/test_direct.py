"""The direct path and gunicorn give the same answers. A repeated header, which means nothing, makes gunicorn serve a request."""

from __future__ import annotations

import re
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress

import pytest

from ..hubs import HubProcess, until
from .guarded import KEYS

TWICE = b"X-Nothing: 1\r\nX-Nothing: 2\r\n"
EVENT = b'{"type":"n","room":"demo","n":1}'


def post(
    body: bytes = EVENT, *, target: bytes = b"/api/agent/data", headers: bytes = b"", kind: bytes = b"application/json"
) -> bytes:
    return b"POST %b HTTP/1.1\r\nHost: localhost\r\nContent-Type: %b\r\nContent-Length: %d\r\n%b\r\n%b" % (
        target, kind, len(body), headers, body,
    )  # fmt: skip


def get(target: bytes = b"/api/stream", headers: bytes = b"") -> bytes:
    return b"GET %b HTTP/1.1\r\nHost: localhost\r\n%b\r\n" % (target, headers)


def answers(hub: HubProcess, *pieces: bytes, count: int = 1, until: bytes = b"") -> bytes:
    """What the hub sends: `count` whole responses with a Content-Length, or everything up to `until`, or to the end."""
    with socket.create_connection(("127.0.0.1", hub.port), 30) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            connection.sendall(piece)
        got = b""
        while until not in got if until else _whole(got) < count:
            piece = connection.recv(65536)
            if not piece:
                break
            got += piece
    return got


def _whole(data: bytes) -> int:
    """How many whole responses there are."""
    count = 0
    while (end := data.find(b"\r\n\r\n")) >= 0:
        length = re.search(rb"(?i)content-length: (\d+)", data[:end])
        if length is None or len(data) < end + 4 + int(length[1]):
            return count
        data = data[end + 4 + int(length[1]) :]
        count += 1
    return count


def alike(data: bytes) -> bytes:
    """Without what differs from request to request: dates, ids, numbers of chunks and of subscribers."""
    data = re.sub(rb"Date: [^\r]*", b"Date: -", data)
    data = re.sub(rb"[0-9a-f]{8}-\d+", b"epoch-n", data)
    data = re.sub(rb'"(timestamp|clients_notified)":[\d.]+', rb'"\1":0', data)
    data = re.sub(rb"retry: \d+", b"retry: 0", data)
    return re.sub(rb"\r\n[0-9a-f]+\r\n", b"\r\n*\r\n", re.sub(rb"(?i)content-length: \d+", b"Content-Length: *", data))


REQUESTS = {
    "an event": post(),
    "a batch": post(b"[%b,%b]" % (EVENT, EVENT)),
    "lines": post(EVENT + b"\n" + EVENT, kind=b"application/x-ndjson"),
    "an event with a query": post(target=b"/api/agent/data?x=%20"),
    "from a page of this machine": post(headers=b"Origin: http://localhost:5173\r\n"),
    "from a foreign page": post(headers=b"Origin: https://evil.example\r\n"),
    "to be closed": post(headers=b"Connection: close\r\n"),
    "not JSON": post(b"{"),
    "nothing": post(b""),
    "not UTF-8": post(b"\xff\xfe"),
    "no event": post(b"[]"),
    "a bad event": post(b'{"type":3}'),
    "a type of the hub": post(b'{"type":"heartbeat"}'),
    "a wrong content type": post(kind=b"text/plain"),
    "compressed": post(headers=b"Content-Encoding: gzip\r\n"),
    "a query that is not UTF-8": post(target=b"/api/agent/data?x=%ff"),
    "too large": post(headers=b"Connection: close\r\n").replace(b"Content-Length: 32", b"Content-Length: 999999999999"),
    "two credentials": post(headers=b"Authorization: Bearer a\r\n", target=b"/api/agent/data?access_token=b"),
    "a bad filter": get(b"/api/stream?room=" + b"a*" * 30),
    "a bad parameter": get(b"/api/stream?replay=x"),
    "a bad cursor": get(b"/api/stream?since=x"),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_both_ways_give_the_same_answer(hub: HubProcess, name: str) -> None:
    request = REQUESTS[name]
    direct = answers(hub, request)
    through_gunicorn = answers(hub, request.replace(b"\r\n", b"\r\n" + TWICE, 1))
    assert direct.startswith(b"HTTP/1.1 ")
    assert alike(direct) == alike(through_gunicorn)


@pytest.mark.parametrize("credential", ["none", "wrong", "publish", "subscribe", "control"])
@pytest.mark.parametrize("route", ["post", "stream"])
def test_both_ways_check_access_alike(guarded: HubProcess, credential: str, route: str) -> None:
    key = {"none": "", "wrong": "wrong-secret-0001"}.get(credential) or KEYS.get(credential, "")
    headers = b"Authorization: Bearer %b\r\n" % key.encode() if key else b""
    request = post(headers=headers) if route == "post" else get(headers=headers)
    end = b'"stream_opened"' if route == "stream" and credential in ("subscribe", "control") else b""
    direct = answers(guarded, request, until=end)
    through_gunicorn = answers(guarded, request.replace(b"\r\n", b"\r\n" + TWICE, 1), until=end)
    assert alike(direct).split(b'"cursor"')[0] == alike(through_gunicorn).split(b'"cursor"')[0]


@pytest.mark.parametrize(
    ("request_", "end"),
    [(post(), b""), (post(b"{"), b""), (get(), b'"replayed":0}\n\n\r\n'), (get(b"/api/stream?since=x"), b"")],
    ids=["an event", "not JSON", "a stream", "a bad cursor"],
)
def test_a_request_split_at_every_byte(hub: HubProcess, request_: bytes, end: bytes) -> None:
    whole = alike(answers(hub, request_, until=end))
    for at in range(1, len(request_)):
        with_pause = (request_[:at], request_[at:])
        assert alike(answers(hub, *with_pause, until=end)) == whole, at
    single = (request_[n : n + 1] for n in range(len(request_)))
    assert alike(answers(hub, *single, until=end)) == whole


def test_pipelined_requests_are_answered_in_order(hub: HubProcess) -> None:
    health = get(b"/api/health")
    requests = (post(), post(b"{"), post(), health, post(), post(b'{"type":3}'))
    got = answers(hub, b"".join(requests), count=len(requests))
    statuses = re.findall(rb"HTTP/1.1 (\d+)", got)
    assert statuses == [b"200", b"400", b"200", b"200", b"200", b"422"]


def test_a_connection_changes_from_events_to_the_stream(hub: HubProcess) -> None:
    requests = post() + post() + get(b"/api/stream?replay=1")
    got = answers(hub, requests, until=b'"n":1,"timestamp"')
    assert re.findall(rb"HTTP/1.1 (\d+)", got) == [b"200"] * 3
    assert got.count(b"Transfer-Encoding: chunked") == 1


def test_a_stream_of_a_changed_connection_goes_on(hub: HubProcess) -> None:
    with socket.create_connection(("127.0.0.1", hub.port), 30) as connection:
        connection.sendall(post() + get(b"/api/stream?room=later"))
        got = b""
        while b'"stream_opened"' not in got:
            got += connection.recv(65536)
        assert hub.publish({"type": "n", "room": "later"})["clients_notified"] == 1
        while b'"later"' not in got:
            got += connection.recv(65536)


OPENED = b'"replayed":0}\n\n\r\n'
SEQUENCES = {
    "a stream": ((get(),), OPENED),
    "a stream, then an event": ((get() + post(),), OPENED),
    "a stream, then half a request": ((get() + post()[:40],), OPENED),
    "a stream, then garbage": ((get() + b"\0\xff\r\n\r\n",), OPENED),
    "a stream with a body": ((get(headers=b"Content-Length: 5\r\n") + b"hello",), OPENED),
    "a stream with a chunked body": ((get(headers=b"Transfer-Encoding: chunked\r\n") + b"0\r\n\r\n",), OPENED),
    "a stream to be closed": ((get(headers=b"Connection: close\r\n"),), OPENED),
    "a refused stream, then a stream": ((get(b"/api/stream?since=x") + get(),), OPENED),
    "a refused stream, then a stream later": ((get(b"/api/stream?since=x"), get()), OPENED),
    "two refused streams, then half a stream, then its rest": (
        (get(b"/api/stream?since=x") * 2 + get()[:20], get()[20:]),
        OPENED,
    ),
    "a refused stream to be closed, then a stream": (
        (get(b"/api/stream?since=x", b"Connection: close\r\n") + get(),),
        b"",
    ),
    "a stream with an id of another hub": (
        (get(headers=b"Last-Event-ID: 12345678-9\r\n"),),
        b'"unknown_epoch"}\n\n\r\n',
    ),
    "a stream over HTTP/1.0": ((get().replace(b"HTTP/1.1", b"HTTP/1.0"),), OPENED.rstrip(b"\r\n")),
    "HEAD": ((get(headers=b"Connection: close\r\n").replace(b"GET", b"HEAD"),), b""),
}


@pytest.mark.parametrize("name", SEQUENCES)
def test_both_ways_open_a_stream_alike(hub_factory: Callable[..., HubProcess], name: str) -> None:
    """Also if they are served by a greenlet, to which a first byte that arrives alone leads."""
    hub = hub_factory().start()
    pieces, end = SEQUENCES[name]
    through_gunicorn = answers(hub, pieces[0].replace(b"\r\n", b"\r\n" + TWICE, 1), *pieces[1:], until=end)
    assert through_gunicorn.startswith(b"HTTP/1.")
    assert alike(answers(hub, *pieces, until=end)) == alike(through_gunicorn)
    assert alike(answers(hub, pieces[0][:1], pieces[0][1:], *pieces[1:], until=end)) == alike(through_gunicorn)


def test_an_abandoned_request_leaves_nothing(hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory().start()
    open_files = hub.metrics()["process_open_fds"]
    request = get(b"/api/stream?room=demo")
    for reset in (False, True):
        for at in range(len(request) + 1):
            with socket.create_connection(("127.0.0.1", hub.port), 30) as connection:
                connection.sendall(request[:at])
                if reset:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    until(lambda: hub.metrics()["process_open_fds"] <= open_files, "all connections to be closed")
    assert hub.get("/api/subscribers")["count"] == 0


def test_a_refused_stream_keeps_its_connection(guarded: HubProcess) -> None:
    allowed = get(headers=b"Authorization: Bearer %b\r\n" % KEYS["subscribe"].encode())
    got = answers(guarded, get() + get(headers=b"Authorization: Bearer wrong-secret-0002\r\n") + allowed, until=OPENED)
    assert re.findall(rb"HTTP/1.1 (\d+)", got) == [b"401", b"401", b"200"]


def test_a_large_body_in_small_pieces(hub: HubProcess) -> None:
    events = b"[" + b",".join([EVENT] * 5000) + b"]"
    request = post(events)
    got = answers(hub, *(request[n : n + 7000] for n in range(0, len(request), 7000)), post(), count=2)
    assert got.count(b"200 OK") == 2 and b'"accepted":5000' in got


def test_a_body_that_is_not_read_is_skipped(hub: HubProcess) -> None:
    refused = post(EVENT * 3000, headers=b"Origin: https://evil.example\r\n")
    got = answers(hub, refused, post(), count=2)
    assert re.findall(rb"HTTP/1.1 (\d+)", got) == [b"403", b"200"]


@pytest.mark.parametrize("target", [b"/api/agent/data?%ff", b"/api/agent/data"])
def test_requests_that_never_pause_let_others_in(hub: HubProcess, target: bytes) -> None:
    """Their next request is always there already, and the first kind is refused before the route."""
    size, over = 65_536, threading.Event()
    body = size - len(post(b"x" * size, target=target)) + size
    request = post(b"x" * body, target=target)
    assert len(request) == size

    def send(connection: socket.socket) -> None:
        with suppress(OSError):
            while not over.is_set():
                connection.sendall(request * 16)

    def discard(connection: socket.socket) -> None:
        with suppress(OSError):
            while connection.recv(1 << 20):
                pass

    with ExitStack() as stack:
        for _ in range(3):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", hub.port), 30))
            for work in (send, discard):
                thread = threading.Thread(target=work, args=(connection,))
                thread.start()
                stack.callback(thread.join)
            stack.callback(connection.shutdown, socket.SHUT_RDWR)
        stack.callback(over.set)
        for _ in range(10):  # they go on until these are answered
            assert hub.get("/api/health")["status"] == "ok"
