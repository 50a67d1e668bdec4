"""`--server gevent` refuses what two servers could read differently, and quotes no request in its log (H37 X10)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests

from ..conftest import outliving
from ..hubs import PATIENCE, HubProcess, raw, until

SECRET = "s3cr3t-of-this-test-01"
EVENT = b'{"type":"inner"}'
CHUNKED = b"%x\r\n%b\r\n0\r\n\r\n" % (len(EVENT), EVENT)
LENGTH = b"Content-Length: %d\r\n"
INNER = b"GET /api/health HTTP/1.1\r\nHost: a\r\n\r\n"
TE = b"Transfer-Encoding: chunked\r\n"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    with outliving() as keep, HubProcess(tmp_path_factory.mktemp("gevent"), server="gevent") as process:
        keep()
        yield process


AMBIGUOUS = {
    "CL.TE": LENGTH % len(CHUNKED) + TE,
    "TE.CL": TE + LENGTH % 4,
    "CL.CL": LENGTH % 0 + LENGTH % len(EVENT),
    "the same CL twice": LENGTH % len(EVENT) + LENGTH % len(EVENT),
    "CL list": b"Content-Length: 0, 5\r\n",
    "CL with a sign": b"Content-Length: +5\r\n",
    "negative CL": b"Content-Length: -1\r\n",
    "CL with an underscore": b"Content-Length: 1_0\r\n",
    "CL in hexadecimal": b"Content-Length: 0x5\r\n",
    "CL in other digits": "Content-Length: ٥\r\n".encode(),
    "empty CL": b"Content-Length:\r\n",
    "TE twice": TE + TE,
    "TE xchunked": b"Transfer-Encoding: xchunked\r\n",
    "TE list": b"Transfer-Encoding: gzip, chunked\r\n",
    "TE identity": b"Transfer-Encoding: identity\r\n",
    "TE vertical tab": b"Transfer-Encoding: \x0bchunked\r\n",
    "TE with a space before the colon": b"Transfer-Encoding : chunked\r\n",
    "TE after a bare carriage return": b"X: y\rTransfer-Encoding: chunked\r\n",
    "TE with NUL": b"Transfer-Encoding: chunked\0\r\n",
    "no header": b"no header\r\n" + TE,
}


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_an_ambiguous_request_is_refused_and_its_connection_closed(hub: HubProcess, name: str) -> None:
    head = (
        b"POST /api/agent/data?access_token=%b HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
        % SECRET.encode()
    )
    answer = raw(hub, head + AMBIGUOUS[name] + b"\r\n" + CHUNKED + INNER)
    assert answer.startswith(b"HTTP/1.1 400 "), answer
    assert answer.count(b"HTTP/1.1 ") == 1, "what follows is not taken for another request"
    assert b'"code":"bad_request"' in answer
    assert b"nosniff" in answer
    assert hub.get("/api/events?type=inner")["events"] == []


def test_valid_bodies_are_accepted(hub: HubProcess) -> None:
    head = b"POST /api/agent/data HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nConnection: close\r\n"
    sent = EVENT.replace(b"inner", b"valid")
    for headers, body in (
        (LENGTH % len(sent), sent),
        (TE, CHUNKED.replace(b"inner", b"valid")),
        (b"transfer-encoding:\tCHUNKED\r\n", CHUNKED.replace(b"inner", b"valid")),
        (LENGTH % len(sent) + b"Upgrade: websocket\r\n", sent),
    ):
        answer = raw(hub, head + headers + b"\r\n" + body)
        assert answer.startswith(b"HTTP/1.1 200 "), answer
    assert len(hub.get("/api/events?type=valid")["events"]) == 4


def test_data_after_an_upgrade_request_is_not_its_body(hub: HubProcess) -> None:
    upgrade = (
        b"POST /api/agent/stop HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        + LENGTH % 2
    )
    answer = raw(hub, upgrade + b"\r\n{}" + INNER.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    assert (answer.count(b"HTTP/1.1 "), answer.count(b"HTTP/1.1 200 ")) == (2, 1), answer  # Flask refuses the first


@pytest.mark.parametrize(
    "request_line",
    [
        "GET /api/events?access_token={} HTTP/9.9",
        "GET /api/events?access_token={} HTTP/1.1 x",
        "GET /api/events?ACCESS_TOKEN={} HTTP/x.y",
        "POST /api/events?access_token={}",
        "Authorization: Bearer {}",
        "{}",
    ],
)
def test_the_log_quotes_no_invalid_request(hub: HubProcess, request_line: str) -> None:
    before = hub.output().count("Invalid request")
    answer = raw(hub, f"{request_line.format(SECRET)}\r\nHost: a\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 400 "), answer
    until(lambda: hub.output().count("Invalid request") > before, "the log line")
    assert SECRET not in hub.output()
    assert "Traceback" not in hub.output()


def test_a_valid_request_is_not_logged_either(hub: HubProcess) -> None:
    url = f"{hub.url}/api/events?access_token={SECRET}"
    assert requests.get(url, timeout=PATIENCE).status_code == 200
    assert SECRET not in hub.output()
