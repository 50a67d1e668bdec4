"""Audio for tests: real speech, and what a browser's MediaRecorder makes of it."""

from __future__ import annotations

import io
import subprocess
import wave
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

RATE = 16000


@cache
def speech(text: str, voice: str = "slt") -> bytes:
    """`text` spoken by flite: 16 kHz, 16-bit, mono PCM."""
    with TemporaryDirectory() as folder:
        target = Path(folder, "speech.wav")
        subprocess.run(["flite", "-voice", voice, "-t", text, "-o", str(target)], check=True, capture_output=True)
        with wave.open(str(target)) as sound:
            assert (sound.getframerate(), sound.getnchannels(), sound.getsampwidth()) == (RATE, 1, 2)
            return sound.readframes(sound.getnframes())


def silence(seconds: float) -> bytes:
    """PCM that is silent."""
    return bytes(2 * int(seconds * RATE))


@cache
def webm(pcm: bytes, container: str = "webm") -> bytes:
    """`pcm` as Opus in WebM or Ogg, without a length in its header: MediaRecorder cannot seek either."""
    import av
    import numpy

    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    target = Pipe()
    options = {"live": "1"} if container == "webm" else {}
    with av.open(target, "w", format=container, options=options) as media:
        stream = media.add_stream("libopus", rate=48000)
        stream.layout = "mono"  # type: ignore[attr-defined]
        frame = av.AudioFrame.from_ndarray(numpy.frombuffer(pcm, numpy.int16).reshape(1, -1), "s16", "mono")
        frame.sample_rate = RATE
        for packet in [*stream.encode(frame), *stream.encode(None)]:  # type: ignore[attr-defined]
            media.mux(packet)
    return target.getvalue()


def wav(pcm: bytes, rate: int = RATE) -> bytes:
    """A WAV file."""
    target = io.BytesIO()
    with wave.open(target, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(rate)
        sound.writeframes(pcm)
    return target.getvalue()


def slices(data: bytes, size: int) -> list[bytes]:
    """`data` in pieces, as a client sends it."""
    return [data[start : start + size] for start in range(0, len(data), size)]
