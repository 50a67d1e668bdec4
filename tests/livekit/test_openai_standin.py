"""The stand-in for OpenAI speaks the protocol: OpenAI's own client understands it."""

from __future__ import annotations

import io
import wave
from collections.abc import Iterator

import openai
import pytest

from .openai_standin import GREETING, SPEECH_RATE, STORY, Standin, Trouble
from .speech import overlap

WEATHER = {
    "type": "function",
    "function": {
        "name": "lookup_weather",
        "parameters": {"type": "object", "properties": {"location": {"type": "string"}}},
    },
}
CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def running() -> Iterator[Standin]:
    from ..conftest import _kept  # its recogniser outlives a test

    with Standin() as standin:
        _kept.add(standin.recogniser_pid)
        yield standin
    _kept.discard(standin.recogniser_pid)


@pytest.fixture
def standin(running: Standin) -> Standin:
    running.requests.clear()
    running.troubles.clear()
    return running


@pytest.fixture
def client(standin: Standin) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=standin.base_url, api_key="sk-any", max_retries=0, timeout=30) as client:
        yield client


def chat(client: openai.OpenAI, *messages: tuple[str, str]) -> tuple[str, list[tuple[str, str]], int]:
    """The text, the tool calls with their arguments, and the tokens of an answer."""
    text, calls, tokens = "", {}, 0
    stream = client.chat.completions.create(
        model="gpt-4.1-mini",
        messages=[{"role": role, "content": content} for role, content in messages],
        tools=[WEATHER],
        stream=True,
        stream_options={"include_usage": True},
    )
    for chunk in stream:
        for choice in chunk.choices:
            text += choice.delta.content or ""
            for call in choice.delta.tool_calls or ():
                name, arguments = calls.get(call.index, ("", ""))
                calls[call.index] = (name + (call.function.name or ""), arguments + (call.function.arguments or ""))
        tokens += chunk.usage.completion_tokens if chunk.usage else 0
    return text, list(calls.values()), tokens


def test_it_answers_by_rule(client: openai.OpenAI) -> None:
    assert chat(client, ("system", "Greet the user."))[0] == GREETING
    text, calls, tokens = chat(client, ("system", ""), ("user", "what is the weather in london"))
    assert (text, calls) == ("", [("lookup_weather", '{"location": "London"}')])
    assert tokens > 0
    assert "sunny" in chat(client, ("user", "what is the weather in london"), ("tool", "sunny"))[0]
    assert chat(client, ("user", "tell me a story"))[0] == STORY
    assert "purple" in chat(client, ("user", "purple"))[0]


def test_it_speaks_and_understands(standin: Standin, client: openai.OpenAI) -> None:
    """What it says it recognises again."""
    speech = {"model": "gpt-4o-mini-tts", "voice": "ash", "input": GREETING}
    pcm = client.audio.speech.create(**speech, response_format="pcm").content
    assert 1 < len(pcm) / 2 / SPEECH_RATE < 5
    wav = client.audio.speech.create(**speech, response_format="wav").content
    with wave.open(io.BytesIO(wav)) as file:
        assert file.readframes(file.getnframes()) == pcm
    heard = client.audio.transcriptions.create(model="gpt-4o-mini-transcribe", file=("file.wav", wav)).text
    assert overlap(GREETING, heard) >= 0.8
    (asked,) = standin.asked("/v1/audio/transcriptions")
    assert asked.heard == heard
    assert client.audio.speech.create(**{**speech, "input": " "}, response_format="pcm").content == b""


@pytest.mark.parametrize(
    ("status", "error"),
    [(401, openai.AuthenticationError), (429, openai.RateLimitError), (500, openai.InternalServerError)],
)
def test_it_fails_when_told_to(
    standin: Standin, client: openai.OpenAI, status: int, error: type[openai.APIStatusError]
) -> None:
    standin.troubles[CHAT] = Trouble(status=status)
    with pytest.raises(error):
        chat(client, ("user", "hello"))
    assert chat(client, ("user", "hello"))[0]


def test_it_stalls_when_told_to(standin: Standin, client: openai.OpenAI) -> None:
    standin.troubles[CHAT] = Trouble(stall=30)
    with pytest.raises(openai.APITimeoutError):
        chat(client.with_options(timeout=0.2), ("user", "hello"))
    assert chat(client, ("user", "hello"))[0]


def test_other_addresses_are_not_found(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()]
    with pytest.raises(openai.NotFoundError):
        client.embeddings.create(model="any", input="any", encoding_format="float")
