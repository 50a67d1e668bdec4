"""`attach` uses the credential that its job already has."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import jwt
import pytest
from livekit.agents import Agent, JobContext, JobExecutorType
from livekit.agents.testing import fake_job_context
from livekit.api import AccessToken, VideoGrants

from agent.scripted.llm import Reply
from event_hub.client import Hub, Publisher
from event_hub.livekit import attach, process
from event_hub.livekit.job_publisher import JobCredential, publisher_for

from ..hubs import HubProcess
from ..wire.fake_servers import FakeServer, Handler, refuse, reply
from .plays.stage import text_session
from .sessions import run

SECRET = "secret" * 6
ROOM = "fake-room"


def token(room: str = ROOM, seconds: float = 600, name: str = "agent-1") -> str:
    """As LiveKit's server gives it to a job."""
    made = AccessToken("devkey", SECRET).with_identity(name).with_kind("agent")
    claims = jwt.decode(
        made.with_grants(VideoGrants(room_join=True, room=room, agent=True)).to_jwt(), SECRET, algorithms=["HS256"]
    )
    return jwt.encode({**claims, "exp": int(time.time() + seconds)}, SECRET)


@asynccontextmanager
async def job(given: str = "", executor: JobExecutorType = JobExecutorType.PROCESS) -> AsyncIterator[JobContext]:
    with fake_job_context() as context:
        context.proc._executor_type = executor
        context._info.token = given
        yield context
        await context._on_cleanup()


class Listener(FakeServer):
    """Accepts everything. `rooms`: what was posted with each credential."""

    def __init__(self) -> None:
        self.rooms: dict[str | None, list[Any]] = {}
        self.types: list[str] = []
        self.refused: set[str | None] = set()

        def answer(handler: Handler, events: list[dict[str, Any]]) -> None:
            key = (handler.headers["Authorization"] or "").removeprefix("Bearer ") or None
            self.rooms.setdefault(key, []).extend(event.get("room") for event in events)
            if key in self.refused:
                return refuse(handler, 401, "bad_credential")
            self.types += [event["type"] for event in events]
            result = {
                "accepted": len(events),
                "duplicates": 0,
                "clients_notified": 0,
                "first_id": None,
                "last_id": None,
            }
            return reply(handler, 200, json.dumps(result).encode())

        super().__init__(answer)


@pytest.fixture
def listener(monkeypatch: pytest.MonkeyPatch) -> Iterator[Listener]:
    for name in ("HUB_KEY", "LIVEKIT_API_KEY", "LIVEKIT_API_SECRET"):
        monkeypatch.delenv(name, raising=False)
    with Listener() as server:
        monkeypatch.setenv("HUB_URL", server.url)
        monkeypatch.setattr(process, "_publisher", None)
        yield server
        if process._publisher is not None:
            process._publisher.close()


def livekit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIVEKIT_API_KEY", "devkey")
    monkeypatch.setenv("LIVEKIT_API_SECRET", SECRET)


def talk(given: str = "", executor: JobExecutorType = JobExecutorType.PROCESS, **options: Any) -> Publisher:
    """A job with two sessions, to its end; returns their publisher."""
    used: list[Publisher] = []

    async def body() -> None:
        async with job(given, executor) as context:
            for _ in range(2):
                session = text_session(lambda _: Reply("Yes."))
                publisher = attach(session, **options).publisher
                assert publisher is not None
                used.append(publisher)
                await session.start(Agent(instructions="x"))
                await session.run(user_input="Hi.")
                await session.aclose()
            await asyncio.gather(*(callback("shutdown") for callback in context._shutdown_callbacks))

    run(body)
    assert used[0] is used[1]
    if executor is JobExecutorType.PROCESS:  # whose process would end now
        used[0].close()
    return used[0]


def test_the_jobs_token_is_enough(listener: Listener) -> None:
    mine = token()
    talk(mine)
    assert set(listener.rooms) == {mine}
    assert set(listener.rooms[mine]) == {ROOM}
    assert listener.types.count("session_started") == 2


