"""attach(session) replaces nothing, and whatever happens to it or to the session, the agent keeps talking (H16, D08)."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from livekit.agents import AgentSession

from agent.scripted.llm import Reply
from agent.scripted.speaker import Speaker
from event_hub.client import Publisher
from event_hub.livekit import attach

from ..hubs import ROOT, HubProcess, free_port
from .sessions import (
    Clerk,
    Sink,
    conversation,
    events,
    greeted,
    kinds,
    of,
    run,
    sent,
    text_session,
    voice_session,
)

# -- it replaces nothing ------------------------------------------------------------------------------------------------


def test_an_existing_text_output_and_handlers_keep_working(hub: HubProcess, publisher: Publisher) -> None:
    heard: list[str] = []
    sink = Sink()

    def broken(_: Any) -> None:
        raise RuntimeError("in the user's own handler")

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


def test_detached_below_another_output_it_only_passes_text_on(publisher: Publisher) -> None:
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


def test_attaching_twice_reports_once(hub: HubProcess, publisher: Publisher, caplog: pytest.LogCaptureFixture) -> None:
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
    """In mid-session, and to a session that is started a second time: each start has its own id."""
    ids: list[str] = []
    closed: list[str] = []

    async def body() -> None:
        session = text_session()
        await session.start(Clerk())
        await greeted(session)
        await session.run(user_input="Unheard.")
        attachment = attach(session, publisher=publisher)
        ids.append(attachment.session)
        await session.run(user_input="Hi.")
        session.on("close", lambda _: closed.append(attachment.session))
        await session.aclose()
        assert closed == ids, "a close handler still finds the id of the session that ended"
        await session.start(Clerk())
        ids.append(attachment.session)
        await greeted(session)
        await session.run(user_input="Hello once more.")
        await session.aclose()
        await sent(publisher)

    run(body)
    first, second = (events(hub, session_id) for session_id in ids)
    assert ids[0] != ids[1]
    assert kinds(first)[:2] == ["session_started", "agent_ready"]
    assert "Unheard." not in str(first)
    assert [e["text"] for e in of(first, "transcript")] == ["Hi.", "Fine."]
    assert [e["text"] for e in of(second, "transcript")][-2:] == ["Hello once more.", "Fine."]
    assert kinds(second)[-1] == "session_ended"


def test_attached_in_a_thread_without_a_loop_and_to_a_closed_session(hub: HubProcess, publisher: Publisher) -> None:
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


def test_long_texts_arrive_truncated_and_split_characters_whole(hub: HubProcess, publisher: Publisher) -> None:
    def answers(context: Any) -> Reply:
        asked = context.items[-1]
        if getattr(asked, "role", "") != "user":
            return Reply("Hello.")
        return Reply("😎\x00" * 20_000) if "long" in asked.text_content else Reply("half \ud83d of it")

    found = conversation(hub, publisher, "Something long.", "Something broken.", session=lambda: text_session(answers))
    long, half = [e for e in of(found, "transcript") if e["role"] == "agent"][1:]
    assert long["truncated"] == 40_000
    assert long["text"].startswith("😎\x00😎")
    assert half["text"] == "half \ufffd of it"
    assert publisher.stats.dropped == 0


def test_outputs_that_are_swapped_in_mid_session(hub: HubProcess, publisher: Publisher) -> None:
    """Muted and unmuted thirty times: the chain of taps does not grow. Another loudspeaker in mid-sentence: still one pair."""
    session_id = ""

    async def body() -> None:
        nonlocal session_id
        session = voice_session()
        session_id = attach(session, publisher=publisher).session
        await session.start(Clerk())
        await greeted(session)
        for _ in range(30):
            text = session.output.transcription
            session.output.transcription = None
            await session.say("Muted.", add_to_chat_ctx=False)
            session.output.transcription = text
            session.emit("speech_created", SimpleNamespace())  # type: ignore[arg-type]
        chain = 0
        output = session.output.transcription
        while output is not None:
            chain, output = chain + 1, output.next_in_chain
        assert chain <= 2
        first, second = session.output.audio, Speaker(50)
        first.speed = 2  # type: ignore[union-attr]
        speaking = session.say("A sentence that takes its time to be said.", add_to_chat_ctx=False)
        await first.reach(32, 0.5)  # type: ignore[union-attr]
        session.output.audio = second
        session.emit("speech_created", SimpleNamespace())  # type: ignore[arg-type]
        await speaking
        await session.say("And another one.")
        await session.aclose()
        await sent(publisher)

    run(body)
    found = events(hub, session_id)
    pairs = [(e["type"][13:], e["utterance"]) for e in found if e["type"].startswith("agent_speech_")]
    assert len(pairs) == 2 * 33
    for started, finished in zip(pairs[::2], pairs[1::2], strict=True):
        assert (started[0], finished[0], started[1]) == ("started", "finished", finished[1])
    assert of(found, "agent_speech_finished")[-2]["position"] > 1
    said = [event["text"] for event in of(found, "transcript")]
    assert said[-2:] == ["A sentence that takes its time to be said.", "And another one."]


def test_an_output_that_fails_when_it_is_tapped_costs_no_event(hub: HubProcess, publisher: Publisher) -> None:
    session_id = ""

    class Odd(Sink):
        def on_attached(self) -> None:
            raise RuntimeError("not like this")

    async def body() -> None:
        nonlocal session_id
        session = text_session()
        attachment = attach(session, publisher=publisher)
        session_id = attachment.session
        await session.start(Clerk())
        await greeted(session)
        session.output._transcription_sink = Odd()  # as if it had been there from the start
        await session.run(user_input="Hi.")
        session.output._transcription_sink = None
        await session.aclose()
        await sent(publisher)

    run(body)
    found = events(hub, session_id)
    assert [e["new_state"] for e in of(found, "agent_state_changed")][-1] == "listening"
    assert of(found, "transcript")[-1]["text"] == "Fine."


# -- hostile -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("thing", [None, object(), AgentSession])
def test_attach_takes_only_an_agent_session(thing: Any) -> None:
    with pytest.raises(TypeError, match="attach takes an AgentSession"):
        attach(thing)


@pytest.mark.parametrize("wrong", [{"room": "r" * 300}, {"session_id": ""}, {"participant": 7}, {"text": "both"}])
def test_invalid_options_are_refused_at_once(wrong: dict[str, Any]) -> None:
    async def body() -> None:
        with pytest.raises(ValueError):
            attach(text_session(), **wrong)

    run(body)


def test_an_invalid_hub_url_is_logged_and_the_agent_keeps_talking(
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


def test_a_publisher_that_fails_does_not_disturb_the_session(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Publisher):
        def put_later(self, what: Any, by: Any = None, about: Any = None) -> None:
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
    assert caplog.text.count("could not be reported (text: OSError)") == 1


FORGOTTEN = """
import gc, weakref
from agent.scripted.speaker import Speaker
from event_hub.client import Publisher
from event_hub.livekit import attach
from tests.attach.sessions import Clerk, Sink, run, voice_session

