"""attach(session): a real AgentSession, a real hub, and what the hub has in the end (H15, H16, H36, D08, T24)."""

from __future__ import annotations

import asyncio
import itertools
import logging
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from livekit.agents import AgentSession
from livekit.agents.voice.io import TextOutput

from event_hub.client import Publisher
from event_hub.livekit import attach

from ..hubs import ROOT, HubProcess, free_port
from .sessions import SECRET, Cashier, Clerk, greeted, run, sent, text_session, voice_session

Event = dict[str, Any]


@pytest.fixture
def publisher(hub: HubProcess) -> Iterator[Publisher]:
    with Publisher(hub.url) as one:
        yield one


def events(hub: HubProcess, session: str) -> list[Event]:
    """All that the hub has of a session, in its order."""
    page = hub.get(f"/api/events?session={session}&limit=1000")
    assert not page["more"]
    return [one["event"] for one in page["events"]]


def kinds(found: list[Event]) -> list[str]:
    return [event["type"] for event in found]


def of(found: list[Event], kind: str) -> list[Event]:
    return [event for event in found if event["type"] == kind]


def test_a_spoken_conversation(hub: HubProcess, publisher: Publisher) -> None:
    """H15, D08: greeting, a typed question, a tool, the answer; everything once, in order, tied together."""
    session_id = ""

    async def body() -> None:
        nonlocal session_id
        session = voice_session()
        session_id = attach(session, publisher=publisher, room="attach-1", participant="caller").session
        await session.start(Clerk())
        await greeted(session)
        await session.run(user_input="What is the weather?")
        await session.aclose()
        await sent(publisher)

    run(body)
    found = events(hub, session_id)
    assert kinds(found)[0] == "session_started"
    assert kinds(found)[-1] == "session_ended"
    assert found[0]["mode"] == "audio"
    assert found[0]["agent"] == "clerk"
    assert found[-1]["reason"] == "user_initiated"
    assert {event["room"] for event in found} == {"attach-1"}
    assert kinds(found).count("agent_ready") == 1
    said = [(event["role"], event["text"]) for event in of(found, "transcript")]
    assert said == [
        ("agent", "Hello, what can I do for you?"),
        ("user", "What is the weather?"),
        ("agent", "It is sunny in Oslo."),
    ]
    assert of(found, "transcript")[1]["participant"] == "caller"
    for reply in (event for event in of(found, "transcript") if event["role"] == "agent"):
        mine = [event for event in found if event.get("utterance") == reply["utterance"]]
        assert kinds(mine).count("agent_speech_started") == kinds(mine).count("agent_speech_finished") == 1
        assert "".join(event["delta"] for event in of(mine, "agent_text_delta")).strip() == reply["text"]
        assert of(mine, "agent_text_complete")[0]["text"].strip() == reply["text"]
        metrics = of(mine, "turn_metrics")[0]
        assert 0 < metrics["llm_node_ttft"] < 5
        assert 0 < metrics["tts_node_ttfb"] < 5
        assert kinds(mine).index("agent_speech_started") < kinds(mine).index("agent_speech_finished")
        assert of(mine, "agent_speech_finished")[0]["position"] > 0
    call, done = of(found, "tool_call_started")[0], of(found, "tool_call_finished")[0]
    assert (call["name"], call["arguments"]) == ("lookup_weather", {"location": "Oslo"})
    assert (done["call_id"], done["output"], done["is_error"]) == (call["call_id"], "sunny in Oslo", False)
    assert 0 <= done["duration"] < 5
    states = [event["new_state"] for event in of(found, "agent_state_changed")]
    assert {"listening", "thinking", "speaking"} <= set(states)  # H36
    usage = of(found, "usage_updated")
    assert usage
    assert all(a["model_usage"] != b["model_usage"] for a, b in itertools.pairwise(usage))


