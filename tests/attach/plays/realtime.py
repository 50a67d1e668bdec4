"""An agent with a realtime model: OpenAI's real plugin against a stand-in for its API."""

from __future__ import annotations

import asyncio
from typing import Any

from livekit.agents import Agent, AgentSession, utils
from livekit.plugins import openai

from agent.scripted.speaker import Speaker

from ..openai_realtime_standin import OpenAIRealtimeStandin
from .stage import SPEED, Stage, answered, play


class Realtime(OpenAIRealtimeStandin):
    """The test decides when the caller speaks and when the transcripts arrive."""

    async def speak(self, item: str) -> None:
        await self._send("input_audio_buffer.speech_started", item_id=item, audio_start_ms=0)
        await asyncio.sleep(0.05)
        await self._send("input_audio_buffer.speech_stopped", item_id=item, audio_end_ms=900)
        await self._added({"id": item, "type": "message", "role": "user", "content": []})

    async def transcribe(self, item: str, text: str, *, final: bool = True) -> None:
        fields: dict[str, Any] = {"item_id": item, "content_index": 0}
        if final:
            fields.update(transcript=text, usage={"type": "duration", "seconds": 0.9})
        else:
            fields.update(delta=text)
        kind = "completed" if final else "delta"
        await self._send(f"conversation.item.input_audio_transcription.{kind}", **fields)

    async def respond(self) -> None:
        await self._respond({})


@play
async def realtime(stage: Stage) -> None:
    """Transcripts that interleave, that are completed twice, and that arrive during the answer; an answer that is cut off."""
    replies = [["Hello."], ["It is sunny in Oslo today.", "Take a hat."], ["Fine."], ["A long story. " * 20]]
    async with Realtime(replies).serving() as api, utils.http_context.open():
        model = openai.realtime.RealtimeModel(api_key="stand-in", base_url=api.url)
        session: AgentSession[Any] = AgentSession(llm=model, vad=None, turn_handling={"turn_detection": None})
        speaker = session.output.audio = Speaker(speed=SPEED)
        stage.attach(session)
        await session.start(Agent(instructions="x"))
        await asyncio.wait_for(api.connected.wait(), 10)
        await session.generate_reply(instructions="Greet.")
        await api.speak("item_late")
        await api.respond()
        await speaker.reach(2, 0.3)
        await api.transcribe("item_late", "What is the weather?")
        await answered(session, 3)
        await api.speak("item_a")
        await api.transcribe("item_a", "My name", final=False)
        await api.speak("item_b")
        await api.transcribe("item_b", "and I", final=False)
        await api.transcribe("item_a", "My name is Ada,")
        await api.transcribe("item_b", "and I live")
        await api.transcribe("item_b", "and I live in Oslo.")
        await api.respond()
        await answered(session, 4)
        await api.say("Tell me a story.")
        await speaker.reach(5, 1.5)
        await api.interrupt()
        await answered(session, 5)
        await session.aclose()
        await model.aclose()
