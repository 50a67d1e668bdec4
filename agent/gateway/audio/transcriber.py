"""Keeps an STT supplied with a client's audio, and connects it again when it fails."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from livekit import rtc
from livekit.agents import APIError, stt
from livekit.agents.types import APIConnectOptions

from event_hub.livekit.errors import described
from event_hub.websocket_protocols.audio import Final, Reconnecting, TranscriptionEnded
from event_hub.websocket_protocols.base import Frame

from ..connection import Gone
from ..frames import FrameError
from .pcm import BYTES_PER_SECOND, CHUNK, RATE, AudioQueue, Recent
from .utterances import Kind, Utterances

if TYPE_CHECKING:
    from collections.abc import Mapping

logger = logging.getLogger("agent.gateway")

BUFFER = 30 * BYTES_PER_SECOND
"""Audio that waits for the STT. While the STT works, the client waits beyond it; while it is away, the oldest is lost."""
IDLE = 8 * BYTES_PER_SECOND
"""Audio that the next stream gets again if one fails while nothing is said: an utterance may just have begun. It exceeds
LEAD, because a stream may have been given that much before it reports that the user speaks.
"""
LEAD = 5.0
"""Seconds of audio that a provider is given ahead of real time: providers refuse a file that is sent at once."""
BACKLOG = 20
"""Chunks that a stream may hold without having taken them."""
TAIL = 1.0
"""Seconds of silence after the last audio, because STTs find the end of an utterance by silence."""
FINISH = 15.0
"""Seconds in which an STT may be silent after the end. Then it has failed, if it still owes a final."""
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 15.0
"""Seconds before the STT is connected again: doubled each time, up to the longest."""
LAST_TRIES = 4
"""Attempts to connect while the client waits for the end."""
HEALTHY = 10.0
"""Seconds after which a failure counts as a new outage."""
POLICY_VIOLATION = 1008
"""The close code with which AssemblyAI refuses a key; LiveKit's plugin calls it a status, and worth another try."""
_ONE_TRY = APIConnectOptions(max_retry=0, timeout=10.0)
"""LiveKit's own retries would lose the audio that the failed attempt had taken, without a word."""
_KINDS: Mapping[Any, Kind] = {
    stt.SpeechEventType.START_OF_SPEECH: "start",
    stt.SpeechEventType.INTERIM_TRANSCRIPT: "interim",
    stt.SpeechEventType.PREFLIGHT_TRANSCRIPT: "interim",
    stt.SpeechEventType.FINAL_TRANSCRIPT: "final",
    stt.SpeechEventType.END_OF_SPEECH: "end",
}


