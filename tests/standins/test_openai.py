"""OpenAI through the same settings as the other vendors (X09). tests/livekit/test_openai_standin.py and the calls proved there
go further.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import pytest

from agent.pipeline import make_llm, make_stt, make_tts

from ..conftest import outliving
from ..livekit.openai_standin import STORY, Standin
from ..livekit.speech import overlap
from .asking import Reply, answered, asking
from .plugins import only, outside_a_job, synthesised
from .server import KEY

TEXT = "What is the weather in Oslo?"


@pytest.fixture(scope="module")
def running() -> Iterator[Standin]:
    with outliving() as keep, Standin() as standin:
        keep()
        yield standin


@pytest.fixture
def openai(running: Standin, monkeypatch: pytest.MonkeyPatch) -> Standin:
    monkeypatch.setenv("OPENAI_BASE_URL", running.base_url)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    return running


def test_openai_streams_and_calls_tools(openai: Standin) -> None:
    async def scenario() -> tuple[Reply, Reply]:
        llm = make_llm(only("LLM", "openai/gpt-4o-mini"))
        try:
            first, second = await asyncio.gather(answered(llm, asking("Tell me a story.")), answered(llm, asking(TEXT)))
            return first, second
        finally:
            await llm.aclose()

    story, weather = outside_a_job(scenario)
    assert story.text == STORY
    assert [(call.name, json.loads(call.arguments)) for call in weather.calls] == [("get_weather", {"city": "Oslo"})]
    assert {request.body["model"] for request in openai.asked("/v1/chat/completions")} == {"gpt-4o-mini"}


def test_openai_speaks_and_hears(openai: Standin) -> None:
    async def scenario() -> tuple[float, str]:
        tts, stt = (
            make_tts(only("TTS", "openai/gpt-4o-mini-tts:coral")),
            make_stt(only("STT", "openai", AGENT_VAD="local")),
        )
        try:
            audio = await synthesised(tts, TEXT)
            event = await stt.recognize(audio)
            return audio.duration, event.alternatives[0].text
        finally:
            await tts.aclose()
            await stt.wrapped_stt._client.close()  # the plugin leaves it open

    duration, text = outside_a_job(scenario)
    assert duration > 1
    assert overlap(TEXT, text) > 0.6
    [request] = openai.asked("/v1/audio/speech")
    assert (request.body["model"], request.body["voice"]) == ("gpt-4o-mini-tts", "coral")