def test_interrupted_what_was_really_said(hub: HubProcess, publisher: Publisher) -> None:
    session_id = ""

    async def body() -> None:
        nonlocal session_id
        session = voice_session(speed=4)
        session_id = attach(session, publisher=publisher).session
        await session.start(Clerk())
        await greeted(session)
        speaker = session.output.audio
        story = session.generate_reply(user_input="Tell me a story.")
        await speaker.reach(2, 1.0)  # type: ignore[union-attr]
        await session.interrupt()
        await story
        await session.aclose()
        await sent(publisher)

    run(body)
    found = events(hub, session_id)
    story = of(found, "transcript")[-1]
    assert story["interrupted"] is True
    assert 0 < len(story["text"]) < 400
    finished = [event for event in of(found, "agent_speech_finished") if event["utterance"] == story["utterance"]]
    assert [event["interrupted"] for event in finished] == [True]
    written = "".join(e["delta"] for e in of(found, "agent_text_delta") if e["utterance"] == story["utterance"])
    assert written.startswith(story["text"][:20])


@pytest.mark.parametrize("tool", ["broken", "refused"])
def test_an_exceptions_text_is_kept_out(hub: HubProcess, publisher: Publisher, tool: str) -> None:
    session_id = ""

    async def body() -> None:
        nonlocal session_id
        session = text_session()
        session_id = attach(session, publisher=publisher).session
        await session.start(Clerk())
        await greeted(session)
        await session.run(user_input=f"Try {tool}.")
        await session.aclose()
        await sent(publisher)

    run(body)
    found = events(hub, session_id)
    done = of(found, "tool_call_finished")[0]
    assert (done["name"], done["is_error"], done["status"]) == (tool, True, "error")
    assert "output" not in done
    assert SECRET not in str(found)
    assert of(found, "transcript")[-1]["text"] == "Sorry, that did not work."


def test_an_error_that_recovers_and_a_handoff(hub: HubProcess, publisher: Publisher) -> None:
    session_id = ""

    async def body() -> None:
        nonlocal session_id
        session = text_session()
        session_id = attach(session, publisher=publisher).session
        await session.start(Clerk())
        await greeted(session)
        await session.run(user_input="fail once")
        await session.run(user_input="hand_over, please")
        assert isinstance(session.current_agent, Cashier)
        await session.aclose()
        await sent(publisher)

    run(body)
    found = events(hub, session_id)
    error = of(found, "agent_error")[0]
    assert (error["source"], error["recoverable"]) == ("llm", True)
    assert "could not be reached" in error["message"]
    assert [(e["old_agent"], e["new_agent"]) for e in of(found, "agent_handoff")] == [("clerk", "cashier")]


def test_text_only_without_a_room(hub: HubProcess, publisher: Publisher) -> None:
    session_id = ""

    async def body() -> None:
        nonlocal session_id
        session = text_session()
        session_id = attach(session, publisher=publisher).session
        await session.start(Clerk())
        await greeted(session)
        await session.run(user_input="Hi.")
        await session.aclose()
        await sent(publisher)

    run(body)
    found = events(hub, session_id)
    assert found[0]["mode"] == "text"
    assert "agent_speech_started" not in kinds(found)
    assert "".join(e["delta"] for e in of(found, "agent_text_delta")).endswith("Fine.")
    assert [e["text"] for e in of(found, "transcript")][-2:] == ["Hi.", "Fine."]
    assert all("playback_latency" not in event for event in of(found, "turn_metrics"))


def test_raw_text_of_the_llm_on_request(hub: HubProcess, publisher: Publisher) -> None:
    """T24: before the agent's transcription node has its way with it; the events say where it was read."""

    class Loud(Clerk):
        async def transcription_node(self, text: Any, model_settings: Any) -> Any:
            async for piece in text:
                yield piece.upper()

    texts = {}

    async def body() -> None:
        for source in ("transcription", "llm"):
            session = text_session()
            attachment = attach(session, publisher=publisher, text=source)  # type: ignore[arg-type]
            agent = Loud()
            await session.start(agent)
            await greeted(session)
            await session.run(user_input="Hi.")
            texts[source] = attachment.session
            attachment.detach()
            assert "llm_node" not in vars(agent)
            await session.aclose()
        await sent(publisher)

    run(body)
    for source, wanted in (("transcription", "FINE."), ("llm", "Fine.")):
        deltas = of(events(hub, texts[source]), "agent_text_delta")
        assert {event["source"] for event in deltas} == {source}
        assert "".join(event["delta"] for event in deltas).endswith(wanted)


