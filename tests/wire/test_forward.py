"""Forwarding to webhooks: every event is delivered, signed and in order, whatever the receiver does (H35)."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from event_hub import __version__

from ..hubs import HubProcess, free_port, until
from .receivers import Receiver, forwards, receiver, settled

Forwarder = Callable[..., HubProcess]


def publish(hub: HubProcess, numbers: range, **more: Any) -> None:
    for start in range(numbers.start, numbers.stop, 500):
        hub.publish([{"type": "n", "n": n, **more} for n in range(start, min(start + 500, numbers.stop))])


@pytest.mark.parametrize("server", ["gunicorn", "gevent", "werkzeug"])
def test_events_are_delivered_as_they_were_broadcast(forwarder: Forwarder, target: Receiver, server: str) -> None:
    """H35: in order, signed, byte for byte as in the stream, over one connection, without delay."""
    hub = forwarder(target.url, server=server).start()
    with hub.stream() as stream:
        stream.next()
        hub.publish({"type": "transcript", "text": "Grüße 👋 \u2028", "role": "user", "n": 10**30})
        until(lambda: target.accepted, "the first event")
        for n in range(50):
            hub.publish({"type": "n", "n": n})
            until(lambda n=n: len(target.accepted) == n + 2, "the event")
        for delivery, frame in zip(target.deliveries, stream_frames(stream, 51), strict=True):
            assert f'{{"id":"{frame[0]}","event":{frame[1]}}}'.encode() in delivery.body
            body = json.loads(delivery.body)
            assert (body["type"], body["data"]["cursor"]) == ("events", frame[0])
            assert body["timestamp"].endswith("Z")
            assert delivery.headers["content-type"] == "application/json"
            assert delivery.headers["user-agent"] == f"livekit-event-hub/{__version__}"
    assert target.connections == 1
    assert len({delivery.id for delivery in target.deliveries}) == 51
    settled(hub)
    found = hub.metrics()
    assert found[f"hub_forwarded_events_total{{{target.url}}}"] == 51
    assert found[f"hub_forward_failures_total{{{target.url}}}"] == found[f"hub_forward_lag_events{{{target.url}}}"] == 0
    assert f"  forward  {target.url}\n" in hub.output() or server == "werkzeug"


def stream_frames(stream: Any, count: int) -> list[tuple[str, str]]:
    """Id and JSON of the next events, exactly as streamed."""
    while len(stream.pending) < count:
        stream.read()
    return [(message.id, message.data) for message in stream.pending[:count]]


def test_the_connection_is_reused_after_any_kind_of_answer(forwarder: Forwarder, target: Receiver) -> None:
    """The body of an answer is read and discarded."""
    hub = forwarder(target.url).start()
    target.answers = [200, "chunked", 204, 202, "chunked", 200]
    for n in range(8):
        hub.publish({"type": "n", "n": n})
        target.wait(list(range(n + 1)))
    assert target.connections == 1


def test_waiting_events_are_sent_in_batches(forwarder: Forwarder, target: Receiver) -> None:
    hub = forwarder(f"{target.url}#batch=40").start()
    target.delay = 0.3
    hub.publish({"type": "n", "n": 0})
    until(lambda: target.connections, "the first delivery to be under way")
    publish(hub, range(1, 101))
    target.delay = 0.0
    target.wait(list(range(101)))
    assert [len(delivery.events) for delivery in target.deliveries][-1] == 20
    assert max(len(delivery.events) for delivery in target.deliveries) == 40


def test_a_body_has_a_bounded_size(forwarder: Forwarder, target: Receiver) -> None:
    """About 256 KiB; a larger event is sent by itself."""
    hub = forwarder(f"{target.url}#batch=1000", HUB_MAX_EVENT="400KiB").start()
    target.answers = [500]
    hub.publish([{"type": "n", "n": n, "pad": "x" * (300_000 if n == 7 else 40_000)} for n in range(20)])
    target.wait(list(range(20)))
    assert max(len(d.body) for d in target.deliveries if len(d.events) > 1) < 270_000
    assert [d.events[0]["n"] for d in target.deliveries if len(d.body) > 280_000] == [7]


REDIRECT = (301, {"Location": "https://elsewhere.example/hook?token=hush"})


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (500, "it answers 500 Internal Server Error"),
        (404, "it answers 404 Not Found"),
        (799, "it answers 799"),
        ("close", "the connection was lost"),
        ("reset", "connection reset by peer"),
        (REDIRECT, "it answers 301, a redirect to https://elsewhere.example, which is not followed"),
        ((429, {"Retry-After": "2"}), "it answers 429 Too Many Requests"),
        ((503, {"Retry-After": "Sat, 21 Nov 2099 17:00:00 GMT"}), "it answers 503"),
        (413, "it answers 413"),
    ],
    ids=str,
)
def test_failed_deliveries_are_retried_until_they_succeed(
    forwarder: Forwarder, target: Receiver, answer: Any, message: str
) -> None:
    """Retries carry the same webhook-id and body, no event is skipped, and the log reports the failure and the recovery once."""
    hub = forwarder(target.url).start()
    publish(hub, range(1))
    target.wait([0])
    target.default_answer = answer
    hub.publish({"type": "n", "n": 1})
    until(lambda: forwards(hub)[0]["state"] == "retrying", "it to fail")
    (state,) = forwards(hub)
    assert message in state["error"]
    assert state["lag"] == 1
    assert hub.get("/api/health")["status"] == "ok"
    if isinstance(answer, tuple) and answer[0] == 503:
        assert 3000 < state["retry_at"] - time.time() <= 3600  # capped at an hour
        return
    publish(hub, range(2, 300))
    until(lambda: len(target.deliveries) > 3, "more attempts")
    target.default_answer = 204
    target.wait(list(range(300)))
    settled(hub)
    tries = [delivery for delivery in target.deliveries[1:] if delivery.status != 204 or delivery.events[-1]["n"] == 1]
    assert len({delivery.id for delivery in tries}) == 1
    assert len({delivery.body for delivery in tries}) == 1
    # The hub waits at least 0.25 s, or two seconds; its timers count from when its event loop last read the clock.
    assert all(b.at - a.at > 0.1 for a, b in itertools.pairwise(tries[1:]))
    if answer == (429, {"Retry-After": "2"}):
        assert all(b.at - a.at > 1.2 for a, b in itertools.pairwise(tries))
    log = hub.output()
    assert log.count(f"forwarding to {target.url} fails: ") == log.count(f"forwarding to {target.url} works again") == 1
    assert "Traceback" not in log
    assert "hush" not in log
    # A reused connection may have been closed in the meantime, so the first such attempt does not count as a failure.
    at_once = answer in ("close", "reset")
    assert hub.metrics()[f"hub_forward_failures_total{{{target.url}}}"] == len(tries) - 1 - at_once


def test_too_large_batches_are_halved_until_they_fit(forwarder: Forwarder, target: Receiver) -> None:
    """After a 413 the hub retries at once with half the batch, and does not report a failure."""
    hub = forwarder(target.url).start()
    target.max_body = 3000
    target.answers = [500]
    hub.publish({"type": "n", "n": 0})
    publish(hub, range(1, 200), pad="x" * 100)
    target.wait(list(range(200)))
    assert any(delivery.status == 413 for delivery in target.deliveries)
    # Not just "413": a port may contain it.
    assert "413 Request Entity Too Large" not in hub.output()
    assert hub.output().count(" fails: ") == 1


def test_a_410_stops_the_target_until_the_hub_restarts(forwarder: Forwarder, target: Receiver) -> None:
    """After the restart, no event is missing."""
    hub = forwarder(target.url).start()
    target.answers = [410]
    hub.publish({"type": "n", "n": 0})
    until(lambda: forwards(hub)[0]["state"] == "stopped", "it to stop")
    assert "410 Gone" in forwards(hub)[0]["error"]
    publish(hub, range(1, 5))
    assert forwards(hub)[0]["lag"] == 5
    assert hub.output().count("has stopped: it answers 410 Gone") == 1
    hub.stop()
    assert len(target.deliveries) == 1
    hub.start()
    target.wait(list(range(5)))


def test_events_wait_for_a_receiver_that_is_not_up_yet(forwarder: Forwarder) -> None:
    """The checkpoint exists from the first start on, so events published while the receiver is down are delivered once it
    is up, even if the hub restarts meanwhile."""
    port = free_port()
    hub = forwarder(f"http://127.0.0.1:{port}/hook").start()
    publish(hub, range(10))
    until(lambda: forwards(hub)[0]["state"] == "retrying", "it to fail")
    assert "refused" in forwards(hub)[0]["error"]
    hub.stop()
    hub.start()
    publish(hub, range(10, 20))
    hub.kill()
    with receiver(port) as target:
        hub.start()
        target.wait(list(range(20)))


def test_the_checkpoint_moves_past_events_that_the_filter_excludes(
    forwarder: Forwarder, target: Receiver, tmp_path: Path
) -> None:
    """Targets take the stream's filters, and the next hub resumes from the checkpoint."""
    hub = forwarder(f"{target.url}#type=agent_*&type=transcript&room=support-*").start()
    assert forwards(hub)[0]["filter"] == {"room": ["support-*"], "type": ["agent_*", "transcript"]}
    hub.publish([
        {"type": "transcript", "text": "", "role": "user", "room": "support-1", "n": 0},
        {"type": "transcript", "text": "", "role": "user", "room": "sales", "n": 1},
        {"type": "agent_custom", "room": "support-2", "n": 2},
        {"type": "other", "room": "support-2", "n": 3},
    ])  # fmt: skip
    target.wait([0, 2])
    for start in range(4, 12_004, 4000):
        publish(hub, range(start, start + 4000))
    settled(hub)
    cursor = hub.get("/api/health")["cursor"]
    hub.stop()
    (checkpoint,) = (tmp_path / "forward").glob("*.json")
    assert json.loads(checkpoint.read_text())["cursor"] == cursor
    hub.environ["HUB_FORWARD"] = target.url  # other options, same checkpoint
    hub.start()
    hub.publish({"type": "n", "n": -1})
    target.wait([0, 2, -1])


