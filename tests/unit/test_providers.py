"""Providers by name: what is read, what is refused in a sentence, which keys are missing (X09)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from event_hub.providers import Choice, Providers, missing


def test_openai_by_default_with_livekits_own_vad() -> None:
    openai = Choice("openai")
    assert Providers.of({}) == Providers(stt=openai, llm=openai, tts=openai, vad=Choice("local"))
    assert missing({}) == ["OPENAI_API_KEY"]
    assert missing({"OPENAI_API_KEY": "sk-1"}) == []


def test_a_server_of_ones_own_needs_no_key() -> None:
    assert missing({"OPENAI_BASE_URL": "http://127.0.0.1:9/v1"}) == []


@pytest.mark.parametrize(
    ("name", "text", "choice"),
    [
        ("AGENT_STT", "deepgram/nova-3", Choice("deepgram", "nova-3")),
        ("AGENT_STT", " Deepgram ", Choice("deepgram")),
        ("AGENT_LLM", "openai/gpt-4.1-mini", Choice("openai", "gpt-4.1-mini")),
        ("AGENT_LLM", "openai/qwen2.5:7b", Choice("openai", "qwen2.5:7b")),
        ("AGENT_LLM", "groq/openai/gpt-oss-120b", Choice("groq", "openai/gpt-oss-120b")),
        ("AGENT_LLM", "scripted", Choice("scripted")),
        ("AGENT_TTS", "cartesia/sonic-3:9626c31c", Choice("cartesia", "sonic-3", "9626c31c")),
        ("AGENT_TTS", "murf:en-US-natalie", Choice("murf", None, "en-US-natalie")),
        ("AGENT_VAD", "silero", Choice("silero")),
        ("AGENT_REALTIME", "openai/gpt-realtime:marin", Choice("openai", "gpt-realtime", "marin")),
        ("AGENT_STT", "my-own_plugin", Choice("my-own_plugin")),
    ],
)
def test_what_may_be_written(name: str, text: str, choice: Choice) -> None:
    assert getattr(Providers.of({name: text}), name[6:].lower()) == choice


def test_none_is_without_it_and_empty_is_unset() -> None:
    assert Providers.of({"AGENT_VAD": "none", "AGENT_STT": ""}) == Providers(
        stt=Choice("openai"), llm=Choice("openai"), tts=Choice("openai")
    )


def test_realtime_replaces_the_three() -> None:
    found = Providers.of({"AGENT_REALTIME": "google", "AGENT_STT": "deepgram"})
    assert (found.stt, found.llm, found.tts, found.realtime) == (None, None, None, Choice("google"))
    assert missing({"AGENT_REALTIME": "google"}) == ["GOOGLE_API_KEY"]


def test_local_is_short_and_a_single_setting_wins() -> None:
    assert missing({"AGENT_PROVIDERS": "local"}) == []
    found = Providers.of({"AGENT_PROVIDERS": "local", "AGENT_LLM": "anthropic"})
    assert (found.stt, found.llm, found.tts) == (Choice("local"), Choice("anthropic"), Choice("local"))


def test_every_missing_key_is_named_once() -> None:
    environ = {"AGENT_STT": "deepgram", "AGENT_LLM": "google", "AGENT_TTS": "elevenlabs", "AGENT_VAD": "silero"}
    assert missing(environ) == ["DEEPGRAM_API_KEY", "GOOGLE_API_KEY", "ELEVEN_API_KEY"]
    assert missing({**environ, "DEEPGRAM_API_KEY": "x", "GOOGLE_API_KEY": " "}) == ["GOOGLE_API_KEY", "ELEVEN_API_KEY"]
    assert missing({"AGENT_STT": "google", "AGENT_LLM": "google", "AGENT_TTS": "google"}) == [
        "GOOGLE_APPLICATION_CREDENTIALS",
        "GOOGLE_API_KEY",
    ]
    assert missing({"AGENT_PROVIDERS": "local", "AGENT_STT": "my-own"}) == ["MY_OWN_API_KEY"]


@pytest.mark.parametrize(
    ("name", "text", "hint"),
    [
        ("AGENT_STT", "open ai", "plugin/model"),
        ("AGENT_STT", "/nova-3", "plugin/model"),
        ("AGENT_STT", "deepgram:voice", "plugin/model"),
        ("AGENT_STT", "depgram", "do you mean deepgram?"),
        ("AGENT_TTS", "scripted", "scripted is an LLM"),
        ("AGENT_LLM", "local", "local is for STT, TTS and VAD"),
        ("AGENT_TTS", "cartesia/sonic:", "plugin/model:voice"),
        ("AGENT_LLM", "x" * 10 + "\0", "plugin/model"),
        ("AGENT_PROVIDERS", "cloud", "only `local` is known"),
    ],
)
def test_what_is_wrong_is_said_with_the_settings_name(name: str, text: str, hint: str) -> None:
    with pytest.raises(ValueError) as caught:
        Providers.of({name: text})
    assert str(caught.value).startswith(f"{name}={text.strip()}: ")
    assert hint in str(caught.value)


@given(st.text(max_size=40))
def test_any_text_is_a_choice_or_a_sentence(text: str) -> None:
    try:
        found = Providers.of({"AGENT_TTS": text}).tts
    except ValueError as error:
        sentence = str(error)
        assert "AGENT_TTS" in sentence
    else:
        assert found is None or Providers.of({"AGENT_TTS": str(found)}).tts == found