gone = []

async def body(started):
    session = voice_session()
    session.output.transcription = Sink()
    session.output.transcription.owner = session          # an output that refers to its session
    attach(session, publisher=publisher, text="llm")
    gone.append(weakref.ref(session))
    if started:
        await session.start(Clerk())
        await session.say("Hello.")
        await session.aclose()

async def shared(speaker, agent):
    session = voice_session()
    session.output.audio = speaker
    attach(session, publisher=publisher, text="llm")
    await session.start(agent)
    await session.say("Hello.")
    await session.aclose()

publisher = Publisher("http://127.0.0.1:1")
for number in range(6):
    run(lambda: body(number % 3))
publisher.flush(0)  # encodes what still refers to a session
gc.collect()
print([session() is None for session in gone].count(False), "held")
speaker, agent = Speaker(50), Clerk()
for _ in range(3):
    run(lambda: shared(speaker, agent))
print(len(speaker._events["playback_finished"]), "handlers", "llm_node" in vars(agent))
publisher.close(0)
"""


def test_a_session_that_has_ended_is_released() -> None:
    """In a separate process: pytest's log capture keeps sessions alive."""
    done = subprocess.run([sys.executable, "-c", FORGOTTEN], cwd=ROOT, capture_output=True, text=True, timeout=150)
    assert done.stdout.splitlines() == ["0 held", "0 handlers False"], done.stdout + done.stderr
