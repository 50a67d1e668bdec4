"""Real speech through the running gateway: the local STT in its own process, the hub's page's events beside it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import psutil
import pytest
import requests

from ...conftest import outliving
from ...hubs import PATIENCE, HubProcess, until
from ..gateways import Client, GatewayProcess, client
from .sounds import silence, slices, speech, webm

SENTENCE = "What is the weather in Berlin tomorrow?"
WORDS = {"weather", "berlin", "tomorrow"}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, hub: HubProcess) -> Iterator[GatewayProcess]:
    with outliving() as keep, GatewayProcess(tmp_path_factory.mktemp("gateway"), hub=hub.url) as process:
        process.ready()
        with client(process.ws("/ws/transcribe-stream")) as connected:
            connected.receive()  # the STT is loaded
        keep()
        yield process


def events(hub: HubProcess, session: str) -> list[dict[str, Any]]:
    found = requests.get(f"{hub.url}/api/events", params={"session": session, "limit": 500}, timeout=PATIENCE).json()
    return [row["event"] for row in found["events"]]


def transcribed(connected: Client, audio: bytes) -> list[dict[str, Any]]:
    for piece in slices(audio, 32_000):
        connected.send(piece)
    connected.send({"type": "end"})
    return connected.until("end")


def words(frames: list[dict[str, Any]], kind: str = "final") -> set[str]:
    return set(re.findall(r"[a-z]+", " ".join(frame["text"] for frame in frames if frame["type"] == kind)))


def decoders(served: GatewayProcess) -> list[psutil.Process]:
    me = psutil.Process(served.process.pid)
    return [child for child in me.children() if any("sphinx_process" in part for part in child.cmdline())]


def test_a_spoken_sentence_is_transcribed_while_it_is_spoken(served: GatewayProcess, hub: HubProcess) -> None:
    """V25, V26, V28: interims, then the final; the hub has the same. Sent at once, by a client that answers pings."""
    with client(served.ws("/ws/transcribe-stream?session_id=spoken")) as connected:
        assert connected.receive()["session_id"] == "spoken"
        frames = transcribed(
            connected, silence(0.3) + speech(SENTENCE) + silence(1.5) + speech("Please call me back on Monday.")
        )
    assert words(frames) >= WORDS | {"monday"}
    assert words(frames, "partial") & WORDS
    finals = [frame for frame in frames if frame["type"] == "final"]
    assert {frame["utterance"] for frame in frames if "utterance" in frame} == {frame["utterance"] for frame in finals}

    def said() -> list[dict[str, Any]]:
        found = [event for event in events(hub, "spoken") if event["type"] == "transcript" and event["final"]]
        return found if len(found) == len(finals) else []

    told = until(said, "the transcripts on the hub")
    assert [(event["text"], event["utterance"]) for event in told] == [(f["text"], f["utterance"]) for f in finals]
    assert {event["role"] for event in told} == {"user"}
    kinds = [event["type"] for event in events(hub, "spoken")]
    assert kinds.count("user_speech_started") == kinds.count("user_speech_finished") > 0


def test_a_decoder_that_is_killed_is_replaced_within_the_sentence(served: GatewayProcess) -> None:
    """V29, without a provider: the process is gone in mid-sentence."""
    audio = silence(0.3) + speech(SENTENCE)
    with client(served.ws("/ws/transcribe-stream")) as connected:
        for piece in slices(audio[: len(audio) // 2], 3200):
            connected.send(piece)
        connected.until("partial")
        for decoder in decoders(served):
            decoder.kill()
        frames = transcribed(connected, audio[len(audio) // 2 :])
    assert "reconnecting" in {frame["type"] for frame in frames}
    assert words(frames) >= WORDS


def test_decoders_end_with_their_connections(served: GatewayProcess) -> None:
    """V22: clients that leave in mid-sentence leave at most the idle processes that are kept."""
    paths = ["/ws/transcribe-stream"] * 3
    with ExitStack() as stack:
        for connected in [stack.enter_context(client(served.ws(path))) for path in paths]:
            connected.send(speech(SENTENCE)[:40_000])
            connected.until("speech_started")
    until(lambda: served.connections() == 0, "the connections to end")
    until(lambda: len(decoders(served)) <= 2, "the decoders to end")


def test_a_recording_stands_on_the_hub(served: GatewayProcess, hub: HubProcess) -> None:
    """V33, V40: the endpoints exist together, in one server that keeps its promises to all."""
    with (
        client(served.ws("/ws")) as echo,
        client(served.ws("/ws/audio-stream?session_id=recorded")) as recorder,
        client(served.ws("/ws/transcribe-stream")) as transcriber,
    ):
        transcriber.receive()
        recorder.send("START_RECORDING")
        session = recorder.receive()["session_id"]
        for piece in slices(webm(speech(SENTENCE)), 2000):
            recorder.send(piece)
        echo.send("hello")
        assert echo.socket.recv(PATIENCE) == "hello"
        recorder.send("STOP_RECORDING")
        saved = recorder.receive()
    assert saved["format"] == "wav"
    assert (served.folder / "uploads" / saved["file"]).stat().st_size == saved["bytes"]

    def told() -> list[dict[str, Any]]:
        return [event for event in events(hub, "recorded") if event["type"] == "recording_saved"]

    (event,) = until(told, "the recording on the hub")
    assert (event["recording"], event["file"], event["duration"]) == (session, saved["file"], saved["duration"])