# -- it takes nothing over ---------------------------------------------------------------------------------------------


class Sink(TextOutput):
    def __init__(self, next_in_chain: TextOutput | None = None) -> None:
        super().__init__(label="sink", next_in_chain=next_in_chain)
        self.texts: list[str] = []
        self.flushes = 0

    async def capture_text(self, text: str) -> None:
        self.texts.append(text)

    def flush(self) -> None:
        self.flushes += 1


def test_a_text_output_in_place_and_handlers_go_on_working(hub: HubProcess, publisher: Publisher) -> None:
    heard: list[str] = []
    sink = Sink()

    def broken(_: Any) -> None:
        raise RuntimeError("a handler of the user's own")

    async def body() -> None:
        session = text_session()
        session.output.transcription = sink
        session.on("conversation_item_added", broken)
        session.on("conversation_item_added", lambda ev: heard.append(ev.item.type))
        attachment = attach(session, publisher=publisher)
        await session.start(Clerk())
        await greeted(session)
        await session.run(user_input="Hi.")
        attachment.detach()
        attachment.detach()
        assert session.output.transcription is sink
        before = len(heard)
        await session.run(user_input="Hi again.")
        assert len(heard) > before
        await session.aclose()
        await sent(publisher)
        found = events(hub, attachment.session)
        assert [e["text"] for e in of(found, "transcript")][-1] == "Fine."
        assert "Hi again." not in str(found)

    run(body)
    assert "".join(sink.texts) == "Hello, what can I do for you?Fine.Fine."
    assert sink.flushes >= 3


def test_detached_below_somebody_elses_output_it_only_passes_on(publisher: Publisher) -> None:
    sink = Sink()

    async def body() -> None:
        session = text_session()
        session.output.transcription = sink
        attachment = attach(session, publisher=publisher)
        await session.start(Clerk())
        await greeted(session)
        await session.run(user_input="Hi.")

        class Front(Sink):
            async def capture_text(self, text: str) -> None:
                assert self.next_in_chain is not None
                await self.next_in_chain.capture_text(text)

        front = session.output.transcription = Front(session.output.transcription)
        attachment.detach()
        await session.run(user_input="Hi.")
        assert session.output.transcription is front
        await session.aclose()

    run(body)
    assert "".join(sink.texts).endswith("Fine.Fine.")


def test_twice_is_once(hub: HubProcess, publisher: Publisher, caplog: pytest.LogCaptureFixture) -> None:
    async def body() -> None:
        session = text_session()
        first = attach(session, publisher=publisher)
        assert attach(session) is first
        await session.start(Clerk())
        await greeted(session)
        await session.run(user_input="Hi.")
        await session.aclose()
        await sent(publisher)
        assert kinds(events(hub, first.session)).count("session_started") <= 1
        first.detach()
        assert attach(session, publisher=publisher) is not first

    with caplog.at_level(logging.WARNING, "event_hub.livekit"):
        run(body)
    assert "attached already" in caplog.text


def test_attached_late_and_started_again(hub: HubProcess, publisher: Publisher) -> None:
    """In the middle of a session; after its end; and to a session that is started a second time: a new id each time."""
    ids: list[str] = []

    async def body() -> None:
        session = text_session()
        await session.start(Clerk())
        await greeted(session)
        await session.run(user_input="Unheard.")
        attachment = attach(session, publisher=publisher)
        ids.append(attachment.session)
        await session.run(user_input="Hi.")
        await session.aclose()
        ids.append(attachment.session)
        await session.start(Clerk())
        await greeted(session)
        await session.run(user_input="Hello once more.")
        await session.aclose()
        await sent(publisher)

    run(body)
    first, second = (events(hub, one) for one in ids)
    assert ids[0] != ids[1]
    assert kinds(first)[:2] == ["session_started", "agent_ready"]
    assert "Unheard." not in str(first)
    assert [e["text"] for e in of(first, "transcript")] == ["Hi.", "Fine."]
    assert [e["text"] for e in of(second, "transcript")][-2:] == ["Hello once more.", "Fine."]
    assert kinds(second)[-1] == "session_ended"


