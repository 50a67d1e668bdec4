"""A subscription with odd streams."""

from __future__ import annotations

import threading
from contextlib import closing
from typing import Any

import pytest

from event_hub.client import NotAHub, Subscription, Unreachable, subscribe

from ..hubs import PATIENCE, free_port, until
from .fake_servers import OPENED, PAGE, FakeServer, Handler, reply


class Scripted(FakeServer):
    """Sends each connection the next of `streams`. `seen`: the Last-Event-ID of each connection."""

    def __init__(self, *streams: bytes, hold: bool = False) -> None:
        self.seen: list[str | None] = []
        left = list(streams)
        over = threading.Event()
        self.over = over

        def answer(handler: Handler, _: list[dict[str, Any]]) -> None:
            self.seen.append(handler.headers["Last-Event-ID"])
            if not left:
                return reply(handler, 503, PAGE, "text/html")
            handler.send_response(200)
            handler.send_header("Content-Type", "text/event-stream; charset=utf-8")
            handler.end_headers()
            handler.wfile.write(left.pop(0))
            handler.wfile.flush()
            if hold:
                over.wait(PATIENCE)
            handler.close_connection = True
            return None

        super().__init__(answer)

    def __exit__(self, *_: object) -> None:
        self.over.set()
        super().__exit__()


def event(n: int) -> bytes:
    return b'id: e-%d\ndata: {"type":"n","n":%d}\n\n' % (n, n)


def numbers(subscription: Subscription, count: int) -> list[Any]:
    return [next(subscription).event["n"] for _ in range(count)]


def test_an_incomplete_frame_is_ignored_and_resumed() -> None:
    with Scripted(OPENED + event(1) + event(2)[:-4], OPENED + event(2)) as stranger:
        with subscribe(stranger.url) as events:
            assert numbers(events, 2) == [1, 2]
        assert stranger.seen == [None, "e-1"]


def test_a_silent_stream_is_reconnected() -> None:
    states: list[tuple[str, str]] = []
    with Scripted(OPENED + event(1), OPENED + event(2), hold=True) as stranger:
        with subscribe(stranger.url, silence=1.5, on_state=lambda *state: states.append(state)) as events:
            assert numbers(events, 2) == [1, 2]
        assert stranger.seen == [None, "e-1"]
    assert [state for state, _ in states] == ["live", "reconnecting", "live"]
    assert states[1][1] == "no response in time; retrying in 0.0 s"


def test_an_error_page_is_retried_once_the_stream_was_live() -> None:
    with Scripted(OPENED + event(1)) as stranger:
        states: list[str] = []
        with subscribe(stranger.url, on_state=lambda state, detail: states.append(detail)) as events:
            assert numbers(events, 1) == [1]
            thread = threading.Thread(target=lambda: list(events))
            thread.start()
            until(lambda: len(stranger.seen) >= 3, "two retries")
            events.close()
            thread.join(PATIENCE)
            assert not thread.is_alive()
        assert any("status 503, content type text/html" in detail for detail in states)


def test_the_first_connection_is_only_retried_with_always() -> None:
    with pytest.raises(Unreachable):
        next(subscribe(f"http://127.0.0.1:{free_port()}"))
    with Scripted() as stranger, closing(subscribe(stranger.url)) as events, pytest.raises(NotAHub):
        next(events)
    with Scripted() as stranger:
        events = subscribe(stranger.url, reconnect="always")
        thread = threading.Thread(target=lambda: list(events))
        thread.start()
        until(lambda: len(stranger.seen) >= 3, "two retries")
        events.close()
        thread.join(PATIENCE)


def test_without_reconnect_the_iterator_ends_with_the_stream() -> None:
    with Scripted(OPENED + event(1), OPENED + event(2)) as stranger:
        with subscribe(stranger.url, reconnect=False) as events:
            assert [received.event["n"] for received in events] == [1]
        assert len(stranger.seen) == 1
    with Scripted(OPENED + event(1), hold=True) as stranger:
        events = subscribe(stranger.url, reconnect=False, silence=1.5)
        assert numbers(events, 1) == [1]
        with pytest.raises(Unreachable, match="no response in time"):
            next(events)
        events.close()


@pytest.mark.parametrize("frame", [b"data: tick\n\n", b"data: []\n\n", b'data: {"n":1}\n\n', event(1)])
def test_another_event_stream_is_not_a_hub(frame: bytes) -> None:
    with Scripted(frame) as stranger, subscribe(stranger.url) as events, pytest.raises(NotAHub, match="stream"):
        next(events)


def test_close_while_waiting_to_reconnect() -> None:
    with Scripted(OPENED.replace(b"10", b"60000") + event(1)) as stranger:
        waits = threading.Event()
        events = subscribe(stranger.url, on_state=lambda state, _: waits.set() if state == "reconnecting" else None)
        assert numbers(events, 1) == [1]
        thread = threading.Thread(target=lambda: list(events))
        thread.start()
        assert waits.wait(PATIENCE)
        events.close()
        thread.join(PATIENCE)
        assert not thread.is_alive()
        events.close()
