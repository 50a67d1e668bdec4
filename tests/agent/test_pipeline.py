"""Each part of the pipeline by itself: it works without the others, and its Failure speaks of that part only."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from livekit.agents import Agent, inference
from livekit.agents.llm import LLM
from livekit.agents.stt import STT, StreamAdapter
from livekit.agents.tts import TTS

from agent.failure import WRONG_SETTINGS, Failure
from agent.pipeline import Pipeline, make_llm, make_pipeline, make_realtime, make_stt, make_tts, make_vad
from agent.session import make_session
from event_hub.providers import Providers

from .speech import recognised, synthesised

NOTHING = {f"AGENT_{kind}": "none" for kind in ("STT", "LLM", "TTS", "VAD", "REALTIME")}
"""No part is chosen, so whatever works then needs no other part."""
MAKERS: dict[str, Callable[[Providers], Any]] = {
    "STT": make_stt,
    "LLM": make_llm,
    "TTS": make_tts,
    "VAD": make_vad,
    "REALTIME": make_realtime,
}


def only(kind: str, provider: str, **more: str) -> Providers:
    """Providers with this one part."""
    return Providers.of({**NOTHING, f"AGENT_{kind}": provider, **more})


@pytest.fixture(autouse=True)
def openai_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    monkeypatch.delenv("AGENT_LANGUAGE", raising=False)


@pytest.mark.parametrize("kind", MAKERS)
def test_a_part_that_is_not_chosen_is_named_and_no_other(kind: str) -> None:
    with pytest.raises(Failure) as caught:
        MAKERS[kind](Providers.of(NOTHING))
    assert caught.value.sentence.startswith(f"AGENT_{kind} is none, so there is no ")
    assert (caught.value.source, caught.value.code) == (kind.lower(), WRONG_SETTINGS)
    others = set(MAKERS) - {kind}
    assert not any(f"AGENT_{other}" in caught.value.sentence for other in others)


@pytest.mark.parametrize("kind", ["STT", "LLM", "TTS"])
def test_a_realtime_model_replaces_the_other_parts(kind: str) -> None:
    with pytest.raises(Failure, match="AGENT_REALTIME=openai replaces STT, LLM and TTS") as caught:
        MAKERS[kind](Providers.of({"AGENT_REALTIME": "openai"}))
    assert caught.value.source == kind.lower()


@pytest.mark.parametrize(
    ("kind", "provider", "model"),
    [("LLM", "openai/gpt-4.1-mini", "gpt-4.1-mini"), ("TTS", "openai/tts-1:coral", "tts-1"),
     ("REALTIME", "openai/gpt-realtime:marin", "gpt-realtime")],
)  # fmt: skip
def test_a_part_is_made_without_the_others(kind: str, provider: str, model: str) -> None:
    async def made() -> Any:
        return MAKERS[kind](only(kind, provider))

    assert asyncio.run(made()).model == model


def test_an_stt_that_takes_whole_utterances_brings_its_vad() -> None:
    """Without a VAD to share, the one that AGENT_VAD chooses is loaded; a shared one is used."""

    async def scenario() -> None:
        vad = inference.VAD()
        adapted = make_stt(only("STT", "openai", AGENT_VAD="local"))
        shared = make_stt(only("STT", "openai"), vad=vad)
        assert isinstance(adapted, StreamAdapter)
        assert isinstance(shared, StreamAdapter)
        assert (type(adapted._vad), shared._vad) == (inference.VAD, vad)
        with pytest.raises(Failure, match="The STT of openai takes whole utterances") as caught:
            make_stt(only("STT", "openai"))
        assert caught.value.source == "stt"

    asyncio.run(scenario())


def test_transcription_needs_an_stt_alone() -> None:
    """Speech from one part, text from the other, and no session between them."""

    async def transcribed() -> str:
        tts, stt = make_tts(only("TTS", "local")), make_stt(only("STT", "local"))
        assert isinstance(tts, TTS)
        assert isinstance(stt, STT)
        events = await recognised(stt, await synthesised(tts, "What is the weather in Oslo?"))
        return " ".join(event.alternatives[0].text for event in events if event.type == "final_transcript")

    assert "weather" in asyncio.run(transcribed())


def test_text_chat_needs_an_llm_alone() -> None:
    """A session from the LLM only: it answers text, and neither hears nor speaks."""

    async def answered() -> list[str]:
        llm = make_llm(only("LLM", "scripted"))
        assert isinstance(llm, LLM)
        session = make_session(Pipeline(llm=llm))
        assert (session.stt, session.tts, session.vad) == (None, None, None)
        await session.start(Agent(instructions="Be brief."))
        try:
            greeting = await session.run(user_input="Hello.")
            goodbye = await session.run(user_input="Thank you.")
        finally:
            await session.aclose()
        return [event.item.text_content for run in (greeting, goodbye) for event in run.events]

    assert asyncio.run(answered()) == ["Hello. How can I help you?", "You are welcome. Is there anything else?"]


@pytest.mark.parametrize(("absent", "article"), [("STT", "an STT"), ("LLM", "an LLM")])
def test_a_voice_agent_needs_stt_and_llm_and_no_tts(absent: str, article: str) -> None:
    local = {"AGENT_PROVIDERS": "local", "AGENT_TTS": "none"}
    with pytest.raises(Failure, match=f"AGENT_{absent} is none, but a voice agent needs {article}"):
        make_pipeline(Providers.of({**local, f"AGENT_{absent}": "none"}))

    async def scenario() -> None:
        made = make_pipeline(Providers.of(local))
        assert (made.tts, made.realtime) == (None, None)
        assert isinstance(made.stt, STT)
        assert isinstance(made.llm, LLM)
        session = make_session(made)
        assert (session.stt, session.llm, session.vad) == (made.stt, made.llm, made.vad)
        vad = inference.VAD()
        assert make_pipeline(Providers.of(local), vad=vad).vad is vad, "a VAD that is loaded already is used"

    asyncio.run(scenario())
