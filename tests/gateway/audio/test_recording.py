"""`/ws/audio-stream`: the file is what its name says, whatever is sent and however it ends."""

from __future__ import annotations

import asyncio
import io
import json
import os
import random
import signal
import subprocess
import wave
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import requests

from agent.gateway.audio.formats import is_recording, is_unfinished
from agent.gateway.server import Gateway
from agent.gateway.settings import GatewaySettings

from ...hubs import PATIENCE, until
from ..gateways import Client, GatewayProcess, client
from .recorder import ENDPOINTS, ROUTES
from .sounds import silence, slices, speech, wav, webm

PATH = "/ws/audio-stream"


class Recorder:
    """A client in the event loop of the gateway."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket

    async def send(self, *frames: Any) -> None:
        for frame in frames:
            if isinstance(frame, bytes):
                await self.socket.send_bytes(frame)
            else:
                await self.socket.send_str(frame if isinstance(frame, str) else json.dumps(frame))

    async def receive(self) -> dict[str, Any]:
        frame: dict[str, Any] = json.loads((await self.socket.receive(timeout=PATIENCE)).data)
        return frame

    async def record(self, *frames: bytes, **options: Any) -> dict[str, Any]:
        """One recording; returns the frame that ends it."""
        await self.send({"type": "START_RECORDING", **options})
        assert (await self.receive())["type"] == "recording_started"
        await self.send(*frames, "STOP_RECORDING")
        return await self.receive()


@asynccontextmanager
async def recording(folder: Path, **changes: Any) -> AsyncIterator[tuple[Gateway, Recorder]]:
    settings = GatewaySettings(port=0, drain=5.0, uploads=folder, rate=1e6)
    gateway = Gateway(replace(settings, **changes), endpoints=ENDPOINTS, routes=ROUTES)
    await gateway.start()
    try:
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(f"http://127.0.0.1:{gateway.port}{PATH}") as socket,
        ):
            yield gateway, Recorder(socket)
    finally:
        await gateway.stop()


def run(test: Any) -> None:
    asyncio.run(asyncio.wait_for(test, 4 * PATIENCE))


def sound(path: Path) -> tuple[int, int, int, bytes]:
    """Rate, channels, sample width and samples, as Python's `wave` reads them."""
    with wave.open(str(path)) as file:
        return file.getframerate(), file.getnchannels(), file.getsampwidth(), file.readframes(file.getnframes())


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


# -- what the audio is -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 333, 3200])
def test_pcm_becomes_a_wav_file(tmp_path: Path, size: int) -> None:
    """V33, V34, V35, V37, X08: in frames of any size, also where they cut a sample or the first bytes."""

    async def test() -> None:
        pcm = speech("Good morning.")[: 20000 if size > 1 else 99 * 2]
        async with recording(tmp_path / "up") as (_, recorder):
            saved = await recorder.record(*slices(pcm, size))
        assert saved["type"] == "recording_saved"
        assert (saved["format"], saved["bytes"]) == ("wav", len(pcm) + 44)
        assert saved["duration"] == pytest.approx(len(pcm) / 32000, abs=0.001)
        assert is_recording(saved["file"])
        assert saved["session_id"] in saved["file"]
        assert saved["url"] == f"/uploads/{saved['file']}"
        assert "message" not in saved
        assert sound(tmp_path / "up" / saved["file"]) == (16000, 1, 2, pcm)

    run(test())


def test_half_a_sample_at_the_end_is_reported(tmp_path: Path) -> None:
    async def test() -> None:
        async with recording(tmp_path) as (_, recorder):
            saved = await recorder.record(bytes(1001), sample_rate=44100)
        assert "half a sample" in saved["message"]
        assert sound(tmp_path / saved["file"])[:3] == (44100, 1, 2)
        assert saved["bytes"] == 1000 + 44 == (tmp_path / saved["file"]).stat().st_size

    run(test())


