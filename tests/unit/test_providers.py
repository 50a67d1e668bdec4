"""Providers by name: values that are read or refused with a sentence, and missing keys (X09)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from event_hub.providers import Choice, Providers, gateway_missing, gateway_providers, missing


def test_openai_by_default_with_livekits_own_vad() -> None:
    openai = Choice("openai")
    assert Providers.of({}) == Providers(stt=openai, llm=openai, tts=openai, vad=Choice("local"))
    assert missing({}) == ["OPENAI_API_KEY"]
    assert missing({"OPENAI_API_KEY": "sk-1"}) == []


def test_a_self_hosted_server_needs_no_key() -> None:
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
def test_valid_values(name: str, text: str, choice: Choice) -> None:
    assert getattr(Providers.of({name: text}), name[6:].lower()) == choice


def test_none_means_without_and_empty_means_unset() -> None:
    assert Providers.of({"AGENT_VAD": "none", "AGENT_STT": ""}) == Providers(
        stt=Choice("openai"), llm=Choice("openai"), tts=Choice("openai")
    )


def test_realtime_replaces_stt_llm_and_tts() -> None:
    found = Providers.of({"AGENT_REALTIME": "google", "AGENT_STT": "deepgram"})
    assert (found.stt, found.llm, found.tts, found.realtime) == (None, None, None, Choice("google"))
    assert missing({"AGENT_REALTIME": "google"}) == ["GOOGLE_API_KEY"]


def test_a_single_setting_wins_over_the_shorthand() -> None:
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


def test_geminis_key_has_two_names() -> None:
    """V41: Google's own documents call it GEMINI_API_KEY, LiveKit's plugin GOOGLE_API_KEY."""
    environ = {"AGENT_PROVIDERS": "local", "AGENT_LLM": "google"}
    assert missing(environ) == ["GOOGLE_API_KEY"]
    assert missing({**environ, "GEMINI_API_KEY": " "}) == ["GOOGLE_API_KEY"]
    assert missing({**environ, "GEMINI_API_KEY": "x"}) == []
    assert missing({**environ, "GOOGLE_API_KEY": "x"}) == []


@pytest.mark.parametrize("model", ["gemini-1.5-flash", "gemini-1.5-flash-8b", "gemini-pro", "models/gemini-2.0-flash"])
def test_a_retired_model_is_refused(model: str) -> None:
    """V07: the models that older guides name are shut down; the model is a setting."""
    with pytest.raises(ValueError, match=f"AGENT_LLM=google/{model}: google has shut down {model}; write google"):
        Providers.of({"AGENT_LLM": f"google/{model}"})


@pytest.mark.parametrize("model", ["gemini-3.8-flash", "gemini-2.5-flash", "gemma-4", "my/gemini-1.5-flash"])
def test_any_other_model_is_accepted(model: str) -> None:
    assert Providers.of({"AGENT_LLM": f"google/{model}"}).llm == Choice("google", model)


LOCAL = Choice("local")


@pytest.mark.parametrize(
    ("environ", "stt", "llm", "tts"),
    [
        ({}, LOCAL, Choice("scripted"), LOCAL),
        ({"OPENAI_API_KEY": " "}, LOCAL, Choice("scripted"), LOCAL),
        ({"OPENAI_API_KEY": "sk-1"}, LOCAL, Choice("openai", "gpt-4o-mini"), LOCAL),
        ({"OPENAI_BASE_URL": "http://127.0.0.1:9/v1"}, LOCAL, Choice("openai", "gpt-4o-mini"), LOCAL),
        ({"OPENAI_API_KEY": "sk-1", "AGENT_PROVIDERS": "local"}, LOCAL, Choice("scripted"), LOCAL),
        ({"OPENAI_API_KEY": "sk-1", "AGENT_LLM": "scripted"}, LOCAL, Choice("scripted"), LOCAL),
        (
            {"AGENT_STT": "assemblyai", "AGENT_LLM": "google/gemini-3.8-flash", "AGENT_TTS": "murf:en-US-natalie"},
            Choice("assemblyai"), Choice("google", "gemini-3.8-flash"), Choice("murf", None, "en-US-natalie"),
        ),
        ({"AGENT_REALTIME": "openai"}, LOCAL, Choice("scripted"), LOCAL),
        ({"AGENT_TTS": "none"}, LOCAL, Choice("scripted"), None),
    ],
)  # fmt: skip
def test_the_gateways_providers(
    environ: dict[str, str], stt: Choice | None, llm: Choice | None, tts: Choice | None
) -> None:
    """X09: chosen by the environment; without a setting they need neither key nor network."""
    assert gateway_providers(environ) == Providers(stt=stt, llm=llm, tts=tts, vad=LOCAL)


def test_the_gateways_missing_keys_are_named() -> None:
    """V41: all of them at once, before anything starts."""
    assert gateway_missing({}) == []
    assert gateway_missing({"AGENT_REALTIME": "google"}) == [], "the gateway uses no realtime model"
    vendors = {"AGENT_STT": "assemblyai", "AGENT_LLM": "google", "AGENT_TTS": "murf"}
    assert gateway_missing(vendors) == ["ASSEMBLYAI_API_KEY", "GOOGLE_API_KEY", "MURF_API_KEY"]
    assert gateway_missing({**vendors, "GEMINI_API_KEY": "x", "MURF_API_KEY": "y"}) == ["ASSEMBLYAI_API_KEY"]
    assert gateway_missing({"AGENT_LLM": "openai"}) == ["OPENAI_API_KEY"]
    with pytest.raises(ValueError, match="AGENT_STT=depgram"):
        gateway_missing({"AGENT_STT": "depgram"})


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
        ("AGENT_PROVIDERS", "cloud", "the only value is local"),
    ],
)
def test_a_wrong_value_is_refused_with_the_settings_name(name: str, text: str, hint: str) -> None:
    with pytest.raises(ValueError) as caught:
        Providers.of({name: text})
    assert str(caught.value).startswith(f"{name}={text.strip()}: ")
    assert hint in str(caught.value)


@given(st.text(max_size=40))
def test_any_text_is_a_choice_or_an_error(text: str) -> None:
    try:
        found = Providers.of({"AGENT_TTS": text}).tts
    except ValueError as error:
        sentence = str(error)
        assert "AGENT_TTS" in sentence
    else:
        assert found is None or Providers.of({"AGENT_TTS": str(found)}).tts == found