class Transcriber:
    """One client's transcription. `send` sends a frame and raises Gone; `on_error` receives failures, for the hub.

    `paced`: whether audio goes to the STT in real time; the local one takes as much as it can decode.
    """

    def __init__(
        self,
        recogniser: stt.STT[Any],
        send: Callable[[Frame], Awaitable[None]],
        send_error: Callable[[str, str], Awaitable[None]],
        on_error: Callable[[str], None],
        *,
        paced: bool,
    ) -> None:
        self._stt, self._send, self._send_error, self._on_error = recogniser, send, send_error, on_error
        self._paced = paced
        self.audio = AudioQueue(BUFFER)
        """What the client sends; `put_end` ends a stretch, after which more may follow."""
        self._utterances = Utterances()
        self._recent = Recent(BUFFER, IDLE)
        self._finishing = False
        self._ending = False
        """Whether the stretch has been given to the stream to its end."""
        self._progress = False
        """Whether the stream has given a final."""

    async def run(self) -> None:
        """Transcribe until cancelled, or until everything is done after `finish`.

        Raises Gone, and FrameError if the STT refuses the gateway.
        """
        while not self._finishing or self.audio.has_end:
            await self.audio.filled()
            await self._stretch()
            await self._send_all(self._utterances.close())
            await self._send(TranscriptionEnded())

    def finish(self) -> None:
        """Nothing more comes: the gateway stops."""
        self._finishing = True
        self.audio.put_end()

    def close(self) -> list[Frame]:
        """What remains to be reported when the client has left."""
        return self._utterances.close()

    async def _stretch(self) -> None:
        """Transcribe up to the next end, with as many streams as it takes."""
        self._ending, self._recent = False, Recent(BUFFER, IDLE)
        attempt = last_tries = 0
        loop = asyncio.get_running_loop()
        while True:
            begun, self._progress = loop.time(), False
            try:
                await self._one_stream()
                return
            except (Gone, FrameError):
                raise
            except Exception as error:  # plugins raise errors of any kind
                failure = error
            message = described(SimpleNamespace(type="stt_error", error=failure), self._stt)["message"]
            message = f"{message[:1].upper()}{message[1:]}."
            logger.warning("transcription: %s", message)
            self._on_error(message)
            if getattr(failure, "status_code", None) == POLICY_VIOLATION:
                raise FrameError("stt_failed", f"{message} Its key may be wrong.")
            if isinstance(failure, APIError) and not failure.retryable:
                raise FrameError("stt_failed", message)
            self.audio.away()
            self._utterances.interrupt()
            attempt = 1 if self._progress or loop.time() - begun > HEALTHY else attempt + 1
            last_tries = 0 if self._progress else last_tries + (self._ending or self.audio.has_end)
            if last_tries >= LAST_TRIES:
                await self._give_up(message)
                return
            await self._send(Reconnecting(message=message, attempt=attempt))
            await asyncio.sleep(min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (attempt - 1)) * random.uniform(0.75, 1.25))

    async def _one_stream(self) -> None:
        """Returns once the STT has transcribed everything up to the end. Raises what the STT raises."""
        stream = self._stt.stream(conn_options=_ONE_TRY)
        feeding = asyncio.create_task(self._feed(stream), name="transcription feed")
        try:
            while (event := await self._next(stream, feeding)) is not None:
                await self._on_event(event, stream)
            if not feeding.done():
                raise ConnectionError("the STT ended the stream")
            await feeding
            if self._utterances.owed:  # after the end, plugins take a connection that is cut for one that is closed
                raise ConnectionError("the STT ended the stream before the final")
        finally:
            feeding.cancel()
            await asyncio.gather(feeding, return_exceptions=True)
            await stream.aclose()

    async def _next(self, stream: stt.RecognizeStream, feeding: asyncio.Task[None]) -> stt.SpeechEvent | None:
        """The stream's next event; None at its end. Once it was given everything it must not be silent for FINISH."""

        async def following() -> stt.SpeechEvent | None:
            return await anext(stream, None)

        getting = asyncio.create_task(following())
        try:
            if not feeding.done():
                await asyncio.wait([getting, feeding], return_when=asyncio.FIRST_COMPLETED)
            try:
                async with asyncio.timeout(FINISH if feeding.done() else None) as limit:
                    return await getting
            except TimeoutError:
                if self._utterances.owed or not limit.expired():
                    raise
                return None  # a stream that does not end by itself
        finally:
            getting.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await getting

    async def _feed(self, stream: stt.RecognizeStream) -> None:
        """Give the stream what the one before it had not settled, then the client's audio up to the end."""
        pace = _Pace(asyncio.get_running_loop().time())
        pieces, lost = self._recent.replay()
        lost += self.audio.resume()
        if lost:
            await self._report_lost(lost)
        for piece in pieces:
            await self._push(stream, piece, pace)
        while not self._ending:
            piece_or_end = await self.audio.get()
            if piece_or_end is None:
                self._ending = True
            else:
                self._recent.add(piece_or_end, speaking=self._utterances.speaking)
                await self._push(stream, piece_or_end, pace)
        await self._push(stream, bytes(int(TAIL * RATE) * 2), pace)
        stream.end_input()

    async def _push(self, stream: stt.RecognizeStream, piece: bytes, pace: _Pace) -> None:
        loop = asyncio.get_running_loop()
        if self._paced and (wait := pace.wait(loop.time(), len(piece) / BYTES_PER_SECOND)):
            await asyncio.sleep(wait)
        waiting = stream._input_ch  # how much of its input a stream has not taken is in no public attribute
        while waiting.qsize() > BACKLOG:
            await asyncio.sleep(0.02)
        stream.push_frame(rtc.AudioFrame(piece, RATE, 1, len(piece) // 2))

    async def _on_event(self, event: stt.SpeechEvent, stream: stt.RecognizeStream) -> None:
        kind = _KINDS.get(event.type)
        if kind is None:
            return
        said = event.alternatives[0] if event.alternatives else None
        language = str(said.language) if said is not None and said.language else None
        frames = self._utterances.on(kind, said.text.strip() if said is not None else "", language)
        if any(isinstance(frame, Final) for frame in frames):
            self._recent.settle(self._settled(said, stream))
            self._progress = True
        await self._send_all(frames)

    def _settled(self, said: stt.SpeechData | None, stream: stt.RecognizeStream) -> int:
        """The place in the stream's audio up to which a final covers it, in bytes."""
        if said is not None and said.end_time > 0:
            return int(said.end_time * RATE) * 2
        # This STT does not say. It finds the end by half a second of silence, and has what it has taken.
        return self._recent.given - stream._input_ch.qsize() * CHUNK - BYTES_PER_SECOND // 2

    async def _send_all(self, frames: list[Frame]) -> None:
        for frame in frames:
            await self._send(frame)

    async def _report_lost(self, lost: int) -> None:
        sentence = (
            f"{lost / BYTES_PER_SECOND:.1f} s of audio are lost: the STT was away for longer than the "
            f"{BUFFER // BYTES_PER_SECOND} s that are buffered."
        )
        self._on_error(sentence)
        await self._send_error("audio_lost", sentence)

    async def _give_up(self, message: str) -> None:
        """The client waits for an end that the STT does not reach."""
        pieces, lost = self._recent.replay()
        lost += self.audio.resume()
        if not self._ending:
            lost += self.audio.drop_to_end()
        lost += sum(map(len, pieces))
        sentence = f"{message} {lost / BYTES_PER_SECOND:.1f} s of audio were not transcribed: send them again later."
        self._on_error(sentence)
        await self._send_error("stt_failed", sentence)


class _Pace:
    """Real time, with LEAD seconds at once. Time comes in as an argument."""

    def __init__(self, now: float) -> None:
        self._free, self._at = LEAD, now

    def wait(self, now: float, seconds: float) -> float:
        """Seconds to wait before `seconds` of audio may be sent."""
        self._free = min(LEAD, self._free + now - self._at) - seconds
        self._at = now
        return max(0.0, -self._free)
