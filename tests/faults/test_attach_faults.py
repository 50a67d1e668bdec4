"""A conversation continues whatever its hub does, and in the end the hub has all of it, in order, once (H16)."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from event_hub.client import Publisher
from event_hub.livekit import attach

from ..attach.sessions import Clerk, greeted, run, sent, voice_session
from ..hubs import HubProcess, free_port, until
from ..wire.fake_servers import FakeServer, Handler, refuse

Event = dict[str, Any]


class RecordingPublisher(Publisher):
    """Records the ids of events in the order in which they become JSON."""

    def __init__(self, url: str) -> None:
        super().__init__(url, timeout=1)
        self.put_ids: list[str] = []
        lines = self._encoding.lines

        def recorded(event: Event) -> list[bytes]:
            result = lines(event)
            self.put_ids.append(event["event_id"])
            return result

        self._encoding.lines = recorded  # type: ignore[method-assign]


def stored_ids(hub: HubProcess, session: str) -> list[str]:
    """The ids of a whole session's events."""
    page = hub.get(f"/api/events?session={session}&limit=1000")
    events = [item["event"] for item in page["events"]]
    types = [event["type"] for event in events]
    assert (types[0], types[-1]) == ("session_started", "session_ended")
    assert types.count("agent_text_complete") == 3
    return [event["event_id"] for event in events]


def converse(publisher: RecordingPublisher, meanwhile: Callable[[], object], afterwards: Callable[[], object]) -> str:
    """Hold a conversation of three replies: call `meanwhile` after the first, `afterwards` after the last."""
    ids: list[str] = []

    async def body() -> None:
        session = voice_session()
        ids.append(attach(session, publisher=publisher).session)
        await session.start(Clerk())
        await greeted(session)
        meanwhile()
        for question in ("What is the weather?", "Tell me a story."):
            result = await session.run(user_input=question)
            assert result.events
        await session.aclose()
        afterwards()
        await sent(publisher)

    run(body)
    return ids[0]


def test_a_hub_that_is_killed_and_restarted(hub_factory: Callable[..., HubProcess], tmp_path: Path) -> None:
    hub = hub_factory(HUB_HISTORY=f"sqlite:///{tmp_path}/hub.db").start()
    with RecordingPublisher(hub.url) as publisher:
        session = converse(publisher, hub.kill, hub.start)
        assert stored_ids(hub, session) == publisher.put_ids
        assert publisher.stats.dropped == 0


def test_a_hub_that_starts_after_the_conversation(hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory()
    with RecordingPublisher(hub.url) as publisher:
        session = converse(publisher, lambda: None, hub.start)
        assert stored_ids(hub, session) == publisher.put_ids


@contextmanager
def _stalled(port: int) -> Iterator[None]:
    with socket.create_server(("127.0.0.1", port)):
        yield


@contextmanager
def _refusing(port: int, status: int, code: str) -> Iterator[None]:
    def answer(handler: Handler, _: list[Event]) -> None:
        handler.close_connection = True  # the next request goes to the hub, once that has the port
        refuse(handler, status, code, retry=True, **({"wait": 0} if status == 429 else {}))

    with FakeServer(answer, port):
        yield


BAD: dict[str, Callable[[int], Any]] = {
    "accepts and never answers": _stalled,
    "answers 500": lambda port: _refusing(port, 500, "internal"),
    "answers 429": lambda port: _refusing(port, 429, "too_fast"),
}


@pytest.mark.parametrize("failure", BAD)
def test_a_hub_that_fails_requests(failure: str, hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory(PORT=str(free_port()))
    with RecordingPublisher(hub.url) as publisher:
        bad = BAD[failure](hub.port)
        bad.__enter__()
        ended: list[bool] = []

        def recover() -> None:
            assert publisher.stats.sent == 0
            bad.__exit__(None, None, None)
            ended.append(True)
            hub.start()

        try:
            session = converse(publisher, lambda: None, recover)
        finally:
            if not ended:
                bad.__exit__(None, None, None)
        until(lambda: publisher.stats.queued == 0, "all events to be sent")
        assert stored_ids(hub, session) == publisher.put_ids
        assert publisher.stats.dropped == 0
