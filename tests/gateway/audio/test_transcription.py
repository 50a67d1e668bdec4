"""`/ws/transcribe-stream` with an STT that fails in every way: nothing is lost in silence, nothing is said twice."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from livekit.agents import APIConnectionError, APIStatusError

from agent.failure import Failure
from agent.gateway.audio import pcm, transcriber, transcription
from agent.gateway.endpoints import Endpoint
from agent.gateway.server import Gateway
from agent.gateway.settings import GatewaySettings
from event_hub.providers import Providers

from ...hubs import PATIENCE
from .sounds import silence, slices, webm
from .tones import ToneSTT, say

PATH = "/ws/transcribe-stream"
ENDPOINTS = (Endpoint(PATH, "audio:transcribe", "transcribes"), Endpoint("/ws", "echo:serve", "echo"))
END = {"type": "end"}


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transcriber, "FIRST_PAUSE", 0.02)
    monkeypatch.setattr(transcriber, "LONGEST_PAUSE", 0.1)


class Given:
    """Parts with this STT, or with the Failure to make one."""

    def __init__(self, ear: Any) -> None:
        self.providers = Providers()
        self._ear = ear

    async def stt(self) -> Any:
        if isinstance(self._ear, Exception):
            raise self._ear
        return self._ear

    async def aclose(self) -> None: ...


@dataclass
class Events:
    """What the hub is told."""

    events: list[dict[str, Any]] = field(default_factory=list)

    def publish(self, event: dict[str, Any]) -> None:
        self.events.append(event)

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["type"] == kind]


class Speaker:
    def __init__(self, socket: aiohttp.ClientWebSocketResponse, gateway: Gateway, hub: Events) -> None:
        self.socket, self.gateway, self.hub = socket, gateway, hub

    async def send(self, *frames: Any) -> None:
        for frame in frames:
            if isinstance(frame, bytes):
                await self.socket.send_bytes(frame)
            else:
                await self.socket.send_str(frame if isinstance(frame, str) else json.dumps(frame))

    async def receive(self) -> dict[str, Any]:
        message = await self.socket.receive(timeout=PATIENCE)
        assert message.type is aiohttp.WSMsgType.TEXT, message
        frame: dict[str, Any] = json.loads(message.data)
        return frame

    async def until(self, kind: str) -> list[dict[str, Any]]:
        frames = [await self.receive()]
        while frames[-1]["type"] != kind:
            frames.append(await self.receive())
        return frames


@asynccontextmanager
async def speaking(ear: Any, query: str = "", **changes: Any) -> AsyncIterator[Speaker]:
    hub = Events()
    settings = GatewaySettings(port=0, drain=5.0, rate=1e6, **changes)
    gateway = Gateway(settings, parts=Given(ear), publisher=hub, endpoints=ENDPOINTS, routes=())  # type: ignore[arg-type]
    await gateway.start()
    before = asyncio.all_tasks()
    try:
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(f"http://127.0.0.1:{gateway.port}{PATH}{query}") as socket,
        ):
            yield Speaker(socket, gateway, hub)
        while gateway.connections:
            await asyncio.sleep(0.01)
        left = [task.get_name() for task in asyncio.all_tasks() - before if "transcription" in task.get_name()]
        assert not left
        if isinstance(ear, ToneSTT):
            assert ear.open == 0  # V22
    finally:
        await gateway.stop()


def run(test: Any) -> None:
    asyncio.run(asyncio.wait_for(test, 4 * PATIENCE))


def texts(frames: list[dict[str, Any]], kind: str = "final") -> list[str]:
    return [frame["text"] for frame in frames if frame["type"] == kind]


# -- what comes back ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("announces", [True, False])
@pytest.mark.parametrize("size", [2, 640, 60_000])
def test_interims_and_finals_are_tied_by_their_utterance(announces: bool, size: int) -> None:
    """V25, V26, V28: frames of any even length; STTs that say where speech begins, and those that do not."""

    async def test() -> None:
        audio = say(1, 2, seconds=0.02) + say(3, seconds=0.02)
        async with speaking(ToneSTT(announces=announces), "?session_id=s1") as speaker:
            assert await speaker.receive() == {
                "type": "ready", "sample_rate": 16000, "channels": 1, "session_id": "s1",
            }  # fmt: skip
            await speaker.send(*slices(audio, size), END)
            frames = await speaker.until("end")
        kinds = [frame["type"] for frame in frames]
        first = ["speech_started", "partial", "partial", "final", "speech_ended"]
        assert kinds == [*first, "speech_started", "partial", "final", "speech_ended", "end"]
        assert [frame["text"] for frame in frames if "text" in frame] == ["1", "1 2", "1 2", "3", "3"]
        assert len({frame["utterance"] for frame in frames[:5] if "text" in frame}) == 1
        assert len({frame["utterance"] for frame in frames if "text" in frame}) == 2
        assert {frame.get("language") for frame in frames if frame["type"] == "final"} == {"en"}
        told = speaker.hub.of("transcript")
        assert [(event["text"], event["final"], event["role"]) for event in told] == [
            ("1", False, "user"), ("1 2", False, "user"), ("1 2", True, "user"), ("3", False, "user"), ("3", True, "user"),
        ]  # fmt: skip
        assert len(speaker.hub.of("user_speech_started")) == len(speaker.hub.of("user_speech_finished")) == 2
        assert speaker.hub.of("session_started")[0]["session"] == "s1"
        assert len(speaker.hub.of("session_ended")) == 1

    run(test())


def test_the_end_flushes_the_last_utterance_and_more_may_follow() -> None:
    """Without silence at its end, which the STT needs; an end without audio is answered too."""

    async def test() -> None:
        async with speaking(ToneSTT()) as speaker:
            await speaker.send(END)
            assert (await speaker.until("end"))[0]["type"] == "ready"
            for word in (5, 6):
                await speaker.send(say(word)[: -2 * 8000], END)
                assert texts(await speaker.until("end")) == [str(word)]

    run(test())


def test_what_is_not_pcm_is_refused_and_the_connection_stays_usable() -> None:
    """V26: odd lengths, files, text, other protocols (X03); errors have both keys (X05)."""

    async def test() -> None:
        async with speaking(ToneSTT()) as speaker:
            await speaker.receive()
            cases: list[tuple[Any, str, str]] = [
                (b"\0", "bad_audio", "1 bytes"),
                (bytes(641), "bad_audio", "641 bytes"),
                (b"RIFF\x24\0\0\0WAVEfmt " + bytes(24), "bad_audio", "wav"),
                (webm(silence(0.1))[:400], "bad_audio", "webm"),
                ("hello", "bad_json", "JSON"),
                ("{", "bad_json", "JSON"),
                ('{"type": "stop"}', "bad_frame", "type"),
                ("START_RECORDING", "wrong_endpoint", "/ws/audio-stream"),
                ('{"text": "hi"}', "wrong_endpoint", "/ws/llm-stream"),
            ]
            for frame, code, word in cases:
                await speaker.send(frame)
                refused = await speaker.receive()
                assert (refused["type"], refused["code"]) == ("error", code)
                assert word in refused["message"] == refused["error"]
            await speaker.send(b"", say(1), END)
            assert texts(await speaker.until("end")) == ["1"]

    run(test())


# -- failures ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("announces", [True, False])
def test_a_failing_stt_is_connected_again_and_nothing_is_lost_or_doubled(announces: bool) -> None:
    """V29: it fails between utterances, within words, at once, and after the end."""

    async def test() -> None:
        ear = ToneSTT(1.0, 0, 0, 3.0, 0.1, 4.0, announces=announces)
        async with speaking(ear) as speaker:
            await speaker.receive()
            said = b"".join(say(n, n + 1, n + 2) for n in range(1, 30, 3))
            await speaker.send(*slices(said, 3200), END)
            frames = await speaker.until("end")
        heard = " ".join(texts(frames)).split()
        assert heard == [str(n) for n in range(1, 31)]
        assert ear.streams == 7
        again = [frame for frame in frames if frame["type"] == "reconnecting"]
        assert len(again) == 6
        assert "could not be reached" in again[0]["message"]
        assert "cable" not in again[0]["message"]  # exceptions may quote a key
        assert [frame["attempt"] for frame in again][:3] == [1, 2, 3]
        assert len(speaker.hub.of("agent_error")) == 6
        kinds = [frame["type"] for frame in frames if "speech" in frame["type"]]
        assert kinds == ["speech_started", "speech_ended"] * (len(kinds) // 2)

    run(test())


def test_an_outage_longer_than_the_buffer_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """V29: the oldest audio is lost, the client is told how much, and a microphone is not held up."""
    monkeypatch.setattr(transcriber, "BUFFER", 2 * pcm.BYTES_PER_SECOND)

    async def test() -> None:
        ear = ToneSTT(0.1, *[0.0] * 1000)
        async with speaking(ear) as speaker:
            await speaker.receive()
            await speaker.send(say(1))
            await speaker.until("reconnecting")
            await speaker.send(*slices(b"".join(say(n) for n in range(2, 12)), 3200))
            await speaker.send({"type": "ping"})  # answered, although the STT takes nothing
            await speaker.until("pong")
            ear.fails.clear()
            frames = await speaker.until("error")
            assert frames[-1]["code"] == "audio_lost"
            lost = float(frames[-1]["message"].split()[0])
            await speaker.send(END)
            heard = texts(await speaker.until("end"))
            assert heard[-1] == "11"
            assert 5 < lost < 9

    run(test())


def test_an_stt_that_never_comes_back_does_not_keep_the_client_waiting() -> None:
    """The client has asked for the end: it gets an error that says how much is missing, and the end."""

    async def test() -> None:
        ear = ToneSTT(*[0.0] * 4)
        async with speaking(ear) as speaker:
            await speaker.receive()
            await speaker.send(say(1, 2), END)
            frames = await speaker.until("end")
            assert frames[-2]["code"] == "stt_failed"
            assert "1.1 s" in frames[-2]["message"]
            await speaker.send(say(3), END)
            assert texts(await speaker.until("end")) == ["3"]

    run(test())


def test_an_stt_that_refuses_the_gateway_is_not_asked_again() -> None:
    """A wrong key stays wrong: one error that says so, and the connection is closed."""

    async def test() -> None:
        ear = ToneSTT(0.0, error=APIStatusError("secret words", status_code=401))
        async with speaking(ear) as speaker:
            await speaker.receive()
            await speaker.send(say(1))
            refused = (await speaker.until("error"))[-1]
            assert refused["code"] == "stt_failed"
            assert "wrong key" in refused["message"]
            assert "secret" not in refused["message"]
            closed = await speaker.socket.receive(timeout=PATIENCE)
            assert closed.type is aiohttp.WSMsgType.CLOSE
        assert ear.streams == 1

    run(test())


def test_a_missing_key_is_named() -> None:
    """V27, X09: the provider is chosen by setting."""

    async def test() -> None:
        async with speaking(Failure("ASSEMBLYAI_API_KEY is not set.", "stt")) as speaker:
            refused = await speaker.receive()
            assert (refused["code"], refused["message"]) == ("not_configured", "ASSEMBLYAI_API_KEY is not set.")
            await speaker.socket.receive(timeout=PATIENCE)

    run(test())


# -- pace --------------------------------------------------------------------------------------------------------------


def test_a_file_that_is_sent_at_once_is_heard_completely() -> None:
    """The client waits, and memory does not grow: the STT takes a minute of audio ten times as fast as it was spoken."""

    async def test() -> None:
        ear = ToneSTT(seconds_per_second=0.05)
        words = range(1, 61)
        async with speaking(ear) as speaker:
            await speaker.receive()
            sending = asyncio.create_task(
                speaker.send(*slices(b"".join(say(n, seconds=0.5) for n in words), 200_000), END)
            )
            heard = texts(await speaker.until("end"))
            await sending
        assert heard == [str(n) for n in words]
        assert ear.most_waiting <= transcriber.BACKLOG + 10  # the second of silence at the end is one piece

    run(test())


def test_providers_get_audio_in_real_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the lead: they disconnect clients that send a file at once. Time is what is tested."""
    monkeypatch.setattr(transcriber, "LEAD", 0.5)

    async def test() -> None:
        async with speaking(ToneSTT(any_pace=False)) as speaker:
            await speaker.receive()
            begun = asyncio.get_running_loop().time()
            await speaker.send(say(1, seconds=0.5), END)  # and a second of silence
            assert texts(await speaker.until("end")) == ["1"]
            assert asyncio.get_running_loop().time() - begun > 1.0

    run(test())


