"""Recordings of the gateway are on the hub too: the page of their session plays them, and no client waits for that."""

from __future__ import annotations

import asyncio
import io
import wave
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from agent.gateway.audio import hub_copies
from agent.gateway.audio.formats import is_note
from agent.gateway.server import Gateway
from agent.gateway.settings import GatewaySettings
from event_hub.client import Publisher

from ...hubs import PATIENCE, HubProcess, until
from ..gateways import GatewayProcess, client
from .recorder import ENDPOINTS, ROUTES
from .sounds import speech, webm
from .test_recording import PATH, names, run

Make = Callable[..., HubProcess]


@asynccontextmanager
async def gateway_of(hub: HubProcess, folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Gateway]:
    """A gateway in this process that reports to `hub`."""
    monkeypatch.setenv("HUB_URL", hub.url)
    publisher = Publisher(hub.url)
    gateway = Gateway(
        GatewaySettings(port=0, uploads=folder, rate=1e6), publisher=publisher, endpoints=ENDPOINTS, routes=ROUTES
    )
    await gateway.start()
    try:
        yield gateway
    finally:
        await gateway.stop()
        await asyncio.to_thread(publisher.close, 5.0)


def record(gateway: Gateway, data: bytes, query: str = "") -> dict[str, Any]:
    """One recording, by a client in a thread."""
    with client(f"ws://127.0.0.1:{gateway.port}{PATH}{query}") as connected:
        connected.send("START_RECORDING")
        connected.receive()
        for begin in range(0, len(data), 3200):
            connected.send(data[begin : begin + 3200])
        connected.send("STOP_RECORDING")
        return connected.until("recording_saved")[-1]


def recorded(hub: HubProcess, session: str) -> dict[str, Any]:
    """The session, once its recording has arrived."""

    def found() -> dict[str, Any] | None:
        answer = requests.get(f"{hub.url}/api/sessions/{session}", timeout=PATIENCE)
        document: dict[str, Any] = answer.json() if answer.ok else {}
        return document if document.get("recording") else None

    return until(found, "the recording on the hub", 3 * PATIENCE)


def notes(folder: Path) -> list[str]:
    return [name for name in names(folder) if is_note(name)]


@pytest.mark.parametrize("make", [bytes, webm])
def test_the_hub_plays_a_recording_of_the_gateway(
    hub_factory: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[bytes], bytes]
) -> None:
    """A session of its own, with the user's channel alone, at the time at which it was recorded."""
    hub, folder, pcm = hub_factory().start(), tmp_path / "uploads", speech("Good morning.")

    async def test() -> None:
        async with gateway_of(hub, folder, monkeypatch) as gateway:
            saved = await asyncio.to_thread(record, gateway, make(pcm))
            session = await asyncio.to_thread(recorded, hub, saved["session_id"])
            await asyncio.to_thread(until, lambda: names(folder) == [saved["file"]], "no note to be left")
        assert (session["mode"], session["room"], session["status"]) == ("recording", "gateway", "ended")
        assert session["recording"]["channels"] == 1
        assert session["recording"]["duration"] == pytest.approx(saved["duration"], abs=0.1)
        assert session["started"] <= session["recording"]["started"] + 0.01 <= session["ended"] + 0.01
        assert session["recording"]["started"] == pytest.approx(session["started"], abs=0.5)
        audio = f"{hub.url}/api/sessions/{session['id']}/audio"
        whole = requests.get(audio, timeout=PATIENCE)
        assert whole.headers["Content-Type"].startswith("audio/ogg")
        assert whole.content.startswith(b"OggS")
        decoded = requests.get(f"{audio}.wav?channel=user", timeout=PATIENCE)
        with wave.open(io.BytesIO(decoded.content)) as sound:
            assert sound.getnframes() / sound.getframerate() == pytest.approx(len(pcm) / 32000, abs=0.1)
            assert max(abs(b) for b in memoryview(sound.readframes(sound.getnframes())).cast("h")) > 3000
        (channel,) = requests.get(f"{audio}/peaks", timeout=PATIENCE).json()["peaks"]
        assert max(channel) > 0.1
        assert requests.get(f"{audio}.wav?channel=agent", timeout=PATIENCE).status_code == 404

    run(test())


