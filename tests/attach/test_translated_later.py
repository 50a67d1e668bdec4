"""Events are translated in the publisher's thread, as they were when LiveKit reported them."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest
from livekit.agents.voice.events import UserInputTranscribedEvent, UserStateChangedEvent

from event_hub.client import Publisher
from event_hub.livekit import attach

from ..hubs import HubProcess
from .sessions import Clerk, events, greeted, kinds, of, run, sent, text_session


def test_what_changes_after_an_event_does_not_change_what_is_reported(hub: HubProcess, publisher: Publisher) -> None:
    session_id = ""

    async def body() -> None:
        nonlocal session_id
        session = text_session()
        attachment = attach(session, publisher=publisher, room="first")
        session_id = attachment.session
        await session.start(Clerk())
        await greeted(session)
        with publisher._outbox.inbox._lock:  # as if the publisher's thread had no time
            interim = UserInputTranscribedEvent(transcript="What is", is_final=False)
            session.emit("user_input_transcribed", interim)
            interim.transcript, interim.is_final = "changed", True
            state = UserStateChangedEvent(old_state="listening", new_state="speaking")
            session.emit("user_state_changed", state)
            state.new_state = "away"
            publisher.publish({"type": "mine", "session": session_id})
            session.emit("user_input_transcribed", UserInputTranscribedEvent(transcript="What is it", is_final=False))
            now = time.time()
            assert publisher.stats.queued >= 4
        await sent(publisher)
        found = [event for event in events(hub, session_id) if event["timestamp"] <= now]
        assert kinds(found)[-5:] == [
            "transcript",
            "user_state_changed",
            "user_speech_started",
            "mine",
            "transcript",
        ]
        assert [event["text"] for event in of(found, "transcript") if not event["final"]] == ["What is", "What is it"]
        assert of(found, "user_state_changed")[-1]["new_state"] == "speaking"
        await session.aclose()

    run(body)


def test_a_translation_that_fails_is_logged_once_and_the_rest_is_reported(
    hub: HubProcess, publisher: Publisher, caplog: pytest.LogCaptureFixture
) -> None:
    session_id = ""

    async def body() -> None:
        nonlocal session_id
        session = text_session()
        session_id = attach(session, publisher=publisher).session
        await session.start(Clerk())
        await greeted(session)
        for _ in range(3):
            session.emit("user_input_transcribed", SimpleNamespace(transcript=7))  # type: ignore[arg-type]
        await session.run(user_input="Hi.")
        await session.aclose()
        await sent(publisher)

    run(body)
    assert caplog.text.count("could not be reported (user_transcribed: ") == 1
    assert "".join(event["text"] for event in of(events(hub, session_id), "transcript")).endswith("Fine.")
