"""Where a credential goes, and what each client does when it is refused, renewed, expired or revoked: with servers that a
real hub cannot be made to be. tests/wire/test_client_access.py has the real hub."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from event_hub.client import AccessDenied, AccessEnded, Hub, NotAHub, Publisher, Refused, subscribe

from ..hubs import PATIENCE, until
from .fake_servers import CONFIG, OPENED, PAGE, FakeServer, Handler, refuse, reply
from .test_client_subscription_fake_servers import event

ANONYMOUS = b'{"name":"LiveKit Event Hub","access":{"auth":"required","kind":"anonymous","label":"anonymous"}}'


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HUB_KEY", "LIVEKIT_API_KEY", "LIVEKIT_API_SECRET"):
        monkeypatch.delenv(name, raising=False)


def accept(handler: Handler, events: list[dict[str, Any]]) -> None:
    answer = {"accepted": len(events), "duplicates": 0, "clients_notified": 0, "first_id": None, "last_id": None}
    reply(handler, 200, json.dumps(answer).encode())


class Protected(FakeServer):
    """Accepts the keys in `valid`. Each stream has one event; it then ends with `closing`, if given, and the keys in
    `removed` with it. `seen`: (method, path, key) of each request."""

    def __init__(self, *valid: str, closing: str = "", removed: tuple[str, ...] = ()) -> None:
        self.valid = set(valid)
        self.seen: list[tuple[str, str, str | None]] = []
        self.resumed: list[str | None] = []
        self.over = threading.Event()
        numbers = iter(range(1, 100))

        def answer(handler: Handler, events: list[dict[str, Any]]) -> None:
            key = (handler.headers["Authorization"] or "").removeprefix("Bearer ") or None
            self.seen.append((handler.command, handler.path, key))
            if handler.path == "/api/config":
                return reply(handler, 200, CONFIG if key in self.valid else ANONYMOUS)
            if key not in self.valid:
                return refuse(handler, 401, "bad_credential" if key else "unauthorized")
            if handler.command == "POST":
                return accept(handler, events)
            self.resumed.append(handler.headers["Last-Event-ID"])
            handler.send_response(200)
            handler.send_header("Content-Type", "text/event-stream; charset=utf-8")
            handler.end_headers()
            handler.wfile.write(OPENED + event(next(numbers)))
            if closing:
                self.valid.difference_update(removed)
                handler.wfile.write(f'data: {{"type":"stream_closing","reason":"{closing}"}}\n\n'.encode())
            else:
                handler.wfile.flush()
                self.over.wait(PATIENCE)
            handler.close_connection = True
            return None

        super().__init__(answer)
        self.server.bare = True  # type: ignore[attr-defined]

    def __exit__(self, *_: object) -> None:
        self.over.set()
        super().__exit__()

    def keys_sent(self, path: str = "/api/agent/data") -> list[str | None]:
        return [key for _, seen, key in self.seen if seen.partition("?")[0] == path]


def test_the_key_is_in_the_header_of_every_request_and_in_no_url() -> None:
    with Protected("k-1") as server:
        with Hub(server.url, key="k-1") as hub, subscribe(server.url, key="k-1") as events:
            hub.post({"type": "test"})
            assert hub.config()["epoch"] == "e"
            with pytest.raises(NotAHub):
                hub.newest(1)  # the fake server answers with a stream
            next(events)
        assert {key for _, _, key in server.seen} == {"k-1"}
        assert not [path for _, path, _ in server.seen if "k-1" in path]


def test_a_livekit_token_is_sent_only_to_publish(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIVEKIT_API_KEY", "devkey")
    monkeypatch.setenv("LIVEKIT_API_SECRET", "s" * 32)
    with Protected() as server, Hub(server.url) as hub, Publisher(server.url) as publisher:
        with pytest.raises(AccessDenied, match="give it the same LIVEKIT_API_KEY"):
            hub.post({"type": "test"})
        with pytest.raises(AccessDenied, match="Set HUB_KEY to one of the hub's keys"):
            hub.newest(1)
        with subscribe(server.url) as events, pytest.raises(AccessDenied, match="Set HUB_KEY"):
            next(events)
        publisher.publish({"type": "test"})
        until(lambda: publisher.stats.retries, "a refusal")
        publisher.close(0)
        assert all(key and key.count(".") == 2 for key in server.keys_sent())
        assert server.keys_sent("/api/events") == server.keys_sent("/api/stream") == [None]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_to_another_origin_never_gets_the_key(status: int) -> None:
    with Protected("k-1") as other:

        def away(handler: Handler, _: list[dict[str, Any]]) -> None:
            reply(handler, status, b"", Location=f"{other.url}{handler.path}")

        with (
            FakeServer(away) as server,
            Hub(server.url, key="k-1") as hub,
            Publisher(server.url, key="k-1") as publisher,
        ):
            server.server.bare = True  # type: ignore[attr-defined]
            for use in (lambda: hub.post({"type": "test"}), hub.config, lambda: hub.newest(1), lambda: hub.share("2h")):
                with pytest.raises(NotAHub):
                    use()
            with subscribe(server.url, key="k-1") as events, pytest.raises(NotAHub):
                next(events)
            publisher.publish({"type": "test"})
            until(lambda: publisher.stats.retries, "the redirect")
            publisher.close(0)
        assert other.seen == []


@pytest.fixture
def named_hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Protected, str]]:
    """A server under a name that is not loopback."""
    resolve = socket.getaddrinfo

    def named(host: Any, *rest: Any, **more: Any) -> Any:
        return resolve("127.0.0.1" if host == "hub.example.org" else host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", named)
    monkeypatch.setenv("NO_PROXY", "*")
    with Protected("k-1") as server:
        yield server, server.url.replace("127.0.0.1", "hub.example.org")


def test_plain_http_to_another_machine_is_warned_of_once(
    named_hub: tuple[Protected, str], caplog: pytest.LogCaptureFixture
) -> None:
    server, url = named_hub
    with Hub(url, key="") as hub, pytest.raises(AccessDenied):
        hub.post({"type": "test"})
    assert not caplog.records  # nothing secret was sent
    for _ in range(2):
        with Hub(url, key="k-1") as hub:
            hub.post({"type": "test"})
            hub.config()
    with Hub(server.url, key="k-1") as hub:
        hub.post({"type": "test"})
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warnings == [f"The credential for the hub at {url} is sent without encryption: use https:// there."]


def test_a_renewed_key_is_used_without_an_error(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("k-1")
    answers = iter(["k-1", "k-1", "k-2"])
    with (
        Protected("k-1") as server,
        Hub(server.url, key=f"@{file}") as hub,
        Hub(server.url, key=lambda: next(answers)) as called,
    ):
        called.post({"type": "test"})
        hub.post({"type": "test"})
        server.valid = {"k-2"}
        file.write_text("k-2")
        hub.post({"type": "test"})
        called.post({"type": "test"})
    assert server.keys_sent() == ["k-1", "k-1", "k-2", "k-1", "k-2"]


def test_a_key_that_stays_wrong_is_tried_once(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("k-1")
    with Protected("k-2") as server:
        for key in ("k-1", f"@{tmp_path / 'key'}", lambda: "k-1"):
            server.seen.clear()
            with Hub(server.url, key=key) as hub, pytest.raises(AccessDenied) as caught:
                hub.post({"type": "test"}, patience=PATIENCE)
            assert (caught.value.code, len(server.seen)) == ("bad_credential", 1)
            assert "k-1" not in str(caught.value)


def test_what_an_anonymous_client_is_told() -> None:
    with Protected("k-1") as server:
        with Hub(server.url) as hub:
            assert hub.access()["kind"] == "anonymous"
            for use in (hub.config, lambda: list(hub.events()), lambda: list(hub.batches([{"type": "test"}]))):
                with pytest.raises(AccessDenied, match="Set HUB_KEY") as caught:
                    use()
                assert caught.value.code == "unauthorized"
        with Hub(server.url, key="k-2") as hub:
            for use in (hub.access, hub.config):
                with pytest.raises(AccessDenied, match="does not accept the given key"):
                    use()


def test_a_publisher_keeps_its_events_until_the_key_is_valid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("event_hub.client.sender._FIRST_DELAY", 0.01)
    file = tmp_path / "key"
    file.write_text("k-1")
    with Protected("k-2") as server, Publisher(server.url, key=f"@{file}") as publisher:
        for n in range(3):
            publisher.publish({"type": "n", "n": n})
        until(lambda: publisher.stats.retries >= 5, "some retries")
        assert (publisher.stats.dropped, publisher.stats.sent) == (0, 0)
        file.write_text("k-2")
        assert publisher.flush(PATIENCE)
        assert publisher.stats.sent == 3
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == 1 and str(file) in warnings[0]


def test_the_pause_after_a_refused_key_grows_to_a_minute() -> None:
    from event_hub.client.connection import Connection
    from event_hub.client.credentials import credential
    from event_hub.client.outbox import Outbox
    from event_hub.client.sender import Sender

    pauses: list[float] = []

    class Recorded(Outbox):
        def pause(self, seconds: float) -> None:
            pauses.append(seconds)
            if len(pauses) == 20:
                self.abandon()

    with Protected("k-1") as server:
        outbox = Recorded(10, 1000)
        outbox.put(b'{"type":"test"}')
        connection = Connection(server.url, credential("k-2"), PATIENCE)
        Sender(outbox, connection, batch=10, linger=0, defaults={}, on_dropped=None).run()
        assert len(server.keys_sent()) == 20  # no probes: the credential is to blame, not the events
    assert max(pauses) > 20 and all(pause <= 60 for pause in pauses)


@pytest.mark.parametrize("named", [True, False])
def test_an_event_for_a_forbidden_room_does_not_block_the_others(named: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether the hub names the event or not."""
    monkeypatch.setattr("event_hub.client.sender._FIRST_DELAY", 0.01)
    stored: list[Any] = []

    def answer(handler: Handler, events: list[dict[str, Any]]) -> None:
        rooms = [event.get("room") for event in events]
        if "secret" in rooms:
            more = {"index": rooms.index("secret")} if named else {}
            return refuse(handler, 403, "forbidden", **more)
        stored.extend(event.get("n", event.get("reason")) for event in events)
        return accept(handler, events)

    with FakeServer(answer) as server, Publisher(server.url, key="k-1", linger=60) as publisher:
        for n in range(4):
            publisher.publish({"type": "n", "n": n, "room": "secret" if n == 1 else "open"})
        publisher.flush(PATIENCE)
        assert (publisher.stats.refused, publisher.stats.sent) == (1, 3)
        assert "does not allow it" in (publisher.stats.last_error or "")
    assert stored == [0, "refused", 2, 3]


