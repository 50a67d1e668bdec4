"""A publisher with odd responses."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest

from event_hub.client import Publisher

from ..hubs import PATIENCE, until
from .fake_servers import OK, PAGE, FakeServer, Handler, refuse, reply


def accept(handler: Handler, events: list[dict[str, Any]]) -> None:
    answer = {"accepted": len(events), "duplicates": 0, "clients_notified": 0, "first_id": None, "last_id": None}
    reply(handler, 200, json.dumps(answer).encode())


def test_a_proxys_body_limit_splits_the_batch() -> None:
    """413 without an index, as nginx sends it."""

    def answer(handler: Handler, events: list[dict[str, Any]]) -> None:
        if len(events) > 2 or any(event.get("n") == 3 for event in events):
            reply(handler, 413, PAGE, "text/html")
        else:
            stored.extend(events)
            accept(handler, events)

    stored: list[dict[str, Any]] = []
    with FakeServer(answer) as stranger, Publisher(stranger.url, linger=60) as publisher:
        for n in range(8):
            publisher.publish({"type": "n", "n": n})
        assert publisher.flush(PATIENCE) is False  # an event was dropped during the flush
    assert [event.get("n", event.get("reason")) for event in stored] == [0, 1, 2, "too_large", 4, 5, 6, 7]
    assert publisher.stats.dropped == 1


@pytest.mark.parametrize("status", [403, 500, 0])
def test_an_event_rejected_by_a_middlebox_does_not_block_the_queue(
    status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A firewall's page, a crash or a broken connection, without an index, while an empty POST succeeds."""
    monkeypatch.setattr("event_hub.client.sender._FIRST_DELAY", 0.01)

    def answer(handler: Handler, events: list[dict[str, Any]]) -> None:
        if not any(event.get("text") == "<script>" for event in events):
            stored.extend(events)
            accept(handler, events)
        elif status:
            reply(handler, status, PAGE, "text/html")
        else:
            handler.close_connection = True

    stored: list[dict[str, Any]] = []
    reported: list[tuple[int, str]] = []
    with (
        FakeServer(answer) as stranger,
        Publisher(stranger.url, on_dropped=lambda *drop: reported.append(drop)) as publisher,
    ):
        for text in ("a", "<script>", "b"):
            publisher.publish({"type": "transcript", "text": text})
        publisher.flush(PATIENCE)
    assert [event.get("text", event.get("reason")) for event in stored] == ["a", "refused", "b"]
    assert reported == [(1, "refused")]
    assert (publisher.stats.refused, publisher.stats.sent) == (1, 2)


def test_a_refused_key_loses_no_events(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key may become valid: the publisher keeps retrying, and warns once."""
    monkeypatch.setattr("event_hub.client.sender._FIRST_DELAY", 0.01)
    opened = threading.Event()

    def answer(handler: Handler, events: list[dict[str, Any]]) -> None:
        if opened.is_set():
            accept(handler, events)
        else:
            refuse(handler, 401, "unauthorized")

    with FakeServer(answer) as stranger, Publisher(stranger.url, key="secret", linger=60) as publisher:
        for n in range(3):
            publisher.publish({"type": "n", "n": n})
        assert publisher.flush(0) is False  # send all three now, in one batch
        until(lambda: len([post for post in stranger.posts if post]) >= 5, "some tries")
        assert publisher.stats.connected is False
        assert "unauthorized" in (publisher.stats.last_error or "")
        opened.set()
        assert publisher.flush(PATIENCE)
        assert publisher.stats.connected is True
    assert [event["n"] for event in stranger.posts[-1]] == [0, 1, 2]
    warnings = [record for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == 1 and "unauthorized" in warnings[0].getMessage()
    assert "secret" not in caplog.text


def test_retry_after_is_honoured_except_by_flush() -> None:
    refusals = [600]

    def answer(handler: Handler, events: list[dict[str, Any]]) -> None:
        if refusals:
            refuse(handler, 503, "draining", retry=True, wait=refusals.pop())
        else:
            accept(handler, events)

    with FakeServer(answer) as stranger, Publisher(stranger.url) as publisher:
        publisher.publish({"type": "n"})
        until(lambda: publisher.stats.retries == 1, "the refusal")
        assert publisher.flush(0.0) is False
        assert publisher.flush(PATIENCE)
        assert len(stranger.posts) == 2


def test_a_timeout_is_retried_with_the_same_ids(stalled: str) -> None:
    slow = threading.Event()

    def answer(handler: Handler, events: list[dict[str, Any]]) -> None:
        if len(stranger.posts) == 1:
            slow.wait(PATIENCE)
        accept(handler, events)

    with FakeServer(answer) as stranger, Publisher(stranger.url, timeout=0.2) as publisher:
        publisher.publish({"type": "n", "n": 1})
        assert publisher.flush(PATIENCE)
        slow.set()
        assert all(post == stranger.posts[0] for post in stranger.posts[1:])
        assert publisher.stats.sent == 1
        assert publisher.stats.retries >= 1  # on a busy machine the second response may be late as well
        assert len(stranger.posts) >= 2


def test_closing_while_the_hub_is_stalled(stalled: str, caplog: pytest.LogCaptureFixture) -> None:
    reported: list[tuple[int, str]] = []
    publisher = Publisher(stalled, timeout=1.0, on_dropped=lambda *drop: reported.append(drop))
    for _ in range(3):
        publisher.publish({"type": "transcript", "text": "between you and me"})
    assert publisher.close(0.1) is False
    assert publisher.close() is True  # no further losses
    assert (publisher.stats.dropped, publisher.stats.queued, reported) == (3, 0, [(3, "closed")])
    assert publisher.publish({"type": "late"})
    assert publisher.stats.dropped == 4
    assert publisher._thread is not None
    publisher._thread.join(PATIENCE)  # before it logs into another test
    assert "3 events" in caplog.text and "between you and me" not in caplog.text


def test_close_logs_the_number_of_lost_events_once(stalled: str, caplog: pytest.LogCaptureFixture) -> None:
    """The total over the publisher's whole life, in the log and in `stats`."""
    publisher = Publisher(stalled, max_events=2, timeout=1.0)
    for _ in range(5):
        publisher.publish({"type": "n"})
    assert publisher.close(0.1) is False
    assert publisher.close() is True
    assert publisher._thread is not None
    publisher._thread.join(PATIENCE)
    lines = [record.getMessage() for record in caplog.records if "was closed" in record.getMessage()]
    assert lines == [
        f"The publisher for {stalled} was closed: 5 events never reached the hub (queue_full: 3, closed: 2)."
    ]
    assert publisher.stats.dropped == 5
    caplog.clear()
    with FakeServer(accept) as stranger, Publisher(stranger.url) as delivered:
        delivered.publish({"type": "n"})
        assert delivered.flush(PATIENCE)
    assert "never reached" not in caplog.text


def _gzipped(handler: Handler, _: list[dict[str, Any]]) -> None:
    reply(handler, 200, gzip.compress(OK), Content_Encoding="gzip")


def _until_it_closes(handler: Handler, _: list[dict[str, Any]]) -> None:
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.end_headers()
    handler.wfile.write(OK)
    handler.close_connection = True


def _in_chunks(handler: Handler, _: list[dict[str, Any]]) -> None:
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    for part in (OK[:10], OK[10:], b""):
        handler.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))


