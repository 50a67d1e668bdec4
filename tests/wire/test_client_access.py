"""The clients against a real hub that requires credentials, with LiveKit's own tokens."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from livekit.api import AccessToken, VideoGrants

from event_hub.client import AccessDenied, AccessEnded, Hub, Publisher, subscribe
from event_hub.client.credentials import LiveKitSecret

from ..conftest import outliving
from ..hubs import PATIENCE, HubProcess, until

SECRET = "a-secret-of-livekit-with-32-bytes"
KEYS = {
    "HUB_PUBLISH_KEYS": "all:publish-all-secret,support:publish-support-secret@support-*",
    "HUB_SUBSCRIBE_KEYS": "all:watch-all-secret-xx,support:watch-support-secret@support-*|captions",
    "HUB_CONTROL_KEYS": "ops:control-secret-xxxx",
    "LIVEKIT_API_KEY": "devkey",
    "LIVEKIT_API_SECRET": SECRET,
    "LIVEKIT_URL": "ws://127.0.0.1:1",
}


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HUB_KEY", "LIVEKIT_API_KEY", "LIVEKIT_API_SECRET"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def protected(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    with outliving() as keep, HubProcess(tmp_path_factory.mktemp("hub"), **KEYS) as hub:
        keep()
        yield hub


def livekit_token(room: str, seconds: float = 600, *, agent: bool = False, identity: str = "caller") -> str:
    """As LiveKit's SDK makes it for a caller or an agent."""
    made = AccessToken("devkey", SECRET).with_identity(identity).with_kind("agent" if agent else "standard")
    grants = VideoGrants(room_join=True, room=room, agent=agent or None)
    claims = jwt.decode(made.with_grants(grants).to_jwt(), SECRET, algorithms=["HS256"])
    return jwt.encode({**claims, "exp": int(time.time() + seconds)}, SECRET)


def uses(hub: Hub) -> dict[str, Callable[[], Any]]:
    return {
        "post": lambda: hub.post({"type": "test", "room": "support-1"}),
        "newest": lambda: hub.newest(1),
        "events": lambda: list(hub.events()),
        "sessions": lambda: list(hub.sessions()),
        "config": hub.config,
        "share": lambda: hub.share("1m", rooms=["support-1"]),
    }


@pytest.mark.parametrize(
    ("key", "allowed"),
    [
        ("", {}),
        ("wrong-key-of-another-hub", {}),
        ("publish-all-secret", {"post", "config"}),
        ("publish-support-secret", {"post", "config"}),
        ("watch-all-secret-xx", {"newest", "events", "sessions", "config"}),
        ("watch-support-secret", {"newest", "events", "sessions", "config"}),
        ("control-secret-xxxx", {"post", "newest", "events", "sessions", "config", "share"}),
    ],
)
def test_what_each_key_allows(protected: HubProcess, key: str, allowed: set[str]) -> None:
    with Hub(protected.url, key=key) as hub:
        for name, use in uses(hub).items():
            if name in allowed:
                use()
                continue
            with pytest.raises(AccessDenied) as caught:
                use()
            known = key and "wrong" not in key
            assert caught.value.status == (403 if known else 401), name
            assert "HUB_KEY" in str(caught.value) and (not key or key not in str(caught.value))


def test_what_a_client_is_told_of_its_access(protected: HubProcess) -> None:
    with Hub(protected.url) as hub:
        assert (hub.access()["auth"], hub.access()["kind"]) == ("required", "anonymous")
    with Hub(protected.url, key="watch-support-secret") as hub:
        access = hub.access()
        assert (access["kind"], access["label"], access["publish"]) == ("key", "support", [])
        assert set(access["subscribe"]) == {"support-*", "captions"} and access["control"] is False
    with Hub(protected.url, key="control-secret-xxxx") as hub:
        access = hub.access()
        assert (access["publish"], access["subscribe"], access["control"]) == (None, None, True)
    with Hub(protected.url, key="nonsense") as hub, pytest.raises(AccessDenied):
        hub.access()