# -- the ends ----------------------------------------------------------------------------------------------------------


def test_a_client_that_leaves_ends_its_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    """V22: in the middle of a word, and while the STT is away; the hub gets what was understood as final."""

    async def test() -> None:
        ear = ToneSTT()
        async with speaking(ear) as speaker:
            await speaker.receive()
            await speaker.send(say(1, 2)[:-16000])
            while texts(await speaker.until("partial"), "partial") != ["1 2"]:
                pass
            assert ear.open == 1
            await speaker.socket.close()
        assert [event["text"] for event in speaker.hub.of("transcript") if event["final"]] == ["1 2"]
        assert speaker.hub.events[-1]["type"] == "session_ended"

        monkeypatch.setattr(transcriber, "FIRST_PAUSE", 100.0)
        monkeypatch.setattr(transcriber, "LONGEST_PAUSE", 100.0)
        async with speaking(ToneSTT(0.0)) as speaker:
            await speaker.receive()
            await speaker.send(say(1))
            await speaker.until("reconnecting")

    run(test())


def test_a_gateway_that_stops_finishes_the_utterance() -> None:
    async def test() -> None:
        async with speaking(ToneSTT()) as speaker:
            await speaker.receive()
            await speaker.send(say(1, 2)[:-16000])
            while texts(await speaker.until("partial"), "partial") != ["1 2"]:
                pass
            stopping = asyncio.create_task(speaker.gateway.stop())
            assert texts(await speaker.until("end")) == ["1 2"]
            await speaker.socket.receive(timeout=PATIENCE)
            assert speaker.socket.close_code == 1001
            await stopping

    run(test())