def test_a_hub_with_the_same_livekit_keys_needs_no_new_setting(
    hub_factory: Callable[..., HubProcess], listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    livekit(monkeypatch)
    keys = {"LIVEKIT_API_KEY": "devkey", "LIVEKIT_API_SECRET": SECRET, "LIVEKIT_URL": "ws://127.0.0.1:1"}
    protected = hub_factory(HUB_CONTROL_KEYS="ops:a-secret-of-the-operator", **keys).start()
    monkeypatch.setenv("HUB_URL", protected.url)
    for given in (token(), ""):
        publisher = talk(given)
        assert (publisher.stats.dropped, publisher.stats.last_error) == (0, None)
    assert publisher is process.publisher()  # the second job has no token
    with Hub(protected.url, key="a-secret-of-the-operator") as hub:
        assert [received.event["room"] for received in hub.events(type="session_started")] == [ROOM] * 4


def test_a_hub_with_other_livekit_keys_is_reported_in_the_jobs_log(
    hub_factory: Callable[..., HubProcess],
    listener: Listener,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    keys = {"LIVEKIT_API_KEY": "devkey", "LIVEKIT_API_SECRET": "another" * 6, "LIVEKIT_URL": "ws://127.0.0.1:1"}
    protected = hub_factory(HUB_CONTROL_KEYS="ops:a-secret-of-the-operator", **keys).start()
    monkeypatch.setenv("HUB_URL", protected.url)
    mine = token()
    publisher = talk(mine)
    assert publisher.stats.sent == 0 and publisher.stats.dropped > 0
    queued = [r.getMessage() for r in caplog.records if r.getMessage().startswith("Events are queued")]
    assert len(queued) == 1
    assert "The hub does not accept the job's LiveKit token: give it the same LIVEKIT_API_KEY" in queued[0]
    assert mine not in caplog.text


def test_the_hubs_key_comes_first(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    livekit(monkeypatch)
    monkeypatch.setenv("HUB_KEY", "k-1")
    talk(token())
    assert set(listener.rooms) == {"k-1"}


def test_the_jobs_token_comes_before_the_workers_secret(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    livekit(monkeypatch)
    mine = token()
    talk(mine)
    assert set(listener.rooms) == {mine}


@pytest.mark.parametrize(("given", "options"), [("", {}), ("not a token", {}), (token(), {"room": "another"})])
def test_the_workers_secret_serves_what_the_jobs_token_cannot(
    given: str, options: dict[str, Any], listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job without a token, and a session that is reported under another room."""
    livekit(monkeypatch)
    talk(given, **options)
    (sent,) = listener.rooms
    assert jwt.decode(sent or "", SECRET, algorithms=["HS256"])["video"] == {"agent": True}


def test_without_any_credential_none_is_sent(listener: Listener) -> None:
    talk()
    assert set(listener.rooms) == {None}


def test_the_workers_own_events_have_its_secret(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    livekit(monkeypatch)
    process.report_ready("I listen.")
    assert process.publisher().flush(30)
    (sent,) = listener.rooms
    assert jwt.decode(sent or "", SECRET, algorithms=["HS256"])["video"] == {"agent": True}


def test_two_jobs_in_one_process_have_their_own_tokens(listener: Listener) -> None:
    """LiveKit's thread executor: the publisher ends with its job."""
    tokens = [token(name="agent-1"), token(name="agent-2")]
    publishers = [talk(mine, JobExecutorType.THREAD) for mine in tokens]
    assert set(listener.rooms) == set(tokens)
    assert publishers[0] is not publishers[1]
    assert all(not publisher._thread or not publisher._thread.is_alive() for publisher in publishers)


def test_the_token_that_livekit_renewed_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """A job's token is valid for an hour; LiveKit's server sends the room newer ones."""
    for name in ("LIVEKIT_API_KEY", "LIVEKIT_API_SECRET"):
        monkeypatch.delenv(name, raising=False)
    old, newer = token(seconds=5), token(seconds=500)

    async def body() -> None:
        async with job(old) as context:
            credential = JobCredential(context)
            assert credential.bearer() == old
            context.room._token = newer
            assert credential.bearer() == newer
            assert credential.renewed(old) == newer and credential.renewed(newer) is None
            context.room._token = "not a token"
            assert credential.bearer() == old
            livekit(monkeypatch)
            made = JobCredential(context).bearer()  # the job's own is about to expire
            assert jwt.decode(made or "", SECRET, algorithms=["HS256"])["video"] == {"agent": True, "room": ROOM}
            assert old not in f"{credential!r}" and credential.source == "the job's LiveKit token"

    run(body)


def test_a_token_that_livekit_renewed_with_another_key_is_left_aside(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A LiveKit server may have several keys, of which the hub knows one."""
    mine, other = token(), token(seconds=900, name="of-another-key")
    listener.refused.add(other)

    async def body() -> None:
        async with job(mine) as context:
            context.room._token = other
            credential = JobCredential(context)
            assert credential.bearer() == other
            assert credential.renewed(other) == mine and credential.bearer() == mine
            assert credential.renewed(mine) == other, "with nothing else, the newest is tried again"
            context.room._token = newest = token(seconds=1200)
            assert credential.bearer() == newest
            context.room._token = other
            publisher = publisher_for(context, None)
            for n in range(3):
                publisher.publish({"type": "n", "n": n, "room": ROOM})
                assert await asyncio.to_thread(publisher.flush, 30)
            await asyncio.to_thread(publisher.close)
            assert publisher.stats.retries == 0

    run(body)
    assert listener.rooms == {other: [ROOM], mine: [ROOM] * 3}


def test_an_invalid_key_is_only_logged(
    listener: Listener, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("HUB_KEY", "two hunter2")

    async def body() -> None:
        async with job(token()):
            assert attach(text_session(lambda _: Reply("Yes."))).publisher is None

    run(body)
    assert "not reported to a hub" in caplog.text and "hunter2" not in caplog.text
