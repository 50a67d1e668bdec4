"""Text-to-speech over the vendors' own protocols: Murf (V27, V41) and Cartesia (L11), chosen by settings (X09). What they say
is recognised again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from livekit.agents import APIConnectionError, APIError, APIStatusError
from livekit.agents.tts import TTS

from agent.failure import Failure
from agent.pipeline import make_tts

from ..hubs import until
from ..livekit.speech import Recogniser, overlap
from .cartesia_standin import CartesiaStandin
from .murf_standin import MurfStandin
from .plugins import ONCE, RETRIED, heard, long_enough, only, outside_a_job, streamed, synthesised
from .server import KEY, Trouble

SENTENCES = ("The weather in Oslo is cold today. ", "Take a warm coat with you.")
TEXT = "".join(SENTENCES)


@dataclass(frozen=True)
class Vendor:
    name: str
    standin: Callable[[], MurfStandin | CartesiaStandin]
    setting: str
    voice: str
    refusal: int

    @property
    def key(self) -> str:
        return f"{self.name.upper()}_API_KEY"

    def __str__(self) -> str:
        return self.name


VENDORS = [
    Vendor("murf", MurfStandin, "murf/FALCON:en-US-natalie", "en-US-natalie", 403),
    Vendor("cartesia", CartesiaStandin, "cartesia/sonic-3:a-voice", "a-voice", 401),
]
Speak = Callable[..., Any]


@pytest.fixture(params=VENDORS, ids=str)
def vendor(request: pytest.FixtureRequest) -> Vendor:
    chosen: Vendor = request.param
    return chosen


@pytest.fixture
def standin(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    with vendor.standin() as running:
        monkeypatch.setenv(f"{vendor.name.upper()}_BASE_URL", running.base_url)
        monkeypatch.setenv(vendor.key, KEY)
        yield running


def spoken(vendor: Vendor, work: Callable[[TTS[Any]], Any]) -> Any:
    """The result of `work` with the vendor's TTS."""

    async def scenario() -> Any:
        tts = make_tts(only("TTS", vendor.setting))
        try:
            return await work(tts)
        finally:
            await tts.aclose()

    return outside_a_job(scenario)


async def whole(tts: Any, options: Any = ONCE) -> Any:
    return await synthesised(tts, TEXT, options)


async def pieces(tts: Any, options: Any = ONCE) -> Any:
    return await streamed(tts, [f"{word} " for word in TEXT.split()], options)


@pytest.mark.parametrize("speak", [whole, pieces])
def test_text_becomes_speech(vendor: Vendor, standin: Any, speak: Speak, recogniser: Recogniser) -> None:
    """In one request, and in pieces as an LLM writes them."""
    audio = spoken(vendor, speak)
    assert (audio.sample_rate, audio.num_channels) == (24000, 1)
    assert overlap(TEXT, heard(recogniser, audio)) > 0.6
    [text] = standin.spoken.values()
    assert text.split() == TEXT.split()
    assert standin.voices == [vendor.voice]
    until(lambda: standin.connections == 0, "the connection to end")


def test_what_the_vendor_is_sent(vendor: Vendor, standin: Any) -> None:
    async def both(tts: Any) -> None:
        await whole(tts)
        await pieces(tts)

    spoken(vendor, both)
    post, socket = standin.asked
    if vendor.name == "murf":
        assert (post.path, socket.path) == ("/v1/speech/stream", "/v1/speech/stream-input")
        assert {post.headers["api-key"], socket.headers["api-key"]} == {KEY}
        assert (post.body["model"], socket.query["model"]) == ("FALCON", "FALCON")
        assert (post.body["format"], post.body["sample_rate"]) == ("pcm", 24000)
    else:
        assert (post.path, socket.path) == ("/tts/bytes", "/tts/websocket")
        assert {post.headers["x-api-key"], socket.headers["x-api-key"]} == {KEY}
        assert post.body["model_id"] == "sonic-3"
        assert post.headers["cartesia-version"] == socket.query["cartesia_version"]


def test_a_second_reply_uses_the_same_connection(vendor: Vendor, standin: Any) -> None:
    async def twice(tts: Any) -> list[Any]:
        return [await streamed(tts, [sentence]) for sentence in SENTENCES]

    replies = spoken(vendor, twice)
    assert len(standin.asked) == 1
    assert all(long_enough(audio, text.strip()) for audio, text in zip(replies, SENTENCES, strict=True))


def test_a_missing_key_is_named(vendor: Vendor) -> None:
    """V41, L18."""
    with pytest.raises(Failure, match=vendor.key) as caught:
        outside_a_job(lambda: asyncio.sleep(0, make_tts(only("TTS", vendor.setting))))
    assert caught.value.source == "tts"


@pytest.mark.parametrize("speak", [whole, pieces])
def test_a_wrong_key_is_refused_once(
    vendor: Vendor, standin: Any, speak: Speak, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(vendor.key, "wrong")
    with pytest.raises(APIStatusError) as caught:
        spoken(vendor, lambda tts: speak(tts, RETRIED))
    assert (caught.value.status_code, caught.value.retryable) == (vendor.refusal, False)
    assert len(standin.asked) == 1
    assert "wrong" not in str(caught.value)


@pytest.mark.parametrize("speak", [whole, pieces])
@pytest.mark.parametrize("trouble", [{"status": 503}, {"drop": True}])
def test_a_temporary_error_is_retried(vendor: Vendor, standin: Any, speak: Speak, trouble: dict[str, Any]) -> None:
    """The server is overloaded, or it accepts the request and vanishes before it says a word."""
    standin.trouble = Trouble(**trouble)
    audio = spoken(vendor, lambda tts: speak(tts, RETRIED))
    assert long_enough(audio, TEXT) or long_enough(audio, *map(str.strip, SENTENCES))
    assert len(standin.asked) == 2


@pytest.mark.parametrize("speak", [whole, pieces])
def test_a_server_error_that_stays(vendor: Vendor, standin: Any, speak: Speak) -> None:
    standin.trouble = Trouble(status=500, times=100)
    with pytest.raises(APIError):
        spoken(vendor, lambda tts: speak(tts, RETRIED))
    assert len(standin.asked) == 3


def test_a_stream_that_drops_in_the_middle_is_an_error(vendor: Vendor, standin: Any) -> None:
    """What was said is not said again: there is no second attempt."""
    standin.trouble = Trouble(cut=True)
    with pytest.raises(APIError):
        spoken(vendor, lambda tts: pieces(tts, RETRIED))
    assert len(standin.asked) == 1


def test_a_request_that_drops_in_the_middle_begins_again(vendor: Vendor, standin: Any) -> None:
    """Both attempts give audio, so a reader has to drop what came under the first request id."""
    standin.trouble = Trouble(cut=True)
    assert long_enough(spoken(vendor, lambda tts: whole(tts, RETRIED)), TEXT)
    assert len(standin.asked) == 2


def test_unreachable_is_an_error(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(vendor.key, KEY)
    monkeypatch.setenv(f"{vendor.name.upper()}_BASE_URL", "http://127.0.0.1:9")
    with pytest.raises(APIConnectionError):
        spoken(vendor, pieces)
