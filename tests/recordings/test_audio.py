"""Recordings as they are served: ranges, waveforms, WAV, and where the words are."""

from __future__ import annotations

import io
import itertools
import socket
import wave
from collections.abc import Callable, Iterator
from contextlib import suppress
from fractions import Fraction
from typing import Any

import av
import numpy as np
import psutil
import pytest
import requests

from ..conftest import outliving
from ..hubs import HubProcess, until
from .test_bad_uploads import PARTS, header
from .test_uploads import ATTACHED, EVENTS, complete
from .uploads import JOB, LIVEKIT, RECORDINGS, post, recording, send_all, session

Make = Callable[..., HubProcess]
OGG = PARTS["audio"]
DURATION = 23.587


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    """A hub with the recorded call, as attach told it."""
    with outliving() as keep:
        hub = HubProcess(tmp_path_factory.mktemp("audio"), **LIVEKIT).start()
        keep()
        try:
            assert requests.post(f"{hub.url}/api/agent/data", json=EVENTS, timeout=30).status_code == 200
            send_all(hub)
            session(hub, ATTACHED, complete)
            yield hub
        finally:
            hub.stop()


def get(hub: HubProcess, path: str = "audio", id: str = ATTACHED, **headers: str) -> requests.Response:
    return requests.get(f"{hub.url}/api/sessions/{id}/{path}", headers=headers, timeout=60)


def decoded(data: bytes, rate: int) -> Any:
    """The samples of an OGG file, a row for each channel."""
    resampler = av.AudioResampler(format="fltp", layout="stereo", rate=rate)
    with av.open(io.BytesIO(data)) as container:
        frames = [resampled for frame in container.decode(audio=0) for resampled in resampler.resample(frame)]
    return np.concatenate([frame.to_ndarray() for frame in [*frames, *resampler.resample(None)]], axis=1)


