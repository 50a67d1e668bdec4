"""Streaming speech-to-text over the vendors' own protocols: AssemblyAI (V27) and Deepgram (L11), chosen by settings (X09)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from aiohttp import WSServerHandshakeError
from livekit.agents import APIConnectionError, APIError, APIStatusError
from livekit.agents.stt import STT

from agent.failure import Failure
from agent.pipeline import make_stt

from ..hubs import until
from ..livekit.speech import Recogniser, overlap
from .assemblyai_standin import AssemblyAIStandin
from .deepgram_standin import DeepgramStandin
from .ear import Ear
from .plugins import ONCE, RETRIED, end, only, outside_a_job, push, remaining, texts, transcribed, uttered
from .server import KEY, Trouble

WEATHER, HELP = "What is the weather in Oslo?", "Can you help me please?"


@dataclass(frozen=True)
class Vendor:
    name: str
    standin: Callable[[Recogniser], AssemblyAIStandin | DeepgramStandin]

    @property
    def key(self) -> str:
        return f"{self.name.upper()}_API_KEY"

    def __str__(self) -> str:
        return self.name


VENDORS = [Vendor("assemblyai", AssemblyAIStandin), Vendor("deepgram", DeepgramStandin)]


@pytest.fixture(params=VENDORS, ids=str)
def vendor(request: pytest.FixtureRequest) -> Vendor:
    chosen: Vendor = request.param
    return chosen


@pytest.fixture(scope="module", autouse=True)
def _recognised(recogniser: Recogniser) -> None:
    """Recognise the sentences beforehand: AssemblyAI's plugin waits five seconds for the last result, and a busy machine
    may need longer.
    """
    list(Ear(recogniser).hear(uttered(WEATHER, HELP).tobytes()))


@pytest.fixture
def standin(vendor: Vendor, recogniser: Recogniser, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The vendor's stand-in, with settings that lead to it."""
    with vendor.standin(recogniser) as running:
        monkeypatch.setenv(f"{vendor.name.upper()}_BASE_URL", running.base_url)
        monkeypatch.setenv(vendor.key, KEY)
        yield running


def made(vendor: Vendor) -> STT[Any]:
    return make_stt(only("STT", vendor.name))


def test_speech_becomes_interims_and_finals(vendor: Vendor, standin: Any) -> None:
    sound = uttered(WEATHER, HELP)
    events = outside_a_job(lambda: transcribed(standin, made(vendor), sound))
    kinds = [event.type.value for event in events if event.type.value.endswith("_speech")]
    assert kinds == ["start_of_speech", "end_of_speech"] * 2
    interims, finals = texts(events, "interim_transcript"), texts(events, "final_transcript")
    assert len(finals) == 2
    assert overlap(WEATHER, finals[0]) > 0.6
    assert overlap(HELP, finals[1]) > 0.6
    assert len(interims) >= 3
    assert len(interims[0].split()) < len(finals[0].split()), "the first interim comes during the sentence"
    final = next(event for event in events if event.type.value == "final_transcript").alternatives[0]
    assert 0.5 < final.start_time < final.end_time < len(sound) / 16000
    assert [str(word) for word in final.words] == final.text.split()
    assert standin.audio == pytest.approx(len(sound) / 16000, abs=0.1), "all of the audio arrived"
    until(lambda: standin.connections == 0, "the connection to end")


def test_the_connection_is_opened_and_closed_as_the_vendor_expects(vendor: Vendor, standin: Any) -> None:
    async def scenario() -> None:
        stream = made(vendor).stream(conn_options=ONCE)
        try:
            await push(stream, uttered())
            while vendor.name == "deepgram" and "KeepAlive" not in standin.commands:
                await asyncio.sleep(0.01)
            end(stream)
            await remaining(standin, stream)
        finally:
            await stream.aclose()

    outside_a_job(scenario)
    until(lambda: standin.closed == 1, "the orderly end")
    [asked] = standin.asked
    if vendor.name == "assemblyai":
        assert (asked.path, asked.headers["authorization"]) == ("/v3/ws", KEY)
        assert (asked.query["sample_rate"], asked.query["encoding"]) == ("16000", "pcm_s16le")
    else:
        assert (asked.path, asked.headers["authorization"]) == ("/v1/listen", f"Token {KEY}")
        assert (asked.query["model"], asked.query["language"]) == ("nova-3", "en-US")
        assert standin.commands[-1] == "CloseStream"