def test_more_local_transcriptions_than_processes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transcription, "LOCAL_STREAMS", 1)

    async def test() -> None:
        async with speaking(ToneSTT()) as speaker, aiohttp.ClientSession() as session:
            await speaker.receive()
            url = f"http://127.0.0.1:{speaker.gateway.port}{PATH}"
            async with session.ws_connect(url) as second:
                refused = json.loads((await second.receive(timeout=PATIENCE)).data)
                assert refused["code"] == "stt_busy"
                await second.receive(timeout=PATIENCE)
                assert second.close_code == transcription.CLOSED_BUSY
            await speaker.socket.close()
            while speaker.gateway.connections:
                await asyncio.sleep(0.01)
            async with session.ws_connect(url) as third:
                assert json.loads((await third.receive(timeout=PATIENCE)).data)["type"] == "ready"

    run(test())


def test_connection_errors_of_any_kind_are_failures() -> None:
    """A plugin may raise what it likes: it is an outage, unless LiveKit says that it is of no use to try again."""

    async def test() -> None:
        for error in (ValueError("what?"), APIConnectionError(), TimeoutError()):
            async with speaking(ToneSTT(0.0, error=error)) as speaker:
                await speaker.receive()
                await speaker.send(say(1), END)
                frames = await speaker.until("end")
                assert texts(frames) == ["1"]
                assert [frame["attempt"] for frame in frames if frame["type"] == "reconnecting"] == [1]

    run(test())