def test_the_whole_recording_is_the_one_that_was_uploaded(hub: HubProcess) -> None:
    """Issue 18: GET and HEAD, with an ETag."""
    answer = get(hub)
    assert (answer.status_code, answer.headers["Content-Type"], answer.content) == (200, "audio/ogg", OGG)
    assert answer.headers["Accept-Ranges"] == "bytes"
    head = requests.head(f"{hub.url}/api/sessions/{ATTACHED}/audio", timeout=30)
    assert (head.status_code, head.headers["Content-Length"], head.content) == (200, str(len(OGG)), b"")
    again = get(hub, **{"If-None-Match": answer.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    ("asked", "begin", "end"),
    [
        ("bytes=0-", 0, None), ("bytes=0-0", 0, 1), ("bytes=100-199", 100, 200), ("bytes=-500", -500, None),
        ("bytes=1000-999999999", 1000, None),
    ],
)  # fmt: skip
def test_ranges(hub: HubProcess, asked: str, begin: int, end: int | None) -> None:
    """Issue 18: what a player asks for when it seeks."""
    answer = get(hub, Range=asked)
    assert (answer.status_code, answer.content) == (206, OGG[begin:end])
    first = begin % len(OGG) if begin < 0 else begin
    assert answer.headers["Content-Range"] == f"bytes {first}-{first + len(answer.content) - 1}/{len(OGG)}"


@pytest.mark.parametrize(
    "asked", ["bytes=5-4", "seconds=1-2", "bytes=", "bytes=a-b", "bytes=0-1,5-6", "bytes=--5", "x"]
)
def test_ranges_that_are_none_give_the_whole(hub: HubProcess, asked: str) -> None:
    answer = get(hub, Range=asked)
    assert (answer.status_code, len(answer.content)) == (200, len(OGG))


def test_a_range_beyond_the_end(hub: HubProcess) -> None:
    answer = get(hub, Range=f"bytes={len(OGG)}-")
    assert (answer.status_code, answer.headers["Content-Range"]) == (416, f"bytes */{len(OGG)}")


def test_a_range_of_another_version_gives_the_whole(hub: HubProcess) -> None:
    etag = get(hub).headers["ETag"]
    assert get(hub, Range="bytes=0-9", **{"If-Range": etag}).status_code == 206
    assert get(hub, Range="bytes=0-9", **{"If-Range": '"other"'}).status_code == 200


def test_the_waveform_is_that_of_the_sound(hub: HubProcess) -> None:
    """Issue 18: peaks are computed once, so that a browser need not decode."""
    answer = get(hub, "audio/peaks?points=100")
    found = answer.json()
    assert (found["duration"], found["channels"]) == (DURATION, 2)
    samples = np.abs(decoded(OGG, 48_000))
    assert [len(channel) for channel in found["peaks"]] == [99, 99]
    for channel, peaks in enumerate(found["peaks"]):
        parts = [samples[channel, begin : begin + 24 * 480].max() for begin in range(0, samples.shape[1], 24 * 480)]
        assert peaks == pytest.approx(np.minimum(parts, 1), abs=0.01)
    assert get(hub, "audio/peaks?points=100", **{"If-None-Match": answer.headers["ETag"]}).status_code == 304
    for wrong in ("0", "-1", "1e9", "x"):
        assert get(hub, f"audio/peaks?points={wrong}").status_code == 400
    levels = hub.folder / "recordings" / "audio" / f"{JOB}.levels"
    assert levels.stat().st_size < 12_000


@pytest.mark.parametrize("channel", ["user", "agent"])
def test_a_channel_as_wav(hub: HubProcess, channel: str) -> None:
    """Issue 18: .wav per channel on request."""
    answer = get(hub, f"audio.wav?channel={channel}")
    assert int(answer.headers["Content-Length"]) == len(answer.content)
    with wave.open(io.BytesIO(answer.content)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 24_000)
        assert file.getnframes() == round(23.586916666666667 * 24_000)
        sound = np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32768
    reference = decoded(OGG, 24_000)[["user", "agent"].index(channel)]
    length = min(len(sound), len(reference))
    assert np.corrcoef(sound[:length], reference[:length])[0, 1] > 0.999


def test_a_client_that_leaves_ends_the_decoder(hub: HubProcess) -> None:
    assert hub.process is not None
    worker = psutil.Process(hub.process.pid)

    def decoders() -> int:
        found = 0
        for child in worker.children(recursive=True):
            with suppress(psutil.NoSuchProcess):  # a zombie is one
                found += "event_hub.server.recordings.decode" in child.cmdline()
        return found

    for _ in range(6):
        with socket.create_connection(("127.0.0.1", hub.port), timeout=30) as client:
            client.sendall(f"GET /api/sessions/{ATTACHED}/audio.wav HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            client.recv(1000)
        until(lambda: decoders() == 0, "the decoder ends")
    assert get(hub, "audio.wav").status_code == 200


def test_the_words_are_where_the_marks_are(hub: HubProcess) -> None:
    """Issue 18: within 50 ms of the first 10 ms of sound above -46 dBFS; and a recogniser that hears only the recording finds
    words there."""
    from pocketsphinx import Decoder

    found = get(hub, "audio/marks").json()
    marks = found["marks"]
    assert [mark["role"] for mark in marks].count("user") == 3
    sound = decoded(OGG, 16_000)
    checked = 0
    for mark in marks:
        assert mark["heard"] is not None, mark
        if mark["role"] == "agent":
            assert -0.05 <= mark["heard"] - mark["offset"] <= 0.3
            continue
        begin = max(0, round((mark["heard"] - 0.5) * 16_000))
        end = round((mark["end"] + 0.5) * 16_000)
        decoder = Decoder(samprate=16_000, loglevel="FATAL")
        decoder.start_utt()
        decoder.process_raw((sound[0, begin:end] * 32767).astype("<i2").tobytes(), full_utt=True)
        decoder.end_utt()
        words = [segment for segment in decoder.seg() if not segment.word.startswith("<") and "[" not in segment.word]
        assert words, mark
        first = begin / 16_000 + words[0].start_frame / 100
        assert abs(mark["heard"] - first) <= 0.1, (mark, words[0].word, first)  # it begins words up to 80 ms early
        near = sound[0, round((mark["offset"] - 0.2) * 16_000) : round((mark["offset"] + 0.2) * 16_000)]
        windows = near[: len(near) // 160 * 160].reshape(-1, 160)
        loud = np.sqrt((windows.astype(float) ** 2).mean(axis=1)) >= 10 ** (-46 / 20)
        word = mark["offset"] - 0.2 + int(loud.argmax()) / 100
        assert abs(mark["heard"] - word) <= 0.05, (mark, word)
        checked += 1
    assert checked == 3


def test_what_there_is_not(hub: HubProcess) -> None:
    requests.post(f"{hub.url}/api/agent/data", json={"type": "transcript", "text": "x", "session": "bare"}, timeout=30)
    for path in ("audio", "audio.wav", "audio/peaks", "audio/marks", "trace", "logs"):
        assert get(hub, path, id="bare").json()["code"] == "no_recording"
        assert get(hub, path, id="none-such").json()["code"] == "unknown_session"


def opus(seconds: float, channels: int) -> bytes:
    """An OGG Opus file of silence: one second that is encoded, again and again."""
    out = io.BytesIO()
    layout = "stereo" if channels == 2 else "mono"
    with av.open(out, "w", format="ogg") as container:
        stream: Any = container.add_stream("libopus", rate=48_000, layout=layout)
        packets = []
        for number in range(51):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 960 * channels), "<i2"), format="s16", layout=layout)
            frame.sample_rate, frame.pts = 48_000, number * 960
            packets += [bytes(packet) for packet in stream.encode(frame)]
        for number in range(round(seconds * 50)):
            packet = av.Packet(packets[number % len(packets)])
            packet.stream, packet.time_base = stream, Fraction(1, 48_000)
            packet.pts = packet.dts = number * 960
            packet.duration = 960
            container.mux(packet)
    return out.getvalue()