@pytest.mark.parametrize("container", ["webm", "ogg"])
def test_opus_is_decoded_to_a_wav_file(tmp_path: Path, container: str) -> None:
    """V36, X08: what Chromium (WebM) and Firefox (Ogg) record, in slices of any size."""

    async def test() -> None:
        pcm = speech("The quick brown fox.")
        data = webm(pcm, container)
        async with recording(tmp_path) as (_, recorder):
            for options in ({}, {"format": "webm"}):
                saved = await recorder.record(*slices(data, 700), **options)
                assert (saved["type"], saved["format"]) == ("recording_saved", "wav")
                rate, channels, width, samples = sound(tmp_path / saved["file"])
                assert (rate, channels, width) == (48000, 1, 2)
                assert len(samples) / 96000 == pytest.approx(len(pcm) / 32000, abs=0.1)
                assert max(samples) > 0
        assert all(map(is_recording, names(tmp_path)))
        assert len(names(tmp_path)) == 2

    run(test())


def test_a_wav_file_that_is_sent_becomes_a_wav_file(tmp_path: Path) -> None:
    """Its header is not recorded as a click at the beginning."""

    async def test() -> None:
        pcm = speech("Good morning.")
        async with recording(tmp_path) as (_, recorder):
            saved = await recorder.record(*slices(wav(pcm), 3200))
            assert sound(tmp_path / saved["file"]) == (16000, 1, 2, pcm)
            cut = await recorder.record(wav(pcm)[:10_044])  # its header promises more than there is
            assert sound(tmp_path / cut["file"])[3] == pcm[:10_000]

    run(test())


