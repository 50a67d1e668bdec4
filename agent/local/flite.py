"""flite as a TTS: Debian's package, one process per sentence, 16 kHz."""

from __future__ import annotations

import asyncio
import io
import tempfile
import wave
from pathlib import Path
from typing import Any

from livekit.agents import APIConnectionError, tts
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, APIConnectOptions
from livekit.agents.utils import shortuuid

SAMPLE_RATE = 16000
VOICE = "slt"
VOICES = ("slt", "awb", "rms", "kal16", "kal")
"""slt is female, the others are male; kal has only 8 kHz."""


class FliteTTS(tts.TTS[Any]):
    """Speaks English with the program `flite`, which must be installed. Voices: `VOICES`."""

    def __init__(self, *, voice: str | None = None) -> None:
        super().__init__(capabilities=tts.TTSCapabilities(streaming=False), sample_rate=SAMPLE_RATE, num_channels=1)
        self.voice = voice or VOICE

    @property
    def model(self) -> str:
        return self.voice

    @property
    def provider(self) -> str:
        return "flite"

    def synthesize(
        self, text: str, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> tts.ChunkedStream:
        return _FliteStream(self, text, conn_options)


class _FliteStream(tts.ChunkedStream):
    def __init__(self, flite: FliteTTS, text: str, conn_options: APIConnectOptions) -> None:
        super().__init__(tts=flite, input_text=text, conn_options=conn_options)
        self._voice = flite.voice

    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        with tempfile.TemporaryDirectory(prefix="flite-") as folder:
            target = Path(folder, "speech.wav")
            process = await asyncio.create_subprocess_exec(
                *("flite", "-voice", self._voice, "-t", self._input_text.replace("\0", " "), "-o", str(target)),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
            )
            try:
                _, stderr = await process.communicate()
            finally:
                if process.returncode is None:  # the agent was interrupted
                    process.kill()
                    await process.wait()
            if process.returncode != 0 or not target.exists():
                raise APIConnectionError(f"flite exited with code {process.returncode}: {stderr[:200]!r}")
            with wave.open(io.BytesIO(target.read_bytes())) as sound:
                audio, rate = sound.readframes(sound.getnframes()), sound.getframerate()
        output_emitter.initialize(
            request_id=shortuuid("flite_"), sample_rate=rate, num_channels=1, mime_type="audio/pcm"
        )
        output_emitter.push(audio or bytes(2 * rate // 10))  # a lone full stop has no audio
        output_emitter.flush()