def test_since_all_applies_only_to_a_new_target(forwarder: Forwarder, target: Receiver) -> None:
    """A new target starts with the next event, or with the oldest one if it has since=all."""
    hub = forwarder("").start()
    publish(hub, range(5))
    hub.stop()
    with receiver() as other:
        hub.environ["HUB_FORWARD"] = f"{target.url}#since=all {other.url}"
        for round in range(3):
            hub.start()
            hub.publish({"type": "n", "n": 5 + round})
            target.wait(list(range(6 + round)))
            other.wait(list(range(5, 6 + round)))
            settled(hub)
            hub.stop()


def test_events_deleted_by_retention_are_reported_as_a_gap(forwarder: Forwarder, target: Receiver) -> None:
    """A stream_gap gives their number and the remaining events follow, even if they were deleted across a restart."""
    hub = forwarder(target.url, f"{target.url}/filtered#type=n", HUB_RETENTION="200KB").start()
    hub.publish({"type": "n", "n": 0})
    until(lambda: target.numbers == [0, 0], "both targets to have the first event")
    target.default_answer = 500
    for start in range(1, 4001, 500):
        publish(hub, range(start, start + 500), pad="x" * 200)
    hub.stop()
    hub.start()
    until(lambda: hub.get("/api/health")["history"]["events"] < 2000, "retention")
    target.default_answer = 204
    until(lambda: target.numbers.count(4000) == 2, "both targets to have the newest event")
    expected, missed = 0, 0
    for event in accepted_at(target, "/hook"):
        if event["type"] == "stream_gap":
            assert (event["reason"], event["to"]) == ("retention", event["_id"])
            assert event["from"].endswith(f"-{expected}")
            missed += event["missed"]
            expected += event["missed"]
        else:
            assert event["n"] == expected
            expected += 1
    assert expected == 4001
    assert missed > 1000
    filtered = [event.get("missed", "n") for event in accepted_at(target, "/hook/filtered")]
    assert None in filtered  # the hub cannot know how many of the deleted events matched the filter
    assert [delivery.id.startswith("msg_gap_") for delivery in target.deliveries] == [
        delivery.events[0]["type"] == "stream_gap" for delivery in target.deliveries
    ]
    settled(hub)
    assert hub.metrics()[f"hub_forward_missed_events_total{{{target.url}}}"] <= missed