def test_a_key_for_some_rooms_publishes_to_those_only(protected: HubProcess) -> None:
    key = "publish-support-secret"
    with Hub(protected.url, key=key) as hub:
        assert hub.post({"type": "test", "room": "support-1"}).clients_notified is None
        for event in ({"type": "test", "room": "sales"}, {"type": "test"}, {"type": "test", "room": "Support-1"}):
            with pytest.raises(AccessDenied, match="may not publish") as caught:
                hub.post([{"type": "test", "room": "support-1"}, event])
            assert caught.value.index == 1
    with Publisher(protected.url, key=key, linger=0.2) as publisher:
        for n in range(6):
            publisher.publish({"type": "partly", "n": n, "room": "sales" if n % 3 == 1 else "support-2"})
        publisher.flush(PATIENCE)
        assert (publisher.stats.sent, publisher.stats.refused) == (4, 2)
    with Hub(protected.url, key="control-secret-xxxx") as hub:
        assert [received.event["n"] for received in hub.events(type="partly")] == [0, 2, 3, 5]


def test_a_key_for_some_rooms_sees_those_only(protected: HubProcess) -> None:
    with (
        Hub(protected.url, key="publish-all-secret") as hub,
        subscribe(protected.url, key="watch-support-secret", room="*", type="seen", since="all") as events,
    ):
        for room in ("sales", "support-8", "captions2", "captions", None, "support-9"):
            hub.post({"type": "seen", **({"room": room} if room else {})})
        assert [next(events).event["room"] for _ in range(3)] == ["support-8", "captions", "support-9"]


def test_a_callers_livekit_token_watches_its_room_until_it_expires(protected: HubProcess) -> None:
    room = "support-7"
    with Hub(protected.url, key="publish-all-secret") as hub:
        with subscribe(protected.url, key=livekit_token(room, 3), notices=True) as events:
            assert next(events).type == "stream_opened"
            hub.post([{"type": "x", "room": "sales"}, {"type": "x", "room": room}])
            assert next(received for received in events if received.type == "x").event["room"] == room
            with pytest.raises(AccessEnded, match="has expired") as caught:
                list(events)
            assert caught.value.reason == "token_expired"
            with pytest.raises(AccessDenied) as denied:
                next(events)
            assert denied.value.code == "credential_expired"
        with (
            Hub(protected.url, key=livekit_token(room)) as caller,
            pytest.raises(AccessDenied, match="may not publish"),
        ):
            caller.post({"type": "x", "room": room})


def test_a_token_from_a_function_is_renewed_without_a_gap(protected: HubProcess) -> None:
    """Events are published while tokens of two seconds come and go."""
    room, over = "support-renewed", threading.Event()
    states: list[str] = []
    made: list[str] = []

    def key() -> str:
        made.append(livekit_token(room, 2.5, identity=f"caller-{len(made)}"))
        return made[-1]

    def publish() -> None:
        with Hub(protected.url, key="publish-all-secret") as hub:
            for n in range(10_000):
                if over.wait(0.02):
                    return
                hub.post({"type": "n", "room": room, "n": n})

    thread = threading.Thread(target=publish)
    thread.start()
    try:
        found = []
        with subscribe(protected.url, key=key, since="all", on_state=lambda state, _: states.append(state)) as events:
            for received in events:
                found.append(received.event["n"])
                if states.count("live") == 3:
                    break
        assert found == list(range(len(found)))
        assert "gap" not in states
    finally:
        over.set()
        thread.join(PATIENCE)


def test_an_agents_livekit_token_publishes_to_its_room(protected: HubProcess) -> None:
    with Hub(protected.url, key=livekit_token("support-3", agent=True)) as hub:
        assert hub.post({"type": "test", "room": "support-3"}).accepted == 1
        with pytest.raises(AccessDenied, match="may not publish"):
            hub.post({"type": "test", "room": "support-4"})


