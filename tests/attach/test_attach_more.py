"""Events beside the conversation: telephone keys, unrecognised speech, overlaps, configuration, requests, usage, detach."""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import Any

import numpy as np
from livekit import rtc
from livekit.agents import Agent, llm
from livekit.agents.inference.interruption import OverlappingSpeechEvent
from livekit.agents.testing import fake_job_context
from livekit.agents.voice.events import UserTranscriptionTimeoutEvent

from agent.scripted.llm import Reply
from event_hub.client import Publisher
from event_hub.livekit import attach

from ..hubs import HubProcess
from .plays.stage import answered, text_session, until, voice_session
from .sessions import Event, events, kinds, of, run, sent


def test_telephone_keys(hub: HubProcess, publisher: Publisher) -> None:
    ids: list[str] = []

    async def body() -> None:
        room = rtc.Room()
        session = text_session(lambda _: Reply("Yes."))
        with fake_job_context(room=room) as context:
            ids.append(attach(session, publisher=publisher, room="dtmf").session)
            await session.start(Agent(instructions="x"), room=room)
            await until(lambda: session.agent_state == "listening")
            for code, digit in ((5, "5"), (11, "#")):
                room.emit("sip_dtmf_received", rtc.SipDTMF(code=code, digit=digit))
            await session.aclose()
            room.emit("sip_dtmf_received", rtc.SipDTMF(code=1, digit="1"))
            await context._on_cleanup()
        await sent(publisher)

    run(body)
    found = of(events(hub, ids[0]), "sip_dtmf_received")
    assert [(event["digit"], event["code"], event["role"]) for event in found] == [("5", 5, "user"), ("#", 11, "user")]


def emitted(hub: HubProcess, publisher: Publisher, name: Any, event: Any) -> list[Event]:
    ids: list[str] = []

    async def body() -> None:
        session = text_session(lambda _: Reply("Yes."))
        ids.append(attach(session, publisher=publisher).session)
        await session.start(Agent(instructions="x"))
        session.emit(name, event)
        await session.aclose()
        await sent(publisher)

    run(body)
    return events(hub, ids[0])


def test_speech_in_which_nothing_was_recognised(hub: HubProcess, publisher: Publisher) -> None:
    began = time.time() - 2
    timeout = UserTranscriptionTimeoutEvent(speech_duration=0.8, vad_speech_started_at=began)
    (found,) = of(emitted(hub, publisher, "user_transcription_timeout", timeout), "user_transcription_timeout")
    assert (found["speech_duration"], found["vad_speech_started_at"], found["role"]) == (0.8, began, "user")


def test_overlapping_speech_without_its_audio(hub: HubProcess, publisher: Publisher) -> None:
    overlap = OverlappingSpeechEvent(
        is_interruption=True,
        detection_delay=0.35,
        probability=0.8,
        num_requests=3,
        speech_input=np.zeros(1600, np.int16),
        probabilities=np.zeros(3, np.float32),
    )
    (found,) = of(emitted(hub, publisher, "overlapping_speech", overlap), "overlapping_speech")
    assert (found["is_interruption"], found["agent_ended"], found["num_requests"]) == (True, False, 3)
    assert (found["detection_delay"], found["probability"]) == (0.35, 0.8)
    assert not found.keys() & {"speech_input", "probabilities", "total_duration", "overlap_started_at"}


def test_instructions_are_published_only_on_request(hub: HubProcess, publisher: Publisher) -> None:
    ids: list[str] = []

    async def body() -> None:
        for wanted in (False, True):
            session = text_session(lambda _: Reply("Yes."))
            ids.append(attach(session, publisher=publisher, instructions=wanted).session)
            await session.start(Agent(instructions="Never say how much it costs us."))
            await session.run(user_input="Hi.")
            await session.current_agent.update_instructions("Say it.")
            await session.aclose()
        await sent(publisher)

    run(body)
    without, with_text = (of(events(hub, session), "agent_config_update") for session in ids)
    assert [event["instructions_changed"] for event in without] == [True, True]
    assert "costs" not in str(events(hub, ids[0]))
    assert [event["instructions"] for event in with_text] == ["Never say how much it costs us.", "Say it."]