@pytest.mark.parametrize("answer", [_gzipped, _until_it_closes, _in_chunks])
def test_responses_transformed_by_a_proxy(answer: Callable[[Handler, list[dict[str, Any]]], None]) -> None:
    with FakeServer(answer) as stranger, Publisher(stranger.url) as publisher:
        for n in range(3):
            publisher.publish({"type": "n", "n": n})
            assert publisher.flush(PATIENCE)
        assert stranger.taken() == [0, 1, 2]


def _odd_location(handler: Handler) -> None:
    reply(handler, 302, b"", Location="http://[bad")


def _hint(handler: Handler) -> None:
    handler.wfile.write(b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n")
    reply(handler, 200, OK)


@pytest.mark.parametrize("oddity", [_odd_location, _hint])
def test_a_malformed_response_is_retried(oddity: Callable[[Handler], None]) -> None:
    """It neither ends the publisher nor shifts the next response to another POST."""
    odd = [oddity]

    def answer(handler: Handler, _: list[dict[str, Any]]) -> None:
        if odd:
            odd.pop()(handler)
        else:
            reply(handler, 200, OK)

    with FakeServer(answer) as stranger, Publisher(stranger.url) as publisher:
        for n in range(3):
            publisher.publish({"type": "n", "n": n})
            assert publisher.flush(PATIENCE)
        assert publisher.stats.dropped == 0
        assert publisher.stats.retries == 1
        assert stranger.taken() == [0, 0, 1, 2]


@pytest.mark.parametrize("url", ["http://[::1]", "http://[2001:db8::1]", "http://localhost", "http://[::1]:5000/hub"])
def test_host_names_and_ipv6_addresses(url: str) -> None:
    with Publisher(url) as publisher:
        plain = publisher._sender._connection._plain
        assert plain is not None
        connection = plain._connection
        assert (connection.host, connection.port) == (urlsplit(url).hostname, urlsplit(url).port or 80)


def test_an_event_that_cannot_be_encoded_is_dropped_counted_and_marked() -> None:
    with FakeServer(lambda handler, _: reply(handler, 200, OK)) as stranger, Publisher(stranger.url) as publisher:
        publisher.put({"type": "n", "n": 0, "text": "half \ud83d, whole \ud83d\ude0e"})
        with pytest.raises(TypeError):
            publisher.put({"type": "n", "n": object()})
        publisher.put({"type": "n", "n": 2})
        publisher.flush(PATIENCE)
        posted = [event for post in stranger.posts for event in post]
        assert [event["type"] for event in posted] == ["n", "events_dropped", "n"]
        assert posted[0]["text"] == "half \ufffd, whole 😎"
        assert posted[1]["reason"] == "invalid"
        assert publisher.stats.dropped == 1
