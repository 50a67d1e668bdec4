"""LiveKit's metrics, texts and errors as fields of our events: event_hub.livekit.{metrics,truncation,errors}."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from livekit.agents import APIConnectionError, APIStatusError, APITimeoutError
from livekit.agents.llm import LLMError
from livekit.agents.metrics import LLMMetrics, VADMetrics
from livekit.agents.metrics.base import Metadata
from livekit.agents.tts import TTSError

from event_hub.events import check
from event_hub.livekit import errors, metrics, truncation


def test_latencies_keep_livekits_names_and_unmeasured_ones_are_absent() -> None:
    reported = {
        "llm_node_ttft": 0.3,
        "tts_node_ttfb": 0.0,
        "e2e_latency": -0.2,
        "playback_latency": float("nan"),
        "transcription_delay": None,
        "stopped_speaking_at": 1795274659.1,
        "llm_metadata": {"model_name": "m", "model_provider": "p", "client": object()},
        "provider_request_ids": ["r"],
    }
    found = metrics.latencies(reported)
    assert found == {
        "llm_node_ttft": 0.3,
        "stopped_speaking_at": 1795274659.1,
        "llm_metadata": {"model_name": "m", "model_provider": "p"},
        "provider_request_ids": ["r"],
    }
    check({"type": "turn_metrics", **found})


@pytest.mark.parametrize("reported", [None, {}, {"started_speaking_at": 1.0}, {"llm_metadata": {"model_name": "m"}}])
def test_no_latency_no_event(reported: Any) -> None:
    assert metrics.latencies(reported) == {}


def test_request_metrics_keep_livekits_names_and_unmeasured_ones_are_absent() -> None:
    cancelled = LLMMetrics(
        label="l", request_id="r", timestamp=1795274659.1, duration=0.5, ttft=-1, cancelled=True, completion_tokens=0,
        prompt_tokens=7, prompt_cached_tokens=0, total_tokens=7, tokens_per_second=0.0, speech_id="speech_1",
        metadata=Metadata(model_name="m", model_provider="p"),
    )  # fmt: skip
    assert metrics.request(cancelled) == {
        "type": "llm_metrics",
        "label": "l",
        "request_id": "r",
        "timestamp": 1795274659.1,
        "duration": 0.5,
        "cancelled": True,
        "prompt_tokens": 7,
        "total_tokens": 7,
        "speech_id": "speech_1",
        "metadata": {"model_name": "m", "model_provider": "p"},
    }
    vad = VADMetrics(label="l", timestamp=1.0, idle_time=1.0, inference_duration_total=0.1, inference_count=30)
    assert metrics.request(vad) is None


@pytest.mark.parametrize(
    ("text", "value"),
    [('{"a":1}', {"a": 1}), ("[1]", "[1]"), ("{", "{"), ("", ""), (None, None), ("[" * 9000, "[" * 9000)],
)
def test_arguments_are_an_object_or_the_models_text(text: Any, value: Any) -> None:
    assert truncation.arguments(text) == value


@pytest.mark.parametrize("text", ["x" * 200_000, "😎" * 50_000, "\x00" * 50_000, "ä" * 17_000, '"' * 17_000])
def test_long_texts_are_cut_to_what_a_hub_accepts(text: str) -> None:
    cut = truncation.clipped(text)
    assert cut is not None
    assert cut.endswith(f"… ({len(text)} characters)")
    assert 2000 < len(msgspec.json.encode(cut)) < 17_000
    event = {"text": text}
    truncation.shorten(event, "text")
    assert 7000 < len(msgspec.json.encode(event)) < 49_000
    assert event.get("truncated") == len(text) or event["text"] == text


def test_short_texts_are_unchanged() -> None:
    assert truncation.clipped("x" * 16_000) == "x" * 16_000
    event = {"text": "x" * 40_000}
    truncation.shorten(event, "text")
    assert event == {"text": "x" * 40_000}


SECRET = "sk-1234 and what the caller said"


@pytest.mark.parametrize(
    ("cause", "words"),
    [
        (APIStatusError(SECRET, status_code=401, body={"k": SECRET}), "answered with status 401: wrong key"),
        (APIStatusError(SECRET, status_code=503), "answered with status 503"),
        (APIConnectionError(SECRET), "could not be reached"),
        (APITimeoutError(SECRET), "did not answer in time"),
        (ValueError(SECRET), "failed (ValueError)"),
    ],
)
def test_an_error_names_what_failed_without_the_exceptions_text(cause: Exception, words: str) -> None:
    plugin = SimpleNamespace(provider="openai", model="gpt-4.1")
    event = errors.agent_error(LLMError(timestamp=1.0, label="x", error=cause, recoverable=True), plugin)
    check(event)
    assert event["message"] == f"the LLM (openai gpt-4.1) {words}"
    assert (event["source"], event["recoverable"]) == ("llm", True)
    assert "sk-" not in str(event)


def test_other_errors() -> None:
    assert (
        errors.agent_error(TTSError(timestamp=1.0, label="x", error=ValueError(), recoverable=False))["source"] == "tts"
    )
    check(errors.agent_error(ValueError(SECRET)))
    assert "sk-" not in str(errors.agent_error(ValueError(SECRET)))
