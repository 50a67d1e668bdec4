"""Plugins' options from the environment: base URLs in the form that each plugin expects, and keys with two names (V41)."""

from __future__ import annotations

import pytest

from agent.failure import WRONG_SETTINGS, Failure
from agent.vendors import vendor_options


@pytest.mark.parametrize(
    ("plugin", "kind", "name", "text", "url"),
    [
        ("assemblyai", "STT", "ASSEMBLYAI_BASE_URL", "https://streaming.eu.assemblyai.com", "wss://streaming.eu.assemblyai.com"),
        ("assemblyai", "STT", "ASSEMBLYAI_BASE_URL", "ws://127.0.0.1:7", "ws://127.0.0.1:7"),
        ("murf", "TTS", "MURF_BASE_URL", "wss://eu.api.murf.ai/", "https://eu.api.murf.ai"),
        ("cartesia", "TTS", "CARTESIA_BASE_URL", " http://[::1]:8 ", "http://[::1]:8"),
        ("cartesia", "STT", "CARTESIA_BASE_URL", "ws://127.0.0.1:8", "http://127.0.0.1:8"),
        ("deepgram", "STT", "DEEPGRAM_BASE_URL", "https://api.eu.deepgram.com", "https://api.eu.deepgram.com/v1/listen"),
        ("deepgram", "TTS", "DEEPGRAM_BASE_URL", "https://api.eu.deepgram.com", "https://api.eu.deepgram.com/v1/speak"),
        ("deepgram", "STT", "DEEPGRAM_BASE_URL", "wss://proxy/dg/v1/listen", "https://proxy/dg/v1/listen"),
    ],
)  # fmt: skip
def test_base_urls(plugin: str, kind: str, name: str, text: str, url: str) -> None:
    assert vendor_options(plugin, kind, {name: text}) == {"base_url": url}


def test_without_a_setting_the_plugins_own_address_counts() -> None:
    others = {
        "MURF_BASE_URL": " ",
        "DEEPGRAM_BASE_URL": "http://127.0.0.1:7",
        "GOOGLE_GEMINI_BASE_URL": "http://127.0.0.1:7",
    }
    assert vendor_options("murf", "TTS", others) == {}
    assert vendor_options("google", "LLM", others) == {}
    assert vendor_options("openai", "LLM", {"OPENAI_BASE_URL": "http://127.0.0.1:7"}) == {}


@pytest.mark.parametrize(
    "text", ["api.murf.ai", "ftp://api.murf.ai", "http://", "http://x:port", "http://[::1", "https://x/?a=b"]
)
def test_a_wrong_address_is_refused(text: str) -> None:
    with pytest.raises(Failure, match=r"^MURF_BASE_URL=.* is not a server's address: write ") as caught:
        vendor_options("murf", "TTS", {"MURF_BASE_URL": text})
    assert caught.value.code == WRONG_SETTINGS


def test_a_password_in_an_address_is_not_shown() -> None:
    with pytest.raises(Failure) as caught:
        vendor_options("murf", "TTS", {"MURF_BASE_URL": "ftp://user:secret@api.murf.ai"})
    assert "secret" not in caught.value.sentence


def test_geminis_key() -> None:
    assert vendor_options("google", "LLM", {"GEMINI_API_KEY": "a"}) == {"api_key": "a"}
    assert vendor_options("google", "realtime", {"GEMINI_API_KEY": "a", "GOOGLE_API_KEY": " "}) == {"api_key": "a"}
    assert vendor_options("google", "LLM", {"GEMINI_API_KEY": "a", "GOOGLE_API_KEY": "b"}) == {}
    assert vendor_options("google", "STT", {"GEMINI_API_KEY": "a"}) == {}, "Google's speech uses other credentials"
