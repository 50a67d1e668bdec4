"""event_hub.livekit.figures: LiveKit's figures in our words; what is missing stays missing."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

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


def test_a_long_text_is_cut_and_says_so() -> None:
    assert figures.clipped("x" * 100) == "x" * 100
    cut = figures.clipped("x" * 200_000)
    assert cut is not None
    assert cut.endswith("… (200000 characters)")
    assert len(cut) < 17_000


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
