"""One contract, every way of streaming: the taken-over socket and the generator on three servers. The same bytes."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..hubs import SERVERS, HubProcess, until


@pytest.fixture(params=list(SERVERS))
def any_hub(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[HubProcess]:
    database = tmp_path / "hub.db"
    with HubProcess(tmp_path, server=request.param, HUB_HEARTBEAT="1s", HUB_HISTORY=f"sqlite:///{database}") as process:
        yield process


def test_stream_contract(any_hub: HubProcess) -> None:
    """H01 H02 H04 H06 H11 H12 D01 D02 D03 D05 X11: one long look at one stream."""
    hub = any_hub
    assert hub.publish({"type": "test", "n": 0})["clients_notified"] == 0
    began = time.monotonic()
    with hub.stream() as stream:
        assert stream.status == 200
        assert stream.header("content-type") == ["text/event-stream; charset=utf-8"]
        assert stream.header("cache-control") == ["no-cache"]
        assert stream.header("x-accel-buffering") == ["no"]
        assert stream.header("access-control-allow-origin") == ["*"]
        opened = stream.next()
        assert opened["type"] == "stream_opened"
        assert (opened["resumed"], opened["replayed"]) == (False, 0)
        assert opened["cursor"] == opened["_id"]
        assert stream.decoder.retry is not None
        assert 1000 <= stream.decoder.retry <= 2000

        until(lambda: hub.count() == 1, "the subscriber to be counted")
        posted = {
            "type": "whatever:it.is-1",
            "text": 'Grüße 👋\u2028\n"\\',
            "n": 10**30,
            "deep": [{"a": None}],
            "timestamp": 1.5,
        }
        answer = hub.publish(posted)
        assert answer["clients_notified"] == 1
        event = stream.until("whatever:it.is-1")
        assert event.pop("_id") == answer["id"]
        assert event == posted
        assert re.search(rb'\nid: [0-9a-f]{8}-2\ndata: \{"type":"whatever[^\n]+\}\n\n', stream.bytes)
        assert b"event:" not in stream.bytes

        beats = [stream.until("heartbeat"), stream.until("heartbeat"), stream.until("heartbeat")]
        assert time.monotonic() - began > 2  # H01: still open after more than two intervals
        assert {beat["_id"] for beat in beats} == {answer["id"]}
        assert all(abs(beat["timestamp"] - time.time()) < 60 for beat in beats)
    until(lambda: hub.count() == 0, "the subscriber that left not to be counted any more")
    assert hub.publish({"type": "test"})["clients_notified"] == 0

    # Heartbeats are never stored (X11); the rest can be had again, with the same ids and the same bytes.
    with hub.stream("?since=all") as again:
        assert again.next()["replayed"] == 3
        assert [again.next()["type"] for _ in range(3)] == ["test", "whatever:it.is-1", "test"]
        frame = stream.bytes[stream.bytes.index(b"id: " + answer["id"].encode()) :].split(b"\n\n")[0]
        assert frame in again.bytes


def test_resume_races_publishers(any_hub: HubProcess) -> None:
    """D03: whatever is published while a subscriber comes back, it has every event once and in order."""
    hub = any_hub
    first = hub.publish([{"type": "n", "n": n, "room": f"r{n % 2}"} for n in range(2000)])["first_id"]
    published = 2000
    done = threading.Event()

    def publish() -> None:
        nonlocal published
        while not done.is_set():
            hub.publish([{"type": "n", "n": n, "room": f"r{n % 2}"} for n in range(published, published + 10)])
            published += 10

    publisher = threading.Thread(target=publish)
    publisher.start()
    try:
        seen: list[int] = [0]
        last = first
        for _ in range(5):  # come, read a few, leave in the middle of it, come back with the last id
            with hub.stream(last_id=last) as stream:
                assert stream.next()["resumed"] is True
                for _ in range(700):
                    event = stream.until("n")
                    seen.append(event["n"])
                    last = event["_id"]
        with hub.stream("?room=r1", last_id=first) as filtered:
            assert filtered.next()["resumed"] is True
            odd = [filtered.until("n")["n"] for _ in range(1000)]
    finally:
        done.set()
        publisher.join()
    assert seen == list(range(len(seen)))
    assert odd == list(range(1, 2001, 2))


def test_gaps_are_told(any_hub: HubProcess) -> None:
    """D03: a cursor that means nothing here gets one stream_gap, then what there is."""
    hub = any_hub
    ids = [hub.publish({"type": "n", "n": n})["id"] for n in range(3)]
    epoch = ids[0].split("-")[0]
    cases = {
        "zzzz-1": ("unknown_epoch", [0, 1, 2]),
        "hello": ("unknown_cursor", [0, 1, 2]),
        f"{epoch}-99": ("future_cursor", []),
    }
    for last_id, (reason, rest) in cases.items():
        with hub.stream(last_id=last_id) as stream:
            opened, gap = stream.next(), stream.next()
            assert opened["resumed"] is False
            assert gap["type"] == "stream_gap"
            assert (gap["missed"], gap["reason"]) == (None, reason)
            assert gap["_id"] == gap["to"] == opened["cursor"]
            assert [stream.until("n")["n"] for _ in rest] == rest
            until(lambda: hub.count() == 1, "it to be live")
            marker = hub.publish({"type": "n", "n": "live"})["id"]
            until(lambda one=stream, id=marker: one.until("n")["_id"] == id, "what is live")
        until(lambda: hub.count() == 0, "it to have left")
        with hub.stream(last_id=ids[2]) as stream:
            assert stream.next()["resumed"] is True


def test_filters(any_hub: HubProcess) -> None:
    hub = any_hub
    streams = {
        query: hub.stream(query)
        for query in (
            "",
            "?room=a",
            "?room=a&room=b",
            "?type=x*",
            "?session=s1&room=a",
            "?room=*",
            "?type=xy&room=b",
            "?room=",
        )
    }
    for stream in streams.values():
        stream.next()
    hub.wait_count(len(streams))
    wanted = {
        (None, "xy", None): {"", "?type=x*", "?room="},
        ("a", "y", "s1"): {"", "?room=a", "?room=a&room=b", "?session=s1&room=a", "?room=*", "?room="},
        ("b", "xy", None): {"", "?room=a&room=b", "?type=x*", "?room=*", "?type=xy&room=b", "?room="},
        ("c", "z", "s1"): {"", "?room=*", "?room="},
    }
    for (room, kind, session), _ in wanted.items():
        answer = hub.publish({"type": kind, "room": room, "session": session})
        assert answer["clients_notified"] == len(wanted[room, kind, session])
    hub.publish({"type": "xy", "room": "b", "end": True})
    for query, stream in streams.items():
        events = (event for event in stream.events() if event["type"] != "heartbeat")
        got = [next(events) for who in wanted.values() if query in who]
        expected = [key for key, who in wanted.items() if query in who]
        assert [(e["room"], e["type"], e["session"]) for e in got] == expected, query
        stream.close()


ORDERLY = [name for name in SERVERS if name != "werkzeug"]  # its development server has no orderly end


@pytest.mark.parametrize("any_hub", ORDERLY, indirect=True)
def test_drain(any_hub: HubProcess) -> None:
    hub = any_hub
    streams = [hub.stream() for _ in range(20)]
    for stream in streams:
        stream.next()
    hub.wait_count(20)
    answer = hub.publish({"type": "last"})
    assert hub.terminate() == 0
    retries = set()
    for stream in streams:
        events = stream.rest()
        assert [e["type"] for e in events if e["type"] != "heartbeat"] == ["last", "stream_closing"]
        assert events[-1]["_id"] == events[-1]["cursor"] == answer["id"]
        retries.add(stream.decoder.retry)
        stream.close()
    assert len(retries) > 10  # reconnects are spread