def test_mono_and_two_hours(hub: HubProcess) -> None:
    """Issue 18: both are recordings, if unusual ones."""
    body, kind = recording(header("AJ_mono"), audio=opus(3, 1))
    assert post(hub, RECORDINGS, body, **{"Content-Type": kind}).status_code == 200
    body, kind = recording(header("AJ_long"), audio=opus(7200, 2))
    assert post(hub, RECORDINGS, body, **{"Content-Type": kind}).status_code == 200
    mono = session(hub, "AJ_mono", lambda found: bool(found["recording"]))
    assert (mono["recording"]["channels"], mono["recording"]["duration"]) == (1, pytest.approx(3, abs=0.1))
    assert get(hub, "audio.wav?channel=agent", id="AJ_mono").json()["code"] == "no_recording"
    long = session(hub, "AJ_long", lambda found: bool(found["recording"]))
    assert long["recording"]["duration"] == pytest.approx(7200, abs=0.1)

    def peaks() -> Any:
        answer = get(hub, "audio/peaks?points=50000", id="AJ_long")
        return answer.json() if answer.status_code == 200 else None

    found = until(peaks, "the waveform of two hours", 120)
    assert len(found["peaks"][0]) >= 48_000


def test_what_cannot_be_decoded_is_said_once(hub: HubProcess) -> None:
    """Its pages are whole, and its packets are noise."""
    pages = OGG.split(b"OggS")
    broken = b"OggS".join([*pages[:3], *(page[:40] + bytes(len(page) - 40) for page in pages[3:])])
    body, kind = recording(header("AJ_broken"), audio=broken)
    assert post(hub, RECORDINGS, body, **{"Content-Type": kind}).status_code in (200, 422)


def test_the_recording_of_another_room_is_not_heard(hub_factory: Make) -> None:
    hub = hub_factory(
        **LIVEKIT,
        HUB_CONTROL_KEYS="ops:ops-0123456789abcdef",
        HUB_SUBSCRIBE_KEYS="a:reader-a-0123456789@call-1,b:reader-b-0123456789@other",
    ).start()
    key = {"Authorization": "Bearer ops-0123456789abcdef"}
    assert requests.post(f"{hub.url}/api/agent/data", json=EVENTS, headers=key, timeout=30).status_code == 200
    send_all(hub)
    until(lambda: get(hub, **key).status_code == 200, "the recording", 60)
    for path, reader in itertools.product(("audio", "audio/peaks", "audio/marks", "audio.wav", "trace", "logs"), "ab"):
        answer = get(hub, path, Authorization=f"Bearer reader-{reader}-0123456789")
        assert answer.status_code == (200 if reader == "a" else 404), (path, reader)
    with_token = f"{hub.url}/api/sessions/{ATTACHED}/audio?access_token=reader-a-0123456789"
    assert requests.get(with_token, timeout=30).content == OGG