def accepted_at(target: Receiver, path: str) -> list[dict[str, Any]]:
    return [
        event
        for delivery in target.deliveries
        if delivery.path == path and delivery.status == 204
        for event in delivery.events
    ]


def test_a_lost_history_is_reported_as_a_gap(forwarder: Forwarder, target: Receiver) -> None:
    hub = forwarder(target.url, HUB_HISTORY="memory:").start()
    hub.publish({"type": "n", "n": 0})
    target.wait([0])
    settled(hub)
    hub.stop()
    hub.start()
    hub.publish({"type": "n", "n": 1})
    target.wait([0, "stream_gap", 1])
    gap = target.accepted[1]
    assert (gap["missed"], gap["reason"], gap["from"]) == (None, "unknown_epoch", target.accepted[0]["_id"])


def test_after_an_unreadable_checkpoint_everything_is_sent_again(
    forwarder: Forwarder, target: Receiver, tmp_path: Path
) -> None:
    """A gap precedes it: events delivered twice are better than events lost."""
    hub = forwarder(target.url).start()
    publish(hub, range(3))
    target.wait([0, 1, 2])
    settled(hub)
    hub.stop()
    (checkpoint,) = (tmp_path / "forward").glob("*.json")
    checkpoint.write_bytes(b'{"cursor": \0')
    hub.start()
    target.wait([0, 1, 2, "stream_gap", 0, 1, 2])
    assert "is not a checkpoint" in hub.output()


def test_dead_targets_affect_neither_the_others_nor_the_hub(
    forwarder: Forwarder, target: Receiver, stalled: str
) -> None:
    """One target stalls, one refuses connections, one has an unknown host name: the publisher, a subscriber and the working
    target do not notice, and the hub shuts down in time."""
    dead = f"http://127.0.0.1:{free_port()}/"
    hub = forwarder(stalled, dead, "http://unknown.invalid/", target.url).start()
    with hub.stream() as stream:
        stream.next()
        hub.publish({"type": "n", "n": 0})
        until(lambda: [forward["state"] for forward in forwards(hub)[1:3]] == ["retrying"] * 2, "two to fail")
        for n in range(1, 100):
            began = time.monotonic()
            hub.publish({"type": "n", "n": n})
            assert stream.until("n")["n"] == n - 1
            assert time.monotonic() - began < 10  # waiting for the stalled target would take 15 s
        target.wait(list(range(100)))
        # The state of the stalled target depends on whether its 15 s have passed, so it is left out.
        assert [forward["state"] for forward in forwards(hub)[1:]] == ["retrying", "retrying", "ok"]
        assert "its host name cannot be resolved" in forwards(hub)[2]["error"]
        began = time.monotonic()
        assert hub.terminate() == 0
        assert time.monotonic() - began < 15
