"""Request smuggling through nginx, whose clients share one connection to the hub (H37 X10)."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import requests

from ..conftest import outliving
from ..hubs import PATIENCE, HubProcess
from .guarded import ENVIRON, KEYS, bearer
from .nginx import Nginx, nginx_before

CONTROL = f"Authorization: Bearer {KEYS['control']}\r\n".encode()
EVENT = b'{"type":"smuggled"}'
LENGTH = b"Content-Length: %d\r\n"


def publishing(path: bytes = b"/api/agent/data") -> bytes:
    """A request that would publish an event, if nginx let anybody publish."""
    head = b"POST " + path + b" HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n" + CONTROL
    return head + LENGTH % len(EVENT) + b"\r\n" + EVENT


def post(headers: bytes, body: bytes, path: bytes = b"/api/sign-in", version: bytes = b"1.1") -> bytes:
    """The outer request. The hub refuses it at once and reads no more of its body than it has to."""
    head = b"POST " + path + b" HTTP/" + version + b"\r\nHost: a\r\nContent-Type: application/json\r\n"
    return head + headers + b"\r\n" + body


def attacks(inner: bytes) -> dict[str, bytes]:
    """Requests that hide `inner` from one of two servers that disagree on where a body ends."""
    ended = b"0\r\n\r\n" + inner
    wrapped = b"%x\r\n%s\r\n0\r\n\r\n" % (len(inner), inner)
    chunked = b"Transfer-Encoding: chunked\r\n"
    te = {
        "space before the colon": b"Transfer-Encoding : chunked\r\n",
        "tab": b"Transfer-Encoding:\tchunked\r\n",
        "vertical tab": b"Transfer-Encoding: \x0bchunked\r\n",
        "space after it": b"Transfer-Encoding: chunked \r\n",
        "xchunked": b"Transfer-Encoding: xchunked\r\n",
        "identity": b"Transfer-Encoding: identity\r\n",
        "chunked, identity": b"Transfer-Encoding: chunked, identity\r\n",
        "gzip, chunked": b"Transfer-Encoding: gzip, chunked\r\n",
        "twice": chunked + b"Transfer-Encoding: x\r\n",
        "twice chunked": chunked + chunked,
        "quoted": b'Transfer-Encoding: "chunked"\r\n',
        "upper case": b"TRANSFER-ENCODING: CHUNKED\r\n",
        "underscore": b"Transfer_Encoding: chunked\r\n",
        "folded": b"Transfer-Encoding:\r\n chunked\r\n",
        "folded before": b"X: y\r\n Transfer-Encoding: chunked\r\n",
        "bare line feed": b"X: y\nTransfer-Encoding: chunked\r\n",
        "bare carriage return": b"X: y\rTransfer-Encoding: chunked\r\n",
        "NUL": b"Transfer-Encoding: chunked\0\r\n",
        "non-ASCII": b"Transfer-Encoding: chunked\xff\r\n",
        "line break first": b"\nTransfer-Encoding: chunked\r\n",
    }
    found = {f"CL.TE {name}": post(LENGTH % len(ended) + coding, ended) for name, coding in te.items()}
    found |= {f"TE.CL {name}": post(coding + LENGTH % 4, wrapped) for name, coding in te.items()}
    found |= {f"TE {name}": post(coding, ended) for name, coding in te.items()}
    found |= {
        "CL.TE": post(LENGTH % len(ended) + chunked, ended),
        "TE.CL": post(chunked + LENGTH % 4, wrapped),
        "CL.CL short first": post(LENGTH % 0 + LENGTH % len(inner), inner),
        "CL.CL long first": post(LENGTH % len(inner) + LENGTH % 0, inner),
        "CL list": post(b"Content-Length: 0, %d\r\n" % len(inner), inner),
        "CL with a sign": post(b"Content-Length: +%d\r\n" % len(inner), inner),
        "CL with leading zeros": post(b"Content-Length: 000%d\r\n" % len(inner), inner),
        "CL with an underscore": post(b"Content_Length: %d\r\n" % len(inner), inner),
        "CL in hexadecimal": post(b"Content-Length: 0x%x\r\n" % len(inner), inner),
        "CL.0 of an unread body": post(LENGTH % len(inner), inner, b"/api/share"),
        "CL.0 of an unknown path": post(LENGTH % len(inner), inner, b"/nowhere"),
        "CL.0 of a file": post(LENGTH % len(inner), inner, b"/static/page.css"),
        "CL.0 of a page": post(LENGTH % len(inner), inner, b"/"),
        "TE.0 of an unread body": post(chunked, wrapped, b"/api/share"),
        "body of a GET": post(LENGTH % len(inner), inner, b"/api/health").replace(b"POST", b"GET", 1),
        "body of a HEAD": post(LENGTH % len(inner), inner, b"/api/health").replace(b"POST", b"HEAD", 1),
        "Expect": post(LENGTH % len(inner) + b"Expect: 100-continue\r\n", inner, b"/api/share"),
        "Expect of something else": post(LENGTH % len(inner) + b"Expect: x\r\n", inner, b"/api/share"),
        "encoded body": post(LENGTH % len(inner) + b"Content-Encoding: gzip\r\n", inner),
        "body over its limit": post(b"Content-Length: 70000\r\n", inner * 500, b"/api/share")[:70_500],
        "HTTP/1.0 with keep-alive": post(b"Connection: keep-alive\r\n" + chunked, ended, version=b"1.0"),
        "HTTP/1.0 without a length": post(b"Connection: keep-alive\r\n", inner, version=b"1.0"),
        "chunk with bare LF": post(chunked, b"0\n\n" + inner),
        "chunk extension": post(chunked, b"0;a=b\nc\r\n\r\n" + inner),
        "chunk size too large": post(chunked, b"ffffffffffffffff0\r\n\r\n" + inner),
        "negative chunk": post(chunked, b"-1\r\n\r\n" + inner),
        "chunk with a prefix": post(chunked, b"0x0\r\n\r\n" + inner),
        "chunk longer than it says": post(chunked, b"2\r\n{}XX" + inner),
        "trailer": post(chunked, b"0\r\nContent-Length: %d\r\n\r\n" % len(inner) + inner),
        "bad trailer": post(chunked, b"0\r\nbad trailer\r\n\r\n" + inner),
        "upgrade": b"GET /api/health HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\nPRI" + inner,
        "upgrade to WebSocket": b"GET /api/stream HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 777\r\n\r\n" + inner,
        "line break in the path": b"GET /x%0d%0a%0d%0a HTTP/1.1\r\nHost: a\r\n\r\n",
        "request in the path": b"GET /x HTTP/1.1\rHost: a\r\r" + inner.replace(b"\r\n", b"\r") + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        "request in a header": b"GET /api/health HTTP/1.1\r\nHost: a\r\nX: \n\n" + inner.replace(b"\r\n", b"\n") + b"\r\n\r\n",
        "hop by hop": b"GET /api/health HTTP/1.1\r\nHost: a\r\nConnection: close, X-Forwarded-For, Host\r\n\r\n",
    }  # fmt: skip
    return found


INNERS = {
    "to publish": lambda number: publishing(),
    "to a path": lambda number: b"GET /smuggled-%d- HTTP/1.1\r\nHost: a\r\n\r\n" % number,
    "to swallow the next": lambda number: b"GET /smuggled-%d- HTTP/1.1\r\nX-Next: " % number,
    "to swallow the next body": lambda number: (
        b"POST /smuggled-%d- HTTP/1.1\r\nHost: a\r\nContent-Length: 400\r\n\r\n" % number
    ),
}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    with outliving() as keep, HubProcess(tmp_path_factory.mktemp("behind"), **ENVIRON) as hub:
        keep()
        yield hub


def send(port: int, data: bytes, source: str = "127.0.0.1") -> bytes:
    """Send bytes to nginx; returns what comes back until it closes the connection."""
    answer = b""
    with (
        suppress(ConnectionError),
        socket.create_connection(("127.0.0.1", port), PATIENCE, source_address=(source, 0)) as connection,
    ):
        connection.sendall(data)
        while received := connection.recv(65536):
            answer += received
    return answer


class Client:
    """A client like any other, which must get the answers to its own requests."""

    def __init__(self, nginx: Nginx, credential: str | None) -> None:
        self._url, self._credential = nginx.url, credential
        self._session = requests.Session()
        self._session.headers.update(bearer(credential) if credential else {})

    def asks(self, number: int) -> None:
        kind, path = ("key" if self._credential else "anonymous"), f"/mine-{bool(self._credential)}-{number}"
        config = self._get("/api/config")
        assert (config.status_code, config.json()["access"]["kind"]) == (200, kind)
        events = self._get("/api/events?limit=1")
        assert events.status_code == (200 if self._credential else 401), events.text
        missing = self._get(path)
        assert (missing.status_code, missing.json()["detail"]) == (404, f"no such path: {path}")

    def _get(self, path: str) -> requests.Response:
        return self._session.get(f"{self._url}{path}", timeout=PATIENCE)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()


def smuggled(hub: HubProcess) -> list[Any]:
    answer = requests.get(
        f"{hub.url}/api/events?type=smuggled&limit=1000", headers=bearer(KEYS["control"]), timeout=PATIENCE
    )
    events: list[Any] = answer.json()["events"]
    return events


@pytest.mark.parametrize("buffering", [True, False], ids=["buffered", "unbuffered"])
@pytest.mark.parametrize("purpose", INNERS)
def test_no_request_reaches_the_hub_that_nginx_did_not_forward(
    guarded: HubProcess, tmp_path: Path, purpose: str, buffering: bool
) -> None:
    names, seen = list(attacks(b"")), 0
    with (
        nginx_before(guarded.port, tmp_path, buffering=buffering) as nginx,
        Client(nginx, None) as anonymous,
        Client(nginx, KEYS["control"]) as boss,
    ):
        for number, name in enumerate(names):
            answer = send(nginx.attacked, attacks(INNERS[purpose](number))[name])
            assert b"HTTP/1.1 5" not in answer.replace(b"HTTP/1.1 501", b""), (name, answer)  # nginx's own
            anonymous.asks(number)
            boss.asks(number)
            path = f"/smuggled-{number}-"
            answered, forwarded = nginx.answered(path), nginx.forwarded(path)
            assert answered <= forwarded, name
            seen += answered
            assert purpose != "to publish" or not smuggled(guarded), name
        assert nginx.tap.connections < len(names) * 3, "the clients shared connections"
        assert seen or purpose != "to a path", "a request that nginx forwards is counted"


@pytest.mark.parametrize("buffering", [True, False], ids=["buffered", "unbuffered"])
def test_two_clients_at_once_never_get_each_others_answers(
    guarded: HubProcess, tmp_path: Path, buffering: bool
) -> None:
    failures: list[BaseException] = []
    with nginx_before(guarded.port, tmp_path, buffering=buffering) as nginx:
        ended = threading.Event()

        def client(credential: str | None) -> None:
            try:
                number = 0
                with Client(nginx, credential) as one:
                    while not ended.is_set() or number < 20:
                        number += 1
                        one.asks(number)
            except BaseException as error:
                failures.append(error)

        clients = [threading.Thread(target=client, args=(credential,)) for credential in (None, KEYS["control"])]
        for one in clients:
            one.start()
        close = b"GET /api/health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        for data in attacks(publishing()).values():
            send(nginx.attacked, data + close)
        ended.set()
        for one in clients:
            one.join()
    assert not failures
    assert not smuggled(guarded)


PATHS = (
    b"/api/agent/data", b"//api/agent/data", b"/api//agent/data", b"/api/agent%2fdata", b"/api/agent/%64ata", b"/./api/agent/data",
    b"/x/../api/agent/data", b"/x/%2e%2e/api/agent/data", b"/static/..%2fapi/agent/data", b"/api/agent/data/", b"/api/agent/data//",
    b"/api/agent/data/.", b"/api/agent/data%00", b"/api/agent/data%20", b"/api/agent/data;x", b"/api/agent/data%3fx", b"/api/agent/data?x",
    b"/api/agent/data#x", b"/api/agent/data%23x", b"/API/agent/data", b"/api\\agent\\data", b"/api/agent/data%0a", b"/api/agent/data%ff",
    b"http://a/api/agent/data", b"http://127.0.0.1:1/api/agent/data", b"HTTP://a//api/agent/data", b"http://a:b@c/api/agent/data",
    b"//a/api/agent/data", b"/x?/../api/agent/data", b"/%2e/api/agent/data", b"/api/agent/data\t", b"http://a/x/..//api/agent/data",
    b"/api/agent%252fdata", b"/%252e%252e/api/agent/data", b"/api/agent/dat\xc3\xa1", b"/x%2f..%2f..%2fapi/agent/data", b"*", b"/api/agent/data.json",
)  # fmt: skip


def test_no_way_to_write_a_path_passes_nginx_rule(guarded: HubProcess, tmp_path: Path) -> None:
    """nginx forwards a path as the client has written it: the hub may not read another path in it than nginx did."""
    with nginx_before(guarded.port, tmp_path) as nginx:
        for path in PATHS:
            for extra in (b"", b"Script_Name: /x\r\nScript-Name: /x\r\nPath_Info: /api/agent/data\r\n"):
                request = publishing(path).replace(b"Host: a\r\n", b"Host: a\r\nConnection: close\r\n" + extra)
                answer = send(nginx.port, request)
                assert not smuggled(guarded), (path, answer)
                assert answer[9:10] == b"4", (path, answer)


HEADERS = (
    CONTROL.replace(b"Authorization", b"Access_Token"), CONTROL.replace(b"Authorization", b"Http_Authorization"),
    CONTROL.replace(b"Authorization", b"Authorization_"), CONTROL.replace(b"Authorization:", b"Authorization :"),
    b"Authorization: Bearer x\r\n" + CONTROL, CONTROL + b"Authorization: Bearer x\r\n",
    f"Authorization: Bearer {KEYS['subscribe']}\r\n".encode() + CONTROL, b"X: y\r\n " + CONTROL, b"X: y\r" + CONTROL,
    CONTROL.replace(b"\r\n", b"\0\r\n"), b"Authorization: Bearer x, " + CONTROL[15:], b"Remote_User: boss\r\nRemote-User: boss\r\n",
    b"X-Forwarded-For: 127.0.0.1\r\nX_Forwarded_For: 127.0.0.1\r\nForwarded: for=127.0.0.1\r\nX-Real-IP: 127.0.0.1\r\n",
    b"X-Original-URL: /api/health\r\nX-Rewrite-URL: /api/health\r\n", b"X-HTTP-Method-Override: OPTIONS\r\n",
)  # fmt: skip


@pytest.mark.parametrize("number", range(len(HEADERS)))
def test_what_only_looks_like_a_credential_is_none(guarded: HubProcess, tmp_path: Path, number: int) -> None:
    with nginx_before(guarded.port, tmp_path) as nginx:
        head = b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
        assert b" 200 " in send(nginx.port, head + CONTROL + b"\r\n")[:20]
        answer = send(nginx.port, head + HEADERS[number] + b"\r\n")
        assert answer[9:12] in (b"400", b"401"), answer


def test_a_client_cannot_choose_the_address_that_its_failures_count_for(guarded: HubProcess, tmp_path: Path) -> None:
    """nginx is at 127.0.0.1, the attacker at 127.0.0.2, and another person at 127.0.0.3."""
    body = b'{"key":"wrong-key-0000"}'
    spoofed = (
        b"X-Forwarded-For: 10.0.0.%d\r\n", b"X-Forwarded-For: 127.0.0.1, 10.0.0.%d\r\n", b"X_Forwarded_For: 10.0.0.%d\r\n",
        b"X-Forwarded-For: 10.0.0.%d\r\nX-Forwarded-For: 127.0.0.1\r\n", b"X-Forwarded-For: 10.0.0.%d,\r\n",
    )  # fmt: skip
    with nginx_before(guarded.port, tmp_path) as nginx:

        def sign_in(source: str, extra: bytes = b"") -> bytes:
            headers = b"Connection: close\r\n" + LENGTH % len(body) + extra
            return send(nginx.port, post(headers, body), source)[9:12]

        answers = [sign_in("127.0.0.2", spoofed[n % len(spoofed)] % n) for n in range(40)]
        assert answers[-5:] == [b"429"] * 5, answers
        assert sign_in("127.0.0.3") == b"401"
        assert sign_in("127.0.0.2") == b"429"
