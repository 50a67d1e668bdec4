"""A conversation goes on whatever its hub does, and all of it is there in the end, in order, once (H16)."""

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
from ..wire.strangers import Handler, Stranger, refuse

Event = dict[str, Any]


class Kept(Publisher):
    """Remembers what was put, in its order."""

    def __init__(self, url: str) -> None:
        super().__init__(url, timeout=1)
        self.put_ids: list[str] = []

    def put(self, event: Event) -> None:
        super().put(event)
        self.put_ids.append(event["event_id"])


def everything(hub: HubProcess, session: str) -> list[str]:
    page = hub.get(f"/api/events?session={session}&limit=1000")
    return [one["event"]["event_id"] for one in page["events"]]


def converse(publisher: Kept, meanwhile: Callable[[], object], afterwards: Callable[[], object]) -> str:
    """A conversation of three replies: `meanwhile` happens after the first, `afterwards` after the last."""
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


def test_killed_in_the_middle_and_back_at_the_end(hub_factory: Callable[..., HubProcess], tmp_path: Path) -> None:
    hub = hub_factory(HUB_HISTORY=f"sqlite:///{tmp_path}/hub.db").start()
    with Kept(hub.url) as publisher:
        session = converse(publisher, hub.kill, hub.start)
        assert everything(hub, session) == publisher.put_ids
        assert publisher.stats.dropped == 0


def test_away_all_the_time(hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory()
    with Kept(hub.url) as publisher:
        session = converse(publisher, lambda: None, hub.start)
        assert everything(hub, session) == publisher.put_ids


@contextmanager
def _stalled(port: int) -> Iterator[None]:
    with socket.create_server(("127.0.0.1", port)):
        yield


@contextmanager
def _refusing(port: int, status: int, code: str) -> Iterator[None]:
    def answer(handler: Handler, _: list[Event]) -> None:
        handler.close_connection = True  # the next one goes to whoever has the port then
        refuse(handler, status, code, retry=True, **({"wait": 0} if status == 429 else {}))

    with Stranger(answer, port):
        yield


BAD: dict[str, Callable[[int], Any]] = {
    "accepts and never answers": _stalled,
    "answers 500": lambda port: _refusing(port, 500, "internal"),
    "answers 429": lambda port: _refusing(port, 429, "too_fast"),
}


@pytest.mark.parametrize("way", BAD)
def test_a_hub_that_is_not_well(way: str, hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory(PORT=str(free_port()))
    with Kept(hub.url) as publisher:
        bad = BAD[way](hub.port)
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
        until(lambda: publisher.stats.queued == 0, "all of it to be sent")
        assert everything(hub, session) == publisher.put_ids
        assert publisher.stats.dropped == 0
