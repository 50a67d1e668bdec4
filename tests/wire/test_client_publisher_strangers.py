"""A publisher on strange answers."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from event_hub.client import Publisher

from ..hubs import PATIENCE, until
from .strangers import PAGE, Handler, Stranger, refuse, reply


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
    with Stranger(answer) as stranger, Publisher(stranger.url) as publisher:
        for n in range(8):
            publisher.publish({"type": "n", "n": n})
        assert publisher.flush(PATIENCE) is False  # one was dropped
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


def test_a_key_that_is_refused_loses_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """The hub may be put right: the publisher keeps trying, and says so once."""
    opened = threading.Event()

    def answer(handler: Handler, events: list[dict[str, Any]]) -> None:
        if opened.is_set():
            accept(handler, events)
        else:
            refuse(handler, 401, "unauthorized")

    with Stranger(answer) as stranger, Publisher(stranger.url, key="secret") as publisher:
        for n in range(3):
            publisher.publish({"type": "n", "n": n})
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
        assert stranger.posts[0] == stranger.posts[1]
        assert (publisher.stats.sent, publisher.stats.retries) == (1, 1)


def test_closed_before_a_stalled_hub_has_answered(stalled: str, caplog: pytest.LogCaptureFixture) -> None:
    told: list[tuple[int, str]] = []
    publisher = Publisher(stalled, timeout=3.0, on_dropped=lambda *drop: told.append(drop))
    for _ in range(3):
        publisher.publish({"type": "transcript", "text": "between you and me"})
    assert publisher.close(0.1) is False
    assert publisher.close() is True  # nothing more was lost
    assert (publisher.stats.dropped, publisher.stats.queued, told) == (3, 0, [(3, "closed")])
    assert publisher.publish({"type": "late"})
    assert publisher.stats.dropped == 4
    assert "3 events" in caplog.text and "between you and me" not in caplog.text
