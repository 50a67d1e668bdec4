"""`Hub.sessions` and `Hub.session` return what the API does, over any number of pages."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from event_hub.client import Hub, Refused

from ..hubs import HubProcess

SESSIONS = 450


def test_all_sessions_over_many_pages(hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory().start()
    hub.publish([{"type": "test", "room": f"r{n % 3}", "session": f"s{n}"} for n in range(SESSIONS)])
    hub.publish({"type": "session_ended", "room": "r0", "session": "s0"})
    with Hub(hub.url) as client:
        names = [session["id"] for session in client.sessions()]
        assert names == ["s0", *(f"s{n}" for n in range(SESSIONS - 1, 0, -1))]
        assert [session["id"] for session in client.sessions(page=7)] == names
        assert [session["id"] for session in client.sessions(status="ended")] == ["s0"]
        assert len(list(client.sessions(room="r1", page=10))) == SESSIONS / 3
        assert [session["id"] for session in client.sessions(session=["s7", "s44?"])] == ["s7"]
        assert (
            list(client.sessions(since="1h", page=500)) == hub.get("/api/sessions", params={"limit": 1000})["sessions"]
        )
        with pytest.raises(Refused, match="bad_cursor"):
            next(client.sessions(since="yesterday"))


def test_a_single_session(hub: HubProcess) -> None:
    odd = "a/b ?&=%2F#é"
    for room in ("left", "right"):
        hub.publish({"type": "transcript", "text": room, "role": "user", "room": room, "session": odd})
    with Hub(hub.url) as client:
        assert client.session(odd, room="left")["conversation"][0]["text"] == "left"
        with pytest.raises(Refused) as ambiguous:
            client.session(odd)
        assert (ambiguous.value.status, ambiguous.value.code) == (409, "ambiguous_session")
        with pytest.raises(Refused, match="unknown_session"):
            client.session("missing")
