"""espeak-ng as a TTS. Its library and voices come in the wheel espeakng-loader, so no system package is needed."""

from __future__ import annotations

import asyncio
import ctypes
import threading
from typing import Any

import espeakng_loader
from livekit.agents import APIConnectionError, tts
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, APIConnectOptions
from livekit.agents.utils import shortuuid

SAMPLE_RATE = 22050
VOICE = "en-us"
_RETRIEVE_AUDIO = 1
_UTF8 = 1
_FROM_THE_START = 1
_STOP, _CONTINUE = 1, 0
_Samples = ctypes.POINTER(ctypes.c_short)
_Callback = ctypes.CFUNCTYPE(ctypes.c_int, _Samples, ctypes.c_int, ctypes.c_void_p)


class EspeakTTS(tts.TTS[Any]):
    """Speaks many languages in a robotic voice. Voices have espeak-ng's names: en-us, en-gb, de, fr, es, …"""

    def __init__(self, *, voice: str | None = None) -> None:
        super().__init__(capabilities=tts.TTSCapabilities(streaming=False), sample_rate=SAMPLE_RATE, num_channels=1)
        self.voice = voice or VOICE

    @property
    def model(self) -> str:
        return self.voice

    @property
    def provider(self) -> str:
        return "espeak-ng"

    def prewarm(self) -> None:
        """Load the library, in the calling thread."""
        _library()

    def synthesize(
        self, text: str, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> tts.ChunkedStream:
        return _EspeakStream(self, text, conn_options)


class _EspeakStream(tts.ChunkedStream):
    def __init__(self, espeak: EspeakTTS, text: str, conn_options: APIConnectOptions) -> None:
        super().__init__(tts=espeak, input_text=text, conn_options=conn_options)
        self._voice = espeak.voice

    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        stopped = threading.Event()
        try:
            audio = await asyncio.to_thread(_speak, self._input_text, self._voice, stopped)
        finally:
            stopped.set()  # if the agent was interrupted, the thread ends at the next chunk of audio
        output_emitter.initialize(
            request_id=shortuuid("espeak_"), sample_rate=SAMPLE_RATE, num_channels=1, mime_type="audio/pcm"
        )
        output_emitter.push(audio or bytes(2 * SAMPLE_RATE // 10))
        output_emitter.flush()


_library_lock = threading.Lock()
"""The library's state is global to the process."""
_loaded: Any = None


def _library() -> Any:
    """The library, loaded and initialised; raises APIConnectionError."""
    global _loaded
    with _library_lock:
        if _loaded is None:
            library = ctypes.CDLL(espeakng_loader.get_library_path())
            library.espeak_Synth.argtypes = [
                *(ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint, ctypes.c_int, ctypes.c_uint, ctypes.c_uint),
                *(ctypes.c_void_p, ctypes.c_void_p),
            ]
            rate = library.espeak_Initialize(_RETRIEVE_AUDIO, 200, espeakng_loader.get_data_path().encode(), 0)
            if rate != SAMPLE_RATE:
                raise APIConnectionError(f"espeak-ng cannot be initialised ({rate})")
            _loaded = library
        return _loaded


def _speak(text: str, voice: str, stopped: threading.Event) -> bytes:
    library, chunks = _library(), list[bytes]()

    def receive(samples: Any, count: int, _events: Any) -> int:
        if samples and count > 0:
            chunks.append(ctypes.string_at(samples, count * 2))
        return _STOP if stopped.is_set() else _CONTINUE

    callback = _Callback(receive)
    data = text.replace("\0", " ").encode() + b"\0"
    with _library_lock:
        library.espeak_SetSynthCallback(callback)
        if library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise APIConnectionError(f"espeak-ng has no voice {voice}", retryable=False)
        library.espeak_Synth(data, len(data), 0, _FROM_THE_START, 0, _UTF8, None, None)
        library.espeak_Synchronize()
    return b"".join(chunks)
