"""event_hub.livekit.figures: LiveKit's figures in our words; what is missing stays missing."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from livekit.agents import APIConnectionError, APIStatusError, APITimeoutError
from livekit.agents.llm import LLMError
from livekit.agents.tts import TTSError

from event_hub.events import check
from event_hub.livekit import figures


def test_latencies_keep_livekits_names_and_missing_ones_are_absent_never_0() -> None:
    metrics = {
        "llm_node_ttft": 0.3,
        "tts_node_ttfb": 0.0,
        "e2e_latency": -0.2,
        "playback_latency": float("nan"),
        "transcription_delay": None,
        "stopped_speaking_at": 1795274659.1,
        "llm_metadata": {"model_name": "m", "model_provider": "p", "client": object()},
        "provider_request_ids": ["r"],
    }
    found = figures.latencies(metrics)
    assert found == {
        "llm_node_ttft": 0.3,
        "stopped_speaking_at": 1795274659.1,
        "llm_metadata": {"model_name": "m", "model_provider": "p"},
    }
    check({"type": "turn_metrics", **found})


@pytest.mark.parametrize("metrics", [None, {}, {"started_speaking_at": 1.0}, {"llm_metadata": {"model_name": "m"}}])
def test_no_latency_no_event(metrics: Any) -> None:
    assert figures.latencies(metrics) == {}


@pytest.mark.parametrize(
    ("text", "value"),
    [('{"a":1}', {"a": 1}), ("[1]", "[1]"), ("{", "{"), ("", ""), (None, None), ("[" * 9000, "[" * 9000)],
)
def test_arguments_are_an_object_or_the_models_own_text(text: Any, value: Any) -> None:
    assert figures.arguments(text) == value


@pytest.mark.parametrize("text", ["x" * 200_000, "😎" * 50_000, "\x00" * 50_000, "ä" * 17_000, '"' * 17_000])
def test_a_long_text_is_cut_so_that_a_hub_takes_it_and_says_so(text: str) -> None:
    cut = figures.clipped(text)
    assert cut is not None
    assert cut.endswith(f"… ({len(text)} characters)")
    assert 2000 < len(msgspec.json.encode(cut)) < 17_000
    event = {"text": text}
    figures.shorten(event, "text")
    assert 7000 < len(msgspec.json.encode(event)) < 49_000
    assert event.get("truncated") == len(text) or event["text"] == text


def test_what_is_not_long_stays_as_it_is() -> None:
    assert figures.clipped("x" * 16_000) == "x" * 16_000
    event = {"text": "x" * 40_000}
    figures.shorten(event, "text")
    assert event == {"text": "x" * 40_000}


SECRET = "sk-1234 and what the caller said"


@pytest.mark.parametrize(
    ("cause", "words"),
    [
        (APIStatusError(SECRET, status_code=401, body={"k": SECRET}), "answered with status 401: wrong key"),
        (APIStatusError(SECRET, status_code=503), "answered with status 503"),
        (APIConnectionError(SECRET), "could not be reached"),
        (APITimeoutError(SECRET), "did not answer in time"),
        (ValueError(SECRET), "has failed (ValueError)"),
    ],
)
def test_an_error_says_what_failed_and_not_what_its_exception_says(cause: Exception, words: str) -> None:
    plugin = SimpleNamespace(provider="openai", model="gpt-4.1")
    event = figures.error(LLMError(timestamp=1.0, label="x", error=cause, recoverable=True), plugin)
    check(event)
    assert event["message"] == f"the LLM (openai gpt-4.1) {words}"
    assert (event["source"], event["recoverable"]) == ("llm", True)
    assert "sk-" not in str(event)


def test_other_errors() -> None:
    assert figures.error(TTSError(timestamp=1.0, label="x", error=ValueError(), recoverable=False))["source"] == "tts"
    check(figures.error(ValueError(SECRET)))
    assert "sk-" not in str(figures.error(ValueError(SECRET)))
