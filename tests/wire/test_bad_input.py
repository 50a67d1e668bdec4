"""`POST /api/agent/data` over real sockets: bad input is refused and affects nothing else (H39 D07)."""

from __future__ import annotations

import gzip
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from event_hub.server.errors import CATALOGUE

from ..hubs import PATIENCE, HubProcess, Stream, raw


@pytest.fixture(autouse=True)
def watched(hub: HubProcess) -> Iterator[Stream]:
    """A subscriber receives the good event before the test and the one after it, and nothing in between."""
    with hub.stream("?type=good&type=bad*&type=transcript&room=*") as rooms, hub.stream() as everything:
        rooms.next()
        everything.next()
        before = hub.publish({"type": "good", "at": "before"})["id"]
        yield everything
        after = hub.publish({"type": "good", "at": "after"})["id"]
        assert everything.until("good")["_id"] == before
        event = everything.next()
        while event["type"] == "heartbeat":
            event = everything.next()
        assert event["_id"] == after, event
        assert int(after.split("-")[1]) - int(before.split("-")[1]) == 1, "something was stored"


def post(
    hub: HubProcess, body: bytes, content_type: str | None = "application/json", **headers: str
) -> requests.Response:
    if content_type:
        headers["Content-Type"] = content_type
    return requests.post(f"{hub.url}/api/agent/data", data=body, headers=headers, timeout=PATIENCE)


def refused(response: requests.Response, code: str) -> dict[str, Any]:
    assert response.headers["Content-Type"] == "application/problem+json", response.text
    problem: dict[str, Any] = response.json()
    assert problem["code"] == code, problem
    kind = CATALOGUE[code]
    assert response.status_code == problem["status"] == kind.status
    assert problem["type"] == f"/docs/errors#{code}"
    assert problem["detail"]
    assert problem["advice"] == kind.advice
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    assert ("Retry-After" in response.headers) == kind.retry
    return problem


BAD_BODIES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "bad_json"),
    "blank": (b"  \n", "bad_json"),
    "not JSON": (b"hello", "bad_json"),
    "truncated": (b'{"type":"bad","a":', "bad_json"),
    "trailing": (b'{"type":"bad"} {"type":"bad"}', "bad_json"),
    "nested": (b"[" * 100_000, "bad_json"),
    "nested and closed": (b"[" * 100_000 + b"]" * 100_000, "bad_json"),
    "nested event": (b'{"type":"bad","a":' + b"[" * 5000 + b"]" * 5000 + b"}", "bad_json"),
    "NaN": (b'{"type":"bad","a":NaN}', "bad_json"),
    "Infinity": (b'{"type":"bad","a":-Infinity}', "bad_json"),
    "too large a number": (b'{"type":"bad","a":1e400}', "bad_json"),
    "too long an integer": (b'{"type":"bad","a":' + b"9" * 5000 + b"}", "bad_json"),
    "lone surrogate": (b'{"type":"bad","a":"\\ud800"}', "bad_json"),
    "lone low surrogate": (b'{"type":"bad","a":"\\udc00x"}', "bad_json"),
    "surrogate in UTF-8": (b'{"type":"bad","a":"\xed\xa0\x80"}', "bad_json"),
    "Latin-1": ('{"type":"bad","a":"ü"}'.encode("latin-1"), "bad_json"),
    "UTF-16": ('{"type":"bad"}'.encode("utf-16"), "bad_json"),
    "byte order mark": (b'\xef\xbb\xbf{"type":"bad"}', "bad_json"),
    "raw line break": (b'{"type":"bad","a":"\n"}', "bad_json"),
    "gzip without Content-Encoding": (gzip.compress(b'{"type":"bad"}'), "bad_json"),
    "null": (b"null", "bad_event"),
    "number": (b"5", "bad_event"),
    "text": (b'"bad"', "bad_event"),
    "true": (b"true", "bad_event"),
    "list of lists": (b"[[]]", "bad_event"),
    "no type": (b"{}", "bad_event"),
    "empty type": (b'{"type":""}', "bad_event"),
    "type not a string": (b'{"type":5}', "bad_event"),
    "type of 65 characters": (b'{"type":"' + b"b" * 65 + b'"}', "bad_event"),
    "duplicate key: last one counts": (b'{"type":"bad","type":"heartbeat"}', "hub_only_type"),
    "heartbeat": (b'{"type":"heartbeat","timestamp":1,"cursor":"x"}', "hub_only_type"),
    "stream_opened": (b'{"type":"stream_opened"}', "hub_only_type"),
    "stream_gap": (b'{"type":"stream_gap"}', "hub_only_type"),
    "stream_closing": (b'{"type":"stream_closing"}', "hub_only_type"),
    "wrong shape": (b'{"type":"transcript","text":5}', "bad_event"),
    "event over the limit": (b'{"type":"bad","a":"' + b"x" * 65536 + b'"}', "event_too_large"),
    "body over the limit": (b'{"type":"bad","a":"' + b"x" * (9 << 20) + b'"}', "body_too_large"),
    "batch with one bad event": (b'[{"type":"bad"},{"type":"bad"},{"type":""},{"type":"bad"}]', "bad_event"),
    "batch with a number": (b'[{"type":"bad"},5]', "bad_event"),
    "batch with a large event": (b'[{"type":"bad"},{"type":"bad","a":"' + b"x" * 65536 + b'"}]', "event_too_large"),
    "too many events": (b"[" + b",".join([b'{"type":"bad"}'] * 10_001) + b"]", "too_many_events"),
}


