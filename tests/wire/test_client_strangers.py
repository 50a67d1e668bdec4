"""What is no hub, or a hub that cannot be made to behave like this: the client on strange answers."""

from __future__ import annotations

import http.server
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest

from event_hub.client import Hub, NotAHub, Publisher, Refused, Subscription, Unreachable, subscribe

from ..hubs import PATIENCE, free_port, until

Handler = http.server.BaseHTTPRequestHandler
OK = b'{"status":"ok","accepted":1,"duplicates":0,"clients_notified":0,"first_id":"e-1","last_id":"e-1"}'
CONFIG = b'{"epoch":"e","heartbeat":15,"limits":{"event":65536,"body":8388608,"batch":10000}}'
OPENED = b'retry: 10\nid: e-0\ndata: {"type":"stream_opened","cursor":"e-0"}\n\n'
PAGE = b"<!doctype html><title>Welcome to the printer</title>"


def reply(handler: Handler, status: int, body: bytes, kind: str = "application/json", **headers: str) -> None:
    handler.send_response(status)
    handler.send_header("Content-Type", kind)
    handler.send_header("Content-Length", str(len(body)))
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


def refuse(handler: Handler, status: int, code: str, **more: Any) -> None:
    headers = {"Retry_After": str(more.pop("wait"))} if "wait" in more else {}
    problem = {"code": code, "detail": f"this is {code}", "advice": "Do better.", "status": status, **more}
    reply(handler, status, json.dumps(problem).encode(), "application/problem+json", **headers)


