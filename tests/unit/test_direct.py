"""Which requests are served directly: plain ones. Everything else is gunicorn's."""

from __future__ import annotations

from typing import Any

import pytest

from event_hub.server.serving.direct import Body, Head

POST = (
    b"POST /api/agent/data HTTP/1.1\r\nHost: localhost:5000\r\nContent-Type: application/json\r\nContent-Length: 12\r\n"
)
GET = b"GET /api/stream?room=a&since=all HTTP/1.1\r\nHost: localhost:5000\r\nAccept: text/event-stream\r\n"


@pytest.mark.parametrize(
    "head",
    [
        POST,
        GET,
        b"POST /api/agent/data?access_token=x HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n",
        GET + b"Connection: Close\r\n",
        GET + b"X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: https\r\n",
        POST + b"User-Agent: caf\xe9\r\n",
    ],
)
def test_plain_requests_are_served_directly(head: bytes) -> None:
    assert Head(head + b"\r\n").plain


@pytest.mark.parametrize(
    "head",
    [
        b"GET /api/health HTTP/1.1\r\nHost: a\r\n",
        b"GET /api/streams HTTP/1.1\r\nHost: a\r\n",
        b"HEAD /api/stream HTTP/1.1\r\nHost: a\r\n",
        b"POST /api/stream HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n",
        b"GET /api/agent/data HTTP/1.1\r\nHost: a\r\n",
        b"GET /api/stream HTTP/1.0\r\nHost: a\r\n",
        b"GET  /api/stream HTTP/1.1\r\nHost: a\r\n",
        b"GET /api/stream#x HTTP/1.1\r\nHost: a\r\n",
        b"GET /api/stream?room=\xc3\xa9 HTTP/1.1\r\nHost: a\r\n",
        b"GET http://a/api/stream HTTP/1.1\r\nHost: a\r\n",
        b"GET /api/%73tream HTTP/1.1\r\nHost: a\r\n",
        GET + b"Content-Length: 5\r\n",
        GET + b"Upgrade: websocket\r\nConnection: Upgrade\r\n",
        GET + b"Upgrade: h2c\r\n",
        GET + b"Connection: keep-alive, close\r\n",
        GET + b"Proxy-Connection: close\r\n",
        GET + b"Host: b\r\n",
        GET + b"X-A: 1\r\nx-a: 2\r\n",
        GET + b"Script_Name: /x\r\n",
        GET + b"X-Forwarded-SSL: on\r\n",
        GET + b"X-A : 1\r\n",
        GET + b"X-A: 1\r\n 2\r\n",
        GET + b"X-A: \x00\r\n",
        GET + b"X-A: 1\n",
        GET + b": 1\r\n",
        GET + b"".join(b"X-%d: 1\r\n" % n for n in range(70)),
        b"POST /api/agent/data HTTP/1.1\r\nHost: a\r\n",
        b"POST /api/agent/data HTTP/1.1\r\nHost: a\r\nContent-Length: \r\n",
        b"POST /api/agent/data HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n",
        b"POST /api/agent/data HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n",
        b"POST /api/agent/data HTTP/1.1\r\nHost: a\r\nContent-Length: 1 2\r\n",
        b"POST /api/agent/data HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n",
        POST + b"Content-Length: 12\r\n",
        POST + b"Content-Length: 13\r\n",
        POST + b"Transfer-Encoding: chunked\r\n",
        b"POST /api/agent/data HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n",
        POST + b"Expect: 100-continue\r\n",
    ],
)
def test_everything_else_is_left_to_gunicorn(head: bytes) -> None:
    assert not Head(head + b"\r\n").plain


def test_the_environ_of_a_head() -> None:
    head = Head(POST.replace(b" HTTP", b"?a=b%20c HTTP") + b"Last-Event-ID:  \te-1 \r\nX-N: caf\xe9\r\n\r\n")
    assert head.environ() == {
        "REQUEST_METHOD": "POST",
        "RAW_URI": "/api/agent/data?a=b%20c",
        "PATH_INFO": "/api/agent/data",
        "QUERY_STRING": "a=b%20c",
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": "12",
        "HTTP_HOST": "localhost:5000",
        "HTTP_LAST_EVENT_ID": "e-1",
        "HTTP_X_N": "caf\xe9",
    }


class Pieces:
    """A connection that receives these pieces."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = list(pieces)
        self.idled = 0

    def idle(self) -> None:
        self.idled += 1

    def recv(self, size: int) -> bytes:
        piece = self.pieces.pop(0) if self.pieces else b""
        if len(piece) > size:
            self.pieces.insert(0, piece[size:])
        return piece[:size]

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(name)


def test_a_body_is_read_to_its_length_and_not_beyond() -> None:
    connection = Pieces(b"cd", b"efgh", b"POST ")
    body = Body(connection, b"ab", 8)
    assert (body.read(1), body.read(3), body.read(), body.left) == (b"a", b"bcd", b"efgh", 0)
    assert (body.read(5), connection.pieces) == (b"", [b"POST "])


def test_what_is_left_of_a_body_is_discarded() -> None:
    connection = Pieces(b"cd", b"ef", b"gPOST ")
    body = Body(connection, b"ab", 7)
    assert body.discard() and connection.pieces == [b"POST "]
    assert connection.idled == 3  # a client that sends no more of it is closed like one that sends no request
    assert not Body(Pieces(b"c"), b"ab", 7).discard()
