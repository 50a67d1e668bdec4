"""A publisher on strange answers."""

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
from .strangers import OK, PAGE, Handler, Stranger, refuse, reply


def accept(handler: Handler, events: list[dict[str, Any]]) -> None:
    answer = {"accepted": len(events), "duplicates": 0, "clients_notified": 0, "first_id": None, "last_id": None}
    reply(handler, 200, json.dumps(answer).encode())


def test_a_proxys_limit_on_bodies_splits_the_batch() -> None:
    """413 without a word about which event, as nginx says it."""

    def answer(handler: Handler, events: list[dict[str, Any]]) -> None:
        if len(events) > 2 or any(event.get("n") == 3 for event in events):
            reply(handler, 413, PAGE, "text/html")
        else:
            kept.extend(events)
            accept(handler, events)

    kept: list[dict[str, Any]] = []
    with Stranger(answer) as stranger, Publisher(stranger.url, linger=60) as publisher:
        for n in range(8):
            publisher.publish({"type": "n", "n": n})
        assert publisher.flush(PATIENCE) is False  # one was dropped, and not before we began to wait
    assert [event.get("n", event.get("reason")) for event in kept] == [0, 1, 2, "too_large", 4, 5, 6, 7]
    assert publisher.stats.dropped == 1


@pytest.mark.parametrize("status", [403, 500, 0])
def test_an_event_that_something_on_the_way_does_not_like_does_not_block_the_queue(
    status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A firewall's page, a crash, a connection that breaks, without an index: but an empty POST goes through."""
    monkeypatch.setattr("event_hub.client.sender._FIRST", 0.01)

    def answer(handler: Handler, events: list[dict[str, Any]]) -> None:
        if not any(event.get("text") == "<script>" for event in events):
            kept.extend(events)
            accept(handler, events)
        elif status:
            reply(handler, status, PAGE, "text/html")
        else:
            handler.close_connection = True

    kept: list[dict[str, Any]] = []
    told: list[tuple[int, str]] = []
    with Stranger(answer) as stranger, Publisher(stranger.url, on_dropped=lambda *drop: told.append(drop)) as publisher:
        for text in ("a", "<script>", "b"):
            publisher.publish({"type": "transcript", "text": text})
        publisher.flush(PATIENCE)
    assert [event.get("text", event.get("reason")) for event in kept] == ["a", "refused", "b"]
    assert told == [(1, "refused")]
    assert (publisher.stats.refused, publisher.stats.sent) == (1, 2)


def test_a_key_that_is_refused_loses_nothing(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub may be put right: the publisher keeps trying, and says so once."""
    monkeypatch.setattr("event_hub.client.sender._FIRST", 0.01)
    opened = threading.Event()

    def answer(handler: Handler, events: list[dict[str, Any]]) -> None:
        if opened.is_set():
            accept(handler, events)
        else:
            refuse(handler, 401, "unauthorized")

    with Stranger(answer) as stranger, Publisher(stranger.url, key="secret", linger=60) as publisher:
        for n in range(3):
            publisher.publish({"type": "n", "n": n})
        assert publisher.flush(0) is False  # now, and all three together
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


def test_retry_after_is_honoured_and_flush_does_not_wait_for_it() -> None:
    refusals = [600]

    def answer(handler: Handler, events: list[dict[str, Any]]) -> None:
        if refusals:
            refuse(handler, 503, "draining", retry=True, wait=refusals.pop())
        else:
            accept(handler, events)

    with Stranger(answer) as stranger, Publisher(stranger.url) as publisher:
        publisher.publish({"type": "n"})
        until(lambda: publisher.stats.retries == 1, "the refusal")
        assert publisher.flush(0.0) is False
        assert publisher.flush(PATIENCE)
        assert len(stranger.posts) == 2


def test_a_timeout_is_tried_again_with_the_same_ids(stalled: str) -> None:
    slow = threading.Event()

    def answer(handler: Handler, events: list[dict[str, Any]]) -> None:
        if len(stranger.posts) == 1:
            slow.wait(PATIENCE)
        accept(handler, events)

    with Stranger(answer) as stranger, Publisher(stranger.url, timeout=0.2) as publisher:
        publisher.publish({"type": "n", "n": 1})
        assert publisher.flush(PATIENCE)
        slow.set()
        assert all(post == stranger.posts[0] for post in stranger.posts[1:])
        assert publisher.stats.sent == 1
        assert publisher.stats.retries >= 1  # on a busy machine the second answer may be late as well
        assert len(stranger.posts) >= 2


def test_closed_before_a_stalled_hub_has_answered(stalled: str, caplog: pytest.LogCaptureFixture) -> None:
    told: list[tuple[int, str]] = []
    publisher = Publisher(stalled, timeout=1.0, on_dropped=lambda *drop: told.append(drop))
    for _ in range(3):
        publisher.publish({"type": "transcript", "text": "between you and me"})
    assert publisher.close(0.1) is False
    assert publisher.close() is True  # nothing more was lost
    assert (publisher.stats.dropped, publisher.stats.queued, told) == (3, 0, [(3, "closed")])
    assert publisher.publish({"type": "late"})
    assert publisher.stats.dropped == 4
    assert publisher._thread is not None
    publisher._thread.join(PATIENCE)  # its last words are not to be in another test's log
    assert "3 events" in caplog.text and "between you and me" not in caplog.text


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
def test_answers_that_a_proxy_may_make_of_a_hubs(answer: Callable[[Handler, list[dict[str, Any]]], None]) -> None:
    with Stranger(answer) as stranger, Publisher(stranger.url) as publisher:
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
def test_an_answer_that_makes_no_sense_is_a_try_that_failed(oddity: Callable[[Handler], None]) -> None:
    """… and not the end of the publisher; nor is the next answer taken for another POST's."""
    odd = [oddity]

    def answer(handler: Handler, _: list[dict[str, Any]]) -> None:
        if odd:
            odd.pop()(handler)
        else:
            reply(handler, 200, OK)

    with Stranger(answer) as stranger, Publisher(stranger.url) as publisher:
        for n in range(3):
            publisher.publish({"type": "n", "n": n})
            assert publisher.flush(PATIENCE)
        assert publisher.stats.dropped == 0
        assert publisher.stats.retries == 1
        assert stranger.taken() == [0, 0, 1, 2]


@pytest.mark.parametrize("url", ["http://[::1]", "http://[2001:db8::1]", "http://localhost", "http://[::1]:5000/hub"])
def test_addresses_of_every_kind_are_taken(url: str) -> None:
    with Publisher(url) as publisher:
        light = publisher._sender._connection._light
        assert light is not None
        connection = light._connection
        assert (connection.host, connection.port) == (urlsplit(url).hostname, urlsplit(url).port or 80)


def test_what_cannot_be_written_is_dropped_counted_and_marked() -> None:
    with Stranger(lambda handler, _: reply(handler, 200, OK)) as stranger, Publisher(stranger.url) as publisher:
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