def test_a_session_that_the_client_named_says_which_recordings_it_has(
    hub_factory: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = hub_factory().start()

    async def test() -> None:
        async with gateway_of(hub, tmp_path / "uploads", monkeypatch) as gateway:
            first = await asyncio.to_thread(record, gateway, speech("One."), "?session_id=talk")
            second = await asyncio.to_thread(record, gateway, speech("Two."), "?session_id=talk")
            for saved in (first, second):
                await asyncio.to_thread(recorded, hub, saved["session_id"])
        events = hub.get("/api/events?session=talk&limit=100")["events"]
        told = [row["event"]["recording"] for row in events if row["event"]["type"] == "recording_saved"]
        assert told == [first["session_id"], second["session_id"]]

    run(test())


def test_a_hub_that_is_away_delays_no_client_and_gets_it_later(
    hub_factory: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this run of the gateway, or in the next one."""
    monkeypatch.setattr(hub_copies, "LONGEST_DELAY", 0.5)
    hub, folder = hub_factory(), tmp_path / "uploads"

    async def test() -> None:
        async with gateway_of(hub, folder, monkeypatch) as gateway:
            first = await asyncio.to_thread(record, gateway, speech("One."))
            await asyncio.to_thread(until, lambda: len(notes(folder)) == 1, "the note")
            second = await asyncio.to_thread(record, gateway, speech("Two."))
            await asyncio.to_thread(hub.start)
            for saved in (first, second):
                await asyncio.to_thread(recorded, hub, saved["session_id"])
            await asyncio.to_thread(until, lambda: not notes(folder), "no note to be left")
            await asyncio.to_thread(hub.stop)
            third = await asyncio.to_thread(record, gateway, speech("Three."))
            await asyncio.to_thread(until, lambda: len(notes(folder)) == 1, "the note")
        await asyncio.to_thread(hub.start)
        async with gateway_of(hub, folder, monkeypatch):
            await asyncio.to_thread(recorded, hub, third["session_id"])
            await asyncio.to_thread(until, lambda: not notes(folder), "no note to be left")
        assert all(name.endswith(".wav") for name in names(folder))

    run(test())


def test_what_a_killed_gateway_recorded_reaches_the_hub(hub_factory: Make, tmp_path: Path) -> None:
    hub, folder = hub_factory().start(), tmp_path / "uploads"
    with GatewayProcess(tmp_path, hub=hub.url) as gateway, client(gateway.ready().ws(PATH)) as connected:
        connected.send("START_RECORDING")
        session = connected.receive()["session_id"]
        connected.send(speech("Good morning."))
        until(lambda: sum(file.stat().st_size for file in folder.iterdir()) > 20_000, "the audio to be written")
        gateway.process.kill()
        gateway.process.wait(PATIENCE)
    with GatewayProcess(tmp_path, hub=hub.url) as gateway:
        gateway.ready()
        assert recorded(hub, session)["recording"]["duration"] > 0.5


@pytest.mark.parametrize(
    ("environ", "left", "says"),
    [
        ({"HUB_RECORDINGS": "off"}, 0, "keeps no recordings"),
        ({"HUB_AUTH": "required", "HUB_PUBLISH_KEYS": "ci:a-secret-of-the-test"}, 1, "HUB_KEY must be able to publish"),
        ({"HUB_MAX_RECORDING": "1KiB"}, 0, "it answers 413"),
    ],
)
def test_a_hub_that_refuses_it_is_not_asked_again(
    hub_factory: Make,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    environ: dict[str, str],
    left: int,
    says: str,
) -> None:
    """The recording stays where it is. Another key may do, so the next start asks again."""
    hub, folder = hub_factory(**environ).start(), tmp_path / "uploads"

    async def test() -> None:
        async with gateway_of(hub, folder, monkeypatch) as gateway:
            saved = await asyncio.to_thread(record, gateway, speech("One."))
            await asyncio.to_thread(until, lambda: says in caplog.text, "the reason in the log")
        assert len(notes(folder)) == left
        assert saved["file"] in names(folder)

    run(test())


def test_no_more_than_so_many_wait(
    hub_factory: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(hub_copies, "LONGEST_DELAY", 0.2)
    monkeypatch.setattr(hub_copies, "WAITING", 2)
    hub, folder = hub_factory(), tmp_path / "uploads"  # not started

    async def test() -> None:
        async with gateway_of(hub, folder, monkeypatch) as gateway:
            saved = [await asyncio.to_thread(record, gateway, speech("One.")) for _ in range(4)]
            await asyncio.to_thread(
                until, lambda: caplog.text.count("more than 2 recordings wait") == 2, "two to be left out"
            )
        assert len(notes(folder)) == 2
        assert {one["file"] for one in saved} <= set(names(folder))

    run(test())


def test_without_a_hub_there_are_no_notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hub: HubProcess) -> None:
    async def test() -> None:
        async with gateway_of(hub, tmp_path, monkeypatch) as gateway:
            gateway.state.pop("hub copies", None)
            monkeypatch.delenv("HUB_URL")
            await asyncio.to_thread(record, gateway, speech("One."))
        assert notes(tmp_path) == []

    run(test())