def test_every_request_to_a_model_is_reported_also_before_a_tool_and_cancelled(
    hub: HubProcess, publisher: Publisher
) -> None:
    """The latencies of a turn only have its last LLM step, and no cancelled request."""
    ids: list[str] = []
    story = "Once upon a time there was a fox. " * 20

    class Clerk(Agent):
        @llm.function_tool
        async def look(self) -> str:
            """Looks."""
            return "sunny"

    def answer(context: llm.ChatContext) -> Reply:
        last = context.items[-1]
        if last.type == "function_call_output":
            return Reply("It is sunny.")
        return Reply(tool="look") if "weather" in str(getattr(last, "text_content", "")) else Reply(story)

    async def body() -> None:
        session, caller, speaker = voice_session(answer, speed=8)
        ids.append(attach(session, publisher=publisher).session)
        await session.start(Clerk(instructions="x"))
        await caller.say("What is the weather?")
        await answered(session, 1)
        await caller.say("Tell me a story.")
        await speaker.reach(2, 0.5)
        await session.interrupt()
        await session.aclose()
        await sent(publisher)

    run(body)
    found = events(hub, ids[0])
    requests = [event["metrics"] for event in of(found, "metrics_collected")]
    models = [request for request in requests if request["type"] == "llm_metrics"]
    assert [model["cancelled"] for model in models] == [False, False, True]
    assert all(0 < model["ttft"] < 5 for model in models[:2])
    weather = {event["speech_id"] for event in of(found, "speech_created")} & {
        model["speech_id"] for model in models[:2]
    }
    assert len(weather) == 1, "both steps are of one speech"
    voices = [request for request in requests if request["type"] == "tts_metrics"]
    assert voices and all(isinstance(voice["connection_reused"], bool) for voice in voices)
    assert any(request["type"] == "stt_metrics" for request in requests)
    ends = [request for request in requests if request["type"] == "eou_metrics"]
    assert len(ends) == 2
    assert not any(value == 0 for request in requests for value in request.values() if type(value) in (int, float))


def test_attach_logs_no_deprecation_warning(publisher: Publisher, caplog: Any) -> None:
    async def body() -> None:
        attach(text_session(lambda _: Reply("Yes.")), publisher=publisher)

    run(body)
    assert "deprecated" not in caplog.text


def test_usage_is_reported_at_most_once_a_second_and_completely(hub: HubProcess, publisher: Publisher) -> None:
    ids: list[str] = []
    total: list[int] = []

    async def body() -> None:
        session = text_session(lambda _: Reply("Yes."))
        ids.append(attach(session, publisher=publisher).session)
        await session.start(Agent(instructions="x"))
        until_time = time.monotonic() + 1.5
        while time.monotonic() < until_time:
            await session.run(user_input="Hi.")
            await asyncio.sleep(0.02)
        total.extend(usage.input_tokens for usage in session.usage.model_usage)  # type: ignore[union-attr]
        await session.aclose()
        await sent(publisher)

    run(body)
    found = of(events(hub, ids[0]), "usage_updated")
    assert 2 <= len(found) <= 4
    regular = [event["timestamp"] for event in found[:-1]]
    assert all(late - early > 0.95 for early, late in itertools.pairwise(regular))
    assert found[-1]["model_usage"][0]["input_tokens"] == total[0]


def test_detach_ends_the_session_on_the_hub(hub: HubProcess, publisher: Publisher) -> None:
    """In mid-reply: nothing of the session stays open."""
    ids: list[str] = []

    async def body() -> None:
        session, caller, speaker = voice_session(lambda _: Reply("Once upon a time there was a fox. " * 20), speed=8)
        attachment = attach(session, publisher=publisher)
        await session.start(Agent(instructions="x"))
        await caller.say("Tell me a story.")
        await speaker.reach(1, 0.5)
        ids.append(attachment.session)
        attachment.detach()
        attachment.detach()
        await session.interrupt()
        await session.aclose()
        await sent(publisher)

    run(body)
    found = events(hub, ids[0])
    assert (found[-1]["type"], found[-1]["reason"]) == ("session_ended", "detached")
    assert kinds(found).count("session_ended") == 1
    assert kinds(found).count("agent_speech_started") == kinds(found).count("agent_speech_finished") == 1
    ends = [
        e["utterance"] for e in found if e["type"] == "agent_text_unsaid" or (e["type"] == "transcript" and e["final"])
    ]
    assert {event["utterance"] for event in of(found, "agent_text_delta")} <= set(ends)
    document = hub.get(f"/api/sessions/{ids[0]}")
    assert (document["status"], document["reason"]) == ("ended", "detached")


def test_detach_before_the_start_publishes_nothing(hub: HubProcess, publisher: Publisher) -> None:
    async def body() -> None:
        attachment = attach(text_session(lambda _: Reply("Yes.")), publisher=publisher)
        attachment.detach()
        await sent(publisher)
        assert events(hub, attachment.session) == []

    run(body)


def test_a_corrected_tool_call_is_one_call_on_the_hub(hub: HubProcess) -> None:
    """As after an interruption that cancels a handoff: the model is told so, and the first report is replaced."""
    call = {"session": "corrected", "call_id": "c1", "name": "move"}
    finished = {"type": "tool_call_finished", **call}
    hub.publish({"type": "tool_call_started", **call})
    hub.publish({**finished, "output": "over to B", "is_error": False})
    hub.publish({**finished, "output": "it did not happen", "is_error": True, "status": "error", "correction": True})
    document = hub.get("/api/sessions/corrected")
    (tool,) = (item for item in document["conversation"] if item["kind"] == "tool")
    assert (tool["output"], tool["is_error"], tool["status"]) == ("it did not happen", True, "error")
    assert (document["counts"]["tool_calls"], document["counts"]["tool_errors"]) == (1, 0)
