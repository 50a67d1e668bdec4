"""The gateway as it would run with the vendors of the seed: AssemblyAI hears, Gemini answers, Murf speaks (V07, V27, V41, X09).

One process, the vendors as stand-ins in this one.
"""

from __future__ import annotations

import base64
import io
import wave
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import requests

from ..conftest import outliving
from ..gateway.gateways import Client, GatewayProcess, client
from ..hubs import PATIENCE
from ..livekit.openai_standin import STORY
from ..livekit.speech import RATE, Recogniser, overlap, resampled, said
from .assemblyai_standin import AssemblyAIStandin
from .gemini_standin import GeminiStandin
from .murf_standin import MurfStandin
from .server import KEY, Trouble

VOICE = "en-US-natalie"
QUIET = np.zeros(RATE // 2, np.int16)


@dataclass(frozen=True)
class World:
    gateway: GatewayProcess
    hearing: AssemblyAIStandin
    thinking: GeminiStandin
    speaking: MurfStandin
    recogniser: Recogniser


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with (
        outliving() as keep,
        Recogniser() as recogniser,
        AssemblyAIStandin(recogniser) as hearing,
        GeminiStandin() as thinking,
        MurfStandin() as speaking,
        GatewayProcess(
            tmp_path_factory.mktemp("gateway"),
            AGENT_STT="assemblyai",
            AGENT_LLM="google/gemini-3.8-flash",
            AGENT_TTS=f"murf/FALCON:{VOICE}",
            ASSEMBLYAI_API_KEY=KEY,
            GEMINI_API_KEY=KEY,
            MURF_API_KEY=KEY,
            ASSEMBLYAI_BASE_URL=hearing.base_url,
            GOOGLE_GEMINI_BASE_URL=thinking.base_url,
            MURF_BASE_URL=speaking.base_url,
        ) as gateway,
    ):
        gateway.ready()
        keep()
        yield World(gateway, hearing, thinking, speaking, recogniser)


@pytest.fixture
def world(running: World) -> World:
    """Everything works, and nothing was asked yet."""
    for standin in (running.hearing, running.thinking, running.speaking):
        standin.key, standin.trouble = KEY, Trouble(times=0)
        standin.asked.clear()
    running.speaking.spoken.clear()
    running.speaking.voices.clear()
    return running


@pytest.fixture
def replies(world: World) -> Iterator[Client]:
    with client(world.gateway.ws("/ws/llm-stream")) as socket:
        yield socket


def sound(frame: dict[str, Any]) -> np.ndarray[Any, np.dtype[np.int16]]:
    """The audio of a frame, with RATE."""
    with wave.open(io.BytesIO(base64.b64decode(frame["data"]))) as file:
        assert (file.getnchannels(), file.getsampwidth()) == (1, 2)
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        return resampled(samples, file.getframerate(), RATE)


def joined(frames: list[dict[str, Any]]) -> str:
    return "".join(frame["content"] for frame in frames if frame["type"] == "chunk")


def test_gemini_answers_word_by_word(world: World, replies: Client) -> None:
    """V07."""
    replies.send({"text": "Tell me a story.", "voice_id": "none"})
    frames = replies.until("end")
    assert frames[0]["type"] == "start"
    assert joined(frames).strip() == frames[-1]["final_response"].strip() == STORY
    assert len(frames) > 50


def test_murf_speaks_the_reply(world: World, replies: Client) -> None:
    """Afterwards, in the voice of the settings."""
    replies.send({"text": "Take a warm coat with you."})
    text, audio = replies.until("audio")[-2:]
    assert text["final_response"].strip() == "I have heard you say: Take a warm coat with you."
    assert audio["content_type"] == "audio/wav"
    assert overlap(text["final_response"], world.recogniser.text(sound(audio))) > 0.6
    assert world.speaking.voices == [VOICE]


def test_a_session_keeps_its_context_with_gemini(world: World, replies: Client) -> None:
    for text in ("My name is Kim.", "Thank you."):
        replies.send({"text": text, "session_id": "kim", "voice_id": "none"})
        replies.until("end")
    said_so_far = [content["parts"][0]["text"] for content in world.thinking.asked[-1].body["contents"]]
    assert "My name is Kim." in said_so_far[0]
    assert said_so_far[-1] == "Thank you."
    assert world.speaking.asked == [], "the voice none asks for no speech"


def test_gemini_calls_a_tool_for_a_streamed_reply(world: World, replies: Client) -> None:
    """The tool's result goes back with the signature of its call."""
    replies.send({"text": "What is the weather in Oslo?", "voice_id": "none"})
    assert replies.until("end")[-1]["final_response"].startswith("I have looked it up.")
    assert len(world.thinking.asked) == 2


def test_another_voice_is_murfs_too(world: World, replies: Client) -> None:
    replies.send({"text": "Hello.", "voice_id": "en-US-ken"})
    replies.until("audio")
    assert world.speaking.voices == ["en-US-ken"]


def test_a_query_by_post(world: World) -> None:
    answer = requests.post(f"{world.gateway.url}/llm/query", json={"text": "Hello."}, timeout=PATIENCE)
    assert answer.status_code == 200
    assert answer.json()["response"].startswith("I have heard you say: Hello.")
    assert len(sound(answer.json()["audio"])) > RATE


@pytest.mark.parametrize(("trouble", "asked"), [({"status": 503}, 2), ({"status": 429}, 2)])
def test_a_temporary_error_of_gemini_is_not_seen(
    world: World, replies: Client, trouble: dict[str, Any], asked: int
) -> None:
    world.thinking.trouble = Trouble(**trouble)
    replies.send({"text": "Hello.", "voice_id": "none"})
    assert replies.until("end")[-1]["final_response"]
    assert len(world.thinking.asked) == asked


def test_a_wrong_key_of_gemini_is_an_error_and_the_next_request_works(world: World, replies: Client) -> None:
    world.thinking.key = "another"
    replies.send({"text": "Hello.", "request_id": "a"})
    error = replies.until("error")[-1]
    assert (error["code"], error["request_id"]) == ("reply_failed", "a")
    assert "400" in error["message"]
    assert KEY not in error["message"]
    world.thinking.key = KEY
    replies.send({"text": "Hello.", "request_id": "b", "voice_id": "none"})
    assert replies.until("end")[-1]["request_id"] == "b"


def test_a_reply_of_gemini_that_is_cut_off_is_an_error(world: World, replies: Client) -> None:
    """The words so far stay, and are not repeated."""
    world.thinking.trouble = Trouble(cut=True)
    replies.send({"text": "Tell me a story.", "voice_id": "none"})
    frames = replies.until("error")
    assert joined(frames) == "Once upon a "
    assert frames[-1]["code"] == "reply_failed"
    assert len(world.thinking.asked) == 1


def test_speech_that_is_cut_off_is_said_once(world: World, replies: Client) -> None:
    """LiveKit asks again from the beginning; what came before is dropped."""
    world.speaking.trouble = Trouble(cut=True)
    replies.send({"text": "Hello."})
    frames = replies.until("audio")
    text = frames[-2]["final_response"]
    assert len(world.speaking.asked) == 2
    assert abs(len(sound(frames[-1])) - len(said(text.strip()))) < RATE // 10


def test_without_murf_the_text_is_complete(world: World, replies: Client) -> None:
    world.speaking.key = "another"
    replies.send({"text": "Hello."})
    frames = replies.until("error")
    assert frames[-2]["type"] == "end"
    assert frames[-1]["code"] == "speech_failed"
    assert "403" in frames[-1]["message"]


def test_the_chat_uses_gemini_and_its_tools(world: World) -> None:
    """Through an AgentSession: the tool is called, with its signature, and its result is used."""
    with client(world.gateway.ws("/chat")) as chat:
        assert chat.receive()["type"] == "ready"
        chat.send({"message": "What is the weather in Oslo?"})
        frames = chat.until("result")
    assert [event["type"] for event in frames[-1]["events"]] == ["function_call", "function_call_output", "message"]
    assert "I have looked it up." in "".join(frame["delta"] for frame in frames if frame["type"] == "delta")
    assert len(world.thinking.asked) == 2


def test_missing_keys_are_named_before_anything_starts(tmp_path: Any) -> None:
    """V41: all of them in one sentence."""
    vendors = {"AGENT_STT": "assemblyai", "AGENT_LLM": "google", "AGENT_TTS": "murf"}
    with GatewayProcess(tmp_path, **vendors) as gateway:
        assert gateway.process.wait(PATIENCE) == 2
        for name in ("ASSEMBLYAI_API_KEY", "GOOGLE_API_KEY", "MURF_API_KEY"):
            assert name in gateway.output()
