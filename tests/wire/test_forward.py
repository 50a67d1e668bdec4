"""Forwarding to webhook receivers: signed, in order, complete, whatever the receiver does (H35)."""

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
from .test_operations import metrics

Forwarder = Callable[..., HubProcess]


def publish(hub: HubProcess, numbers: range, **more: Any) -> None:
    for start in range(numbers.start, numbers.stop, 500):
        hub.publish([{"type": "n", "n": n, **more} for n in range(start, min(start + 500, numbers.stop))])


@pytest.mark.parametrize("server", ["gunicorn", "gevent", "werkzeug"])
def test_every_event_as_it_was_broadcast(forwarder: Forwarder, there: Receiver, server: str) -> None:
    """H35: in order, signed, byte for byte what the stream has, over one connection; at once."""
    hub = forwarder(there.url, server=server).start()
    with hub.stream() as stream:
        stream.next()
        hub.publish({"type": "transcript", "text": "Grüße 👋 \u2028", "role": "user", "n": 10**30})
        until(lambda: there.taken, "the first one")
        for n in range(50):
            hub.publish({"type": "n", "n": n})
            until(lambda n=n: len(there.taken) == n + 2, "it")
        for delivery, frame in zip(there.deliveries, stream_frames(stream, 51), strict=True):
            assert f'{{"id":"{frame[0]}","event":{frame[1]}}}'.encode() in delivery.body
            body = json.loads(delivery.body)
            assert (body["type"], body["data"]["cursor"]) == ("events", frame[0])
            assert body["timestamp"].endswith("Z")
            assert delivery.headers["content-type"] == "application/json"
            assert delivery.headers["user-agent"] == f"livekit-event-hub/{__version__}"
    assert there.connections == 1
    assert len({delivery.id for delivery in there.deliveries}) == 51
    settled(hub)
    found = metrics(hub)
    assert found[f"hub_forwarded_events_total{{{there.url}}}"] == 51
    assert found[f"hub_forward_failures_total{{{there.url}}}"] == found[f"hub_forward_lag_events{{{there.url}}}"] == 0
    assert f"  forward  {there.url}\n" in hub.output() or server == "werkzeug"


def stream_frames(stream: Any, count: int) -> list[tuple[str, str]]:
    """Id and JSON of the next events, as they stand in the stream."""
    while len(stream.pending) < count:
        stream.read()
    return [(message.id, message.data) for message in stream.pending[:count]]


def test_one_connection_whatever_the_answer_says(forwarder: Forwarder, there: Receiver) -> None:
    """A body of an answer is read and thrown away."""
    hub = forwarder(there.url).start()
    there.answers = [200, "chunked", 204, 202, "chunked", 200]
    for n in range(8):
        hub.publish({"type": "n", "n": n})
        there.wait(list(range(n + 1)))
    assert there.connections == 1


def test_what_piles_up_goes_together(forwarder: Forwarder, there: Receiver) -> None:
    hub = forwarder(f"{there.url}#batch=40").start()
    there.slow = 0.3
    hub.publish({"type": "n", "n": 0})
    until(lambda: there.connections, "the first one to be on its way")
    publish(hub, range(1, 101))
    there.slow = 0.0
    there.wait(list(range(101)))
    assert [len(delivery.events) for delivery in there.deliveries][-1] == 20
    assert max(len(delivery.events) for delivery in there.deliveries) == 40


def test_a_body_has_a_bounded_size(forwarder: Forwarder, there: Receiver) -> None:
    """About 256 KiB; one event that has more goes alone."""
    hub = forwarder(f"{there.url}#batch=1000", HUB_MAX_EVENT="400KiB").start()
    there.answers = [500]
    hub.publish([{"type": "n", "n": n, "pad": "x" * (300_000 if n == 7 else 40_000)} for n in range(20)])
    there.wait(list(range(20)))
    assert max(len(d.body) for d in there.deliveries if len(d.events) > 1) < 270_000
    assert [d.events[0]["n"] for d in there.deliveries if len(d.body) > 280_000] == [7]