def test_several_sessions_in_a_process_share_a_publisher_and_nothing_else(
    hub: HubProcess, publisher: Publisher
) -> None:
    ids: list[str] = []

    async def one(number: int) -> None:
        session = text_session()
        ids.append(attach(session, publisher=publisher).session)
        await session.start(Clerk())
        await greeted(session)
        await session.run(user_input=f"I am number {number}.")
        await session.aclose()

    async def body() -> None:
        await asyncio.gather(*(one(number) for number in range(5)))
        await sent(publisher)

    run(body)
    assert len(set(ids)) == 5
    for number, session_id in enumerate(ids):
        users = [e["text"] for e in of(events(hub, session_id), "transcript") if e["role"] == "user"]
        assert users == [f"I am number {number}."]


def test_attached_in_a_thread_without_a_loop_and_to_a_session_that_is_closed(
    hub: HubProcess, publisher: Publisher
) -> None:
    ids: list[str] = []

    async def body() -> None:
        session = text_session()
        attachment = await asyncio.to_thread(attach, session, publisher=publisher)
        ids.append(attachment.session)
        await session.start(Clerk())
        await greeted(session)
        await session.aclose()
        attachment.detach()
        again = attach(session, publisher=publisher)
        ids.append(again.session)
        await session.start(Clerk())
        await greeted(session)
        await session.aclose()
        await sent(publisher)

    run(body)
    for session_id in ids:
        found = kinds(events(hub, session_id))
        assert (found[0], found[-1]) == ("session_started", "session_ended")
        assert found.count("transcript") == 1


# -- hostile -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("thing", [None, object(), AgentSession])
def test_what_is_no_session_is_refused_with_a_sentence(thing: Any) -> None:
    with pytest.raises(TypeError, match="attach takes an AgentSession"):
        attach(thing)


def test_a_wrong_hub_url_is_said_and_the_agent_talks_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from event_hub.livekit import process

    monkeypatch.setattr(process, "_publisher", None)
    monkeypatch.setenv("HUB_URL", "not a url")

    async def body() -> None:
        session = text_session()
        attachment = attach(session)
        assert attachment.hub == "nowhere"
        await session.start(Clerk())
        await greeted(session)
        result = session.run(user_input="Hi.")
        await result
        attachment.detach()
        await session.aclose()

    run(body)
    assert "The session is not reported to a hub" in caplog.text


def test_a_publisher_that_fails_is_not_noticed_by_the_session(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Publisher):
        def put(self, event: dict[str, Any]) -> None:
            raise OSError("no")

    sink = Sink()

    async def body() -> None:
        with Broken(f"http://127.0.0.1:{free_port()}") as broken:
            session = text_session()
            session.output.transcription = sink
            attach(session, publisher=broken)
            await session.start(Clerk())
            await greeted(session)
            await session.run(user_input="Hi.")
            await session.aclose()

    run(body)
    assert "".join(sink.texts).endswith("Fine.")
    assert caplog.text.count("could not be reported (_on_text: OSError)") == 1


FORGOTTEN = """
import gc, weakref
from event_hub.client import Publisher
from event_hub.livekit import attach
from tests.attach.sessions import Clerk, greeted, run, text_session

gone = []

async def body():
    session = text_session()
    attach(session, publisher=publisher)
    gone.append(weakref.ref(session))
    await session.start(Clerk())
    await greeted(session)
    await session.aclose()

publisher = Publisher("http://127.0.0.1:1")
run(body)
gc.collect()
print("forgotten" if gone[0]() is None else "held")
publisher.close(0)
"""


def test_a_session_that_is_over_is_forgotten() -> None:
    """In a process of its own: pytest's record of the log holds on to sessions."""
    done = subprocess.run([sys.executable, "-c", FORGOTTEN], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout == "forgotten\n", done.stderr