@pytest.mark.parametrize("name", BAD_BODIES)
def test_bad_bodies_are_refused(hub: HubProcess, name: str) -> None:
    body, code = BAD_BODIES[name]
    problem = refused(post(hub, body), code)
    if name == "batch with one bad event":
        assert (problem["index"], problem["field"]) == (2, "type")
    if name == "batch with a number":
        assert problem["index"] == 1
    if name == "wrong shape":
        assert problem["field"] == "text"
    if "gzip" in name:
        assert "gzip" in problem["detail"]


@pytest.mark.parametrize(
    ("body", "code", "index"),
    [
        (b'{"type":"bad"}\n{"type":"bad"\n', "bad_json", 1),
        (b'{"type":"bad"}\n\n \n{"type":""}', "bad_event", 1),
        (b'{"type":"bad"}\n' + b"[" * 5000, "bad_json", 1),
    ],
)
def test_bad_ndjson_lines_are_refused(hub: HubProcess, body: bytes, code: str, index: int) -> None:
    assert refused(post(hub, body, "application/x-ndjson"), code)["index"] == index


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/json; charset=utf-16",
        ";",
    ],
)
def test_wrong_content_types_are_refused(hub: HubProcess, content_type: str | None) -> None:
    problem = refused(post(hub, b'{"type":"bad"}', content_type), "unsupported_media_type")
    assert "Content-Type: application/json" in problem["advice"]


def test_compressed_bodies_are_refused(hub: HubProcess) -> None:
    refused(post(hub, gzip.compress(b'{"type":"bad"}'), **{"Content-Encoding": "gzip"}), "unsupported_encoding")


HEAD = b"POST /api/agent/data HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nConnection: close\r\n"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET /api/stream HTTP/1.1\r\nHost: x\r\nLast-Event-ID: a\x01b\x7f\r\nConnection: close\r\n\r\n", 400),
        (b"GET /api/health HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 100_000 + b"\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 200, 400),
        (b"NONSENSE\r\n\r\n", 400),
        (HEAD + b"Content-Length: -5\r\n\r\n{}", 400),
        (HEAD + b"Content-Length: 1e3\r\n\r\n{}", 400),
        (HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}x", 400),
        (HEAD + b"Content-Length: 99999999999999\r\n\r\n{}", 413),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n", 400),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 422),
        (HEAD + b"Transfer-Encoding: xchunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 400),
        (HEAD + b"Transfer-Encoding: \r\n\r\n2\r\n{}\r\n0\r\n\r\n", 400),
    ],
    ids=range(13),
)
def test_malformed_requests_are_refused(hub: HubProcess, data: bytes, status: int) -> None:
    answer = raw(hub, data, finish=True)
    if b"\r\n\r\n" not in data:
        assert (
            answer == b"" or answer[9:10] == b"4"
        )  # without a complete head, whether there is an answer depends on gunicorn's parser
    else:
        assert answer.startswith(b"HTTP/1.1 %d " % status) or (status == 400 and answer[9:10] == b"4"), answer[:200]


def test_a_path_outside_the_script_name_is_no_server_error(hub_factory: Any) -> None:
    """A proxy that may set SCRIPT_NAME can pass on a client's."""
    hub = hub_factory(HUB_PROXIES="127.0.0.1").start()
    for path, status in ((b"/api/health", 400), (b"/proxied/api/health", 200)):
        answer = raw(hub, b"GET " + path + b" HTTP/1.1\r\nHost: x\r\nScript_Name: /proxied\r\n\r\n", finish=True)
        assert answer.startswith(b"HTTP/1.1 %d " % status), answer[:200]