@pytest.mark.parametrize(
    ("vendor", "model"), [(VENDORS[0], "universal-streaming-english"), (VENDORS[1], "nova-2-general")]
)
def test_model_and_language_come_from_the_settings(
    vendor: Vendor, model: str, standin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a stream that matters: only the parameters count."""
    if vendor.name == "deepgram":
        monkeypatch.setenv("AGENT_LANGUAGE", "de")
    outside_a_job(lambda: transcribed(standin, make_stt(only("STT", f"{vendor.name}/{model}")), uttered()))
    [asked] = standin.asked
    assert model in (asked.query.get("speech_model"), asked.query.get("model"))
    assert asked.query.get("language", "de") == "de"


def test_assemblyai_gets_the_language_too(recogniser: Recogniser, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its parameter has another name."""
    monkeypatch.setenv("ASSEMBLYAI_API_KEY", KEY)
    monkeypatch.setenv("AGENT_LANGUAGE", "de-DE")
    with AssemblyAIStandin(recogniser) as standin:
        monkeypatch.setenv("ASSEMBLYAI_BASE_URL", standin.base_url.replace("http", "ws"))
        outside_a_job(lambda: transcribed(standin, made(VENDORS[0]), uttered()))
        assert standin.asked[0].query["language_codes"] == '["de"]'


def test_deepgrams_utterance_end(recogniser: Recogniser, monkeypatch: pytest.MonkeyPatch) -> None:
    """With `utterance_end_ms` the end of speech is a message of its own."""
    monkeypatch.setenv("DEEPGRAM_API_KEY", KEY)
    with DeepgramStandin(recogniser) as standin:
        monkeypatch.setenv("DEEPGRAM_BASE_URL", standin.base_url)

        async def scenario() -> list[Any]:
            stt: Any = made(VENDORS[1])
            stt.update_options(utterance_end_ms=1000)
            return await transcribed(standin, stt, uttered(HELP))

        events = outside_a_job(scenario)
        assert standin.asked[0].query["utterance_end_ms"] == "1000"
    kinds = [event.type.value for event in events]
    assert kinds.index("final_transcript") < kinds.index("end_of_speech")


def test_a_missing_key_is_named(vendor: Vendor) -> None:
    """V41, L18."""
    with pytest.raises(Failure, match=vendor.key) as caught:
        outside_a_job(lambda: asyncio.sleep(0, made(vendor)))
    assert caught.value.source == "stt"


def test_a_wrong_key_is_an_error(vendor: Vendor, standin: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """AssemblyAI refuses the key on the open socket, so that the plugin reports a closed connection only (and reports
    nothing if its input has already ended).
    """
    monkeypatch.setenv(vendor.key, "wrong")

    async def scenario() -> None:
        stream = made(vendor).stream(conn_options=ONCE)
        try:
            await push(stream, uttered(HELP))
            await anext(stream)
        finally:
            await stream.aclose()

    with pytest.raises(APIError) as caught:
        outside_a_job(scenario)
    if vendor.name == "deepgram":
        assert isinstance(caught.value, APIStatusError)
        assert caught.value.status_code == 401
    assert "wrong" not in str(caught.value)


def test_a_server_error_at_the_start(vendor: Vendor, standin: Any) -> None:
    """Deepgram's plugin tries again; AssemblyAI's ends its stream with an error of aiohttp, without a retry."""
    standin.trouble = Trouble(status=503)
    if vendor.name == "assemblyai":
        with pytest.raises(WSServerHandshakeError, match="503"):
            outside_a_job(lambda: transcribed(standin, made(vendor), uttered(HELP), RETRIED))
    events = outside_a_job(lambda: transcribed(standin, made(vendor), uttered(HELP), RETRIED))
    assert len(texts(events, "final_transcript")) == 1
    assert len(standin.asked) == 2


def test_a_server_error_that_stays(vendor: Vendor, standin: Any) -> None:
    standin.trouble = Trouble(status=500, times=100)
    with pytest.raises((APIConnectionError, WSServerHandshakeError)):
        outside_a_job(lambda: transcribed(standin, made(vendor), uttered(HELP), RETRIED))
    assert len(standin.asked) == (1 if vendor.name == "assemblyai" else 3)


def test_a_dropped_connection_is_replaced(vendor: Vendor, standin: Any) -> None:
    """The words that were lost with it stay lost, what is said afterwards is heard, and the error says that it is over."""
    standin.trouble = Trouble(cut=True)

    async def scenario() -> tuple[list[Any], list[Any]]:
        stt, errors, dropped = made(vendor), [], asyncio.Event()

        def failed(error: Any) -> None:
            errors.append(error)
            dropped.set()

        stt.on("error", failed)
        stream = stt.stream(conn_options=RETRIED)
        try:
            await push(stream, uttered(WEATHER))
            await dropped.wait()
            await push(stream, uttered(HELP))
            end(stream)
            return await remaining(standin, stream), errors
        finally:
            await stream.aclose()

    events, errors = outside_a_job(scenario)
    assert [error.recoverable for error in errors] == [True]
    assert overlap(HELP, texts(events, "final_transcript")[-1]) > 0.6
    assert len(standin.asked) == 2


def test_a_client_that_leaves_closes_its_connection(vendor: Vendor, standin: Any) -> None:
    """In the middle of a sentence, without an end."""

    async def scenario() -> None:
        stream = made(vendor).stream(conn_options=ONCE)
        await push(stream, uttered(WEATHER)[: 2 * 16000])
        async for event in stream:
            if event.type.value == "start_of_speech":
                break
        await stream.aclose()

    outside_a_job(scenario)
    until(lambda: standin.connections == 0, "the connection to end")
    assert len(standin.asked) == 1