REDIRECT = (301, {"Location": "https://elsewhere.example/hook?token=hush"})


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (500, "it answers 500 Internal Server Error"),
        (404, "it answers 404 Not Found"),
        (799, "it answers 799"),
        ("close", "the connection broke off"),
        ("reset", "connection reset by peer"),
        (REDIRECT, "it answers 301, a redirect to https://elsewhere.example, which is not followed"),
        ((429, {"Retry-After": "2"}), "it answers 429 Too Many Requests"),
        ((503, {"Retry-After": "Sat, 21 Nov 2099 17:00:00 GMT"}), "it answers 503"),
        (413, "it answers 413"),
    ],
    ids=str,
)
def test_a_receiver_that_does_not_take_it(forwarder: Forwarder, there: Receiver, answer: Any, said: str) -> None:
    """Told once, tried again with the same webhook-id, nothing left out, and told when it is well again."""
    hub = forwarder(there.url).start()
    publish(hub, range(1))
    there.wait([0])
    there.always = answer
    hub.publish({"type": "n", "n": 1})
    until(lambda: forwards(hub)[0]["state"] == "retrying", "it to fail")
    (state,) = forwards(hub)
    assert said in state["error"]
    assert state["lag"] == 1
    assert hub.get("/api/health")["status"] == "ok"
    if isinstance(answer, tuple) and answer[0] == 503:
        assert 3000 < state["retry_at"] - time.time() <= 3600  # an hour, and no century
        return
    publish(hub, range(2, 300))
    until(lambda: len(there.deliveries) > 3, "more tries")
    there.always = 204
    there.wait(list(range(300)))
    settled(hub)
    tries = [delivery for delivery in there.deliveries[1:] if delivery.status != 204 or delivery.events[-1]["n"] == 1]
    assert len({delivery.id for delivery in tries}) == 1
    assert len({delivery.body for delivery in tries}) == 1
    # The hub waits 0.25 s at the least, or two; its timers count from when its loop last looked at the clock.
    assert all(b.at - a.at > 0.1 for a, b in itertools.pairwise(tries[1:]))
    if answer == (429, {"Retry-After": "2"}):
        assert all(b.at - a.at > 1.2 for a, b in itertools.pairwise(tries))
    log = hub.output()
    assert log.count(f"forwarding to {there.url} fails: ") == log.count(f"forwarding to {there.url} works again") == 1
    assert "Traceback" not in log
    assert "hush" not in log
    at_once = answer in ("close", "reset")  # a connection that was open may just have been closed: that is no failure
    assert metrics(hub)[f"hub_forward_failures_total{{{there.url}}}"] == len(tries) - 1 - at_once


def test_a_receiver_that_wants_less(forwarder: Forwarder, there: Receiver) -> None:
    """413 halves the batch, at once and as often as it takes."""
    hub = forwarder(there.url).start()
    there.largest = 3000
    there.answers = [500]
    hub.publish({"type": "n", "n": 0})
    publish(hub, range(1, 200), pad="x" * 100)
    there.wait(list(range(200)))
    assert any(delivery.status == 413 for delivery in there.deliveries)
    assert "413" not in hub.output()


def test_a_receiver_that_is_gone(forwarder: Forwarder, there: Receiver) -> None:
    """410 stops this target until the hub restarts; then nothing is missing."""
    hub = forwarder(there.url).start()
    there.answers = [410]
    hub.publish({"type": "n", "n": 0})
    until(lambda: forwards(hub)[0]["state"] == "stopped", "it to stop")
    assert "410 Gone" in forwards(hub)[0]["error"]
    publish(hub, range(1, 5))
    assert forwards(hub)[0]["lag"] == 5
    assert hub.output().count("has stopped: it answers 410 Gone") == 1
    hub.stop()
    assert len(there.deliveries) == 1
    hub.start()
    there.wait(list(range(5)))


def test_a_receiver_that_is_not_there_yet(forwarder: Forwarder) -> None:
    """The place is there from the first start on: what comes while the receiver is down arrives when it is up, through
    restarts of the hub."""
    port = free_port()
    hub = forwarder(f"http://127.0.0.1:{port}/hook").start()
    publish(hub, range(10))
    until(lambda: forwards(hub)[0]["state"] == "retrying", "it to fail")
    assert "refused" in forwards(hub)[0]["error"]
    hub.stop()
    hub.start()
    publish(hub, range(10, 20))
    hub.kill()
    with receiver(port) as there:
        hub.start()
        there.wait(list(range(20)))


def test_filters_and_places(forwarder: Forwarder, there: Receiver, tmp_path: Path) -> None:
    """The stream's filters; a place moves on where nothing is wanted, and the next hub goes on from there."""
    hub = forwarder(f"{there.url}#type=agent_*&type=transcript&room=support-*").start()
    hub.publish([
        {"type": "transcript", "text": "", "role": "user", "room": "support-1", "n": 0},
        {"type": "transcript", "text": "", "role": "user", "room": "sales", "n": 1},
        {"type": "agent_custom", "room": "support-2", "n": 2},
        {"type": "other", "room": "support-2", "n": 3},
    ])  # fmt: skip
    there.wait([0, 2])
    for start in range(4, 12_004, 4000):
        publish(hub, range(start, start + 4000))
    settled(hub)
    cursor = hub.get("/api/health")["cursor"]
    hub.stop()
    (place,) = (tmp_path / "forward").glob("*.json")
    assert json.loads(place.read_text())["cursor"] == cursor
    hub.environ["HUB_FORWARD"] = there.url  # other options, the same place
    hub.start()
    hub.publish({"type": "n", "n": -1})
    there.wait([0, 2, -1])