@pytest.mark.parametrize("reason", ["token_expired", "access_revoked"])
@pytest.mark.parametrize("options", [{}, {"reconnect": "always"}, {"reconnect": False}, {"notices": True}])
def test_a_stream_whose_credential_has_ended_is_not_opened_again(reason: str, options: dict[str, Any]) -> None:
    with Protected("k-1", closing=reason) as server, subscribe(server.url, key="k-1", **options) as events:
        found: list[str] = []
        with pytest.raises(AccessEnded) as caught:
            found.extend(received.type for received in events)
        assert caught.value.reason == reason
        assert [kind for kind in found if kind == "n"] == ["n"]
        assert len(server.keys_sent("/api/stream")) == 1
        assert events.last_event_id == "e-1"


@pytest.mark.parametrize("notices", [True, False])
def test_a_stream_resumes_with_a_newer_credential(notices: bool, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("k-1")
    with Protected("k-1", "k-2", closing="token_expired", removed=("k-1",)) as server:
        with subscribe(server.url, key=f"@{file}", notices=notices) as events:
            first = next(received for received in events if received.type == "n")
            file.write_text("k-2")
            second = next(received for received in events if received.type == "n")
            assert (first.event["n"], second.event["n"]) == (1, 2)
            with pytest.raises(AccessEnded):
                list(events)
        assert (server.keys_sent("/api/stream"), server.resumed) == (["k-1", "k-2"], [None, "e-1"])


def test_a_subscription_can_go_on_after_the_error() -> None:
    keys = ["k-1"]
    with Protected("k-1", "k-2", closing="access_revoked") as server:
        with subscribe(server.url, key=lambda: keys[-1]) as events:
            assert next(events).event["n"] == 1
            with pytest.raises(AccessEnded):
                next(events)
            keys.append("k-2")
            assert next(events).event["n"] == 2
        assert server.resumed == [None, "e-1"]


def test_a_key_that_is_refused_on_resuming_ends_the_subscription() -> None:
    """The connection broke, and the key was removed in the meantime."""
    with Protected("k-1", closing="shutdown", removed=("k-1",)) as server:
        with subscribe(server.url, key="k-1") as events:
            assert next(events).event["n"] == 1
            with pytest.raises(AccessDenied, match="does not accept the given key"):
                next(events)
        assert len(server.keys_sent("/api/stream")) == 2


def test_a_rate_limit_is_waited_for() -> None:
    answers: list[Any] = [lambda handler: refuse(handler, 429, "too_fast", retry=True, wait=1)]

    def answer(handler: Handler, events: list[dict[str, Any]]) -> None:
        return answers.pop()(handler) if answers else accept(handler, events)

    with FakeServer(answer) as server, Hub(server.url) as hub:
        with pytest.raises(Refused) as caught:
            hub.post({"type": "test"})
        assert (caught.value.retry_after, caught.value.again) == (1.0, True)
        answers.append(lambda handler: refuse(handler, 429, "too_fast", retry=True, wait=1))
        assert hub.post({"type": "test"}, patience=PATIENCE).accepted == 1
        assert len(server.posts) == 3


def test_a_proxys_own_refusal_mentions_the_key() -> None:
    def answer(handler: Handler, _: list[dict[str, Any]]) -> None:
        reply(handler, 401, PAGE, "text/html", WWW_Authenticate='Basic realm="x"')

    with FakeServer(answer) as server, Hub(server.url) as hub, pytest.raises(NotAHub, match="HUB_KEY"):
        hub.post({"type": "test"})


def test_share_makes_the_link_absolute() -> None:
    asked: list[Any] = []

    def answer(handler: Handler, events: list[dict[str, Any]]) -> None:
        asked.extend(events)
        link = {"token": "share.x", "url": "/?access_token=share.x#room=a", "expires_at": 1700000000.0}
        reply(handler, 200, json.dumps(link).encode())

    with FakeServer(answer) as server, Hub(f"{server.url}/voice", key="k-1") as hub:
        link = hub.share("2h", rooms=["a", "b"])
        assert link.url == f"{server.url}/voice/?access_token=share.x#room=a"
        assert (link.token, link.expires_at) == ("share.x", 1700000000.0)
        assert "share.x" not in repr(link)
    assert asked == [{"rooms": ["a", "b"], "session": None, "for": "2h"}]


def test_https_errors_do_not_show_the_key() -> None:
    with Protected("k-1") as server, Hub(server.url.replace("http:", "https:"), key="k-secret") as hub:
        with pytest.raises(Exception) as caught:
            hub.post({"type": "test"})
        assert "k-secret" not in str(caught.value)
