"""The whole voice agent of `agent_example.py`: Deepgram, the LLM server and Cartesia over their own wire protocols, with real
speech. Only the room is left out."""

from __future__ import annotations

import asyncio
import sys
import time

import numpy as np
import pytest
from livekit import rtc
from livekit.agents import AgentSession, utils
from livekit.agents.voice import io
from livekit.plugins import cartesia, deepgram

from agent.gateway.llm import LLMServer
from agent.gateway.llm.scripted import ScriptedBackend
from agent.scripted.speaker import Speaker
from event_hub.livekit import WebSocketLLM

from ...hubs import ROOT
from ...livekit.speech import RATE, Recogniser, said
from ...standins.cartesia_standin import CartesiaStandin
from ...standins.deepgram_standin import DeepgramStandin
from ...standins.server import KEY
from .servers import run, serving, until

FRAME = RATE // 20


class Microphone(io.AudioInput):
    """Silence, and what `say` adds, in real time."""

    def __init__(self) -> None:
        super().__init__(label="microphone")
        self._sound = np.zeros(0, np.int16)
        self._next = time.monotonic()

    def say(self, text: str) -> None:
        self._sound = np.concatenate([self._sound, said(text)])

    async def __anext__(self) -> rtc.AudioFrame:
        self._next = max(time.monotonic(), self._next + FRAME / RATE)
        await asyncio.sleep(self._next - time.monotonic())
        piece, self._sound = self._sound[:FRAME], self._sound[FRAME:]
        return rtc.AudioFrame(np.pad(piece, (0, FRAME - len(piece))).tobytes(), RATE, 1, FRAME)


def test_a_spoken_question_is_answered_by_the_llm_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """L11, L12, L13: it greets; what is said reaches the server as text; the answer is spoken."""
    folder = ROOT / "examples" / "voice_agents" / "websocket_text_streaming"
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "agent_example", raising=False)
    import agent_example

    async def body(ears: DeepgramStandin, voice: CartesiaStandin) -> None:
        async with (
            utils.http_context.open(),
            serving(LLMServer(ScriptedBackend(speed=5))) as url,
            WebSocketLLM(ws_url=url) as model,
        ):
            stt = deepgram.STT(base_url=f"{ears.base_url}/v1/listen", api_key=KEY)
            tts = cartesia.TTS(base_url=voice.base_url, api_key=KEY)
            session: AgentSession[None] = AgentSession(
                stt=stt,
                llm=model,
                tts=tts,
                turn_handling={"turn_detection": "vad", "interruption": {"mode": "vad"}},
                aec_warmup_duration=None,
            )
            microphone, speaker = Microphone(), Speaker(4.0)
            session.input.audio, session.output.audio = microphone, speaker

            def said_by(role: str) -> list[str]:
                return [m.text_content or "" for m in session.history.messages() if m.role == role]

            async with session:
                await session.start(agent_example.HealthcareAssistant())
                await until(lambda: said_by("assistant"))
                assert said_by("assistant")[0].startswith("Hello. I am the voice assistant.")
                microphone.say("What is the weather in London?")
                await until(lambda: len(said_by("assistant")) > 1)
            await stt.aclose()
            await tts.aclose()
            assert "weather" in said_by("user")[0].lower()
            assert said_by("assistant")[1].startswith("The weather in London is")
            assert any("weather in London" in text for text in voice.spoken.values())

    with Recogniser() as recogniser, DeepgramStandin(recogniser) as ears, CartesiaStandin() as voice:
        run(lambda: body(ears, voice))