def test_from_now_on_or_from_the_beginning(forwarder: Forwarder, there: Receiver) -> None:
    """Without since=all a new target begins with what comes next; with it, with the oldest event. Only the first time."""
    hub = forwarder("").start()
    publish(hub, range(5))
    hub.stop()
    with receiver() as other:
        hub.environ["HUB_FORWARD"] = f"{there.url}#since=all {other.url}"
        for round in range(3):
            hub.start()
            hub.publish({"type": "n", "n": 5 + round})
            there.wait(list(range(6 + round)))
            other.wait(list(range(5, 6 + round)))
            settled(hub)
            hub.stop()


def test_what_retention_has_given_up_is_told(forwarder: Forwarder, there: Receiver) -> None:
    """In its place comes a stream_gap with how many there were, and then what there is; also while the hub is away."""
    hub = forwarder(there.url, f"{there.url}/filtered#type=n", HUB_RETENTION="200KB").start()
    hub.publish({"type": "n", "n": 0})
    until(lambda: there.numbers == [0, 0], "both to have the first one")
    there.always = 500
    for start in range(1, 4001, 500):
        publish(hub, range(start, start + 500), pad="x" * 200)
    hub.stop()
    hub.start()
    until(lambda: hub.get("/api/health")["history"]["events"] < 2000, "retention")
    there.always = 204
    until(lambda: there.numbers.count(4000) == 2, "the newest one, twice")
    expected, missed = 0, 0
    for event in taken_at(there, "/hook"):
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
    filtered = [event.get("missed", "n") for event in taken_at(there, "/hook/filtered")]
    assert None in filtered  # how many of those that are gone were wanted is not known
    assert [delivery.id.startswith("msg_gap_") for delivery in there.deliveries] == [
        delivery.events[0]["type"] == "stream_gap" for delivery in there.deliveries
    ]
    settled(hub)
    assert metrics(hub)[f"hub_forward_missed_events_total{{{there.url}}}"] <= missed


def taken_at(there: Receiver, path: str) -> list[dict[str, Any]]:
    return [event for one in there.deliveries if one.path == path and one.status == 204 for event in one.events]


def test_a_history_that_is_gone_is_told(forwarder: Forwarder, there: Receiver) -> None:
    hub = forwarder(there.url, HUB_HISTORY="memory:").start()
    hub.publish({"type": "n", "n": 0})
    there.wait([0])
    settled(hub)
    hub.stop()
    hub.start()
    hub.publish({"type": "n", "n": 1})
    there.wait([0, "stream_gap", 1])
    gap = there.taken[1]
    assert (gap["missed"], gap["reason"], gap["from"]) == (None, "unknown_epoch", there.taken[0]["_id"])


def test_a_place_that_makes_no_sense(forwarder: Forwarder, there: Receiver, tmp_path: Path) -> None:
    """All that there is comes again, behind a gap that says so: too much is better than too little."""
    hub = forwarder(there.url).start()
    publish(hub, range(3))
    there.wait([0, 1, 2])
    settled(hub)
    hub.stop()
    (place,) = (tmp_path / "forward").glob("*.json")
    place.write_bytes(b'{"cursor": \0')
    hub.start()
    there.wait([0, 1, 2, "stream_gap", 0, 1, 2])
    assert "is no place of a target" in hub.output()


def test_one_that_is_dead_costs_the_others_nothing(forwarder: Forwarder, there: Receiver, stalled: str) -> None:
    """One that stalls, one that refuses, one whose name nobody knows: the publisher, a subscriber and the one that works
    do not notice, and the hub ends in time."""
    dead = f"http://127.0.0.1:{free_port()}/"
    hub = forwarder(stalled, dead, "http://nobody.invalid/", there.url).start()
    with hub.stream() as stream:
        stream.next()
        hub.publish({"type": "n", "n": 0})
        until(lambda: [one["state"] for one in forwards(hub)[1:3]] == ["retrying"] * 2, "two to fail")
        for n in range(1, 100):
            began = time.monotonic()
            hub.publish({"type": "n", "n": n})
            assert stream.until("n")["n"] == n - 1
            assert time.monotonic() - began < 10  # whoever waited for the one that stalls would wait 15 s
        there.wait(list(range(100)))
        # The first one stalls: whether its 15 s are over by now is not what counts here.
        assert [one["state"] for one in forwards(hub)[1:]] == ["retrying", "retrying", "ok"]
        assert "the name of its host is not known" in forwards(hub)[2]["error"]
        began = time.monotonic()
        assert hub.terminate() == 0
        assert time.monotonic() - began < 15