def test_the_rest_of_a_broken_body_is_not_read_as_a_request(hub: HubProcess) -> None:
    """Otherwise a client allowed by a proxy to send a body could smuggle requests past it."""
    smuggled = b'POST /api/agent/data HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 14\r\n\r\n{"type":"bad"}'
    keep_alive = HEAD.replace(b"Connection: close\r\n", b"")
    for broken in (b"2\r\n{}XX", b"2\r\n{}\r\n0\r\nbad trailer\r\n\r\n", b"zz\r\n", b"2;a\rb\r\n{}\r\n0\r\n\r\n"):
        answer = raw(hub, keep_alive + b"Transfer-Encoding: chunked\r\n\r\n" + broken + smuggled, finish=True)
        assert answer.count(b"HTTP/1.1 ") == 1, answer
        assert answer.startswith(b"HTTP/1.1 400 "), answer
        assert b"bad_body" in answer


def test_invalid_chunks_that_no_route_reads_are_one_line_in_the_log(hub_factory: Any) -> None:
    """Anyone can send them: a traceback for each would fill the log."""
    hub = hub_factory().start()
    head = b"GET /api/health HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    for broken in (b"zz\r\n", b"2\r\n{}XX", b"2;a\rb\r\n{}\r\n0\r\n\r\n"):
        answer = raw(hub, head + broken + b"GET /api/config HTTP/1.1\r\nHost: x\r\n\r\n", finish=True)
        assert answer.count(b"HTTP/1.1 ") == 1, answer
    hub.terminate()
    assert "Traceback" not in hub.output()
    assert hub.output().count("in a body that no route reads") == 3


def test_many_identical_mistakes_are_reported_once(hub: HubProcess) -> None:
    body = b'{"type":"usage_updated","model_usage":[' + b",".join([b"1"] * 1_000_000) + b"]}"
    refused(post(hub, body), "event_too_large")
    body = b'{"type":"usage_updated","model_usage":[' + b",".join([b"1"] * 30_000) + b"]}"
    assert refused(post(hub, body), "bad_event")["field"] == "model_usage.0"


@pytest.mark.parametrize(
    "piece", [b"1;" + b"a" * 65536, b"1\r\nx\r\n" * 10_000], ids=["endless extension", "tiny chunks"]
)
def test_chunks_of_mostly_framing_do_not_starve_others(hub_factory: Any, piece: bytes) -> None:
    """While one client sends as fast as it can, others are served; it is cut off, at the latest at the body timeout."""
    hub = hub_factory(HUB_BODY_TIMEOUT="3s").start()
    served = 0
    answers: list[bytes] = []

    def attack() -> None:
        while served < 5:  # repeatedly: it may be cut off before another client has been served
            with socket.create_connection(("127.0.0.1", hub.port), timeout=PATIENCE) as connection:
                try:
                    connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
                    for _ in range(300):
                        connection.sendall(piece)
                    answers.append(connection.recv(65536))
                except ConnectionError:  # reset before the answer could be read
                    answers.append(b"")

    attacker = threading.Thread(target=attack)
    attacker.start()
    try:
        for _ in range(5):
            assert requests.get(f"{hub.url}/api/config", timeout=PATIENCE).status_code == 200
            served += 1
    finally:
        served = 5
        attacker.join()
    assert answers
    assert all(answer[:13] in (b"", b"HTTP/1.1 400 ", b"HTTP/1.1 408 ") for answer in answers), answers


def test_a_truncated_body_is_refused(hub: HubProcess) -> None:
    raw(hub, HEAD + b'Content-Length: 100\r\n\r\n{"type":"bad"}', finish=True)


def test_an_endless_body_is_cut_off_at_the_limit(hub: HubProcess) -> None:
    """The client gets a 413, and the connection is closed."""
    with socket.create_connection(("127.0.0.1", hub.port), timeout=PATIENCE) as connection:
        connection.sendall(HEAD + b'Transfer-Encoding: chunked\r\n\r\n2\r\n["\r\n')
        chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
        answer = b""
        try:
            for _ in range(4000):
                connection.sendall(chunk)
        except OSError:
            pass
        else:
            pytest.fail("250 MB were taken")
        try:
            while received := connection.recv(65536):
                answer += received
        except ConnectionResetError:
            pass
        assert answer == b"" or answer.startswith(b"HTTP/1.1 413 ")


def test_a_client_that_sends_a_too_large_body_sees_why_it_is_refused(hub: HubProcess) -> None:
    """After sending all of a body slightly over the limit, as curl does, it gets the answer instead of a reset connection."""
    answer = raw(hub, HEAD + b"Content-Length: %d\r\n\r\n" % (9 << 20) + b"x" * (9 << 20))
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"body_too_large" in answer


def test_a_slow_body_times_out(hub_factory: Any) -> None:
    slow = hub_factory(HUB_BODY_TIMEOUT="300ms").start()
    answer = raw(slow, HEAD + b'Content-Length: 100\r\n\r\n{"type"')
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"body_timeout" in answer