def test_livekits_key_and_secret_publish_to_any_room_and_watch_none(
    protected: HubProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIVEKIT_API_KEY", "devkey")
    monkeypatch.setenv("LIVEKIT_API_SECRET", SECRET)
    with Publisher(protected.url, defaults={"session": "AS_1"}) as publisher:
        publisher.publish({"type": "agent_ready", "message": "I listen."})
        publisher.publish({"type": "test", "room": "any"})
        assert publisher.flush(PATIENCE)
    with Hub(protected.url) as hub:
        assert len(list(hub.batches({"type": "test", "room": "b"} for _ in range(10)))) == 1
        with pytest.raises(AccessDenied, match="Set HUB_KEY"):
            hub.newest(1)
    with Hub(protected.url, key=LiveKitSecret("devkey", SECRET, "one")) as hub:
        hub.post({"type": "test", "room": "one"})
        with pytest.raises(AccessDenied, match="may not publish"):
            hub.post({"type": "test", "room": "two"})
    other = pytest.raises(AccessDenied, match="the same LIVEKIT_API_KEY and LIVEKIT_API_SECRET")
    with Hub(protected.url, key=LiveKitSecret("devkey", "x" * 32)) as hub, other:
        hub.post({"type": "test", "room": "one"})


def test_an_open_hub_takes_any_credential(hub: HubProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker with LiveKit's keys and a hub on its own machine, with nothing set."""
    for credential in ("any-key", LiveKitSecret("devkey", SECRET), livekit_token("a", agent=True)):
        with Hub(hub.url, key=credential) as client:
            assert client.post({"type": "test", "room": "b"}).accepted == 1
            assert client.access()["auth"] == "open"


def test_a_rotated_key_file_loses_nothing(tmp_path: Path, hub_factory: Callable[..., HubProcess]) -> None:
    """The hub's keys and the clients' file change; the stream goes on, and so does the publisher."""
    keys, mine = tmp_path / "keys", tmp_path / "mine"
    keys.write_text("control ops:first-secret-of-ops\n")
    mine.write_text("first-secret-of-ops")
    hub = hub_factory(HUB_KEYS_FILE=str(keys)).start()
    found: list[int] = []
    states: list[str] = []

    def watch() -> None:
        with subscribe(hub.url, key=f"@{mine}", type="n", on_state=lambda state, _: states.append(state)) as events:
            for received in events:
                found.append(received.event["n"])
                if received.event["n"] == 5:
                    return

    thread = threading.Thread(target=watch)
    thread.start()
    with Publisher(hub.url, key=f"@{mine}") as publisher:
        until(lambda: states, "the stream")
        for n in range(3):
            publisher.publish({"type": "n", "n": n})
        assert publisher.flush(PATIENCE)
        mine.write_text("other-secret-of-ops")
        keys.write_text("control ops:other-secret-of-ops\n")
        assert hub.process is not None
        hub.process.send_signal(signal.SIGHUP)
        for n in range(3, 6):
            publisher.publish({"type": "n", "n": n})
        assert publisher.flush(PATIENCE)
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert found == list(range(6)) and "gap" not in states


def test_a_removed_key_ends_its_subscription(tmp_path: Path, hub_factory: Callable[..., HubProcess]) -> None:
    keys = tmp_path / "keys"
    keys.write_text("subscribe one:the-first-secret\nsubscribe two:the-second-secret\n")
    hub = hub_factory(HUB_KEYS_FILE=str(keys)).start()
    with (
        subscribe(hub.url, key="the-first-secret", notices=True) as first,
        subscribe(hub.url, key="the-second-secret", notices=True) as second,
    ):
        assert next(first).type == next(second).type == "stream_opened"
        keys.write_text("subscribe two:the-second-secret\npublish ci:the-third-secret\n")
        assert hub.process is not None
        hub.process.send_signal(signal.SIGHUP)
        with pytest.raises(AccessEnded, match="was revoked"):
            list(first)
        with pytest.raises(AccessDenied):
            next(first)
        with Hub(hub.url, key="the-third-secret") as publishing:
            publishing.post({"type": "n"})
        assert next(received for received in second if received.type != "heartbeat").type == "n"


def test_a_shared_link_watches_and_nothing_else(protected: HubProcess) -> None:
    with Hub(protected.url, key="control-secret-xxxx") as hub:
        link = hub.share("1h", rooms=["support-1"])
        hub.post([{"type": "linked", "room": "support-1"}, {"type": "linked", "room": "sales"}])
        for lifetime in ("soon", "0s", "1000d"):
            with pytest.raises(Exception, match="for"):
                hub.share(lifetime, rooms=["support-1"])
    assert link.url.startswith(f"{protected.url}/?access_token=share.") and link.expires_at > time.time() + 3000
    with Hub(protected.url, key=link.token) as guest:
        assert {received.event["room"] for received in guest.events(type="linked")} == {"support-1"}
        for use in (lambda: guest.post({"type": "x", "room": "support-1"}), lambda: guest.share("1h", rooms=["a"])):
            with pytest.raises(AccessDenied):
                use()