def test_hostile_bytes_become_a_file_of_their_true_name(tmp_path: Path) -> None:
    """X08: random bytes, a header and nothing, garbage behind a magic number, truncated WebM."""

    async def test() -> None:
        noise = random.Random(1).randbytes(50_000)
        good = webm(speech("The quick brown fox."))
        magic = b"\x1aE\xdf\xa3"
        async with recording(tmp_path) as (gateway, recorder):
            cases = [
                (noise, {}, "wav"),  # nothing tells it from samples
                (noise, {"format": "webm"}, "bin"),
                (b"\0", {"format": "webm"}, "bin"),
                (magic, {}, "webm"),
                (magic + noise, {"format": "pcm"}, "webm"),
                (good[:100], {}, "webm"),
                (good[: len(good) // 2], {}, "wav"),
                (good[:3000] + noise + good[3000:], {}, "wav"),
                (b"OggS" + noise, {}, "ogg"),
                (b"\0\0\0\x18ftypisom" + noise, {}, "mp4"),
                (b"RIFF\xff\xff\xff\xffWAVE" + noise, {}, "bin"),
            ]
            for data, options, kind in cases:
                saved = await recorder.record(*slices(data, 9000), **options)
                assert (saved["type"], saved["format"]) == ("recording_saved", kind), (data[:20], options)
                path = tmp_path / saved["file"]
                assert path.suffix == f".{kind}"
                assert path.stat().st_size == saved["bytes"]
                if kind == "wav":
                    assert sound(path)[3]
                else:
                    assert path.read_bytes() == data
                    assert "kept" in saved["message"].lower()
                    assert "duration" not in saved
            assert len(names(tmp_path)) == len(cases)
            assert gateway.connections == 1

    run(test())


def test_a_wav_file_that_would_be_too_large_stays_webm(tmp_path: Path) -> None:
    """Opus takes a fiftieth of the bytes: a small recording must not fill the disk when it is decoded."""

    async def test() -> None:
        data = webm(silence(30))
        async with recording(tmp_path, uploads_size=len(data) + 100_000) as (_, recorder):
            saved = await recorder.record(data)
        assert saved["format"] == "webm"
        assert "GATEWAY_UPLOADS_SIZE" in saved["message"]
        assert (tmp_path / saved["file"]).read_bytes() == data
        assert len(names(tmp_path)) == 1

    run(test())


# -- commands in the wrong order ---------------------------------------------------------------------------------------


def test_commands_in_any_order_are_answered(tmp_path: Path) -> None:
    """V33, V34, V35: text and JSON; twice, without the other, with nothing between; frames of other protocols (X03)."""

    async def test() -> None:
        async with recording(tmp_path) as (_, recorder):
            await recorder.send("STOP_RECORDING", b"\0\0", b"\0\0", " START_RECORDING\n")
            assert (await recorder.receive())["code"] == "not_recording"
            stray = await recorder.receive()
            assert (stray["code"], stray["error"]) == ("not_recording", stray["message"])  # X05; sent once
            assert (await recorder.receive())["type"] == "recording_started"
            await recorder.send(b"", '{"type": "STOP_RECORDING"}')
            assert (await recorder.receive())["type"] == "recording_empty"
            assert names(tmp_path) == []

            await recorder.send("START_RECORDING", b"\1\0", "START_RECORDING", b"\2\0")
            assert (await recorder.receive())["type"] == "recording_started"
            assert (await recorder.receive())["code"] == "already_recording"
            for text, code in {
                "hello": "bad_json",
                "[]": "bad_json",
                '{"type": "start_recording"}': "bad_frame",
                '{"type": "START_RECORDING", "format": "mp3"}': "bad_frame",
                '{"type": "START_RECORDING", "sample_rate": 1}': "bad_frame",
                '{"type": "START_RECORDING", "sample_rate": "16000"}': "bad_frame",
                '{"type": "end"}': "wrong_endpoint",
                '{"message": "hi"}': "wrong_endpoint",
            }.items():
                await recorder.send(text)
                assert (await recorder.receive())["code"] == code, text
            await recorder.send({"type": "ping"})
            assert (await recorder.receive())["type"] == "pong"
            await recorder.send("STOP_RECORDING")
            saved = await recorder.receive()
            assert sound(tmp_path / saved["file"])[3] == b"\1\0\2\0"

    run(test())


def test_every_recording_has_its_own_file(tmp_path: Path) -> None:
    """V37: also within one second, on several connections."""

    async def test() -> None:
        async with (
            recording(tmp_path) as (gateway, recorder),
            aiohttp.ClientSession() as session,
            session.ws_connect(f"http://127.0.0.1:{gateway.port}{PATH}") as socket,
        ):
            other = Recorder(socket)
            saved = [
                frame
                for n in range(5)
                for frame in await asyncio.gather(recorder.record(bytes([n, 1] * 10)), other.record(bytes([n, 2] * 10)))
            ]
        assert len({frame["file"] for frame in saved}) == 10
        assert {sound(tmp_path / frame["file"])[3] for frame in saved} == {
            bytes([n, who] * 10) for n in range(5) for who in (1, 2)
        }

    run(test())


# -- limits ------------------------------------------------------------------------------------------------------------


def test_a_recording_that_grows_too_large_is_saved_and_says_so(tmp_path: Path) -> None:
    async def test() -> None:
        async with recording(tmp_path, recording_size=10_000) as (_, recorder):
            await recorder.send("START_RECORDING", bytes(6000), bytes(4000), bytes(2), bytes(2))
            assert (await recorder.receive())["type"] == "recording_started"
            assert (await recorder.receive())["code"] == "recording_too_large"
            saved = await recorder.receive()
            assert saved["bytes"] == 10_044
            assert (await recorder.receive())["code"] == "not_recording"

    run(test())


def test_a_full_folder_refuses_recordings_until_something_is_removed(tmp_path: Path) -> None:
    """The recordings of all connections count, also those in progress."""

    async def test() -> None:
        async with recording(tmp_path, uploads_size=30_000) as (gateway, recorder), aiohttp.ClientSession() as session:
            async with session.ws_connect(f"http://127.0.0.1:{gateway.port}{PATH}") as socket:
                other = Recorder(socket)
                await other.send("START_RECORDING", bytes(20_000))
                await other.receive()
                await asyncio.to_thread(
                    until, lambda: any(f.stat().st_size > 20_000 for f in tmp_path.iterdir()), "the other recording"
                )
                await recorder.send("START_RECORDING", bytes(8_000), bytes(8_000))
                await recorder.receive()
                assert (await recorder.receive())["code"] == "uploads_full"
                first = await recorder.receive()
                assert first["bytes"] == 8_044
                await other.send(bytes(1_900), "STOP_RECORDING")
                assert (await other.receive())["type"] == "recording_saved"
            await recorder.send("START_RECORDING", bytes(100))
            assert [(await recorder.receive())["type"] for _ in range(3)] == [
                "recording_started",
                "error",
                "recording_empty",
            ]
            (tmp_path / first["file"]).unlink()
            assert (await recorder.record(bytes(100)))["type"] == "recording_saved"

    run(test())


def test_an_unwritable_folder_is_named(tmp_path: Path) -> None:
    """Even root cannot make a folder below a file."""

    async def test() -> None:
        (tmp_path / "file").write_text("")
        async with recording(tmp_path / "file" / "uploads") as (_, recorder):
            for _ in range(2):
                await recorder.send("START_RECORDING")
                refused = await recorder.receive()
                assert refused["code"] == "uploads_unwritable"
                assert "GATEWAY_UPLOADS" in refused["message"]
                assert str(tmp_path) not in refused["message"]

    run(test())


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", disk], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a small disk needs root")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


@pytest.mark.parametrize("container", ["pcm", "webm"])
def test_a_full_disk_keeps_what_was_written(small_disk: Path, container: str) -> None:
    async def test() -> None:
        noise = random.Random(2).randbytes(400_000)
        async with recording(small_disk) as (_, recorder):
            await recorder.send("START_RECORDING", *slices(noise if container == "pcm" else webm(noise * 8), 10_000))
            assert (await recorder.receive())["type"] == "recording_started"
            refused = await recorder.receive()
            assert refused["code"] == "disk_full"
            saved = await recorder.receive()
            assert saved["type"] == "recording_saved"
            path = small_disk / saved["file"]
            if container == "pcm":
                assert noise.startswith(sound(path)[3])
                assert path.stat().st_size > 200_000
            else:
                assert path.suffix == ".webm"  # no room to decode it
                assert "no room" in saved["message"]
            assert names(small_disk) == [saved["file"]]

    run(test())


# -- the ends ----------------------------------------------------------------------------------------------------------


def test_a_client_that_leaves_while_recording_loses_nothing(tmp_path: Path) -> None:
    """V22: with the last frames still on the way when it closes, in order or not at all."""

    async def test(abort: bool) -> bytes:
        folder = tmp_path / str(abort)
        pcm = speech("The quick brown fox.")
        async with recording(folder) as (gateway, recorder):
            await recorder.send("START_RECORDING", *slices(pcm, 500))
            if abort:
                await recorder.receive()
                await asyncio.to_thread(until, lambda: any(f.stat().st_size > 44 for f in folder.iterdir()), "audio")
                recorder.socket._response.connection.transport.abort()  # type: ignore[union-attr]
            else:
                await recorder.socket.close()
            while gateway.connections:
                await asyncio.sleep(0.01)
        (saved,) = names(folder)
        assert is_recording(saved)
        samples = sound(folder / saved)[3]
        assert pcm.startswith(samples)
        return samples

    assert asyncio.run(test(abort=False)) == speech("The quick brown fox.")
    assert asyncio.run(test(abort=True))


@contextmanager
def recorder_process(folder: Path, **environ: str) -> Iterator[GatewayProcess]:
    with GatewayProcess(folder, program=("-m", "tests.gateway.audio.recorder"), **environ) as process:
        yield process.ready()


def _begin(connected: Client, uploads: Path, data: bytes) -> None:
    def size() -> int:
        return sum(file.stat().st_size for file in uploads.iterdir())

    connected.send("START_RECORDING")
    assert connected.receive()["type"] == "recording_started"
    before = size()
    for piece in slices(data, 1000):
        connected.send(piece)
    until(lambda: size() >= before + len(data), "the audio to be written")


def test_a_gateway_that_stops_saves_recordings(tmp_path: Path) -> None:
    """The client is told the file's name before the connection is closed."""
    uploads = tmp_path / "uploads"
    pcm = speech("Good morning.")
    with (
        recorder_process(tmp_path, GATEWAY_DRAIN="20s") as gateway,
        client(gateway.ws(PATH)) as one,
        client(gateway.ws(PATH)) as two,
    ):
        _begin(one, uploads, pcm)
        _begin(two, uploads, webm(pcm))
        gateway.process.send_signal(signal.SIGTERM)
        for connected in (one, two):
            saved = connected.until("recording_saved")[-1]
            assert saved["format"] == "wav"
            assert sound(uploads / saved["file"])[3]
            assert connected.closed()[0] == 1001
        assert gateway.process.wait(PATIENCE) == 0
    assert all(map(is_recording, names(uploads)))


def test_recordings_of_a_killed_gateway_are_saved_by_the_next(tmp_path: Path) -> None:
    """kill -9 in the middle of three recordings; the file of a gateway that still runs is left alone."""
    uploads = tmp_path / "uploads"
    pcm = speech("Good morning.")
    other_folder = tmp_path / "other"
    other_folder.mkdir()
    with recorder_process(other_folder, GATEWAY_UPLOADS=str(uploads)) as other, client(other.ws(PATH)) as alive:
        with recorder_process(tmp_path) as gateway, ExitStack() as stack:
            for data in (pcm, webm(pcm), b""):
                _begin(stack.enter_context(client(gateway.ws(PATH))), uploads, data)
            _begin(alive, uploads, pcm)
            os.kill(gateway.process.pid, signal.SIGKILL)
            gateway.process.wait(PATIENCE)
        assert sum(map(is_unfinished, names(uploads))) == 4
        (uploads / "notes.part").write_text("not ours")
        with recorder_process(tmp_path) as gateway:
            until(lambda: sum(map(is_recording, names(uploads))) == 2, "the recordings to be saved")
            until(lambda: sum(map(is_unfinished, names(uploads))) == 1, "the empty one to be removed")
            samples = [sound(uploads / name)[3] for name in names(uploads) if is_recording(name)]
            assert sorted(samples, key=len)[0] == pcm  # WebM is decoded to 48 kHz
            assert len(samples[1]) > len(pcm) or len(samples[0]) > len(pcm)
        alive.send("STOP_RECORDING")
        assert sound(uploads / alive.receive()["file"])[3] == pcm
    assert [name for name in names(uploads) if not is_recording(name)] == ["notes.part"]


# -- reading them ------------------------------------------------------------------------------------------------------


def test_recordings_can_be_read_and_nothing_else(tmp_path: Path) -> None:
    """`GET /uploads/<file>` with Range; hidden files, other names, links and paths are 404."""
    uploads = tmp_path / "uploads"
    pcm = speech("Good morning.")
    with recorder_process(tmp_path) as gateway:
        with client(gateway.ws(PATH)) as connected:
            _begin(connected, uploads, pcm)
            part = next(name for name in names(uploads) if is_unfinished(name))
            assert requests.get(f"{gateway.url}/uploads/{part}", timeout=PATIENCE).status_code == 404
            connected.send("STOP_RECORDING")
            saved = connected.receive()
        response = requests.get(gateway.url + saved["url"], timeout=PATIENCE)
        assert response.headers["Content-Type"] == "audio/wav"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        with wave.open(io.BytesIO(response.content)) as file:
            assert file.readframes(file.getnframes()) == pcm
        ranged = requests.get(gateway.url + saved["url"], headers={"Range": "bytes=44-143"}, timeout=PATIENCE)
        assert (ranged.status_code, ranged.content) == (206, pcm[:100])

        (tmp_path / "secret.wav").write_text("secret")
        (uploads / "secret.wav").write_text("secret")
        link = saved["file"].replace(saved["session_id"], "00000000-0000-0000-0000-000000000000")
        (uploads / link).symlink_to(tmp_path / "secret.wav")
        for name in ("secret.wav", link, "..%2fsecret.wav", "%2e%2e/secret.wav", saved["file"] + "%00", ""):
            refused = requests.get(f"{gateway.url}/uploads/{name}", timeout=PATIENCE)
            assert refused.status_code == 404, name
            assert "secret" not in refused.text
        refused = requests.get(f"{gateway.url}/uploads/secret.wav", timeout=PATIENCE)
        assert refused.json()["code"] == "no_such_recording"