class Stranger:
    """A server of our own: `answer` is called with each request and the events in its body."""

    def __init__(self, answer: Callable[[Handler, list[dict[str, Any]]], None]) -> None:
        self.posts: list[list[dict[str, Any]]] = []
        stranger = self

        class Answer(Handler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                if self.path == "/api/config" and not self.server.bare:  # type: ignore[attr-defined]
                    reply(self, 200, CONFIG)
                else:
                    answer(self, [])

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                events = [json.loads(line) for line in body.splitlines()]
                stranger.posts.append(events)
                answer(self, events)

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self.server.daemon_threads = True
        self.server.block_on_close = False
        self.server.bare = False  # type: ignore[attr-defined]
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def __enter__(self) -> Stranger:
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()
        self._thread.join(PATIENCE)

    def taken(self) -> list[Any]:
        """The `n` of all events that were posted, in order, once each time."""
        return [event.get("n") for post in self.posts for event in post]


@pytest.fixture
def stalled() -> Iterator[str]:
    """Accepts and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def page(handler: Handler, _: list[dict[str, Any]]) -> None:
    reply(handler, 200, PAGE, "text/html; charset=utf-8")


# -- Hub ---------------------------------------------------------------------------------------------------------------


def test_a_web_page_is_no_hub() -> None:
    with Stranger(page) as stranger, Hub(stranger.url) as hub:
        stranger.server.bare = True  # type: ignore[attr-defined]
        uses: list[Callable[[], object]] = [
            lambda: hub.post({"type": "test"}),
            lambda: list(hub.events()),
            lambda: hub.newest(3),
            hub.config,
            hub.health,
            lambda: next(subscribe(stranger.url)),
        ]
        for use in uses:
            with pytest.raises(NotAHub) as caught:
                use()
            error = caught.value
            assert (error.url, error.status, error.content_type, error.again) == (stranger.url, 200, "text/html", False)
            assert stranger.url in str(error) and "text/html" in str(error) and "printer" not in str(error)


@pytest.mark.parametrize("body", [b'{"hello":1}', b"[]", b"7", b'{"events":', b"\xff", b"[" * 5000])
def test_other_json_is_no_hub(body: bytes) -> None:
    with Stranger(lambda handler, _: reply(handler, 200, body)) as stranger, Hub(stranger.url) as hub:
        stranger.server.bare = True  # type: ignore[attr-defined]
        for use in (lambda: hub.post({"type": "test"}), lambda: hub.newest(1), hub.config, hub.health):
            with pytest.raises(NotAHub, match="not a hub's"):
                use()


def test_sent_on_it_says_where_to_and_does_not_go_there() -> None:
    def answer(handler: Handler, _: list[dict[str, Any]]) -> None:
        reply(handler, 301, b"", Location="https://hub.example.org/x?key=1")

    there = pytest.raises(NotAHub, match=r"https://hub\.example\.org\)")
    with Stranger(answer) as stranger, Hub(stranger.url, key="secret") as hub, there:
        hub.post({"type": "test"})


def test_the_key_goes_along_and_netrc_does_not(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    seen: list[str | None] = []

    def answer(handler: Handler, _: list[dict[str, Any]]) -> None:
        seen.append(handler.headers["Authorization"])
        reply(handler, 200, OK)

    with Stranger(answer) as stranger:
        for key in ("hub-key", None):
            with Hub(stranger.url, key=key) as hub:
                hub.post({"type": "test"})
    assert seen == ["Bearer hub-key", None]


def test_patience_tries_again_what_may_succeed_later_with_the_same_ids() -> None:
    refusals = [
        lambda h: refuse(h, 503, "draining", retry=True, wait=0),
        lambda h: reply(h, 502, PAGE, "text/html"),
        lambda h: reply(h, 429, PAGE, "text/html", Retry_After="0"),
        lambda h: refuse(h, 500, "internal"),
    ]

    def answer(handler: Handler, _: list[dict[str, Any]]) -> None:
        if refusals:
            refusals.pop(0)(handler)
        else:
            reply(handler, 200, OK)

    with Stranger(answer) as stranger, Hub(stranger.url) as hub:
        assert hub.post({"type": "test"}, patience=PATIENCE).accepted == 1
        assert len(stranger.posts) == 5
        assert len({post[0]["event_id"] for post in stranger.posts}) == 1


def test_patience_ends_and_does_not_begin_where_it_is_of_no_use() -> None:
    with Stranger(lambda handler, _: refuse(handler, 401, "unauthorized")) as stranger, Hub(stranger.url) as hub:
        with pytest.raises(Refused) as caught:
            hub.post({"type": "test"}, patience=PATIENCE)
        assert (caught.value.status, len(stranger.posts)) == (401, 1)
    with Stranger(lambda handler, _: refuse(handler, 503, "draining", retry=True, wait=60)) as stranger:
        with Hub(stranger.url) as hub, pytest.raises(Refused) as caught:
            hub.post({"type": "test"}, patience=2)
        assert (caught.value.retry, caught.value.retry_after, len(stranger.posts)) == (True, 60.0, 1)


def test_a_kept_connection_that_has_ended_is_replaced() -> None:
    """The server hangs up without a word instead of the second answer: what gunicorn does to an idle connection."""
    answered: list[int] = []

    def answer(handler: Handler, _: list[dict[str, Any]]) -> None:
        answered.append(handler.client_address[1])
        if answered.count(answered[-1]) == 1:
            reply(handler, 200, OK)
        else:
            handler.close_connection = True

    with Stranger(answer) as stranger, Hub(stranger.url) as hub:
        assert hub.post({"type": "test"}).accepted == hub.post({"type": "test"}).accepted == 1
        assert len(stranger.posts) == 3


def test_nobody_there(stalled: str) -> None:
    with Hub(f"http://127.0.0.1:{free_port()}") as hub, pytest.raises(Unreachable, match="connection refused"):
        hub.post({"type": "test"})
    with Hub(stalled, timeout=0.2) as hub, pytest.raises(Unreachable, match="no answer in time"):
        hub.health()
    with Hub("http://no.such.host.invalid") as hub, pytest.raises(Unreachable, match="not known"):
        hub.health()


def test_an_answer_that_breaks_off() -> None:
    def answer(handler: Handler, _: list[dict[str, Any]]) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(OK)))
        handler.end_headers()
        handler.wfile.write(OK[:20])
        handler.close_connection = True

    with Stranger(answer) as stranger, Hub(stranger.url) as hub, pytest.raises(Unreachable, match="broke"):
        hub.post({"type": "test"})


# -- Subscription ------------------------------------------------------------------------------------------------------


class Scripted(Stranger):
    """A stream that is a list of what each connection gets; `seen`: the Last-Event-ID that each sent."""

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


def test_a_frame_that_breaks_off_is_not_taken_and_comes_again() -> None:
    with Scripted(OPENED + event(1) + event(2)[:-4], OPENED + event(2)) as stranger:
        with subscribe(stranger.url) as events:
            assert numbers(events, 2) == [1, 2]
        assert stranger.seen == [None, "e-1"]


def test_a_stream_without_a_byte_for_too_long_is_dead() -> None:
    states: list[tuple[str, str]] = []
    with Scripted(OPENED + event(1), OPENED + event(2), hold=True) as stranger:
        with subscribe(stranger.url, silence=0.3, on_state=lambda *state: states.append(state)) as events:
            assert numbers(events, 2) == [1, 2]
        assert stranger.seen == [None, "e-1"]
    assert [state for state, _ in states] == ["live", "reconnecting", "live"]
    assert states[1][1] == "no answer in time; again in 0.0 s"


def test_once_live_a_proxys_error_page_is_waited_out() -> None:
    with Scripted(OPENED + event(1)) as stranger:
        states: list[str] = []
        with subscribe(stranger.url, on_state=lambda state, detail: states.append(detail)) as events:
            assert numbers(events, 1) == [1]
            thread = threading.Thread(target=lambda: list(events))
            thread.start()
            until(lambda: len(stranger.seen) >= 3, "two more tries")
            events.close()
            thread.join(PATIENCE)
            assert not thread.is_alive()
        assert any("status 503, content type text/html" in detail for detail in states)


def test_the_first_connection_is_not_waited_for_unless_always() -> None:
    with pytest.raises(Unreachable):
        next(subscribe(f"http://127.0.0.1:{free_port()}"))
    with Scripted() as stranger, closing(subscribe(stranger.url)) as events, pytest.raises(NotAHub):
        next(events)
    with Scripted() as stranger:
        events = subscribe(stranger.url, reconnect="always")
        thread = threading.Thread(target=lambda: list(events))
        thread.start()
        until(lambda: len(stranger.seen) >= 3, "two more tries")
        events.close()
        thread.join(PATIENCE)


def test_without_reconnect_the_iterator_ends_with_the_stream() -> None:
    with Scripted(OPENED + event(1), OPENED + event(2)) as stranger:
        with subscribe(stranger.url, reconnect=False) as events:
            assert [received.event["n"] for received in events] == [1]
        assert len(stranger.seen) == 1
    with Scripted(OPENED + event(1), hold=True) as stranger:
        events = subscribe(stranger.url, reconnect=False, silence=0.2)
        assert numbers(events, 1) == [1]
        with pytest.raises(Unreachable, match="no answer in time"):
            next(events)
        events.close()


@pytest.mark.parametrize("frame", [b"data: tick\n\n", b"data: []\n\n", b'data: {"n":1}\n\n', event(1)])
def test_somebody_elses_stream_is_no_hub(frame: bytes) -> None:
    with Scripted(frame) as stranger, subscribe(stranger.url) as events, pytest.raises(NotAHub, match="stream"):
        next(events)


def test_close_while_it_waits_to_come_back() -> None:
    with Scripted(OPENED.replace(b"10", b"60000") + event(1)) as stranger:
        events = subscribe(stranger.url)
        assert numbers(events, 1) == [1]
        thread = threading.Thread(target=lambda: list(events))
        thread.start()
        events.close()
        thread.join(PATIENCE)
        assert not thread.is_alive()
        events.close()


# -- Publisher ---------------------------------------------------------------------------------------------------------


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
